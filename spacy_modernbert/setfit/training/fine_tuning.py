"""Training on a whole support set at once: steps, evaluations, and the weights that are kept."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from torch import Tensor

from ..arrays import Floats, LabelMatrix
from ..head.config import HeadConfig
from ..head.cross_validation import negative_log_likelihood
from .support_set import SupportSet
from .trainer import SentenceEncoderTrainer
from .weight_interpolation import choose_weight_interpolation, hold_out

# How often a training is evaluated after its start.
EVALUATIONS = 4


class Evaluation(NamedTuple):
    """How well texts are classified; of equal accuracies, the higher likelihood is better."""

    accuracy: float
    log_likelihood: float


Evaluator: TypeAlias = Callable[[], Evaluation]


def evaluate_scores(scores: Floats, labels: LabelMatrix, *, multi_label: bool) -> Evaluation:
    """Compare probabilities with labels. *Shapes:* (texts, labels)."""
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

    Without an evaluator, it keeps the last weights.
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


def fine_tune(
    trainer: SentenceEncoderTrainer,
    support: SupportSet,
    steps: Collection[int],
    *,
    multi_label: bool,
    head: HeadConfig,
    evaluator: Evaluator | None = None,
) -> None:
    """Train a sentence encoder, and leave the weights in use that are the best for other texts.

    Args:
        trainer: Trains the encoder.
        support: The texts, all of which can be encoded.
        steps: The numbers of the steps, from 0.
        multi_label: Whether a text can have several labels.
        head: How heads are fitted to choose a weight interpolation.
        evaluator: Evaluates the encoder at the start, after each quarter and at the end; the best
            weights are kept, the later of equals. Without it, and without a setting for the weight
            interpolation, some texts are held out to choose one, if there are many.
    """
    config = trainer.config
    labels = support.labels(multi_label=multi_label)
    held_out = np.zeros(len(labels), dtype=np.bool_)
    if config.weight_interpolation is None and evaluator is None:
        held_out = hold_out(labels, seed=config.seed)
    best = BestCheckpoint(trainer, evaluator)
    size = config.batch_size or len(support)
    for step in steps:
        if step * EVALUATIONS % len(steps) < EVALUATIONS:
            best.evaluate()
        trainer.step(*support.draw(size, labels, without=held_out))
    if held_out.any():
        sequences = [sequence for sequence in support.sequences if sequence is not None]

        def encode(share: float) -> Floats:
            trainer.interpolate_(share)
            return trainer.model.encode(sequences)

        share = choose_weight_interpolation(encode, labels, held_out, head, multi_label=multi_label)
        trainer.interpolate_(share)
    trainer.interpolate_()
    best.evaluate()
    best.restore()
