"""Windows, the window of each piece, and batches."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_modernbert.text.batching import batch_by_budget, batch_similar_lengths
from spacy_modernbert.text.windows import Windows, cut_windows

sizes = st.tuples(st.integers(1, 200), st.integers(1, 40)).flatmap(
    lambda drawn: st.tuples(st.just(drawn[0]), st.just(drawn[1]), st.integers(0, drawn[1] - 1))
)


def context(windows: Windows, window: int, piece: int) -> float:
    """Distance of a piece to the nearer edge of a window; the text's own ends are no edge."""
    start, end = windows.starts[window], windows.ends[window]
    if not start <= piece < end:
        return -1
    left = math.inf if start == 0 else piece - start
    right = math.inf if end == len(windows.window_of_piece) else end - 1 - piece
    return min(left, right)


def test_worked_example():
    windows = cut_windows(10, capacity=6, overlap=2)
    assert windows.starts.tolist() == [0, 4]
    assert windows.ends.tolist() == [6, 10]
    assert windows.window_of_piece.tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]
    assert {windows.starts.dtype, windows.ends.dtype, windows.window_of_piece.dtype} == {
        np.dtype(np.int32)
    }


def test_a_row_that_fits_is_one_window():
    windows = cut_windows(6, capacity=6, overlap=2)
    assert (windows.starts.tolist(), windows.ends.tolist()) == ([0], [6])
    assert windows.window_of_piece.tolist() == [0] * 6


def test_the_last_window_is_moved_left_to_be_full():
    windows = cut_windows(11, capacity=6, overlap=2)
    assert windows.starts.tolist() == [0, 4, 5]
    assert windows.ends.tolist() == [6, 10, 11]


def test_no_pieces_no_windows():
    windows = cut_windows(0, capacity=6, overlap=2)
    assert len(windows.starts) == len(windows.ends) == len(windows.window_of_piece) == 0


@pytest.mark.parametrize(("capacity", "overlap"), [(4, 4), (4, 9), (4, -1)])
def test_overlap_has_to_leave_room(capacity, overlap):
    with pytest.raises(ValueError, match=r"SM004.*overlap.*max_length"):
        cut_windows(0, capacity=capacity, overlap=overlap)


@pytest.mark.parametrize("capacity", [0, -2])
def test_capacity_has_to_hold_a_piece(capacity):
    with pytest.raises(ValueError, match=r"SM003.*max_length"):
        cut_windows(5, capacity=capacity, overlap=0)


@given(sizes)
def test_windows_are_full_cover_and_overlap(size):
    n, capacity, overlap = size
    windows = cut_windows(n, capacity=capacity, overlap=overlap)
    starts, ends = windows.starts.tolist(), windows.ends.tolist()
    assert (starts[0], ends[-1]) == (0, n)
    assert all(end - start == min(n, capacity) for start, end in zip(starts, ends, strict=True))
    for k in range(len(starts) - 1):
        assert starts[k] < starts[k + 1]
        assert ends[k] - starts[k + 1] >= overlap
    # Not one more than needed.
    assert len(starts) == 1 + max(0, math.ceil((n - capacity) / (capacity - overlap)))


@settings(deadline=None)
@given(sizes)
def test_owner_has_most_context_and_is_the_earliest_that_has(size):
    n, capacity, overlap = size
    windows = cut_windows(n, capacity=capacity, overlap=overlap)
    for piece in range(n):
        contexts = [context(windows, k, piece) for k in range(len(windows.starts))]
        assert windows.window_of_piece[piece] == int(np.argmax(contexts))


@pytest.mark.parametrize(
    ("breaks", "change"),
    [
        ([], 7),
        ([7], 7),
        ([0, 5, 6, 11], 6),
        ([0, 5, 9], 9),  # 5 and 9 are equally near: the earlier window keeps the token
        ([0, 4], 4),
        ([10], 10),
        ([0, 3, 11], 7),  # none within the overlap
    ],
)
def test_the_change_moves_to_the_nearest_break(breaks, change):
    # The overlap is 4..10, its middle 7.
    windows = cut_windows(14, capacity=10, overlap=6, breaks=breaks)
    assert windows.starts.tolist() == [0, 4]
    assert windows.window_of_piece.tolist() == [0] * change + [1] * (14 - change)


@settings(deadline=None)
@given(sizes, st.data())
def test_tokens_have_one_owner_wherever_possible(size, data):
    n, capacity, overlap = size
    breaks = sorted({0, *data.draw(st.lists(st.integers(0, n - 1)))})
    windows = cut_windows(n, capacity=capacity, overlap=overlap, breaks=breaks)
    owner = windows.window_of_piece
    assert (np.diff(owner) >= 0).all()
    for piece in range(n):
        assert windows.starts[owner[piece]] <= piece < windows.ends[owner[piece]]
    for start, end in pairwise([*breaks, n]):
        if owner[start] == owner[end - 1]:
            continue
        # Torn: then at each change within the token there was no break to move to.
        for k in range(owner[start], owner[end - 1]):
            low, high = windows.starts[k + 1], windows.ends[k]
            inside = [b for b in breaks if low <= b <= high]
            assert not inside or not start < np.searchsorted(owner, k + 1) < end


def test_many_windows_are_quick():
    windows = cut_windows(1_000_000, capacity=510, overlap=128, breaks=np.arange(0, 1_000_000, 3))
    assert len(windows.starts) == 2618
    changes = np.flatnonzero(np.diff(windows.window_of_piece)) + 1
    assert (changes % 3 == 0).all()


# Batches

lengths_lists = st.lists(st.integers(0, 50), max_size=40)


@given(lengths_lists, st.integers(1, 120), st.booleans())
def test_each_row_is_in_one_batch_within_budget(lengths, budget, padded):
    groups = batch_by_budget(lengths, budget=budget, padded=padded)
    flat = [index for group in groups for index in group]
    assert sorted(flat) == list(range(len(lengths)))
    assert padded or flat == sorted(flat)
    for group in groups:
        rows = [lengths[index] for index in group]
        cost = len(rows) * max(rows) if padded else sum(rows)
        assert cost <= budget or len(group) == 1
    for left, right in pairwise(groups):
        # A group ends only where the next row did not fit.
        rows = [lengths[index] for index in (*left, right[0])]
        assert (len(rows) * max(rows) if padded else sum(rows)) > budget


def test_batches_by_hand():
    assert batch_by_budget([3, 4, 9, 1, 2], budget=7) == [[0, 1], [2], [3, 4]]
    assert batch_by_budget([3, 4, 9, 1, 2], budget=7, padded=True) == [[3, 4], [0], [1], [2]]
    assert batch_by_budget([], budget=7) == []


@given(lengths=st.lists(st.integers(1, 60), max_size=80), budget=st.integers(1, 900))
def test_lengths_of_a_group_are_similar(lengths, budget):
    groups = batch_similar_lengths(lengths, budget=budget)
    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))
    for group in groups:
        rows = [lengths[index] for index in group]
        assert len(rows) * max(rows) <= budget or len(rows) == 1
        # A much shorter row comes in only while the group is small.
        for place, row in enumerate(rows):
            assert row > 0.8 * rows[0] or place * rows[0] < 256


def test_similar_lengths_by_hand():
    assert batch_similar_lengths([10] * 30 + [9, 7, 100], budget=2048) == [
        [32, 0, 1],
        [*range(2, 31)],
        [31],
    ]
    assert batch_similar_lengths([], budget=7) == []
