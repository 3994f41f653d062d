"""Long texts: overlapping windows of whole words, and the choice of a window for each span.

A text of 1,000 words whose sequence has room for 400 becomes three or four windows. Each span is
scored in every window that contains it, and one score counts: that of the window with most context
around the span. Windows overlap by at least the widest span, so some window contains every span.
They don't where one ends at a sentence start that no span may cross.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .scored_spans import Ints, ScoredSpans


@dataclass(frozen=True, eq=False)
class WordWindows:
    """The windows of one text.

    Attributes:
        starts: First word of each window, rising. *Shape:* (windows,), int32.
        ends: End of each window, exclusive, rising. *Shape:* (windows,), int32.
        n_words: Number of words of the text.
    """

    starts: Ints
    ends: Ints
    n_words: int

    def __len__(self) -> int:
        return len(self.starts)


def cut_word_windows(
    pieces: ArrayLike,
    *,
    capacity: int,
    max_words: int | None = None,
    overlap: int,
    breaks: ArrayLike = (),
    borders: ArrayLike = (),
) -> WordWindows:
    """Cut a list of words into windows that fit.

    A window is filled up, then cut back to the last break in its second half, and the next one
    begins at the last break that leaves the overlap. Without breaks they are cut anywhere between
    two words. Where two windows meet at a border, they need no overlap.

    Args:
        pieces: Pieces of each word. *Shape:* (words,).
        capacity: Most pieces of a window. A word that has more is a window by itself, see
            `clip_words`.
        max_words: Most words in a window; None: no limit.
        overlap: Fewest words that neighboring windows share: at least the widest span. They share
            fewer where no room would be left for the next word.
        breaks: First words of sentences, rising. *Shape:* (breaks,).
        borders: Words that no span contains unless it starts with them. *Shape:* (borders,).

    Returns:
        At least one window for a text of at least one word.
    """
    counts = np.asarray(pieces, dtype=np.int64)
    n_words = len(counts)
    before = np.concatenate([[0], counts.cumsum()])
    cuts = np.asarray(breaks, dtype=np.int64)
    no_span_crosses = set(np.asarray(borders, dtype=np.int64).tolist())
    longest = max_words or n_words
    starts, ends = [], []
    start, end = 0, 0
    while end < n_words:
        # The window must hold the next word, whatever that leaves of the overlap.
        fits = int(np.searchsorted(before, before[end + 1] - capacity))
        start = max(start, min(max(fits, end + 1 - longest), end))
        reach = int(np.searchsorted(before, before[start] + capacity, side="right")) - 1
        reach = max(min(reach, n_words, start + longest), end + 1)
        # A window no longer than the overlap would leave none behind it.
        half = max(end + 1, (start + reach + 1) // 2, min(reach, start + overlap + 1))
        end = reach if reach == n_words else _last_break(cuts, half, reach, default=reach)
        starts.append(start)
        ends.append(end)
        if end in no_span_crosses:
            start = end
            continue
        latest = max(end - overlap, start + 1)
        # An early sentence start must not make the windows crawl: rather begin within a sentence.
        start = _last_break(cuts, start + (end - start + 3) // 4, latest, default=latest)
    return WordWindows(np.array(starts, np.int32), np.array(ends, np.int32), n_words)


def owners(windows: WordWindows, starts: ArrayLike, ends: ArrayLike) -> Ints:
    """Choose the window of each span: the one whose nearer edge is farthest from the span.

    The two ends of the text do not count as edges, as they hide nothing. A tie goes to the earlier
    window. *Shape:* first words and exclusive ends in the text, two of (spans,), to the index of a
    window, or -1 for a span that no window contains, (spans,), int32.
    """
    starts, ends = np.asarray(starts, dtype=np.int64), np.asarray(ends, dtype=np.int64)
    best = np.full(len(starts), -1, dtype=np.int32)
    most = np.full(len(starts), -1, dtype=np.int64)
    bounds = zip(windows.starts.tolist(), windows.ends.tolist(), strict=True)
    for index, (first, end) in enumerate(bounds):
        left = windows.n_words if first == 0 else starts - first
        right = windows.n_words if end == windows.n_words else end - ends
        is_inside = (first <= starts) & (ends <= end)
        context = np.where(is_inside, np.minimum(left, right), -1)
        better = context > most
        best[better], most[better] = index, context[better]
    return best


def merge_windows(windows: WordWindows, parts: Sequence[ScoredSpans]) -> ScoredSpans:
    """Merge the spans of a text's windows, each span once.

    Words of the parts count from the start of their window, those of the result from the start of
    the text. The result is in order of start, end, label; a single window keeps its order.
    """
    if len(parts) == 1:
        return parts[0]
    kept = []
    for index, part in enumerate(parts):
        first = windows.starts[index]
        moved = replace(part, starts=part.starts + first, ends=part.ends + first)
        kept.append(moved.take(owners(windows, moved.starts, moved.ends) == index))
    return ScoredSpans.join(kept).in_order()


def clip_words(words: Ints, *, capacity: int) -> NDArray[np.bool_]:
    """Find the pieces that are read, of words that may be too long for any sequence.

    A word of thousands of pieces (a data URL, a line of base64) fits no sequence. Its first pieces
    are read, the others are not, and the caller has to warn of it.

    *Shape:* the word of each piece, never falling, (pieces,), to whether each piece is read,
    (pieces,), bool.
    """
    first = np.searchsorted(words, words, side="left")
    return np.arange(len(words)) - first < capacity


def _last_break(breaks: NDArray[np.int64], low: int, high: int, *, default: int) -> int:
    """Return the last break in ``[low, high]``, or the default if there is none."""
    at = int(np.searchsorted(breaks, high, side="right")) - 1
    return int(breaks[at]) if at >= 0 and breaks[at] >= low else default
