"""What `gliner.py` compares: one checkpoint with random weights, and who answers from it.

Every system gets the same folder, texts, labels and threshold, and gives its entities as
(start, end, label) in characters.
"""

from __future__ import annotations

import os
import sys
import types
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch

LABELS = [
    label.strip()
    for label in """
person; organization; location; date; product; city; country; company; government agency; law;
event; website; email address; phone number; address; job title; software; programming language;
operating system; file name; database; network protocol; hardware; user role; team; project;
document; form; budget; amount of money; percentage; duration; time of day; month; year; season;
holiday; university; school; course; book; newspaper; song; film; television series; artist;
author; politician; scientist; athlete; sports team; sport; award; stadium; airport;
railway station; street; river; lake; mountain; island; ocean; continent; state; county;
language; nationality; religion; currency; stock exchange; bank; insurance company; hospital;
disease; symptom; medication; medical procedure; body part; chemical; protein; gene; species;
animal; plant; food; drink; recipe; restaurant; hotel; vehicle; aircraft; ship; weapon; court;
crime; contract; invoice number; account number; identifier; unit; method; metric; standard
""".replace("\n", " ").split(";")
][:100]

SIZES = {
    "6x384": {
        "hidden_size": 384, "intermediate_size": 576, "num_hidden_layers": 6,
        "num_attention_heads": 6,
    },
    "22x768": {
        "hidden_size": 768, "intermediate_size": 1152, "num_hidden_layers": 22,
        "num_attention_heads": 12,
    },
}  # fmt: skip
# Width of words and labels behind the encoder, as in published checkpoints of these sizes.
WIDTHS = {"6x384": 384, "22x768": 768}
KINDS = {
    "uni_span": {"span_mode": "markerV0"},
    "uni_token": {"span_mode": "token_level"},
    "bi_span": {"span_mode": "markerV0", "labels_encoder": "labels"},
}


@dataclass(frozen=True)
class Task:
    """Texts, labels and threshold of one measurement."""

    texts: tuple[str, ...]
    labels: tuple[str, ...]
    threshold: float = 0.5


Entities = list[list[tuple[int, int, str]]]
Answer = Callable[[Task], Entities]


def build(kind: str, size: str, tokenizer: Path, folder: Path) -> None:
    """Write a checkpoint of a kind and size in the published format, by upstream's own hands."""
    from gliner import GLiNER
    from transformers import BertConfig, ModernBertConfig

    backbone, labels = folder / "backbone", folder / "labels"
    vocabulary = write_tokenizer(tokenizer, backbone)
    ids = {"pad_token_id": 50283, "bos_token_id": 50281, "eos_token_id": 50282}
    ids = {name: min(number, vocabulary - 1) for name, number in ids.items()}
    config = ModernBertConfig(vocab_size=vocabulary, reference_compile=False, **ids, **SIZES[size])
    config.save_pretrained(backbone)
    settings = {
        "model_name": str(backbone), "max_width": 12, "hidden_size": WIDTHS[size], "max_len": 384,
        "class_token_index": -1, "vocab_size": -1, "words_splitter_type": "whitespace",
        **KINDS[kind],
    }  # fmt: skip
    if "labels_encoder" in settings:  # the size of MiniLM-L6
        write_tokenizer(tokenizer, labels, limit=512)
        BertConfig(
            vocab_size=vocabulary, hidden_size=384, num_hidden_layers=6, num_attention_heads=12,
            intermediate_size=1536, pad_token_id=ids["pad_token_id"],
        ).save_pretrained(labels)  # fmt: skip
        settings["labels_encoder"] = str(labels)
    torch.manual_seed(0)
    model = GLiNER.from_config(settings, backbone_from_pretrained=False)
    model.save_pretrained(folder / "model", safe_serialization=True)


