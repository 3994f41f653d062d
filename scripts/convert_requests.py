"""Labeled messages -> corpus/requests_{train,dev,test,scope}.spacy.

The last `support` texts of each label are the dev part, which the training is evaluated on while it
runs; the other ones are the train part.

Every message becomes one Doc with all labels in `doc.cats`: its own is 1.0, the others are 0.0. In
the scope part, whose texts no label fits, all labels are 0.0. The order is that of the file.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import spacy
import typer
from corpus_files import FormatError, exit_with, write_docs
from spacy.language import Language
from spacy.tokens import Doc
from town_requests import LABELS, NO_LABEL, PARTS, Request, read_requests
from wasabi import msg


def main(path: Path, corpus: Path, lang: str = "en", dev: int = 8) -> None:
    """Convert the file PATH to the folder CORPUS, with DEV texts per label in the dev part."""
    nlp = spacy.blank(lang)
    try:
        requests = read_requests(path)
    except FormatError as error:
        exit_with(path, error)
    counts: Counter[tuple[str, str]] = Counter()
    parts = split(requests, dev)
    for part, own in parts.items():
        write_docs(corpus / f"requests_{part}.spacy", (make_doc(nlp, request) for request in own))
        counts.update((part, request.label) for request in own)
    rows = [(label, *(counts[part, label] for part in parts)) for label in (*LABELS, NO_LABEL)]
    msg.table(rows, header=["label", *parts], divider=True)


def split(requests: list[Request], dev: int) -> dict[str, list[Request]]:
    """Return the messages of each part: train, dev, test and scope."""
    support = [request for request in requests if request.part == "support"]
    held_out = {
        request for label in LABELS for request in [r for r in support if r.label == label][-dev:]
    }
    others = {part: [r for r in requests if r.part == part] for part in PARTS if part != "support"}
    train = [request for request in support if request not in held_out]
    return {"train": train, "dev": [r for r in support if r in held_out], **others}


def make_doc(nlp: Language, request: Request) -> Doc:
    """Tokenize a message and annotate its label."""
    doc = nlp.make_doc(request.text)
    doc.cats = {label: float(label == request.label) for label in LABELS}
    return doc


if __name__ == "__main__":
    typer.run(main)
