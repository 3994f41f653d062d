"""What the benchmarks read, made of the project's own corpus: no download is needed for any."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import spacy
from spacy.tokens import Doc, DocBin

# Part of a benchmark's data set -> part of the corpus.
PARTS = {"train": "train", "test": "test"}
# Words for texts of any length; the sentences are gone through as often as it takes.
WORDS = 20_000


def make_inputs(corpus: Path, folder: Path) -> None:
    """Write the inputs of all benchmarks into a folder.

    Args:
        corpus: The folder that the project's steps `corpus` and `requests` wrote.
        folder: Gets `texts.txt`, `ner/sentences/` with the sentences and their entities, and
            `textcat/town/` with the messages and their labels; the latter two as `train.jsonl.gz`
            and `test.jsonl.gz`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts = (corpus / "train.txt").read_text(encoding="utf8").splitlines()
    repeats = 1 + WORDS // sum(len(text.split()) for text in texts)
    (folder / "texts.txt").write_text("\n".join(texts * repeats), encoding="utf8")
    for part, file in PARTS.items():
        sentences = (entity_row(doc) for doc in read(corpus / f"{file}.spacy"))
        messages = (category_row(doc) for doc in read(corpus / f"requests_{file}.spacy"))
        write(folder / "ner" / "sentences" / f"{part}.jsonl.gz", sentences)
        write(folder / "textcat" / "town" / f"{part}.jsonl.gz", messages)


def read(path: Path) -> Iterator[Doc]:
    """Read the Docs of a file."""
    return DocBin().from_disk(path).get_docs(spacy.blank("en").vocab)


def entity_row(doc: Doc) -> dict[str, Any]:
    """Give a sentence with its entities in characters, and their labels as words."""
    entities = [
        {"start": e.start_char, "end": e.end_char, "label": e.label_.lower()} for e in doc.ents
    ]
    return {"text": doc.text, "tokens": [token.text for token in doc], "entities": entities}


def category_row(doc: Doc) -> dict[str, Any]:
    """Give a message with its label."""
    return {"text": doc.text, "label": max(doc.cats, key=doc.cats.__getitem__)}


def write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write JSON lines, compressed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
