"""The best weights of a training, where there are texts to evaluate it with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from torch import Tensor

from ..arrays import Floats, LabelMatrix
from ..head.cross_validation import negative_log_likelihood
from .trainer import SentenceEncoderTrainer


class Evaluation(NamedTuple):
    """How well texts are classified; of equal accuracies, the higher likelihood is better."""

    accuracy: float
    log_likelihood: float


Evaluator: TypeAlias = Callable[[], Evaluation]


def evaluate_scores(scores: Floats, labels: LabelMatrix, *, multi_label: bool) -> Evaluation:
    """Compare probabilities with labels.

    Args:
        scores: *Shape:* (texts, labels).
        labels: *Shape:* (texts, labels).
        multi_label: Whether a text can have several labels.
    """
    scores = np.clip(scores.astype(np.float64), 1e-7, 1.0 - 1e-7)
    if multi_label:
        known = ~np.isnan(labels)
        hits = ((scores >= 0.5) == (labels == 1))[known]
        logits = np.log(scores) - np.log1p(-scores)
    else:
        hits = labels[np.arange(len(labels)), scores.argmax(axis=1)] == 1
        logits = np.log(scores)
    loss = negative_log_likelihood(logits, labels, multi_label=multi_label)
    return Evaluation(float(hits.mean()), -loss)


class BestCheckpoint:
    """Keeps the weights under which an evaluator found the model best, the later of equals.

    Args:
        trainer: Trains the model.
        evaluator: Evaluates the model as it is; None keeps the last weights.
    """

    def __init__(self, trainer: SentenceEncoderTrainer, evaluator: Evaluator | None) -> None:
        self._trainer = trainer
        self._evaluator = evaluator
        self._best: Evaluation | None = None
        self._weights: Sequence[Tensor] = ()
        self._is_last = True

    def evaluate(self) -> None:
        """Evaluate the model, and keep its weights if none were better."""
        if self._evaluator is None:
            return
        found = self._evaluator()
        self._is_last = self._best is None or found >= self._best
        if self._is_last:
            self._best, self._weights = found, self._trainer.weights()

    def restore(self) -> None:
        """Return to the best weights, unless they are in use."""
        if not self._is_last:
            self._trainer.replace_weights_(self._weights)
