"""The choice among scored spans: the best that are compatible."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .scored_spans import ScoredSpans


def choose_spans(
    candidates: ScoredSpans, *, nested: bool = False, multi_label: bool = False
) -> NDArray[np.intp]:
    """Choose the best spans that are compatible, greedily, as upstream does; return their indices.

    Two labels of the same span are compatible only with ``multi_label``. Spans that overlap
    otherwise are incompatible in a flat decoding; in a nested one they are compatible if one
    contains the other.

    Args:
        candidates: Spans of one text. Of equal scores the first one wins; of a span that comes
            twice with the same label the better one.
        nested: Whether a span may lie within another.
        multi_label: Whether a span may have several labels.

    Returns:
        Sorted by start; of spans that start together the better one comes first. *Shape:*
        (spans,), int64.
    """
    order = np.argsort(-candidates.scores, kind="stable")
    keys = np.stack([candidates.starts, candidates.ends, candidates.labels])[:, order]
    order = order[np.sort(np.unique(keys, axis=1, return_index=True)[1])]
    spans = list(
        zip(candidates.starts[order].tolist(), candidates.ends[order].tolist(), strict=True)
    )
    choose = _choose_nested if nested else _choose_flat
    kept = order[np.array(choose(spans, multi_label), dtype=np.intp)]
    return kept[np.argsort(candidates.starts[kept], kind="stable")]


def _choose_flat(spans: list[tuple[int, int]], multi_label: bool) -> list[int]:
    """Return the indices of the spans to keep, of spans sorted best first: no two overlap."""
    taken = bytearray(max((end for _, end in spans), default=0))
    seen: set[tuple[int, int]] = set()
    kept = []
    for index, span in enumerate(spans):
        start, end = span
        # The same span with another label: what admitted it before still holds.
        if taken.find(1, start, end) >= 0 and not (multi_label and span in seen):
            continue
        taken[start:end] = b"\x01" * (end - start)
        seen.add(span)
        kept.append(index)
    return kept


def _choose_nested(spans: list[tuple[int, int]], multi_label: bool) -> list[int]:
    """Return the indices of the spans to keep, of spans sorted best first: no two cross."""
    size = max((end for _, end in spans), default=0) + 1
    # Of the kept spans that start at a word, the farthest end; of those that end before it, the
    # farthest start. A new span crosses one of them if it reaches over its edge.
    far_end = [0] * size
    far_start = [size] * size
    seen: set[tuple[int, int]] = set()
    kept = []
    for index, span in enumerate(spans):
        start, end = span
        if span in seen:
            if multi_label:
                kept.append(index)
            continue
        inner = slice(start + 1, end)
        if end - start > 1 and (max(far_end[inner]) > end or min(far_start[inner]) < start):
            continue
        far_end[start] = max(far_end[start], end)
        far_start[end] = min(far_start[end], start)
        seen.add(span)
        kept.append(index)
    return kept
