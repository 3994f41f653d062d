"""Cut long sequences of pieces into overlapping windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import Errors


@dataclass(frozen=True, eq=False)
class Windows:
    """The windows of one row.

    Attributes:
        starts: First piece of each window, rising. *Shape:* (windows,), int32.
        ends: End of each window, exclusive. *Shape:* (windows,), int32.
        owner: The window from which each piece takes its vector. *Shape:* (pieces,), int32.
    """

    starts: npt.NDArray[np.int32]
    ends: npt.NDArray[np.int32]
    owner: npt.NDArray[np.int32]


def cut_windows(
    n_pieces: int, *, capacity: int, overlap: int, breaks: npt.ArrayLike | None = None
) -> Windows:
    """Cut a row into overlapping windows and say which of them speaks for each piece.

    All windows of a row that needs more than one are full: the last is moved left to where it
    ends with the row. A piece belongs to the window that shows most of its surroundings, that is,
    where the nearer edge is farthest away; the two ends of the text are no edges, there is nothing
    to be seen behind them. Ten pieces in windows of six that overlap by two::

        window 0    0 1 2 3 4 5
        window 1            4 5 6 7 8 9
        owner       0 0 0 0 0 1 1 1 1 1

    The change falls into the middle of each overlap, and a tie goes to the earlier window.

    Args:
        n_pieces: Length of the row, without special tokens.
        capacity: Most pieces in a window: the setting ``max_length`` less the special tokens.
        overlap: Fewest pieces that two neighbours have in common: the setting ``overlap``.
        breaks: Pieces that begin a token, rising. The change is moved to the nearest of those
            within the overlap, so that a token is not torn between two windows. *Shape:* (breaks,)

    Raises:
        ValueError: ``capacity`` is below 1 (SM003), or ``overlap`` is not within
            ``[0, capacity)`` (SM004).
    """
    if capacity < 1:
        raise ValueError(Errors.SM003.format(capacity=capacity))
    if not 0 <= overlap < capacity:
        raise ValueError(Errors.SM004.format(overlap=overlap, capacity=capacity))
    if n_pieces == 0:
        nothing = np.zeros(0, dtype=np.int32)
        return Windows(nothing, nothing, nothing)
    last = max(n_pieces - capacity, 0)
    starts = np.append(np.arange(0, last, capacity - overlap), last)
    ends = np.minimum(starts + capacity, n_pieces)

    # The overlap of window k and k + 1 is [starts[k + 1], ends[k]). A change at c gives the pieces
    # before c to k and the others to k + 1, so c may be either end of it, too.
    changes = (starts[1:] + ends[:-1] + 1) // 2
    if breaks is not None:
        changes = _move_to_breaks(changes, starts[1:], ends[:-1], np.asarray(breaks))
    owner = np.searchsorted(changes, np.arange(n_pieces), side="right")
    return Windows(starts.astype(np.int32), ends.astype(np.int32), owner.astype(np.int32))


def _move_to_breaks(
    changes: npt.NDArray[np.intp],
    lowest: npt.NDArray[np.intp],
    highest: npt.NDArray[np.intp],
    breaks: npt.NDArray[np.integer],
) -> npt.NDArray[np.intp]:
    """Move each change to the nearest break in ``[lowest, highest]``, where there is one.

    Of two breaks equally near the later one is taken, again in favour of the earlier window.
    """
    far = int(highest.max(initial=0)) * 2 + 1
    padded = np.concatenate([[-far], breaks, [far * 2]])
    at = np.searchsorted(padded, changes)
    later, earlier = padded[at], padded[at - 1]
    # A break out of bounds is out of reach; the change itself is always within them.
    up = np.where(later <= highest, later - changes, far)
    down = np.where(earlier >= lowest, changes - earlier, far)
    moved = np.where(up <= down, changes + up, changes - down)
    return np.where(np.minimum(up, down) < far, moved, changes)
