"""Every message that a user can see, numbered.

A message says what was wrong, with which value, and what to do next. Each layer has a block of
numbers: text 001-019, encoder 020-059, pipeline and command line 060-099, gliner 100-199, setfit
200-299.
"""

from __future__ import annotations


def shorten(text: object, most: int = 60) -> str:
    """Return a text of a user for a message: its beginning, if it is long."""
    whole = str(text)
    return whole if len(whole) <= most else f"{whole[:most]} ... ({len(whole):,} characters)"


class _Coded(type):
    """Puts the number of a message in front of it: ``Errors.SM001`` is ``[SM001] ...``."""

    def __getattribute__(cls, name: str) -> str:
        message: str = super().__getattribute__(name)
        return message if name.startswith("__") else f"[{name}] {message}"


class Errors(metaclass=_Coded):
    """Messages of exceptions."""

    SM001 = (
        "The folder '{folder}' has no tokenizer.json (found: {found}). Create it once, with any "
        "version of transformers that can read this checkpoint: "
        "AutoTokenizer.from_pretrained(checkpoint).save_pretrained('{folder}')."
    )
    SM002 = (
        "Can't read {file} from {source}: {error}. The file is damaged or belongs to another "
        "program. Copy it again, or save the tokenizer again with "
        "AutoTokenizer.from_pretrained(checkpoint).save_pretrained(folder)."
    )
    SM003 = (
        "The setting `max_length` leaves room for {capacity} pieces in a window beside the special "
        "tokens. Raise it so that at least 1 fits."
    )
    SM004 = (
        "The setting `overlap` (pieces that neighboring windows share) is {overlap}. It has to be "
        "at least 0 and less than the {capacity} pieces of a window. Lower `overlap` or raise "
        "`max_length`."
    )

    # The encoder network
    SM020 = (
        "This is not a ModernBERT configuration: its model_type is '{found}'. Use the folder or hub "
        "name of a ModernBERT checkpoint, or an architecture that accepts any Hugging Face encoder."
    )
    SM022 = (
        "config.json holds a setting that this encoder does not support: {key} is {value!r}, but "
        "should be {need}. Check that the checkpoint is an unmodified ModernBERT."
    )
    SM023 = (
        "Two settings of config.json contradict each other: {one} is {one_value!r}, but {other} is "
        "{other_value!r}. Correct the wrong one; the documentation of the checkpoint should tell "
        "which it is."
    )
    SM024 = "Unknown precision '{precision}'. Choose one of: {choices}."

    # Checkpoints (encoder/hub.py, storage.py, weights.py, checkpoint.py, hf_encoder.py)
    SM040 = (
        "Can't find the checkpoint '{name}': {reason}. Check the spelling: a checkpoint is a folder "
        "that holds config.json (for a GLiNER gliner_config.json), tokenizer.json and "
        "model.safetensors, or the name of one on the Hugging Face hub."
    )
    SM041 = (
        "The checkpoint folder {folder} has no {file}. A checkpoint needs config.json, "
        "tokenizer.json and model.safetensors (or pytorch_model.bin). Copy the missing file from "
        "the source of the others."
    )
    SM042 = (
        "Can't read tensors from {path}: {reason}. The file is damaged, truncated or of another "
        "kind. Copy or download it again. A pickled checkpoint that holds more than tensors has to "
        "be converted to safetensors by someone who trusts it."
    )
    SM043 = "Can't read {path}: {reason}. Copy or download the file again."
    SM044 = (
        "The weights do not match the configuration. Missing: {missing}. Unexpected: {unexpected}. "
        "Check that config.json and the weights belong to the same checkpoint."
    )
    SM045 = (
        "The weight '{name}' has the shape {found}, but the configuration requires {expected}. "
        "Check that config.json and the weights belong to the same checkpoint."
    )
    SM046 = (
        "{source} holds tensors, but was not written by spacy_modernbert: its header has no "
        "configuration. To use a checkpoint folder, put its path or hub name into the setting "
        "`name` and call nlp.initialize()."
    )
    SM047 = (
        "Can't write {path}: {reason}. An earlier file of this name is unchanged. Free some space "
        "or choose another place, and save again."
    )
    SM048 = (
        "Can't build an encoder of the type '{model_type}': {reason}. Supported are ModernBERT and "
        "the encoders of the installed transformers (BERT, DeBERTa-v2, XLM-RoBERTa ...). A newer "
        "type may need a newer transformers."
    )
    SM049 = (
        "The tokenizer in {source} has {entries:,} entries, but the embeddings have {rows:,} rows. Use "
        "the tokenizer that belongs to the checkpoint, or resize the embeddings "
        "(resize_token_embeddings in transformers) and save both."
    )

    # Pipeline and command line
    SM062 = (
        "The setting `max_length = {value}` is more than the encoder '{name}' can take: it was "
        "made for sequences of up to {limit} pieces. Set `max_length` to {limit} or less, or to null "
        "for the encoder's own limit; longer Docs are read in overlapping windows."
    )
    SM063 = (
        "Can't use the GPU {gpu_id}: {reason}. Install CuPy for your version of CUDA "
        "(`pip install cupy-cuda12x`) and a torch that was built for it, or use the CPU: "
        "`--gpu-id -1`, in the project `--vars.gpu_id -1`."
    )
    SM064 = (
        "spacy_modernbert requires {name} {needed}, but {found} is installed. Install a supported version: "
        "`pip install '{name}{needed}'`."
    )
    SM065 = "The config has settings that can't be used:\n{problems}"
    SM070 = (
        "{component} listens to {encoder}, but before it the pipeline has {there}. Set `upstream` of its "
        "listener to the name of the pipeline's encoder or to '*', and put the encoder first; or give "
        "the encoder the name that is asked for: nlp.add_pipe('modernbert', name=...)."
    )
    SM071 = (
        "{component} can't learn from {n} of {total} Docs: {encoder} has no vectors for their tokens. "
        "Put the encoder before the component. If the encoder is in `frozen_components`, list it in "
        "`annotating_components`, too. Put a component that merges or splits tokens before the encoder."
    )
    SM072 = (
        "{component} reads vectors of width {expected}, but those of {encoder} have width {found}. Use "
        "the encoder that the component was trained with, or train the component again."
    )

    # GLiNER (gliner/)
    SM100 = (
        "The folder {folder} is no GLiNER checkpoint: it has no gliner_config.json. Use the folder "
        "or hub name of a GLiNER checkpoint, such as 'urchade/gliner_small-v2.1', or 'bundled'."
    )
    SM101 = (
        "This is {kind}: its {key} is '{value}'. Only checkpoints that find entities are supported: "
        "uni-encoders and bi-encoders that score spans or words. Use one of these."
    )
    SM103 = (
        "gliner_config.json has a setting that this version does not support: {key} is {value!r}, "
        "and must be {need}. Use another checkpoint, or update spacy_modernbert."
    )
    SM104 = (
        "The GLiNER checkpoint {source} is not self-contained: it has no {missing}, and relies on "
        "other repositories for it. Make a complete copy once, on a machine with network access: "
        "`python -m spacy_modernbert convert-gliner SOURCE DIR`."
    )
    SM105 = (
        "The weight '{name}' of {source} has values that are not finite (NaN or infinite), so every "
        "score would be wrong. Use an earlier state of the training, or download the file again."
    )
    SM106 = (
        "The weights are not those of a supported GLiNER: {reason}. Use a span model (markerV0, "
        "markerV1, marker) or a token model, with one encoder or two."
    )
    SM107 = (
        "The ids of the markers {names} exceed the {vocabulary} embeddings of the checkpoint: the "
        "tokenizer belongs to another checkpoint. Make a consistent copy from the original: "
        "`python -m spacy_modernbert convert-gliner SOURCE DIR`."
    )
    SM108 = (
        "The label {label!r} has no text that the model can read. Give every label a name or a "
        "description in words."
    )
    SM109 = (
        "The label '{label}' is longer than the {most} pieces that the model can read of a label. "
        "Describe it in fewer words."
    )
    SM110 = (
        "This GLiNER can't read new labels: it was saved without its label encoder, with the vectors "
        "of its own labels only. Use these labels, or load the original checkpoint."
    )
    SM112 = (
        "Can't complete the GLiNER checkpoint {source}: {what} of '{name}' is not available "
        "({reason}). Run the command on a machine with network access, or with '{name}' in the "
        "local cache."
    )
    SM113 = (
        "The checkpoint {source} can't be converted into its own folder. Choose another folder to "
        "write to."
    )
    SM114 = (
        "The labels take {found} pieces, but a sequence of this model has only {limit}. Use fewer or "
        "shorter labels, or set on_overflow to 'warn', so that they are read in several groups."
    )
    SM115 = (
        "The GLiNER {source} has no label encoder to save by itself: only bi-encoders have one. Leave "
        "out --labels-encoder, or convert a bi-encoder."
    )
    SM130 = (
        "The label or label text '{label}' occurs twice. Remove one, or give one of the labels another "
        'label text: labels = {{"LABEL": "other words"}}.'
    )
    SM131 = (
        "The labels are {labels}. Give a list of them, such as {example}, or a mapping of each label "
        "to the text that the model reads for it."
    )
    SM132 = (
        "Can't use the device '{device}': {reason}. Set `device` to 'cpu', to 'auto', which is a GPU if "
        "torch can use one, or to a GPU that it can use: 'cuda', 'cuda:1' ..."
    )
    SM134 = (
        "The setting `candidates = '{key}'` names a span group that the Doc does not have. Put the "
        "component that writes doc.spans['{key}'] before '{name}', or set `candidates` to null."
    )
    SM135 = "The setting `features = 'doc'` can't be used: {reason}. Set it to 'own'."
    SM136 = (
        "The vectors of the Doc '{text}' are not those of this GLiNER's text encoder: {reason}. Put a "
        "`transformer` with that encoder before this component (`python -m spacy_modernbert "
        'convert-gliner SOURCE DIR --encoder FOLDER`), with `mode = "words"`, or set `features` to '
        "'own'."
    )
    SM151 = (
        "The source '{name}' of spacy_modernbert.MixedCorpus.v1 can't be used: {given}. A source has a "
        "`path`, a `weight` above 0 or none, and no settings other than {known}."
    )
    SM152 = (
        "The source '{name}' of spacy_modernbert.MixedCorpus.v1 has no Docs: {path}. Check the path. "
        "`python -m spacy convert` writes .spacy files."
    )
    SM153 = (
        "With `features = 'doc'` the text encoder is the shared transformer's, so this component can't "
        "train it. Set `training.freeze = [\"encoder\"]`, or `features` to 'own'."
    )
    SM154 = (
        "`head_init = 'similarity'` needs a new bi-encoder that scores spans, and labels. Set "
        "`labels_encoder`, keep `head = 'span'`, and give labels or annotated examples; or set "
        "`head_init` to 'random'."
    )
    SM155 = (
        "The examples are annotated with {annotated}, but the component's labels are {labels}, so there "
        "is nothing to learn. Name the labels as the annotation does, with the text that the model "
        "reads, such as {{'PERSON': 'person'}}; or leave `labels` empty to take those of the examples. To "
        "keep the component as it is, list it in `frozen_components`."
    )

    SM160 = (
        "'{name}' is a spaCy pipeline, and not a checkpoint. Load it with spacy.load('{name}'), or take a "
        "component out of it: nlp.add_pipe('NAME', source=spacy.load('{name}'))."
    )
    SM161 = (
        "The bundled model is missing from {folder}. Install spacy_modernbert again, from its wheel, or "
        "from a copy of the repository that holds this folder."
    )
    SM162 = (
        "The component '{name}' has no labels, so there is nothing to look for (E143 in spaCy). Name them "
        'when you add it: nlp.add_pipe("gliner", config={{"labels": ["person", "city"]}}); or later: '
        'nlp.get_pipe(\'{name}\').set_labels(["person", "city"]).'
    )
    SM163 = (
        "'{name}' is a GLiNER, and not an encoder. Use it as the `name` of a `gliner` component, or write "
        "its encoders to folders of their own: `python -m spacy_modernbert convert-gliner {name} DIR "
        "--encoder FOLDER`, or `--labels-encoder FOLDER`."
    )
    SM164 = (
        "'{name}' is an encoder, and not a GLiNER. Use it as the `name` of a `modernbert` or "
        "`setfit_textcat` component, or train a GLiNER on it: as `encoder` in "
        "[initialize.components.gliner.new_head]. The bundled GLiNER has the name 'bundled'."
    )

    SM165 = (
        "'{name}' predicts for a list of Docs, and not for {item}. Use nlp(text).ents for a text, or "
        "predict([nlp.make_doc(text)])."
    )
    SM166 = (
        "The `model` of '{name}' is {model!r}. The name of a checkpoint has a block around it: "
        'config={{"model": {{"name": {model!r}}}}}.'
    )

    # SetFit (setfit/)
    SM200 = (
        "{source} has a module that is not supported: '{name}'. Use a checkpoint with modules of "
        "sentence-transformers itself, out of {supported}. The code of a checkpoint is never run."
    )
    SM201 = (
        "{source} cannot be read as a sentence encoder: its modules are {found}. The first has to be "
        "a Transformer, the second a Pooling, and neither may appear again."
    )
    SM202 = (
        "{source} has a setting that is not supported: {key} is {value!r}, and should be {need}. "
        "Correct the setting or use another checkpoint."
    )
    SM203 = (
        "The prompt '{prompt}' leaves no room for a text: this model reads {limit} pieces at a time. "
        "Shorten `prompt` or raise `max_length`."
    )
    SM204 = (
        "The setting `max_length` is {value}, but the encoder was built for at most {limit} pieces. "
        "Set `max_length` to {limit} or less, or to null."
    )
    SM205 = (
        "The component '{name}' has no labels yet (E143 in spaCy). Teach it with some texts of each: "
        'nlp.get_pipe(\'{name}\').fit([("My parcel is late.", "delivery"), ("I paid twice.", '
        '"payment")]); or train it with `spacy train`.'
    )
    SM210 = (
        "A classifier needs at least two labels to choose from (one, if a text can have several), but "
        "the labels are: {found}. Add examples of another label."
    )
    SM211 = (
        "These labels have no example among the texts to learn from: {labels}. Add at least one "
        "example of each, or remove the labels."
    )
    SM212 = (
        "The label {label!r} has no characters but spaces. Give every label a name, such as "
        "'complaint'."
    )
    SM213 = (
        "{source} does not hold the data of a setfit_textcat. Load the folder that nlp.to_disk() "
        "wrote, unchanged."
    )
    SM214 = (
        "`steps` is {value!r}. Give the number of steps that the encoder is trained, 0 to train the "
        "classifier alone, or None for the setting `training.optimizer.total_steps`."
    )
    SM215 = (
        "The setting `windows = '{windows}'` of '{name}' is for an encoder of its own, but its encoder "
        "belongs to another component, which reads long texts in windows already. Set `windows` to null."
    )
    SM216 = (
        "'{name}' predicts for a list of Docs, and not for {item}. Use nlp(text).cats for a text, or "
        "predict([nlp.make_doc(text)])."
    )
    SM217 = (
        "There are {n_texts} texts, but {n_labels} labels for them. Give one label, or one list of "
        "labels, for each text."
    )
    SM218 = (
        "Without '{label}', the labels would be: {rest}. A text has exactly one label, so there have to "
        "be two at least. Add another label first, or use 'setfit_textcat_multilabel'."
    )
    SM220 = (
        "The classifier {path} was not read: {reason}. A pickle can run any code, so only logistic "
        "regression of scikit-learn is read, alone or one for each label. Train the classifier again "
        "from its examples."
    )
    SM221 = (
        "The classifier {path} is {kind}, whose probabilities cannot be reproduced. Train the "
        "classifier again from its examples."
    )
    SM231 = (
        "The classifier cannot be fitted again: the examples of {labels} were not kept when the "
        "pipeline was saved, or came from elsewhere. Nothing has changed. Give examples of all labels "
        "at once with fit() or set_support(), or save the pipeline with `keep_support` set to 'vectors' "
        "or 'texts'."
    )
    SM232 = (
        "A `setfit_textcat` whose encoder belongs to another component cannot encode texts by itself. "
        "Give Docs that the other component has processed, or train with nlp.update() or `spacy train`."
    )
    SM233 = (
        "{item} is not an example. Give pairs of a text and its label, its list of labels, or a "
        "mapping such as {{'LABEL': 1.0}}; rows with a 'text' and a 'label', 'labels' or 'cats'; Docs "
        "with doc.cats; a mapping of each label to its texts; or texts and, as a second argument, their "
        "labels. Several labels of a text are given by their names."
    )
    SM235 = (
        "The classifier of '{name}' has no prototypes (checkpoints of setfit hold none), so it cannot "
        "abstain. Add its examples with set_support()."
    )
    SM236 = (
        "None of the {total} texts of `dev` can be evaluated: their labels are {found}, and those of the "
        "component are {labels}. Give texts with labels of the component."
    )


