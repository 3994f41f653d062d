"""Show on one page what a pipeline does with annotated texts.

    python scripts/report.py training/model-best corpus/test.spacy metrics/report.html

The page needs no other file and no network: scores, a confusion matrix, how sure the pipeline is
when it is right and when it is wrong, the curves of its training, and texts with what was found.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import jinja2
import spacy
import srsly
import typer
from charts import draw_confusions, draw_curves, draw_scores
from spacy import displacy
from spacy.scorer import Scorer
from spacy.tokens import Doc
from spacy.training import Corpus, Example
from wasabi import msg

NONE = "(none)"
PRF = ("p", "r", "f")
# An entity of displaCy with its score behind its label.
ENTITY = """<mark style="background: {bg}; padding: 0.3em 0.4em; border-radius: 0.3em">{text} \
<small style="font-weight: bold">{label} {score}</small></mark>"""


@dataclass
class Answers:
    """Scores of answers, right and wrong ones apart."""

    right: list[float] = field(default_factory=list)
    wrong: list[float] = field(default_factory=list)

    def add(self, score: float, *, is_right: bool) -> None:
        """Take note of an answer."""
        (self.right if is_right else self.wrong).append(score)


def main(
    pipeline: str,
    gold: Path,
    output: Path,
    log: Annotated[Path | None, typer.Option(help="What ConsoleLogger wrote in training")] = None,
    most: Annotated[int, typer.Option(help="Texts to show")] = 24,
) -> None:
    """Run PIPELINE on the annotated texts GOLD and write the page OUTPUT."""
    nlp = spacy.load(pipeline)
    annotated = list(Corpus(gold)(nlp))
    docs = list(nlp.pipe(example.predicted for example in annotated))
    examples = [Example(doc, e.reference) for doc, e in zip(docs, annotated, strict=True)]
    scores = Scorer(nlp).score(examples)
    page = jinja2.Template((Path(__file__).parent / "report.html").read_text(encoding="utf8"))
    curves = [] if log is None else list(curve_charts(log))
    meta = nlp.meta
    output.parent.mkdir(parents=True, exist_ok=True)
    content = page.render(
        title=f"{meta['lang']}_{meta['name']} {meta['version']}",
        summary=f"{', '.join(nlp.pipe_names)} on {len(examples)} annotated texts of {gold.name}",
        tables=list(score_tables(scores)),
        charts=[*answer_charts(examples), *curves],
        texts=[describe(example) for example in examples[:most]],
    )
    output.write_text(content, encoding="utf8")
    msg.good(f"Saved the report to {output}")


def score_tables(scores: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give precision, recall and F of entities, spans and categories, as far as there are any."""
    for title, per_type, prefix in (
        ("Entities", "ents_per_type", "ents"),
        ("Categories", "cats_f_per_type", "cats_macro"),
    ):
        if scores.get(per_type):
            rows = [[label, *percents(values)] for label, values in scores[per_type].items()]
            total = {key: scores.get(f"{prefix}_{key}") for key in PRF}
            header = [title.lower(), "precision", "recall", "F"]
            rows.append(["all" if prefix == "ents" else "mean", *percents(total)])
            yield {"title": title, "header": header, "rows": rows}


def percents(values: dict[str, float | None]) -> list[str]:
    """Print precision, recall and F in per cent."""
    return [f"{100 * (values[key] or 0.0):.1f}" for key in PRF]


def answer_charts(examples: Sequence[Example]) -> Iterator[dict[str, str]]:
    """Draw the confusions of categories, and the scores of right and wrong answers."""
    categories = [(best(e.reference), best(e.predicted)) for e in examples if e.reference.cats]
    if categories:
        gold, predicted = [g for g, _ in categories], [p for _, p in categories]
        names = sorted({*gold, *predicted})
        caption = "Which category was taken for which"
        svg = draw_confusions(gold, predicted, names)
        yield {"id": "confusion-matrix", "svg": svg, "caption": caption}
    for name, what, answers in (
        ("category-scores", "the best category", category_answers(examples)),
        ("entity-scores", "found spans", span_answers(examples)),
    ):
        if answers.right or answers.wrong:
            svg = draw_scores(answers.right, answers.wrong, what)
            yield {"id": name, "svg": svg, "caption": f"Scores of {what}, right and wrong"}


def category_answers(examples: Iterable[Example]) -> Answers:
    """Give the score of each text's most likely category."""
    answers = Answers()
    for example in examples:
        if example.reference.cats and example.predicted.cats:
            found = best(example.predicted)
            score = example.predicted.cats.get(found, 0.0)
            answers.add(score, is_right=found == best(example.reference))
    return answers


def span_answers(examples: Iterable[Example]) -> Answers:
    """Give the score of each found span, of components that give their spans scores."""
    answers = Answers()
    for example in examples:
        gold = {(e.start_char, e.end_char, e.label_) for e in example.reference.ents}
        for (start, end, label), score in span_scores(example.predicted).items():
            answers.add(score, is_right=(start, end, label) in gold)
    return answers


def span_scores(doc: Doc) -> dict[tuple[int, int, str], float]:
    """Give the scores of a Doc's spans."""
    return {
        (span.start_char, span.end_char, span.label_): float(score)
        for group in doc.spans.values()
        for span, score in zip(group, group.attrs.get("scores", ()), strict=False)
    }


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
    yield {
        "id": "losses",
        "svg": draw_curves(steps, losses, "loss"),
        "caption": "Losses in training",
    }
    yield {
        "id": "scores",
        "svg": draw_curves(steps, scores, "per cent"),
        "caption": "Scores on the development texts",
    }


def describe(example: Example) -> dict[str, str]:
    """Show one text: its category, and its entities with their scores."""
    doc, annotated = example.predicted, example.reference
    scores = span_scores(doc)
    entities = [
        {
            "start": ent.start_char,
            "end": ent.end_char,
            "label": ent.label_,
            "params": {"score": shown(scores.get((ent.start_char, ent.end_char, ent.label_)))},
        }
        for ent in doc.ents
    ]
    manual = {"text": doc.text, "ents": entities, "title": None}
    options = {"template": ENTITY}
    rendered = displacy.render(manual, style="ent", manual=True, options=options, jupyter=False)
    found, wanted = (best(doc), best(annotated)) if doc.cats else ("", "")
    category = f"{found} {doc.cats.get(found, 0.0):.2f}" if found else ""
    missed = wanted if annotated.cats and found != wanted else ""
    return {"entities": rendered, "category": category, "missed": missed}


def shown(score: float | None) -> str:
    """Print a score; ``ner`` has none."""
    return "" if score is None else f"{score:.2f}"


def best(doc: Doc) -> str:
    """Give the most likely category; a text that belongs to none has NONE."""
    name = max(doc.cats, key=doc.cats.__getitem__, default=NONE)
    return name if doc.cats.get(name) else NONE


if __name__ == "__main__":
    sys.exit(typer.run(main))
