"""Training sequences through the network: their loss, and targets of distillation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ...text.batching import batch_by_budget
from ..inference.model import GlinerModel
from .collator import TrainingSequence
from .config import LossConfig
from .losses import total_loss
from .targets import Targets

# Pieces that go through the network at a time with gradients. A larger batch is divided, and the
# gradients of its parts are added up.
GRADIENT_PIECES = 4096


def distillation_targets(
    teacher: GlinerModel,
    sequences: Sequence[TrainingSequence],
    label_texts: Sequence[str],
    *,
    weight: float = 1.0,
    max_pieces: int = GRADIENT_PIECES,
) -> list[TrainingSequence]:
    """Replace the targets of sequences by the probabilities of the teacher, with one weight.

    In a bi-encoder all sequences share the label texts.
    """
    distilled = list(sequences)
    with torch.no_grad():
        vectors = teacher.encode_labels(label_texts) if teacher.config.is_bi else None
        for group in group_sequences(teacher, sequences, max_pieces):
            features = teacher.network.encode([sequences[i].sequence for i in group], vectors)
            for i, scores in zip(group, teacher.network(features), strict=True):
                values = scores.sigmoid().cpu().numpy()
                targets = Targets(values, np.full_like(values, weight))
                distilled[i] = TrainingSequence(sequences[i].sequence, targets)
    return distilled


def loss_scales(sequences: Sequence[TrainingSequence], config: LossConfig) -> tuple[float, float]:
    """Return the factors of a batch's losses: of all scores, and of those of candidates."""
    if config.reduction == "sum":
        return 1.0, 1.0
    scores = sum(one.targets.count for one in sequences)
    targets = [one.candidate_targets for one in sequences if one.candidate_targets is not None]
    candidates = sum(np.count_nonzero(one.weights) for one in targets)
    return 1.0 / max(scores, 1), 1.0 / max(candidates, 1)


def batch_loss(
    model: GlinerModel,
    sequences: Sequence[TrainingSequence],
    config: LossConfig,
    vectors: Tensor | None = None,
    scales: tuple[float, float] = (1.0, 1.0),
    *,
    dropout: float = 0.0,
) -> Tensor:
    """Compute the loss of one or more sequences that go through the network together.

    In a bi-encoder ``vectors`` are those of the labels of all sequences, *Shape:* (labels, width).
    ``scales`` is the output of `loss_scales` for the whole batch. *Shape:* (), float32.
    """
    network = model.network
    features = network.encode([one.sequence for one in sequences], vectors, dropout=dropout)
    loss = scales[0] * _loss(network(features), [one.targets for one in sequences], config)
    scores, targets = [], []
    for (words, labels), one in zip(features.split(), sequences, strict=True):
        if one.candidates is None or one.candidate_targets is None or not len(one.candidates):
            continue
        bounds = one.candidates.to_tensors(words.device)
        scores.append(network.score_spans(words, labels, *bounds))
        targets.append(one.candidate_targets)
    if scores:
        loss = loss + scales[1] * _loss(scores, targets, config)
    return loss


def group_sequences(
    model: GlinerModel, sequences: Sequence[TrainingSequence], max_pieces: int
) -> list[list[int]]:
    """Divide sequences into groups that go through the network together: their indices."""
    padded = model.network.encoder.pads_sequences
    lengths = [len(one.sequence) for one in sequences]
    return batch_by_budget(lengths, budget=max_pieces, padded=padded)


def _loss(scores: Sequence[Tensor], targets: Sequence[Targets], config: LossConfig) -> Tensor:
    device = scores[0].device
    values = [torch.from_numpy(one.values).to(device) for one in targets]
    weights = [torch.from_numpy(one.weights).to(device) for one in targets]
    return total_loss(scores, values, weights, config)
