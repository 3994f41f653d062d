"""A label for texts that are unlike all examples of the classifier."""

from __future__ import annotations

import numpy as np

from ..arrays import Floats

# How fast the label gains on the others around the threshold: at half of it, its probability is
# next to nothing.
SHARPNESS = 8.0
_LEAST = 1e-6


def with_abstention(
    scores: Floats, abstain: Floats, threshold: float, *, multi_label: bool
) -> Floats:
    """Add the probability that none of the labels fits.

    Where a text has one label, the new label has the probability of the best one, times (abstain
    score / threshold) to the power of `SHARPNESS`, before all of them are scaled to a sum of 1. So
    it wins exactly where the abstain score is above the threshold, and the others keep their
    proportions. Where a text can have several labels, the odds of the new one are that power alone,
    and the probabilities of all others are multiplied by its complement.

    *Shapes:* (texts, labels), and (texts,) from 0 to 2, to (texts, labels + 1).
    """
    ratio = np.maximum(abstain.astype(np.float64), _LEAST) / max(threshold, _LEAST)
    odds = np.exp(np.clip(SHARPNESS * np.log(ratio), -80.0, 80.0))
    if not multi_label:
        odds *= scores.max(axis=1, initial=_LEAST)
    other = 1.0 / (1.0 + odds)
    return np.column_stack([scores * other[:, None], 1.0 - other]).astype(np.float32)
