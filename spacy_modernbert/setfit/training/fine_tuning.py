"""Training on a whole support set at once: steps, evaluations, and the weights that are kept."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from ..arrays import Floats
from ..head.config import HeadConfig
from .best_checkpoint import BestCheckpoint, Evaluator
from .support_set import SupportSet
from .trainer import SentenceEncoderTrainer
from .weight_interpolation import choose_weight_interpolation, hold_out

# How often a training is evaluated after its start.
EVALUATIONS = 4


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
        steps: Yields the numbers of the steps, from 0.
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
