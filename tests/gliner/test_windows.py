"""Long texts: windows that fit, overlap and cover; and one answer a span."""

from itertools import pairwise

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spacy_modernbert.gliner.inference.scored_spans import ScoredSpans
from spacy_modernbert.gliner.inference.windows import (
    WordWindows,
    clip_words,
    cut_word_windows,
    merge_windows,
    owners,
)

PIECES = st.lists(st.integers(0, 4), min_size=1, max_size=120)


@settings(max_examples=300, deadline=None)
@example([0] * 6, 20, 5, 4, [3])  # a sentence that ends within the first overlap
@given(
    PIECES,
    st.integers(4, 60),
    st.one_of(st.none(), st.integers(1, 40)),
    st.integers(0, 12),
    st.lists(st.integers(0, 119), unique=True, max_size=20),
)
def test_windows_fit_and_cover_every_span(pieces, capacity, max_words, overlap, breaks):
    windows = cut_word_windows(
        pieces, capacity=capacity, max_words=max_words, overlap=overlap, breaks=sorted(breaks)
    )
    bounds = list(zip(windows.starts.tolist(), windows.ends.tolist(), strict=True))
    assert bounds[0][0] == 0
    assert bounds[-1][1] == len(pieces)
    for start, end in bounds:
        assert sum(pieces[start:end]) <= capacity
        assert max_words is None or end - start <= max_words
    for (start, end), (next_start, next_end) in pairwise(bounds):
        assert start < next_start <= end < next_end
        # Less overlap only where there is no room for more beside the next word.
        room = sum(pieces[max(end - overlap, 0) : end + 1]) <= capacity
        if room and (max_words is None or overlap < max_words):
            assert end - next_start >= min(overlap, end - start - 1)
    # With room for the overlap and one more word anywhere, no span falls between two windows.
    if 4 * (overlap + 1) <= capacity and (max_words is None or overlap < max_words):
        for start in range(len(pieces) - overlap):
            assert any(low <= start and start + overlap <= high for low, high in bounds)


def test_windows_are_cut_between_sentences():
    windows = cut_word_windows([1] * 40, capacity=16, overlap=4, breaks=[0, 8, 14, 22, 30])
    bounds = list(zip(windows.starts.tolist(), windows.ends.tolist(), strict=True))
    assert bounds == [(0, 14), (8, 22), (14, 30), (22, 38), (30, 40)]


@settings(max_examples=300, deadline=None)
@given(
    st.integers(1, 120),
    st.integers(6, 60),
    st.integers(1, 5),
    st.lists(st.integers(0, 119), unique=True, max_size=20),
)
def test_windows_that_meet_at_a_border_share_nothing_and_lose_no_span(n, longest, widest, borders):
    borders = sorted(border for border in borders if border < n)
    windows = cut_word_windows(
        [1] * n, capacity=longest, overlap=widest, breaks=borders, borders=borders
    )
    bounds = list(zip(windows.starts.tolist(), windows.ends.tolist(), strict=True))
    assert (bounds[0][0], bounds[-1][1]) == (0, n)
    for (_, end), (start, _) in pairwise(bounds):
        assert start == end if end in borders else start < end
    for start in range(n):
        for end in range(start + 1, min(start + widest, n) + 1):
            if not any(start < border < end for border in borders):
                assert any(low <= start and end <= high for low, high in bounds)


def test_a_text_that_fits_is_one_window():
    windows = cut_word_windows([2] * 10, capacity=20, overlap=12, breaks=[5])
    assert windows.starts.tolist() == [0]
    assert windows.ends.tolist() == [10]
    assert len(cut_word_windows([], capacity=20, overlap=12)) == 0


def test_the_window_with_most_context_speaks():
    windows = WordWindows(np.array([0, 6]), np.array([10, 16]), 16)
    # Nearer edge of window 0: its end; of window 1: its start. The ends of the text are no edges.
    assert owners(windows, [0, 7, 8, 6, 14], [1, 8, 9, 10, 16]).tolist() == [0, 0, 1, 0, 1]
    assert owners(windows, [4], [12]).tolist() == [-1]


@settings(max_examples=100, deadline=None)
@given(PIECES, st.integers(8, 40), st.integers(0, 1000))
def test_merged_windows_give_each_span_once(pieces, capacity, seed):
    overlap = 3
    windows = cut_word_windows(pieces, capacity=capacity, overlap=overlap)
    rng = np.random.default_rng(seed)
    parts = []
    for start, end in zip(windows.starts, windows.ends, strict=True):
        spans = [(s, s + w) for s in range(end - start) for w in (1, 2, 3) if s + w <= end - start]
        starts, ends = np.array(spans).T
        parts.append(ScoredSpans.of(starts, ends, np.zeros(len(spans)), rng.random(len(spans))))
    merged = merge_windows(windows, parts)
    found = list(zip(merged.starts.tolist(), merged.ends.tolist(), strict=True))
    assert found == sorted(set(found))
    if 4 * (overlap + 1) <= capacity:
        n = len(pieces)
        assert set(found) == {(s, s + w) for s in range(n) for w in (1, 2, 3) if s + w <= n}
    for start, end, score in zip(merged.starts, merged.ends, merged.scores, strict=True):
        owner = owners(windows, [start], [end])[0]
        part, first = parts[owner], windows.starts[owner]
        here = (part.starts == start - first) & (part.ends == end - first)
        assert part.scores[here] == score


def test_a_word_of_too_many_pieces_is_clipped():
    words = np.array([0, 1, 1, 1, 1, 3, 3], dtype=np.int32)
    fits = clip_words(words, capacity=2)
    assert fits.tolist() == [True, True, True, False, False, True, True]
    assert clip_words(words, capacity=4).all()
