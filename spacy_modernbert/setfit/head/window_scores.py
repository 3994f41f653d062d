"""The scores of a text that was read in windows, where the most confident window counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..arrays import Floats


def most_confident(
    scores: Floats, texts: NDArray[np.intp], *, multi_label: bool, n_labels: int
) -> Floats:
    """Reduce the scores of windows to those of their texts.

    Where a text has one label, it has the scores of the window with the highest score of a label
    that is learned. Where it can have several, each label has its highest score, and a label for
    texts that are unlike all examples its lowest.

    Args:
        scores: Scores of the labels, that of the abstain label last. *Shape:* (windows, labels).
        texts: The text of each window, rising, each with one at least. *Shape:* (windows,).
        multi_label: Whether a text can have several labels.
        n_labels: Number of labels that are learned.

    Returns:
        *Shape:* (texts, labels).
    """
    learned = scores[:, :n_labels]
    starts = np.flatnonzero(np.diff(texts, prepend=-1))
    if multi_label:
        highest = np.maximum.reduceat(learned, starts, axis=0)
        lowest = np.minimum.reduceat(scores[:, n_labels:], starts, axis=0)
        return np.concatenate([highest, lowest], axis=1)
    by_confidence = np.lexsort((learned.max(axis=1), texts))
    best: Floats = scores[by_confidence[np.append(starts[1:], len(texts)) - 1]]
    return best
