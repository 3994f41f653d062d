"""What a score costs, given what is true: cross entropy in its focal form, or Dice.

Every score is a yes or no of its own (arXiv 2311.08526, equation 4), so a loss is a function of
one logit and one target. What counts how much (spans nobody knows about, negatives that are left
out, wide spans) is a weight, and weights are made along with the targets, in `targets.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

LossKind: TypeAlias = Literal["bce", "dice"]
Masking: TypeAlias = Literal["element", "label", "span"]
Reduction: TypeAlias = Literal["sum", "mean"]
Floats: TypeAlias = NDArray[np.float32]

# Keeps Dice from dividing by nothing, and a focus below 1 from an infinite slope at 0.
_EPS = 1e-6


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """What training minimises. The defaults are the paper's: plain cross entropy, summed.

    Attributes:
        kind: ``bce``, or ``dice`` (arXiv 1911.02855, equation 8).
        alpha: Weight of positives, with 1 - alpha for negatives; None: both count the same.
        gamma: Focus on what is not known yet (arXiv 1708.02002, equation 5); 0: none. For ``dice``
            the power of its own focus.
        margin: Negatives whose probability is below this cost nothing (arXiv 2009.14119).
        smoothing: How far targets are moved from 0 and 1 towards one half: 1 is all the way.
        width_weight: Whether a positive span of k words counts 1 + log(k) times. Span models.
        keep_negatives: Share of the negatives that count, drawn anew at every step.
        masking: What is left out together: single elements, all elements of a label that a text
            has nothing of, or all of a span (a word) that is nothing.
        floor: Probabilities below this cost no more than it does. Upstream has 1e-6, where a model
            that is wrong beyond any doubt learns nothing from it; 0: there is always a slope.
        reduction: ``sum``, or ``mean`` over spans (token models: over words and labels).
    """

    kind: LossKind = "bce"
    alpha: float | None = None
    gamma: float = 0.0
    margin: float = 0.0
    smoothing: float = 0.0
    width_weight: bool = False
    keep_negatives: float = 1.0
    masking: Masking = "element"
    floor: float = 0.0
    reduction: Reduction = "sum"


def element_losses(logits: Tensor, targets: Tensor, objective: LossConfig) -> Tensor:
    """Give the loss of each score.

    Args:
        logits: Scores, all finite. *Shape:* any.
        targets: 0 or 1. The same shape.
        objective: Which loss.

    Returns:
        In the same shape.
    """
    if objective.kind == "dice":
        return _dice(logits, targets, objective.gamma)
    if objective.smoothing:
        targets = torch.lerp(targets, torch.full_like(targets, 0.5), objective.smoothing)
    if objective.gamma or objective.margin or objective.floor:
        losses = _focal(logits, targets, objective)
    else:
        losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    if objective.alpha is None:
        return losses
    return losses * (objective.alpha * targets + (1 - objective.alpha) * (1 - targets))


def total_loss(
    logits: Sequence[Tensor],
    targets: Sequence[Tensor],
    weights: Sequence[Tensor],
    objective: LossConfig,
) -> Tensor:
    """Add up the losses of rows.

    Args:
        logits: One tensor a row, of any shape.
        targets: In the same shapes.
        weights: How much each counts. In the same shapes.
        objective: Which loss; its reduction is the caller's, who may have more rows than these.

    Returns:
        *Shape:* (), float32.
    """
    flat = [torch.cat([part.reshape(-1) for part in parts]) for parts in (logits, targets, weights)]
    return (element_losses(flat[0], flat[1], objective) * flat[2]).sum()


def keep_negatives(values: Floats, objective: LossConfig, rng: np.random.Generator) -> Floats:
    """Draw which elements count.

    Args:
        values: Targets, 0 or 1. *Shape:* (spans, labels) or (words, labels, 3).
        objective: Gives the share and what is drawn together.
        rng: The source of chance.

    Returns:
        1 where an element counts, 0 where it does not. The same shape.
    """
    if objective.keep_negatives >= 1.0:
        return np.ones_like(values)
    axes: dict[Masking, tuple[int, ...]] = {
        "element": (),
        "label": tuple(axis for axis in range(values.ndim) if axis != 1),
        "span": tuple(range(1, values.ndim)),
    }
    is_negative = values.sum(axis=axes[objective.masking], keepdims=True) == 0
    # Elements of a label or span are drawn one by one, too: what is drawn together is only that
    # they may be left out at all.
    drawn = rng.random(values.shape, dtype=np.float32) < objective.keep_negatives
    return np.where(is_negative, drawn, True).astype(np.float32)


def _focal(logits: Tensor, targets: Tensor, objective: LossConfig) -> Tensor:
    """*Shape:* any, any to the same."""
    yes = logits.sigmoid()
    # As a negative, what is less than the margin is right already.
    yes_as_negative = (yes - objective.margin).clamp(min=0.0) if objective.margin else yes
    if objective.floor:
        yes_loss = -yes.clamp(min=objective.floor).log()
        no_loss = -(1 - yes_as_negative).clamp(min=objective.floor).log()
    else:
        yes_loss = F.softplus(-logits)
        no_loss = F.softplus(logits)
        if objective.margin:
            no_loss = -((-logits).sigmoid() + objective.margin).clamp(max=1.0).log()
    losses = targets * yes_loss + (1 - targets) * no_loss
    if objective.gamma:
        wrong = targets * (1 - yes) + (1 - targets) * yes_as_negative
        losses = losses * wrong.clamp(min=_EPS) ** objective.gamma
    return losses


def _dice(logits: Tensor, targets: Tensor, gamma: float) -> Tensor:
    """*Shape:* any, any to the same."""
    yes = logits.sigmoid()
    # (1 - yes) to the power of gamma, with a slope where that is 0.
    focused = (gamma * F.logsigmoid(-logits)).exp() * yes
    return 1 - (2 * focused * targets + _EPS) / (focused + targets + _EPS)
