"""Every message a user can meet, numbered.

A message says what was wrong, with which value, and what to do next. The numbers are kept in
blocks, one a room: text 001-019, encoder 020-059, pipeline and command line 060-099.
"""

from __future__ import annotations


class _Coded(type):
    """Puts the name of a message in front of it: ``Errors.SM001`` reads ``[SM001] ...``."""

    def __getattribute__(cls, name: str) -> str:
        message: str = super().__getattribute__(name)
        return message if name.startswith("__") else f"[{name}] {message}"


class Errors(metaclass=_Coded):
    """Messages of exceptions."""

    SM001 = (
        "There is no tokenizer.json in '{folder}' (found: {there}). Write one once, with any "
        "version of transformers that can read this checkpoint: "
        "AutoTokenizer.from_pretrained(checkpoint).save_pretrained('{folder}')."
    )
    SM002 = (
        "Cannot read {file} from {source}: {error}. The file is damaged or was written for another "
        "program; copy it again, or save the tokenizer once more with "
        "AutoTokenizer.from_pretrained(checkpoint).save_pretrained(folder)."
    )
    SM003 = (
        "The setting `max_length` leaves room for {capacity} pieces in a window once the special "
        "tokens are in it. Set it so that at least 1 fits."
    )
    SM004 = (
        "The setting `overlap` (neighbouring windows overlap by this many pieces) is {overlap}. It "
        "has to be at least 0 and less than the {capacity} pieces that a window holds: lower "
        "`overlap` or raise `max_length`."
    )

    # The encoder network
    SM020 = (
        "This is not a ModernBERT configuration: its model_type is '{found}'. Give a folder or hub "
        "name of a ModernBERT checkpoint, or use an architecture that takes any Hugging Face encoder."
    )
    SM021 = (
        "config.json holds settings this version does not know: {keys}. They may change what the "
        "network computes. Remove them if they don't, or update spacy_modernbert."
    )
    SM022 = (
        "config.json holds a setting this encoder can't take: {key} is {value!r}, and should be "
        "{need}. Check that the checkpoint is an unmodified ModernBERT."
    )
    SM023 = (
        "config.json contradicts itself: {one} is {one_value!r}, but {other} is {other_value!r}. "
        "Correct the one that is wrong; the checkpoint's own documentation should say which."
    )
    SM024 = "Unknown precision '{precision}'. Choose one of: {choices}."

    # Checkpoints (encoder/hub.py, storage.py, checkpoint.py, foreign.py)
    SM040 = (
        "Can't find the checkpoint '{name}': {reason}. Give the path of a folder that holds "
        "config.json, tokenizer.json and model.safetensors, or download the checkpoint once on a "
        "machine with a network: `huggingface-cli download {name}`."
    )
    SM041 = (
        "The checkpoint folder {folder} has no {file}. A checkpoint needs config.json, "
        "tokenizer.json and model.safetensors (or pytorch_model.bin): copy the missing file from "
        "where the others came from."
    )
    SM042 = (
        "Can't read tensors from {path}: {reason}. The file is damaged, cut short or of another "
        "kind. Copy or download it again; a pickled checkpoint that holds more than tensors has to "
        "be converted to safetensors by someone who trusts it."
    )
    SM043 = "Can't read {path}: {reason}. Copy or download the file again."
    SM044 = (
        "The weights don't fit the configuration. Missing: {missing}. Left over: {unknown}. Check "
        "that config.json and the weights file belong to the same checkpoint."
    )
    SM045 = (
        "The weight '{name}' has the shape {found}, but the configuration asks for {expected}. "
        "Check that config.json and the weights file belong to the same checkpoint."
    )
    SM046 = (
        "{source} holds tensors, but was not written by spacy_modernbert: the header has no "
        "configuration. To use a checkpoint folder, give its path or hub name as the setting "
        "`name` and call nlp.initialize()."
    )
    SM047 = (
        "Can't write {path}: {reason}. What stood there before is unharmed. Free some space or "
        "choose another place, and save again."
    )
    SM048 = (
        "Can't build an encoder of the type '{model_type}': {reason}. Supported are ModernBERT and "
        "the encoders that the installed transformers knows (BERT, DeBERTa-v2, XLM-RoBERTa ...); "
        "a newer type may need a newer transformers."
    )

    # Pipeline and command line
    SM061 = (
        "The encoder has no weights yet. Call nlp.initialize(), or load a saved pipeline with "
        "spacy.load()."
    )
    SM062 = (
        "The setting `max_length = {value}` is more than the encoder '{name}' can take: it was "
        "made for rows of up to {limit} pieces. Set `max_length` to {limit} or less, or to null "
        "for the encoder's own limit; longer Docs are read in overlapping windows."
    )
    SM063 = (
        "The GPU {gpu_id} was asked for, and can't be used: {reason}. Install CuPy for your version of "
        "CUDA (`pip install cupy-cuda12x`) and a torch that was built for it, or use the processor: "
        "`--gpu-id -1`, in the project `--vars.gpu_id -1`."
    )
    SM064 = (
        "spacy_modernbert needs {name} {needed}, and {found} is installed. Update it: "
        "`pip install '{name}{needed}'`."
    )

    SM065 = "These settings can't be used:\n{problems}"

    # GLiNER (gliner/)
    SM100 = (
        "The folder {folder} is no GLiNER checkpoint: it has no gliner_config.json. Give the "
        "folder or hub name of one, such as 'urchade/gliner_small-v2.1'."
    )
    SM101 = (
        "This is {kind}: its {key} is '{value}'. Supported are the checkpoints that find entities: "
        "uni-encoders and bi-encoders, of the span and of the token kind."
    )
    SM102 = (
        "gliner_config.json holds settings this version does not know: {keys}. They may change "
        "what the network computes. Remove them if they don't (settings of the training, for example), "
        "or update spacy_modernbert."
    )
    SM103 = (
        "gliner_config.json holds a setting this version can't take: {key} is {value!r}, and "
        "should be {need}."
    )
    SM104 = (
        "The GLiNER checkpoint {source} is not self-contained: it has no {missing}, and relies on "
        "other repositories for it. Make a complete copy once, on a machine with a network: "
        "`python -m spacy_modernbert convert-gliner SOURCE DIR`."
    )
    SM105 = (
        "The weight '{name}' of {source} holds values that are no numbers (NaN or infinite), so "
        "every score would be wrong. Take an earlier state of the training, or download it again."
    )
    SM106 = (
        "The weights are not those of a GLiNER this version knows: {reason}. Supported are span "
        "models (markerV0, markerV1, marker) and token models, with one encoder or two."
    )
    SM107 = (
        "The ids of the markers {names} are outside the {vocabulary} embeddings of the checkpoint: "
        "its tokenizer is another one's. Make a consistent copy from the original: "
        "`python -m spacy_modernbert convert-gliner SOURCE DIR`."
    )
    SM108 = (
        "The label {label!r} holds nothing that the model can read. Give every label a name or a "
        "description in words."
    )
    SM109 = (
        "The label '{label}' is longer than the {most} pieces the model can read of one. Describe "
        "it in fewer words."
    )
    SM110 = (
        "This GLiNER can't read new labels: it has no label encoder, as it was saved with the "
        "vectors of its labels only. Use these labels, or load the original checkpoint."
    )
    SM111 = (
        "The threshold of '{label}' is {value}. Scores are probabilities: choose a number from 0 "
        "to 1."
    )
    SM112 = (
        "Can't complete the GLiNER checkpoint {source}: {what} of '{name}' could not be had "
        "({reason}). Run the command where there is a network, or where this checkpoint is in the "
        "local cache."
    )
    SM113 = (
        "The checkpoint {source} can't be converted into its own folder. Name another folder to "
        "write to."
    )
    SM114 = (
        "The labels take {found} pieces, and a row of this model has {limit}. Give fewer or "
        "shorter labels, or set on_overflow to 'warn', so that they are read in several groups."
    )
    SM115 = (
        "The GLiNER {source} has no label encoder that could be saved by itself: only bi-encoders "
        "have one. Leave --labels-encoder out, or convert a bi-encoder."
    )
    SM130 = (
        "There are two labels '{label}', or two labels for which the model would read that. Remove "
        "one, or describe them in different words."
    )
    SM131 = (
        "The labels are given as the string {labels!r}. Give a list, or a mapping of each label to "
        "the words that the model shall read."
    )
    SM132 = "Can't use the device '{device}': {reason}. Set `device` to 'cpu', or to 'auto'."
    SM133 = (
        "The setting `{setting}` counts words and is {value}. Set it to at least {least}, or to null for "
        "what suits the checkpoint."
    )
    SM134 = (
        "`candidates = '{key}'` names a group of spans that the Doc does not have. Put the component "
        "that writes doc.spans['{key}'] before '{name}' in the pipeline, or set `candidates` to null."
    )
    SM135 = "The setting `features = 'doc'` can't be used: {reason}. Set it to 'own'."
    SM136 = (
        "The vectors of the Doc '{text}' are not those that this GLiNER would make: {reason}. Put a "
        "`transformer` in front that has the checkpoint's own text encoder (`python -m "
        'spacy_modernbert convert-gliner SOURCE DIR --encoder FOLDER`) and `mode = "words"`, or '
        "set `features` to 'own'."
    )
    SM150 = "The setting `training.{setting}` of the component is {value}. Choose a number from {low} to {high}."
    SM151 = (
        "The source '{name}' of spacy_modernbert.MixedCorpus.v1 can't be used: {given}. It needs a "
        "`path`, a `weight` above 0 or none, and no other settings than these: {known}."
    )
    SM152 = (
        "The source '{name}' of spacy_modernbert.MixedCorpus.v1 has no Docs: {path}. Check the path; "
        "`python -m spacy convert` writes .spacy files."
    )
    SM153 = (
        "This component takes the vectors of the shared transformer (`features = 'doc'`), so its own copy "
        "of the text encoder can't be trained. Set `training.freeze = [\"encoder\"]`, or `features` to 'own'."
    )
    SM154 = (
        "`head_init = 'similar'` needs a new bi-encoder that scores spans, and labels: name a `labels_encoder`, "
        "keep `kind = 'span'`, and give labels, or examples with labels. Or use `head_init = 'random'`."
    )
    SM155 = (
        "Nothing can be learnt: the examples are annotated with {annotated}, and the component's labels "
        "are {labels}. Give `labels` the names of the annotation, with the words that the model shall "
        "read, such as {{'PERSON': 'person'}}, or leave `labels` empty to take those of the examples. A "
        "component that shall not learn belongs into `frozen_components`."
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
    SM210 = (
        "A classifier needs at least two labels to choose from (one, if a text can have several), but "
        "the labels are: {found}. Add examples of another label."
    )
    SM211 = (
        "These labels have no example among the texts to learn from: {labels}. Add at least one "
        "example of each, or remove the labels."
    )
    SM213 = (
        "{source} does not hold the data of a setfit_textcat. Load the folder that nlp.to_disk() "
        "wrote, unchanged."
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
        "pipeline was saved. Add examples with set_support() or fit(), or save the pipeline with "
        "`keep_support` set to 'vectors' or 'texts'."
    )
    SM232 = (
        "'{name}' cannot encode texts: its encoder belongs to another component. Give Docs that this "
        "component has processed, or train with nlp.update() or `spacy train`."
    )
    SM233 = (
        "{item} is not an example. Give pairs of a text and its label, its list of labels, or a "
        "mapping such as {{'LABEL': 1.0}}."
    )
    SM235 = (
        "The classifier of '{name}' has no prototypes (checkpoints of setfit hold none), so it cannot "
        "abstain. Add its examples with set_support()."
    )


class Warnings(metaclass=_Coded):
    """Messages of warnings."""

    # The encoder network
    SMW020 = (
        "The precision '{precision}' needs instructions that this device ({device}) lacks; computing "
        "in float32 instead. The results are at least as exact, and may take longer."
    )
    SMW021 = (
        "Matrix products in bfloat16 run at {gain:.1f} times the speed of float32 on this processor. "
        "The precision 'bfloat16' halves the memory of the weights here, but 'float32' is faster."
    )

    # Checkpoints
    SMW040 = (
        "'{name}' is a checkpoint of the type '{model_type}', not ModernBERT. It works, through the "
        "code of transformers: rows are padded, and `precision` and `max_length` follow that code's "
        "limits. If ModernBERT was meant, check the setting `name`."
    )

    # GLiNER (gliner/)
    SMW100 = (
        "{n_labels} labels take {found} pieces, more than fit beside a text in the {limit} pieces "
        "of this model's rows. They are read in {n_groups} groups: slower, and labels of different "
        "groups don't compete. Fewer or shorter labels avoid this."
    )
    SMW101 = (
        "A word of {found} pieces ('{word}...') is longer than the {limit} pieces this model has "
        "room for. Only its beginning is read."
    )
    SMW130 = (
        "`label_thresholds` has a threshold for {names}, which is none of the component's labels{hint} "
        "It counts only where a call or a Doc brings a label of that name."
    )
    SMW150 = (
        "{lost} of the {total} annotated spans can't be learnt: {too_wide} are wider than the {width} "
        "words that this model knows as a span ({wide_labels}), {cut} are longer than what it reads at "
        "once, {unaligned} end within a token. A checkpoint or a new head with a larger `max_width`, "
        "shorter annotations, or another tokenizer would help."
    )
    SMW151 = (
        "The gradient of step {step} is no number ({norm}), so the weights were left as they are. If "
        "this happens more than now and then, lower the learning rates or check the data."
    )

    # SetFit (setfit/)
    SMW230 = (
        "These labels have no examples: {labels}. Their names stand in for examples. Add examples of "
        "them for better predictions."
    )
    SMW231 = (
        "{n} of {total} texts are longer than the {limit} pieces that the encoder reads; only their "
        "beginning counts. Raise `max_length` if the encoder allows it, or classify shorter parts. "
        "Further texts are truncated without a warning."
    )
    SMW232 = (
        "{n} of {total} texts came again with other labels, and all of their labels are learned. "
        "Correct the annotation."
    )
    SMW233 = (
        "The encoder is not trained: of earlier texts, only vectors were kept. Further texts change "
        "the classifier alone. To train the encoder, give all texts with set_support()."
    )
