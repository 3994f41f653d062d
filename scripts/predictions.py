"""Predictions of a pipeline on annotated texts, compared with the annotation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Corpus, Example
from tqdm import tqdm

NONE = "(none)"
# Threshold of the spans of a GLiNER in pictures, far below any useful one.
LOW = 0.02
# Start and end of a span in characters, and its label.
EntityKey = tuple[int, int, str]


@dataclass
class ScoredPredictions:
    """Scores of predictions, separated into correct and wrong ones."""

    correct: list[float] = field(default_factory=list)
    wrong: list[float] = field(default_factory=list)

    def add(self, score: float, *, is_correct: bool) -> None:
        """Add a prediction."""
        (self.correct if is_correct else self.wrong).append(score)

    def __bool__(self) -> bool:
        return bool(self.correct or self.wrong)


def predict(nlp: Language, gold: Path, *, progress: bool = True) -> list[Example]:
    """Run a pipeline on annotated texts."""
    annotated = list(Corpus(gold)(nlp))
    stream = nlp.pipe(example.predicted for example in annotated)
    docs = show_progress(stream, len(annotated), gold.name, progress=progress)
    return [Example(doc, e.reference) for doc, e in zip(docs, annotated, strict=True)]


def show_progress(docs: Iterable[Doc], total: int, what: str, *, progress: bool) -> Iterator[Doc]:
    """Show a progress bar for Docs, if the output is a terminal."""
    yield from tqdm(docs, total=total, desc=what, leave=False, disable=None if progress else True)


def category_predictions(examples: Iterable[Example]) -> ScoredPredictions:
    """Return the scores of the most likely category of each text."""
    predictions = ScoredPredictions()
    for example in examples:
        if example.reference.cats and example.predicted.cats:
            found = top_category(example.predicted)
            score = example.predicted.cats.get(found, 0.0)
            predictions.add(score, is_correct=found == top_category(example.reference))
    return predictions


def span_predictions(docs: Iterable[Doc], references: Iterable[Doc]) -> ScoredPredictions:
    """Return the scores of all spans, of components whose spans have scores."""
    predictions = ScoredPredictions()
    for doc, reference in zip(docs, references, strict=True):
        gold = entity_keys(reference)
        for key, score in span_scores(doc).items():
            predictions.add(score, is_correct=key in gold)
    return predictions


def predict_below_threshold(
    nlp: Language, references: Sequence[Doc]
) -> tuple[list[Doc], float | None]:
    """Run the ``gliner`` of a pipeline again with a threshold far below its own.

    Returns:
        The Docs, and the threshold of the component. No Docs and None without a ``gliner``.
    """
    names = [name for name in nlp.pipe_names if nlp.get_pipe_meta(name).factory == "gliner"]
    if not names:
        return [], None
    texts = [doc.text for doc in references]
    docs = list(nlp.pipe(texts, component_cfg={names[0]: {"threshold": LOW}}))
    return docs, nlp.get_pipe(names[0]).threshold


def span_scores(doc: Doc) -> dict[EntityKey, float]:
    """Return the scores of the spans of a Doc."""
    return {
        (span.start_char, span.end_char, span.label_): float(score)
        for group in doc.spans.values()
        for span, score in zip(group, group.attrs.get("scores", ()), strict=False)
    }


def entity_keys(doc: Doc) -> set[EntityKey]:
    """Return the entities of a Doc."""
    return {(ent.start_char, ent.end_char, ent.label_) for ent in doc.ents}


def missed_entities(example: Example) -> list[str]:
    """Return texts and labels of the annotated entities that were not found."""
    text, reference = example.reference.text, example.reference
    lost = sorted(entity_keys(reference) - entity_keys(example.predicted))
    return [f"{text[start:end]} {label}" for start, end, label in lost]


def top_category(doc: Doc) -> str:
    """Return the most likely category, or NONE."""
    name = max(doc.cats, key=doc.cats.__getitem__, default=NONE)
    return name if doc.cats.get(name) else NONE