class Warnings(metaclass=_Coded):
    """Messages of warnings."""

    # The encoder network
    SMW020 = (
        "The precision '{precision}' needs instructions that this device ({device}) lacks, so "
        "float32 is used instead. The results are at least as exact, but may take longer."
    )
    SMW021 = (
        "Matrix products in bfloat16 run at {gain:.1f} times the speed of float32 on this processor. "
        "The precision 'bfloat16' halves the memory of the weights here, but 'float32' is faster."
    )
    SMW022 = (
        "config.json holds settings that this version does not know and ignores: {keys}. If one of "
        "them changes what the network computes, update spacy_modernbert."
    )

    # Checkpoints
    SMW040 = (
        "'{name}' is a checkpoint of the type '{model_type}', not ModernBERT. It works, with the layers "
        "of transformers: {padding}, and a window has {limit} pieces. If you meant ModernBERT, "
        "check the setting `name`."
    )

    # Pipeline
    SMW041 = (
        "{component} reads zeros in place of vectors for {n} of {total} Docs, and its predictions for "
        "them mean nothing: {encoder} has not read these Docs, or their tokens were changed since. Enable "
        "the encoder, apply it to Docs that were made or copied from others (Doc.from_docs, Span.as_doc), "
        "and put a component that merges or splits tokens before it. Further Docs without vectors are "
        "not reported until a batch has all of its vectors."
    )
    SMW042 = (
        "'{name}' writes doc.tensor, and so does spaCy's tok2vec, whose listeners read it: '{component}' "
        "would read the vectors of the other. Set `annotate_tensor = false`, or use only one of them."
    )

    # GLiNER (gliner/)
    SMW100 = (
        "{n_labels} labels take {found} pieces, more than fit beside a text in the {limit} pieces "
        "of this model's sequences. They are read in {n_groups} groups, which is slower, and labels "
        "of different groups don't compete. Use fewer or shorter labels to avoid this."
    )
    SMW101 = (
        "A word of {found} pieces ('{word}...') is longer than the {limit} pieces that this model has "
        "room for. Only its beginning is read. Remove data such as base64 from the text."
    )
    SMW102 = (
        "gliner_config.json has settings that this version does not know, and ignores: {keys}. If "
        "they change what the network computes, scores are wrong: then update spacy_modernbert."
    )
    SMW103 = (
        "'{token}' is a single token, but probably several words, as its script has no spaces. {effect} "
        "Use a tokenizer that finds words, such as spacy.blank('zh'), 'ja' or 'th'{other}."
    )
    SMW130 = (
        "`label_thresholds` names {names}, which the component does not have as a label{hint} Such a "
        "threshold counts only where a call or a Doc brings the label."
    )
    SMW131 = (
        "'{name}' replaces the spans in doc.spans['{key}'] that {other} has written, with their scores. "
        "Give the two different groups: `spans_key`."
    )
    SMW132 = (
        "'{name}' found '{text}' ({label}), but the entity '{other}' ({other_label}) of an earlier "
        "component takes its place in doc.ents. Set `overwrite` to true to remove earlier entities."
    )
    SMW150 = (
        "{lost} of the {total} annotated spans can't be learned: {too_wide} are wider than the {width} "
        "words of this model's longest span ({wide_labels}), {cut} are longer than what the model reads "
        "at once, {crossing} contain the start of a sentence, and {unaligned} do not end at a token "
        "boundary. Use a checkpoint or a new head with a larger `max_width`, shorter annotations, "
        "`cross_sentences`, or another tokenizer."
    )
    SMW151 = (
        "The gradient of step {step} is not finite ({norm}), so the step changed no weights. If this "
        "happens more than now and then, lower the learning rates or check the data."
    )

    # SetFit (setfit/)
    SMW230 = (
        "These labels have no examples: {labels}. Their names stand in for examples. Add examples of "
        "them for better predictions."
    )
    SMW231 = (
        "{n} of {total} texts are longer than the {limit} pieces that the encoder reads; only their "
        "beginning counts. Set `windows` to 'mean' or 'max' to have long texts read in windows, raise "
        "`max_length` if the encoder allows it, or classify shorter parts. Further texts are truncated "
        "without a warning."
    )
    SMW232 = (
        "{n} of {total} texts came again with other labels; the last ones are learned. If that was no "
        "correction, check the annotation."
    )
    SMW233 = (
        "The encoder is not trained: of earlier texts, only vectors were kept. Further texts change "
        "the classifier alone. To train the encoder, give all texts with set_support()."
    )
    SMW234 = (
        "{n} of {total} texts of `dev` do not count, or not with all of their labels: {other} have labels "
        "that the component does not have ({found}), {empty} have no text, {outside} have the label of "
        "texts that are unlike all examples, and {bare} have no label. {left} texts are left to evaluate "
        "with. Correct them, or add examples of these labels."
    )
    SMW235 = (
        "{n} of {total} examples are not learned from: {empty} have no text, {outside} have the label "
        "of texts that are unlike all examples, and {bare} have none of the labels ({labels}). Correct "
        "them if that was not intended."
    )
    SMW236 = (
        "The encoder is not trained: no two texts differ in their labels, so there is nothing to tell "
        "apart. Add texts without the label, or with another one. Without them every text gets the same "
        "probability, and only `abstain_label` tells what is unlike the examples."
    )
    SMW237 = (
        "The training of the encoder diverged: its loss was {before:.3g} at the start and is {after:.3g} "
        "now, or all texts have the same vector. The encoder is the one from before the training. "
        "Lower `training.optimizer.learn_rate` ({learn_rate:.2g})."
    )
    SMW238 = (
        "The training of the encoder diverges: {reason}. Stop it, and lower "
        "`training.optimizer.learn_rate` ({learn_rate:.2g})."
    )
    SMW239 = (
        "Of {total} texts, a class-balanced sample of {kept} is kept to learn from. Raise `max_support` "
        "to learn from more; time and memory grow with it."
    )
    SMW240 = (
        "The logistic regression has not converged after {n} iterations. Its probabilities may be less "
        "accurate. Lower `head.C` ({C:g})."
    )
    SMW241 = "These labels have no examples: {labels}. Their probability is 0 until they have."
    SMW242 = (
        "The training of the encoder is over after {steps} steps. Further updates change the classifier "
        "alone. Stop (`max_steps` of `[training]`), or raise `training.optimizer.total_steps`."
    )
