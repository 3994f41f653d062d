"""Training on a whole support set at once: steps, evaluations, and the weights that are kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np
from torch import Tensor

from ...text.tokenizer import Ints
from ..arrays import Floats, LabelMatrix
from ..head.config import HeadConfig
from ..head.cross_validation import negative_log_likelihood
from ..head.logistic_regression import Progress
from .support_set import SupportSet
from .trainer import SentenceEncoderTrainer
from .vector_cache import Encode
from .weight_interpolation import choose_weight_interpolation, hold_out

# How often a training is evaluated after its start.
EVALUATIONS = 4
# A training has diverged where the loss is more than this times what it was. Texts that are drawn
# in other batches, and weights that were chosen for other texts, make it a little higher at most.
_MOST_LOSS = 1.1


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


@dataclass(frozen=True, eq=False)
class FineTuned:
    """The result of a training.

    Attributes:
        loss_before: Loss of the first batch before the training.
        loss_after: Its loss under the weights that were found; infinite where a step had none.
        has_diverged: Whether these weights were worse, and those from before are in use again.
        vectors: Vectors of the support set under the weights in use, and under those from before,
            where these were needed. *Shape:* (texts, width).
    """

    loss_before: float
    loss_after: float
    has_diverged: bool
    vectors: tuple[Floats, Floats] | None = None


def fine_tune(
    trainer: SentenceEncoderTrainer,
    support: SupportSet,
    steps: Collection[int],
    *,
    multi_label: bool,
    head: HeadConfig,
    evaluator: Evaluator | None = None,
    encode: Encode | None = None,
    regressions: Callable[[], AbstractContextManager[Progress | None]] = nullcontext,
) -> FineTuned:
    """Train a sentence encoder, and leave the weights in use that are the best for other texts.

    If the loss is higher afterwards than before, or all texts have one vector, the training has
    diverged, and the weights from before are in use again.

    Args:
        trainer: Trains the encoder.
        support: The texts, all of which can be encoded, some of which differ in their labels.
        steps: The numbers of the steps, from 0.
        multi_label: Whether a text can have several labels.
        head: How heads are fitted to choose a weight interpolation.
        evaluator: Evaluates the encoder at the start, after each quarter and at the end; the best
            weights are kept, the later of equals. Without it, and without a setting for the weight
            interpolation, some texts are held out to choose one, if there are many.
        encode: Encodes with the weights in use. Default: `SentenceEncoder.encode`.
        regressions: Gives what is called after each regression that chooses an interpolation.
    """
    config, encode = trainer.config, encode or trainer.model.encode
    labels = support.labels(multi_label=multi_label)
    held_out = np.zeros(len(labels), dtype=np.bool_)
    if config.weight_interpolation is None and evaluator is None:
        held_out = hold_out(labels, seed=config.seed)
    best = BestCheckpoint(trainer, evaluator)
    size = config.batch_size or len(support)
    losses: list[float] = []
    first: tuple[list[Ints], LabelMatrix] = ([], labels[:0])
    for step in steps:
        if step * EVALUATIONS % len(steps) < EVALUATIONS and trainer.is_finite:
            best.evaluate()
        batch = support.draw(size, labels, without=held_out)
        first = first if losses else batch
        losses.append(trainer.step(*batch))
        if not math.isfinite(losses[-1]):
            break
    before, after, is_finite = losses[0], math.inf, trainer.is_finite
    vectors: dict[float, Floats] = {}
    if is_finite and math.isfinite(losses[-1]):
        share = None
        if held_out.any():
            choose = partial(
                choose_weight_interpolation,
                _encoder_at(trainer, support, encode, vectors),
                labels,
                held_out,
                head,
                multi_label=multi_label,
            )
            with regressions() as progress:
                share = choose(progress=progress)
        trainer.interpolate_(share)
        best.evaluate()
        best.restore()
        after, is_alike = trainer.evaluate(*first)
        if math.isfinite(after) and after <= _MOST_LOSS * before and not is_alike:
            known = (vectors[share], vectors[0.0]) if share in vectors else None
            return FineTuned(before, after, False, known)
    trainer.return_to_start_()
    return FineTuned(before, after, True)


def _encoder_at(
    trainer: SentenceEncoderTrainer,
    support: SupportSet,
    encode: Encode,
    vectors: dict[float, Floats],
) -> Callable[[float], Floats]:
    """Return what encodes all texts under a share, and keeps their vectors."""
    sequences = [sequence for sequence in support.sequences if sequence is not None]

    def encode_at(share: float) -> Floats:
        trainer.interpolate_(share)
        vectors[share] = encode(sequences)
        return vectors[share]

    return encode_at
