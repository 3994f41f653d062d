"""The loss of each score: cross entropy, with focus and margin if wanted, or Dice.

Every score is a binary decision of its own (arXiv 2311.08526, equation 4), so a loss is a function
of one logit and one target. How much each score counts (unknown spans, negatives that are left out,
wide spans) is a weight, made along with the targets in `targets.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .config import LossConfig

# Keeps Dice from dividing by 0, and a focus below 1 from an infinite slope at 0.
_EPS = 1e-6


def element_losses(logits: Tensor, targets: Tensor, config: LossConfig) -> Tensor:
    """Compute the loss of each score, for targets of 0 to 1. *Shape:* any, any to the same."""
    if config.name == "dice":
        return _dice(logits, targets, config.gamma)
    if config.label_smoothing:
        targets = torch.lerp(targets, torch.full_like(targets, 0.5), config.label_smoothing)
    if config.gamma or config.margin or config.min_probability:
        losses = _focal(logits, targets, config)
    else:
        losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    if config.alpha is None:
        return losses
    return losses * (config.alpha * targets + (1 - config.alpha) * (1 - targets))


def total_loss(
    logits: Sequence[Tensor],
    targets: Sequence[Tensor],
    weights: Sequence[Tensor],
    config: LossConfig,
) -> Tensor:
    """Add up the losses of sequences, with a weight for each score.

    The reduction is up to the caller, who may have more sequences. *Shape:* one tensor per
    sequence, of any shape, three times, to (), float32.
    """
    flat = [torch.cat([part.reshape(-1) for part in parts]) for parts in (logits, targets, weights)]
    return (element_losses(flat[0], flat[1], config) * flat[2]).sum()


def _focal(logits: Tensor, targets: Tensor, config: LossConfig) -> Tensor:
    """*Shape:* any, any to the same."""
    yes, least = logits.sigmoid(), config.min_probability
    # For a negative, a probability below the margin is as good as 0.
    yes_as_negative = (yes - config.margin).clamp(min=0.0) if config.margin else yes
    if least:
        yes_loss = -yes.clamp(min=least).log()
        no_loss = -(1 - yes_as_negative).clamp(min=least).log()
    else:
        yes_loss = F.softplus(-logits)
        no_loss = F.softplus(logits)
        if config.margin:
            no_loss = -((-logits).sigmoid() + config.margin).clamp(max=1.0).log()
    losses = targets * yes_loss + (1 - targets) * no_loss
    if config.gamma:
        wrong = targets * (1 - yes) + (1 - targets) * yes_as_negative
        losses = losses * wrong.clamp(min=_EPS) ** config.gamma
    return losses


def _dice(logits: Tensor, targets: Tensor, gamma: float) -> Tensor:
    """*Shape:* any, any to the same."""
    yes = logits.sigmoid()
    # (1 - yes) to the power of gamma, with a slope where that is 0.
    focused = (gamma * F.logsigmoid(-logits)).exp() * yes
    return 1 - (2 * focused * targets + _EPS) / (focused + targets + _EPS)
