"""Labelled messages -> corpus/requests_{train,dev,test,scope}.spacy.

The last texts of each label among those to learn from make the dev part, by which a training is
judged while it goes on; the rest is the train part.

Every message becomes one Doc with all labels in `doc.cats`: its own is 1.0, the others are 0.0.
Those of the scope part, which no label fits, have 0.0 throughout. The order is that of the file.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import spacy
import typer
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from town_requests import LABELS, NO_LABEL, PARTS, FormatError, Request, read_requests
from wasabi import msg


def main(path: Path, corpus: Path, lang: str = "en", dev: int = 8) -> None:
    """Convert PATH into the folder CORPUS, DEV texts a label apart, and say how much went where."""
    nlp = spacy.blank(lang)
    try:
        requests = read_requests(path)
    except FormatError as error:
        msg.fail(str(path), str(error))
        sys.exit(1)
    corpus.mkdir(parents=True, exist_ok=True)
    counts: Counter[tuple[str, str]] = Counter()
    parts = split(requests, dev)
    for part, ours in parts.items():
        docs = DocBin(docs=[make_doc(nlp, request) for request in ours])
        docs.to_disk(corpus / f"requests_{part}.spacy")
        counts.update((part, request.label) for request in ours)
    rows = [(label, *(counts[part, label] for part in parts)) for label in (*LABELS, NO_LABEL)]
    msg.table(rows, header=["label", *parts], divider=True)


def split(requests: list[Request], dev: int) -> dict[str, list[Request]]:
    """Give the messages of each part: train, dev, test and scope."""
    support = [request for request in requests if request.part == "support"]
    later = {
        request for label in LABELS for request in [r for r in support if r.label == label][-dev:]
    }
    others = {part: [r for r in requests if r.part == part] for part in PARTS if part != "support"}
    train = [request for request in support if request not in later]
    return {"train": train, "dev": [r for r in support if r in later], **others}


def make_doc(nlp: Language, request: Request) -> Doc:
    """Tokenize a message and put its label on it."""
    doc = nlp.make_doc(request.text)
    doc.cats = {label: float(label == request.label) for label in LABELS}
    return doc


if __name__ == "__main__":
    typer.run(main)
