"""The filter that chooses which spans become entities."""

# No `from __future__ import annotations`: the types are what configs are validated against.

from collections.abc import Callable, Iterable

from spacy.tokens import Span
from spacy.util import registry


def highest_score_filter(entities: Iterable[Span], spans: Iterable[Span]) -> list[Span]:
    """Keep the entities of a Doc, and add new spans that overlap with none of those kept so far.

    Entities have no overlaps; spans come best first, as ``gliner`` passes them.
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
