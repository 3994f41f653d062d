"""The order in which span models score the spans of a sequence.

All spans of one word come first, by their start, then those of two words, and so on up to the
greatest width. A sequence of four words with spans of up to two words has the seven spans
``0-1 1-2 2-3 3-4  0-2 1-3 2-4``.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

Indices = NDArray[np.int64]


def count_spans(n_words: int, max_width: int) -> int:
    """Count the spans of a sequence."""
    widest = min(max_width, n_words)
    return widest * n_words - widest * (widest - 1) // 2


def span_bounds(n_words: int, max_width: int) -> tuple[Indices, Indices]:
    """Return the first word and the exclusive end of every span. *Shape:* two of (spans,)."""
    widths = range(1, min(max_width, n_words) + 1)
    starts = [np.arange(n_words + 1 - width) for width in widths]
    ends = [start + width for start, width in zip(starts, widths, strict=True)]
    nothing = np.zeros(0, dtype=np.int64)
    return np.concatenate([nothing, *starts]), np.concatenate([nothing, *ends])


def span_indices(starts: ArrayLike, ends: ArrayLike, n_words: int) -> Indices:
    """Return the index of each of these spans among all spans of their sequence.

    *Shape:* first words and exclusive ends, two of (spans,), to (spans,), int64.
    """
    first = np.asarray(starts, dtype=np.int64)
    wider = np.asarray(ends, dtype=np.int64) - first - 1
    # Before the spans of w + 1 words: n of one word, n - 1 of two, ..., n - w + 1 of w.
    return wider * n_words - wider * (wider - 1) // 2 + first


def width_blocks(n_words: int, max_width: int) -> Iterator[tuple[slice, slice, slice]]:
    """Iterate over the widths: where their spans are, the first words of these, and the last."""
    at = 0
    for wider in range(min(max_width, n_words)):
        count = n_words - wider
        yield slice(at, at + count), slice(count), slice(wider, n_words)
        at += count
