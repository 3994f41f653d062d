"""Which spans become entities."""

# No `from __future__ import annotations`: the types are what configs are validated against.

from collections.abc import Callable, Iterable

from spacy.tokens import Span
from spacy.util import registry


def highest_score_filter(entities: Iterable[Span], spans: Iterable[Span]) -> list[Span]:
    """Keep the entities that are there, and add spans that overlap with none, the best first.

    Args:
        entities: Entities, without overlaps.
        spans: New spans, the best first, as ``gliner`` gives them.

    Returns:
        Spans without overlaps.
    """
    kept: list[Span] = []
    taken: set[int] = set()
    for span in (*entities, *spans):
        tokens = range(span.start, span.end)
        if taken.isdisjoint(tokens):
            kept.append(span)
            taken.update(tokens)
    return kept


@registry.misc("spacy_modernbert.highest_score_filter.v1")
def make_highest_score_filter() -> Callable[[Iterable[Span], Iterable[Span]], list[Span]]:
    """Make the filter that prefers the span with the higher score."""
    return highest_score_filter
