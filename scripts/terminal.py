"""Show the entities and categories of annotated texts in the terminal.

    python scripts/terminal.py models/zero_shot corpus/test.spacy

Predicted entities are in brackets with their label and score: green if they are annotated, red if
they are not. Missed entities are printed below. NO_COLOR=1 turns colors off.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import spacy
import typer
from predictions import entity_keys, missed_entities, predict, span_scores, top_category
from spacy.training import Example
from wasabi import color, wrap

WIDTH = 96


def main(
    pipeline: str,
    gold: Path,
    most: Annotated[int, typer.Option(help="Texts to show")] = 8,
    progress: Annotated[bool, typer.Option(help="Whether to show bars")] = True,
) -> None:
    """Run PIPELINE on the annotated texts GOLD and print some of them."""
    nlp = spacy.load(pipeline)
    examples = predict(nlp, gold, progress=progress)
    shown = [example for example in examples if example.predicted.ents or example.predicted.cats]
    for example in shown[:: max(1, len(shown) // most)][:most]:
        print(describe(example) + "\n")


def describe(example: Example) -> str:
    """Format one text."""
    doc, annotated = example.predicted, example.reference
    gold, scores = entity_keys(annotated), span_scores(doc)
    text, end = "", 0
    for ent in doc.ents:
        key = (ent.start_char, ent.end_char, ent.label_)
        score = f" {scores[key]:.2f}" if key in scores else ""
        found = f"[{ent.text} {ent.label_}{score}]"
        text += doc.text[end : ent.start_char] + paint(found, is_correct=key in gold)
        end = ent.end_char
    lines = [wrap(text + doc.text[end:], WIDTH, indent=2)]
    if doc.cats:
        is_correct = top_category(doc) == top_category(annotated)
        lines.insert(
            0, paint(f"{top_category(doc)} {max(doc.cats.values()):.2f}", is_correct=is_correct)
        )
    lost = missed_entities(example) if annotated.has_annotation("ENT_IOB") else []
    if lost:
        lines.append(f"    missed: {', '.join(lost)}")
    return "\n".join(lines)


def paint(text: str, *, is_correct: bool) -> str:
    """Color a text green or red."""
    return str(color(text, fg="green" if is_correct else "red"))


if __name__ == "__main__":
    typer.run(main)
