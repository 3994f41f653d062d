"""The threshold of a label under which its found spans agree best with the annotated ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Choice:
    """A threshold, and its F-score on the texts it was chosen on.

    Attributes:
        threshold: Least probability, exclusive.
        f: F-score of the spans above it, 0 to 1.
    """

    threshold: float
    f: float


def choose_threshold(
    scores: NDArray[np.floating], is_right: NDArray[np.bool_], n_gold: int, *, default: float
) -> Choice:
    """Choose the threshold of a label with the best F-score.

    All thresholds that keep the same spans are equally good. The chosen one is in the middle
    between the scores of the last span that is kept and the first that is not.

    Args:
        scores: Probability of each found span. *Shape:* (spans,)
        is_right: Whether it is annotated. *Shape:* (spans,)
        n_gold: Number of annotated spans.
        default: The threshold of a label without evidence: none of its spans is annotated, or no
            found span is right.

    Returns:
        The threshold and its F-score.
    """
    if not n_gold or not is_right.any():
        return Choice(default, 0.0)
    order = np.argsort(-scores, kind="stable")
    scores, right = scores[order].astype(np.float64), np.cumsum(is_right[order])
    taken = np.arange(1, len(scores) + 1)
    f = 2.0 * right / (taken + n_gold)
    # Spans of the same score are taken together or not at all.
    f[:-1][scores[:-1] == scores[1:]] = -1.0
    best = int(np.argmax(f))
    below = scores[best + 1] if best + 1 < len(scores) else 0.0
    return Choice(float((scores[best] + below) / 2), float(f[best]))
