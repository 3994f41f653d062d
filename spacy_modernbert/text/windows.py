"""Cut long sequences of pieces into overlapping windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import Errors


@dataclass(frozen=True, eq=False)
class Windows:
    """The windows of one sequence.

    Attributes:
        starts: First piece of each window, rising. *Shape:* (windows,), int32.
        ends: End of each window, exclusive. *Shape:* (windows,), int32.
        window_of_piece: The window from which each piece takes its vector.
            *Shape:* (pieces,), int32.
    """

    starts: npt.NDArray[np.int32]
    ends: npt.NDArray[np.int32]
    window_of_piece: npt.NDArray[np.int32]


def cut_windows(
    n_pieces: int, *, capacity: int, overlap: int, breaks: npt.ArrayLike | None = None
) -> Windows:
    """Cut a sequence into overlapping windows and choose the window of each piece.

    All windows of a sequence that needs more than one are full: the last one ends with the
    sequence, and may overlap its neighbor by more. A piece belongs to the window with most of its
    context, where the nearer edge is farthest away; the two ends of the text do not count as
    edges, because no context lies behind them. Ten pieces in windows of six that overlap by two::

        window 0           0 1 2 3 4 5
        window 1                   4 5 6 7 8 9
        window_of_piece    0 0 0 0 0 1 1 1 1 1

    The change comes in the middle of each overlap, and a tie goes to the earlier window.

    Args:
        n_pieces: Length of the sequence, without special tokens.
        capacity: Most pieces in a window: the setting ``max_length`` without the special tokens.
        overlap: Fewest pieces that two neighbors share: the setting ``overlap``.
        breaks: Pieces that begin a token, rising. The change moves to the nearest break in the
            overlap, so that no token is split between two windows. *Shape:* (breaks,)

    Raises:
        ValueError: SM003 if ``capacity`` is below 1; SM004 if ``overlap`` is not in
            ``[0, capacity)``.
    """
    if capacity < 1:
        raise ValueError(Errors.SM003.format(capacity=capacity))
    if not 0 <= overlap < capacity:
        raise ValueError(Errors.SM004.format(overlap=overlap, capacity=capacity))
    if n_pieces == 0:
        empty = np.zeros(0, dtype=np.int32)
        return Windows(empty, empty, empty)
    last = max(n_pieces - capacity, 0)
    starts = np.append(np.arange(0, last, capacity - overlap), last)
    ends = np.minimum(starts + capacity, n_pieces)

    # The overlap of windows k and k + 1 is [starts[k + 1], ends[k]). A change at c assigns the
    # pieces before c to k and the others to k + 1, so c may be either end of the overlap, too.
    changes = (starts[1:] + ends[:-1] + 1) // 2
    if breaks is not None:
        changes = _move_to_breaks(changes, starts[1:], ends[:-1], np.asarray(breaks))
    window_of_piece = np.searchsorted(changes, np.arange(n_pieces), side="right")
    return Windows(*(x.astype(np.int32) for x in (starts, ends, window_of_piece)))


def _move_to_breaks(
    changes: npt.NDArray[np.intp],
    lowest: npt.NDArray[np.intp],
    highest: npt.NDArray[np.intp],
    breaks: npt.NDArray[np.integer],
) -> npt.NDArray[np.intp]:
    """Move each change to the nearest break in ``[lowest, highest]``, if there is one.

    Of two equally near breaks, the later one wins, again in favor of the earlier window.
    """
    far = int(highest.max(initial=0)) * 2 + 1
    padded = np.concatenate([[-far], breaks, [far * 2]])
    at = np.searchsorted(padded, changes)
    later, earlier = padded[at], padded[at - 1]
    # Breaks out of bounds are never the nearest; the change itself is always within bounds.
    up = np.where(later <= highest, later - changes, far)
    down = np.where(earlier >= lowest, changes - earlier, far)
    moved = np.where(up <= down, changes + up, changes - down)
    return np.where(np.minimum(up, down) < far, moved, changes)
