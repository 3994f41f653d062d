"""Inputs of the benchmarks, made from the project's own corpus without any download."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import spacy
from data import write_json_lines
from spacy.tokens import Doc, DocBin

PARTS = ("train", "test")
# Number of words to make texts of; the sentences are repeated until they have as many.
WORDS = 20_000


def make_inputs(corpus: Path, folder: Path) -> None:
    """Write the inputs of all benchmarks to a folder.

    Args:
        corpus: The folder that the project's commands `corpus` and `requests` wrote.
        folder: Receives `texts.txt`, `ner/sentences/` with the sentences and their entities, and
            `textcat/town/` with the messages and their labels; the latter two as `train.jsonl.gz`
            and `test.jsonl.gz`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts = (corpus / "train.txt").read_text(encoding="utf8").splitlines()
    repeats = 1 + WORDS // sum(len(text.split()) for text in texts)
    (folder / "texts.txt").write_text("\n".join(texts * repeats), encoding="utf8")
    for part in PARTS:
        sentences = map(entity_entry, read_docs(corpus / f"{part}.spacy"))
        messages = map(category_entry, read_docs(corpus / f"requests_{part}.spacy"))
        write_json_lines(folder / "ner" / "sentences" / f"{part}.jsonl.gz", sentences)
        write_json_lines(folder / "textcat" / "town" / f"{part}.jsonl.gz", messages)


def read_docs(path: Path) -> Iterator[Doc]:
    """Read the Docs of a file."""
    return DocBin().from_disk(path).get_docs(spacy.blank("en").vocab)


def entity_entry(doc: Doc) -> dict[str, Any]:
    """Return a sentence with its entities in characters, and their labels in lower case."""
    entities = [
        {"start": e.start_char, "end": e.end_char, "label": e.label_.lower()} for e in doc.ents
    ]
    return {"text": doc.text, "tokens": [token.text for token in doc], "entities": entities}


def category_entry(doc: Doc) -> dict[str, Any]:
    """Return a message with its label."""
    return {"text": doc.text, "label": max(doc.cats, key=doc.cats.__getitem__)}
