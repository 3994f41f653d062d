"""What a pipeline said of annotated texts, beside what is annotated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Corpus, Example
from tqdm import tqdm

NONE = "(none)"
# Least probability of a GLiNER's span to be counted in pictures, far below any useful threshold.
LOW = 0.02
# Characters where a span starts and ends, and its label.
Key = tuple[int, int, str]


@dataclass
class Answers:
    """Scores of answers, right and wrong ones apart."""

    right: list[float] = field(default_factory=list)
    wrong: list[float] = field(default_factory=list)

    def add(self, score: float, *, is_right: bool) -> None:
        """Take note of an answer."""
        (self.right if is_right else self.wrong).append(score)

    def __bool__(self) -> bool:
        return bool(self.right or self.wrong)


def run(nlp: Language, gold: Path, *, progress: bool = True) -> list[Example]:
    """Run a pipeline on annotated texts."""
    annotated = list(Corpus(gold)(nlp))
    stream = nlp.pipe(example.predicted for example in annotated)
    docs = watch(stream, len(annotated), gold.name, progress=progress)
    return [Example(doc, e.reference) for doc, e in zip(docs, annotated, strict=True)]


def watch(docs: Iterable[Doc], total: int, what: str, *, progress: bool) -> Iterator[Doc]:
    """Show a bar while Docs go by; none where nobody sees it."""
    yield from tqdm(docs, total=total, desc=what, leave=False, disable=None if progress else True)


def category_answers(examples: Iterable[Example]) -> Answers:
    """Give the score of each text's most likely category."""
    answers = Answers()
    for example in examples:
        if example.reference.cats and example.predicted.cats:
            found = best(example.predicted)
            score = example.predicted.cats.get(found, 0.0)
            answers.add(score, is_right=found == best(example.reference))
    return answers


def span_answers(docs: Iterable[Doc], references: Iterable[Doc]) -> Answers:
    """Give the score of each found span, of components that give their spans scores."""
    answers = Answers()
    for doc, reference in zip(docs, references, strict=True):
        gold = keys(reference)
        for key, score in span_scores(doc).items():
            answers.add(score, is_right=key in gold)
    return answers


def read_low(nlp: Language, references: Sequence[Doc]) -> tuple[list[Doc], float | None]:
    """Run the ``gliner`` of a pipeline once more, for spans far below its threshold as well.

    Returns:
        The Docs, and the threshold; None where there is no ``gliner``.
    """
    names = [name for name in nlp.pipe_names if nlp.get_pipe_meta(name).factory == "gliner"]
    if not names:
        return [], None
    texts = [doc.text for doc in references]
    docs = list(nlp.pipe(texts, component_cfg={names[0]: {"threshold": LOW}}))
    return docs, float(nlp.get_pipe(names[0]).cfg["threshold"])


def span_scores(doc: Doc) -> dict[Key, float]:
    """Give the scores of a Doc's spans."""
    return {
        (span.start_char, span.end_char, span.label_): float(score)
        for group in doc.spans.values()
        for span, score in zip(group, group.attrs.get("scores", ()), strict=False)
    }


def keys(doc: Doc) -> set[Key]:
    """Give the entities of a Doc."""
    return {(ent.start_char, ent.end_char, ent.label_) for ent in doc.ents}


def missed(example: Example) -> list[str]:
    """Name the annotated entities that were not found."""
    text, reference = example.reference.text, example.reference
    lost = sorted(keys(reference) - keys(example.predicted))
    return [f"{text[start:end]} {label}" for start, end, label in lost]


def best(doc: Doc) -> str:
    """Give the most likely category; a text that belongs to none has NONE."""
    name = max(doc.cats, key=doc.cats.__getitem__, default=NONE)
    return name if doc.cats.get(name) else NONE