def write_tokenizer(source: Path, target: Path, *, limit: int = 8192) -> int:
    """Write the files that transformers wants, and give the size of the vocabulary."""
    from transformers import PreTrainedTokenizerFast

    made = PreTrainedTokenizerFast(
        tokenizer_file=str(source / "tokenizer.json"),
        pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", model_max_length=limit,
        model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip
    made.save_pretrained(target)
    return len(made)


def ours(folder: Path) -> tuple[Any, Answer]:
    """``nlp.pipe`` with our component; making the Docs is a part of the time."""
    import spacy

    nlp = spacy.blank("en")
    # Upstream's words, so that both read the same and have to find the same.
    config = {"labels": ["x"], "words": "gliner", "model": {"name": str(folder)}, "device": "cpu"}
    pipe = nlp.add_pipe("gliner", config=config)
    nlp.initialize()

    def answer(task: Task) -> Entities:
        cfg = {"gliner": {"labels": list(task.labels), "threshold": task.threshold}}
        docs = nlp.pipe(task.texts, component_cfg=cfg)
        return [
            [
                (*chars, span.label_)
                for span, chars in zip(
                    doc.spans["sc"], doc.spans["sc"].attrs["chars"].tolist(), strict=True
                )
            ]
            for doc in docs
        ]

    return pipe, answer


def upstream(folder: Path, attention: str | None = None, *, keeps_labels: bool = False) -> Answer:
    """``GLiNER.inference``, which makes no Docs, in batches of 8 as is its default."""
    from gliner import GLiNER

    model = GLiNER.from_pretrained(
        str(folder), local_files_only=True, _attn_implementation=attention
    )
    kept: dict[tuple[str, ...], torch.Tensor] = {}

    def answer(task: Task) -> Entities:
        texts, labels, options = list(task.texts), list(task.labels), {}
        if keeps_labels:
            if task.labels not in kept:
                kept[task.labels] = model.encode_labels(labels)
            options["labels_embeds"] = kept[task.labels]
        with torch.inference_mode():
            found = model.inference(texts, labels, threshold=task.threshold, **options)
        return [[(e["start"], e["end"], e["label"]) for e in text] for text in found]

    return answer


def gliner_spacy(folder: Path, installed: Path) -> Answer:
    """``nlp.pipe`` with the component of gliner-spacy, installed in a folder of its own.

    spaCy would import it in every process otherwise. It asks upstream for the backbone's tokenizer,
    in which the markers are missing, and then finds nothing; so upstream is asked for the
    checkpoint's own in its place. The plotting libraries that it imports have no part in its
    answers.
    """
    import spacy
    from gliner import GLiNER

    sys.path.append(str(installed))
    for name in ("seaborn", "matplotlib", "matplotlib.pyplot"):
        sys.modules.setdefault(name, types.ModuleType(name))
    from gliner_spacy import pipeline

    class Loader:
        @staticmethod
        def from_pretrained(name: str, **_: Any) -> Any:
            return GLiNER.from_pretrained(name, local_files_only=True)

    pipeline.GLiNER = Loader
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("gliner_spacy", config={"gliner_model": str(folder)})

    def answer(task: Task) -> Entities:
        pipe.labels, pipe.threshold = list(task.labels), task.threshold
        docs = nlp.pipe(task.texts)
        return [[(e.start_char, e.end_char, e.label_) for e in doc.ents] for doc in docs]

    return answer


def make_system(name: str, folder: Path, gliner_spacy_in: Path) -> Answer:
    """Load a system by its name in the table."""
    warnings.simplefilter("ignore")
    makers: dict[str, Callable[[], Answer]] = {
        "ours": lambda: ours(folder)[1],
        "gliner": lambda: upstream(folder),
        "gliner, sdpa": lambda: upstream(folder, "sdpa"),
        "gliner, kept labels": lambda: upstream(folder, keeps_labels=True),
        "gliner-spacy": lambda: gliner_spacy(folder, gliner_spacy_in),
    }
    return makers[name]()


def find_threshold(folder: Path, texts: Sequence[str], labels: Sequence[str], n: int) -> float:
    """The threshold above which texts have ``n`` candidates each, on the average."""
    import numpy as np

    from spacy_modernbert.gliner.checkpoint.serialization import load_gliner
    from spacy_modernbert.gliner.inference.predict import find_spans
    from spacy_modernbert.gliner.inference.sequences import SplitText
    from spacy_modernbert.gliner.inference.words import split_words

    words = [SplitText(split_words(text).words) for text in texts]
    found = find_spans(load_gliner(folder), words, list(labels), thresholds=0.0)
    scores = np.sort(np.concatenate([c.scores for c in found]))
    return float(scores[-min(n * len(texts), len(scores))])
