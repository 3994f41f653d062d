"""Candidates: the only spans that are classified, if the config names some."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from spacy.tokens import Doc, Span
from thinc.api import NumpyOps

from ...errors import Errors

# "ents", a key of ``doc.spans``, or a suggester as ``spancat`` takes; None for all spans.
Candidates: TypeAlias = str | Callable | None
# First token and end of a span.
Bounds: TypeAlias = tuple[int, int]


def candidate_spans(
    docs: Sequence[Doc], candidates: Candidates, *, name: str
) -> list[list[Bounds] | None]:
    """Return the candidate spans of each Doc, in tokens; None for all spans.

    Raises:
        ValueError: SM134 if a Doc does not have the group of spans.
    """
    if candidates is None:
        return [None] * len(docs)
    if callable(candidates):
        return list(_suggest(docs, candidates))
    return [[(s.start, s.end) for s in _spans_of(doc, candidates, name)] for doc in docs]


def _suggest(docs: Sequence[Doc], suggester: Callable) -> Iterable[list[Bounds]]:
    ragged = suggester(docs, ops=NumpyOps())
    bounds = [(start, end) for start, end in ragged.dataXd.reshape(-1, 2).tolist()]
    first = 0
    for length in ragged.lengths.tolist():
        yield bounds[first : first + length]
        first += length


def _spans_of(doc: Doc, key: str, name: str) -> Iterable[Span]:
    if key == "ents":
        return doc.ents
    if key not in doc.spans and len(doc):
        raise ValueError(Errors.SM134.format(key=key, name=name))
    return doc.spans.get(key, ())
