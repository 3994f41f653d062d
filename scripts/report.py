"""Show the predictions of pipelines on annotated texts on one HTML page.

    python scripts/report.py metrics/report.html "Entities=models/zero_shot,corpus/test.spacy"

Each section is TITLE=PIPELINE,GOLD or TITLE=PIPELINE,GOLD,LOG, with the log that ConsoleLogger
wrote in training. The page requires no other file and no network. It shows scores, a confusion
matrix, the scores of correct and wrong predictions, the curves of the training, and texts with
their predictions.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import jinja2
import spacy
import srsly
import typer
from charts import draw_confusions, draw_curves, draw_scores, label_colors
from predictions import (
    category_predictions,
    entity_keys,
    missed_entities,
    predict,
    predict_below_threshold,
    span_predictions,
    span_scores,
    top_category,
)
from spacy import displacy
from spacy.language import Language
from spacy.scorer import Scorer
from spacy.training import Example
from wasabi import msg

TEMPLATE = Path(__file__).parent / "report.html"
PRF = ("p", "r", "f")
# An entity of displaCy with its score behind its label, and marked where it is wrong.
ENTITY = (
    """<mark class="{kind}" style="background: {bg}">{text} <small>{label}{score}</small></mark>"""
)


def main(
    output: Path,
    sections: Annotated[list[str], typer.Argument(help="TITLE=PIPELINE,GOLD[,LOG]")],
    title: Annotated[str, typer.Option(help="Heading of the page")] = "What the pipelines found",
    most: Annotated[int, typer.Option(help="Texts to show of each")] = 12,
    progress: Annotated[bool, typer.Option(help="Whether to show bars")] = True,
) -> None:
    """Run pipelines on annotated texts and write the page OUTPUT."""
    parts = [make_section(*read_section(text), most=most, progress=progress) for text in sections]
    environment = jinja2.Environment(autoescape=True)
    page = environment.from_string(TEMPLATE.read_text(encoding="utf8"))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(page.render(title=title, sections=parts), encoding="utf8")
    msg.good(f"Saved the report to {output}")


def read_section(text: str) -> tuple[str, str, Path, Path | None]:
    """Split a section into its title, pipeline, annotated texts and log."""
    title, equals, rest = text.rpartition("=")
    paths = rest.split(",")
    if not equals or len(paths) not in (2, 3):
        raise typer.BadParameter(f"{text!r} is not TITLE=PIPELINE,GOLD or TITLE=PIPELINE,GOLD,LOG")
    return title, paths[0], Path(paths[1]), Path(paths[2]) if len(paths) == 3 else None


def make_section(
    title: str, pipeline: str, gold: Path, log: Path | None, *, most: int, progress: bool
) -> dict[str, Any]:
    """Run one pipeline, and return its section of the page."""
    nlp = spacy.load(pipeline)
    examples = predict(nlp, gold, progress=progress)
    names = [name for name in nlp.pipe_names if name != "transformer"]
    curves = [] if log is None else list(curve_charts(log))
    colors = label_colors({ent.label_ for e in examples for d in (e.x, e.y) for ent in d.ents})
    return {
        "title": title,
        "summary": f"{', '.join(names)} on {len(examples)} texts that were not trained on",
        "tables": list(score_tables(Scorer(nlp).score(examples))),
        "charts": [*prediction_charts(nlp, examples), *curves],
        "texts": [describe(example, colors) for example in spread(examples, most)],
        "n_texts": len(examples),
    }


def spread(examples: Sequence[Example], most: int) -> Sequence[Example]:
    """Choose examples at even distances."""
    if len(examples) <= most:
        return examples
    return [examples[i * len(examples) // most] for i in range(most)]


def score_tables(scores: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield tables of precision, recall and F of entities and categories."""
    for title, per_type, prefix in (
        ("Entities", "ents_per_type", "ents"),
        ("Categories", "cats_f_per_type", "cats_macro"),
    ):
        if scores.get(per_type):
            rows = [
                [label, *percents(scores[per_type][label])] for label in sorted(scores[per_type])
            ]
            total = {key: scores.get(f"{prefix}_{key}") for key in PRF}
            header = [title.lower(), "precision", "recall", "F"]
            rows.append(["all" if prefix == "ents" else "mean", *percents(total)])
            yield {"title": title, "header": header, "rows": rows}


