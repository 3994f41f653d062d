"""The best state of a training, where there are texts to judge it by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from torch import Tensor, nn

from ..head.cross_validation import negative_likelihood
from ..head.logistic_regression import Floats, HeadSettings
from ..modeling.sentence_encoder import SentenceEncoder
from .batches import Labels

# (share of right answers, mean log-likelihood): how good a state is; the second decides a tie
Evaluator: TypeAlias = Callable[[], tuple[float, float]]


def evaluate_scores(scores: Floats, labels: Labels, *, multi_label: bool) -> tuple[float, float]:
    """Compare probabilities with the truth.

    Args:
        scores: *Shape:* (texts, labels).
        labels: 1, 0, or NaN where unknown. *Shape:* (texts, labels).
        multi_label: Whether a text can have several labels.

    Returns:
        Share of right answers, and mean log-likelihood.
    """
    settings = HeadSettings(multi_label=multi_label)
    scores = np.clip(scores.astype(np.float64), 1e-7, 1.0 - 1e-7)
    if not multi_label:
        right = labels[np.arange(len(labels)), scores.argmax(axis=1)] == 1
        return float(right.mean()), -negative_likelihood(np.log(scores), labels, settings)
    known = ~np.isnan(labels)
    right = ((scores >= 0.5) == (labels == 1))[known]
    odds = np.log(scores) - np.log1p(-scores)
    return float(right.mean()), -negative_likelihood(odds, labels, settings)


class BestCheckpoint:
    """Remembers the weights under which a training was best.

    Args:
        encoder: The encoder that is trained.
        judge: Says how good it is; None keeps the last state.
    """

    def __init__(self, encoder: SentenceEncoder, judge: Evaluator | None) -> None:
        self._encoder = encoder
        self._judge = judge
        self._best: tuple[float, float] | None = None
        self._weights: Sequence[Tensor] = []
        self._is_last = True

    def offer(self) -> None:
        """Have the present state judged, and remember it if none was better."""
        if self._judge is None:
            return
        found = self._judge()
        self._is_last = self._best is None or found >= self._best
        if self._is_last:
            self._best = found
            self._weights = [p.detach().clone() for p in self._trained()]

    def restore(self) -> bool:
        """Go back to the best state, and say whether it was another than the present one."""
        if self._is_last:
            return False
        for parameter, weight in zip(self._trained(), self._weights, strict=True):
            parameter.data.copy_(weight)
        return True

    def _trained(self) -> list[nn.Parameter]:
        return [p for p in self._encoder.parameters() if p.requires_grad]
