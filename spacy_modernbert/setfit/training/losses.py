"""Contrast within a batch: every pair of its texts is used, and each text is encoded once.

Sentence-transformers draws pairs beforehand and encodes both sides, so that sixteen pairs cost 32
encodings and teach 16 similarities. The same 32 texts hold 496.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..arrays import LabelMatrix

# (vectors, target similarities) -> loss
Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
TEMPERATURE = 0.07
# The cosine from which two texts count as one.
_SAME = 0.9999


def similarities(labels: Tensor) -> Tensor:
    """Return how similar each two texts of a batch should be: the share of labels in common.

    That is the Jaccard index over the labels for which both are annotated. It is 1 or 0 for texts
    of one label each.

    Returns:
        NaN for a text and itself, and where two texts have no label between them, or no
        annotation in common: such pairs teach nothing. *Shape:* (texts, labels) to (texts, texts).
    """
    known = (~labels.isnan()).to(labels.dtype)
    has = labels.nan_to_num(0.0)
    common = has @ has.T
    either = has @ known.T + known @ has.T - common
    targets = torch.where(either > 0, common / either.clamp(min=1e-9), torch.nan)
    return targets.fill_diagonal_(torch.nan)


def can_contrast(targets: Tensor) -> bool:
    """Return whether two texts should differ. *Shape:* (texts, texts), as from `similarities`.

    Where all should be the same, the loss is lowest when all texts have one vector.
    """
    return bool((targets < 1).any())


def labels_differ(labels: LabelMatrix) -> bool:
    """Return whether a batch of any of these texts can contrast. *Shape:* (texts, labels)."""
    rows = np.unique(np.nan_to_num(labels, nan=-1.0), axis=0)
    return can_contrast(similarities(torch.from_numpy(np.where(rows < 0, np.nan, rows))))


def are_alike(vectors: Tensor) -> bool:
    """Return whether texts can't be told apart any more. *Shape:* (texts, width)."""
    units = F.normalize(vectors, dim=1)
    return bool((units @ units[:1].T > _SAME).all())


def cosine_loss(vectors: Tensor, targets: Tensor) -> Tensor:
    """Mean squared error of the cosines (the loss of the SetFit paper, section 3.1).

    Pairs that share a label and pairs that share none get half of the weight each, however many
    pairs of either sort a batch has.

    Args:
        vectors: Sentence vectors. *Shape:* (texts, width).
        targets: Target cosines, NaN for a pair that doesn't count. *Shape:* (texts, texts).

    Returns:
        *Shape:* (), 0 where no pair counts.
    """
    units = F.normalize(vectors, dim=1)
    errors = (units @ units.T - targets.nan_to_num(0.0)).square()
    sorts = [targets > 0, targets == 0]
    means = [(errors * pairs).sum() / pairs.sum() for pairs in sorts if pairs.any()]
    return torch.stack(means).mean() if means else errors.sum() * 0.0


def contrastive_loss(
    vectors: Tensor, targets: Tensor, *, temperature: float = TEMPERATURE
) -> Tensor:
    """Supervised contrastive loss (arXiv 2004.11362, equation 2).

    Each text has to tell the texts that share a label with it from all others. Texts that share
    more labels count more.

    A lower temperature makes near misses count more. For arguments and shapes see `cosine_loss`;
    the loss is 0 where no text has a partner.
    """
    units = F.normalize(vectors, dim=1)
    counts = ~targets.isnan()
    # A finite floor: texts without any pair would give NaN, and their gradient too.
    logits = (units @ units.T / temperature).masked_fill(~counts, -1e9)
    weights = targets.nan_to_num(0.0)
    totals = weights.sum(dim=1)
    errors = -(weights * F.log_softmax(logits, dim=1)).sum(dim=1)
    partnered = totals > 0
    if not partnered.any():
        return units.sum() * 0.0
    return (errors[partnered] / totals[partnered]).mean()


LOSSES: dict[str, Loss] = {"cosine": cosine_loss, "supcon": contrastive_loss}


def loss_and_gradient(name: str, vectors: Tensor, targets: Tensor) -> tuple[float, Tensor]:
    """Return a loss of `LOSSES`, and its gradient to vectors, *shape* (texts, width)."""
    vectors = vectors.detach().requires_grad_()
    loss = LOSSES[name](vectors, targets)
    (gradient,) = torch.autograd.grad(loss, vectors)
    return float(loss.detach()), gradient