def percents(values: dict[str, float | None]) -> list[str]:
    """Format precision, recall and F in percent."""
    return [f"{100 * (values[key] or 0.0):.1f}" for key in PRF]


def prediction_charts(nlp: Language, examples: Sequence[Example]) -> Iterator[dict[str, str]]:
    """Draw the confusions of categories, and the scores of correct and wrong predictions."""
    pairs = [
        (top_category(e.reference), top_category(e.predicted)) for e in examples if e.reference.cats
    ]
    if pairs and any(example.predicted.cats for example in examples):
        gold, predicted = [g for g, _ in pairs], [p for _, p in pairs]
        svg = draw_confusions(gold, predicted, sorted({*gold, *predicted}))
        caption = "Which category was taken for which"
        yield {"id": "confusion-matrix", "svg": svg, "caption": caption}
    categories = category_predictions(examples)
    if categories:
        svg = draw_scores(categories.correct, categories.wrong, "the best category")
        caption = "Scores of the best category, right and wrong"
        yield {"id": "category-scores", "svg": svg, "caption": caption}
    references = [example.reference for example in examples]
    docs, threshold = predict_below_threshold(nlp, references)
    spans = span_predictions(docs or [example.predicted for example in examples], references)
    if spans:
        svg = draw_scores(spans.correct, spans.wrong, "spans", threshold=threshold)
        caption = "Scores of spans, right and wrong; those above the threshold are found"
        yield {"id": "entity-scores", "svg": svg, "caption": caption}


def curve_charts(log: Path) -> Iterator[dict[str, str]]:
    """Draw losses and scores over the steps of the training."""
    lines = list(srsly.read_jsonl(log))
    steps = [line["step"] for line in lines]
    losses = {
        name: [line["losses"].get(name, 0.0) for line in lines] for name in lines[0]["losses"]
    }
    losses = {name: values for name, values in losses.items() if any(values)}
    names = [name for name in lines[-1]["scores"] if name.endswith("_f") or name == "cats_score"]
    scores = {
        name: [line["scores"].get(name) or 0.0 for line in lines]
        for name in names
        if any(line["scores"].get(name) for line in lines)
    }
    svg = draw_curves(steps, losses, "loss", logarithmic=True)
    yield {"id": "losses", "svg": svg, "caption": "Losses in training"}
    svg = draw_curves(steps, scores, "per cent")
    yield {"id": "scores", "svg": svg, "caption": "Scores on the development texts"}


def describe(example: Example, colors: dict[str, str]) -> dict[str, Any]:
    """Return one text: its category, its entities with their scores, and missed entities."""
    doc, annotated = example.predicted, example.reference
    scores, gold = span_scores(doc), entity_keys(annotated)
    entities = []
    for start, end, label in sorted(entity_keys(doc)):
        score = scores.get((start, end, label))
        kind = "right" if (start, end, label) in gold else "wrong"
        # `ner` has no scores.
        params = {"score": "" if score is None else f" {score:.2f}", "kind": kind}
        entities.append({"start": start, "end": end, "label": label, "params": params})
    manual = {"text": doc.text, "ents": entities, "title": None}
    options = {"template": ENTITY, "colors": colors}
    rendered = displacy.render(manual, style="ent", manual=True, options=options, jupyter=False)
    found, wanted = (top_category(doc), top_category(annotated)) if doc.cats else ("", "")
    category = f"{found} {doc.cats.get(found, 0.0):.2f}" if found else ""
    other = wanted if annotated.cats and found != wanted else ""
    lost = missed_entities(example) if annotated.has_annotation("ENT_IOB") else []
    return {"entities": rendered, "category": category, "annotated": other, "missed": lost}


if __name__ == "__main__":
    sys.exit(typer.run(main))
