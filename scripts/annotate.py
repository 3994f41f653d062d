"""Annotate a text with an installed pipeline, paragraph by paragraph, and print the result.

    python scripts/annotate.py en_modernbert_demo assets/demo.txt

The exit status is 1 if a component of the pipeline predicts nothing: no category, or no entity in
the whole text.
"""

from __future__ import annotations

import sys
from pathlib import Path

import spacy
import typer
from spacy.tokens import Doc
from wasabi import msg, table

WIDTH = 88


def main(pipeline: str, path: Path) -> None:
    """Load PIPELINE, an installed package or a folder, and run it on the text file PATH."""
    nlp = spacy.load(pipeline)
    text = path.read_text(encoding="utf8")
    paragraphs = [line for line in text.splitlines() if line.strip()]
    docs = list(nlp.pipe(paragraphs))
    classifies = any("textcat" in name for name in nlp.pipe_names)
    finds_entities = any(name in ("ner", "gliner") for name in nlp.pipe_names)
    for doc in docs:
        print(describe(doc, entities=finds_entities))
    has_entities = any(doc.ents for doc in docs)
    has_categories = all(doc.cats for doc in docs)
    if (finds_entities and not has_entities) or (classifies and not has_categories):
        msg.fail(f"{pipeline} found nothing in {path.name}", exits=1)
    if not finds_entities:
        print(f"{nlp.meta['name']} {nlp.meta['version']} found a category for each paragraph.")
        return
    whole = nlp(text)  # the same text as one Doc, which needs more than one window
    print(
        f"{nlp.meta['name']} {nlp.meta['version']} found {sum(len(doc.ents) for doc in docs)} "
        f"entities in {len(docs)} paragraphs, and {len(whole.ents)} in the whole text read as one "
        f"Doc of {len(whole)} tokens."
    )


def describe(doc: Doc, *, entities: bool = True) -> str:
    """Format a Doc: its category, its first words, and, if asked for, its entities by label."""
    category = max(doc.cats, key=doc.cats.__getitem__, default=None)
    title = "" if category is None else f"{category} ({doc.cats[category]:.2f})\n"
    start = doc.text if len(doc.text) <= WIDTH else f"{doc.text[: WIDTH - 4].rstrip()} ..."
    if not entities:
        return f"{title}{start}\n"
    found: dict[str, list[str]] = {}
    for entity in doc.ents:
        found.setdefault(entity.label_, []).append(entity.text)
    rows = [
        (label, ", ".join(dict.fromkeys(surfaces))) for label, surfaces in sorted(found.items())
    ]
    shown = table(rows, max_col=WIDTH) if rows else "\n(no entities)\n"
    return f"{title}{start}{shown}"


if __name__ == "__main__":
    sys.exit(typer.run(main))
