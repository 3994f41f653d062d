"""Labelled messages -> corpus/requests_{support,test,scope}.spacy.

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


def main(path: Path, corpus: Path, lang: str = "en") -> None:
    """Convert PATH into the folder CORPUS and say how much went where."""
    nlp = spacy.blank(lang)
    try:
        requests = read_requests(path)
    except FormatError as error:
        msg.fail(str(path), str(error))
        sys.exit(1)
    corpus.mkdir(parents=True, exist_ok=True)
    counts: Counter[tuple[str, str]] = Counter()
    for part in PARTS:
        ours = [request for request in requests if request.part == part]
        docs = DocBin(docs=[make_doc(nlp, request) for request in ours])
        docs.to_disk(corpus / f"requests_{part}.spacy")
        counts.update((part, request.label) for request in ours)
    rows = [(label, *(counts[part, label] for part in PARTS)) for label in (*LABELS, NO_LABEL)]
    msg.table(rows, header=["label", *PARTS], divider=True)


def make_doc(nlp: Language, request: Request) -> Doc:
    """Tokenize a message and put its label on it."""
    doc = nlp.make_doc(request.text)
    doc.cats = {label: float(label == request.label) for label in LABELS}
    return doc


if __name__ == "__main__":
    typer.run(main)
