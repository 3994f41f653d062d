"""Show in the terminal what a pipeline finds in annotated texts.

    python scripts/terminal.py models/zero_shot corpus/test.spacy

Found entities are in brackets, with their label and score: green where the annotation has them,
red where it does not. What was missed stands below. NO_COLOR=1 leaves colours out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import spacy
import typer
from answers import best, keys, missed, run, span_scores
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
    examples = run(nlp, gold, progress=progress)
    telling = [example for example in examples if example.predicted.ents or example.predicted.cats]
    for example in telling[:: max(1, len(telling) // most)][:most]:
        print(describe(example) + "\n")


def describe(example: Example) -> str:
    """Give the lines of one text."""
    doc, annotated = example.predicted, example.reference
    gold, scores = keys(annotated), span_scores(doc)
    text, end = "", 0
    for ent in doc.ents:
        key = (ent.start_char, ent.end_char, ent.label_)
        score = f" {scores[key]:.2f}" if key in scores else ""
        found = f"[{ent.text} {ent.label_}{score}]"
        text += doc.text[end : ent.start_char] + paint(found, is_right=key in gold)
        end = ent.end_char
    lines = [wrap(text + doc.text[end:], WIDTH, indent=2)]
    if doc.cats:
        is_right = best(doc) == best(annotated)
        lines.insert(0, paint(f"{best(doc)} {max(doc.cats.values()):.2f}", is_right=is_right))
    lost = missed(example) if annotated.has_annotation("ENT_IOB") else []
    if lost:
        lines.append(f"    missed: {', '.join(lost)}")
    return "\n".join(lines)


def paint(text: str, *, is_right: bool) -> str:
    """Make a text green or red."""
    return str(color(text, fg="green" if is_right else "red"))


if __name__ == "__main__":
    typer.run(main)
