"""Rows through the network: what they cost, and what a model would answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ...text.batching import batch_by_budget
from ..inference.model import GlinerModel
from .collator import TrainingSequence
from .losses import LossConfig, total_loss
from .targets import Targets

# Pieces whose intermediate results are held for the backward pass. Gradients of a larger batch are
# added up part by part.
HELD = 4096


def answer(
    model: GlinerModel,
    lessons: Sequence[TrainingSequence],
    words: Sequence[str],
    *,
    weight: float = 1.0,
    held: int = HELD,
) -> list[TrainingSequence]:
    """Give rows the targets that a model would answer with.

    Args:
        model: The model.
        lessons: The rows.
        words: Bi-encoders: what is read of the labels, which all rows share.
        weight: How much each answer counts.
        held: Pieces that go through the network at a time.

    Returns:
        In the same order, with probabilities as targets.
    """
    taught = list(lessons)
    with torch.no_grad():
        vectors = model.encode_labels(words) if model.config.is_bi else None
        for group in row_groups(model, lessons, held):
            features = model.network.encode([lessons[i].row for i in group], vectors)
            for i, scores in zip(group, model.network.score_rows(features), strict=True):
                values = scores.sigmoid().cpu().numpy()
                targets = Targets(values, np.full_like(values, weight))
                taught[i] = TrainingSequence(lessons[i].row, targets)
    return taught


def loss_scales(lessons: Sequence[TrainingSequence], objective: LossConfig) -> tuple[float, float]:
    """Factors on the losses of a batch: on that of its rows, and on that of given spans."""
    if objective.reduction == "sum":
        return 1.0, 1.0
    rows = sum(lesson.targets.count for lesson in lessons)
    given = [lesson.given_targets for lesson in lessons]
    spans = sum(int((targets.weights > 0).sum()) for targets in given if targets is not None)
    return 1.0 / max(rows, 1), 1.0 / max(spans, 1)


def batch_loss(
    model: GlinerModel,
    lessons: Sequence[TrainingSequence],
    objective: LossConfig,
    vectors: Tensor | None = None,
    scales: tuple[float, float] = (1.0, 1.0),
    *,
    dropout: float = 0.0,
) -> Tensor:
    """Give the loss of rows that go through the network together.

    Args:
        model: The model.
        lessons: The rows; at least one.
        objective: The loss.
        vectors: Bi-encoders: vectors of the labels of all rows. *Shape:* (labels, width).
        scales: What `loss_scales` gave for the whole batch.
        dropout: Least dropout rate of the encoder in training.

    Returns:
        *Shape:* (), float32.
    """
    network = model.network
    features = network.encode([lesson.row for lesson in lessons], vectors, dropout=dropout)
    targets = [lesson.targets for lesson in lessons]
    loss = scales[0] * _loss(network.score_rows(features), targets, objective)
    scores, given_targets = [], []
    for (words, labels), lesson in zip(features.split(), lessons, strict=True):
        given = lesson.given
        if given is not None and lesson.given_targets is not None and len(given.starts):
            starts, ends = (
                torch.from_numpy(bound.astype(np.int64)).to(words.device)
                for bound in (given.starts, given.ends)
            )
            scores.append(network.score_spans(words, labels, starts, ends))
            given_targets.append(lesson.given_targets)
    if scores:
        loss = loss + scales[1] * _loss(scores, given_targets, objective)
    return loss


def row_groups(
    model: GlinerModel, lessons: Sequence[TrainingSequence], held: int
) -> list[list[int]]:
    """Divide rows into groups that go through the network together: their indices."""
    padded = model.network.encoder.pads_sequences
    return batch_by_budget([len(one.row.ids) for one in lessons], budget=held, padded=padded)


def _loss(scores: Sequence[Tensor], targets: Sequence[Targets], objective: LossConfig) -> Tensor:
    device = scores[0].device
    values = [torch.from_numpy(one.values).to(device) for one in targets]
    weights = [torch.from_numpy(one.weights).to(device) for one in targets]
    return total_loss(scores, values, weights, objective)
