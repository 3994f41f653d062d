"""Dropout whose chance is cheap on a CPU.

torch draws its Bernoulli numbers one at a time, which shows in the training of a small encoder.
Whole 64-bit words of the same generator, read as four numbers each, are several times cheaper.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LEVELS = 1 << 16
_PER_WORD = 4


def dropout(x: Tensor, rate: float, training: bool = True) -> Tensor:
    """Set elements to 0 by chance and scale the others up, so that the mean stays.

    Args:
        x: Any tensor.
        rate: Share of the elements that is dropped; on a CPU rounded to a 65,536th.
        training: Whether to do it at all.

    Returns:
        The same shape and dtype; `x` itself where nothing is dropped.
    """
    level = round(rate * _LEVELS)
    if not training or not level:
        return x
    if x.device.type != "cpu" or level >= _LEVELS:
        return F.dropout(x, rate)
    words = x.new_empty(-(-x.numel() // _PER_WORD), dtype=torch.int64).random_(-(2**63), None)
    chances = words.view(torch.int16)[: x.numel()].view(x.shape)
    kept = x.new_empty(x.shape)
    torch.ge(chances, level - _LEVELS // 2, out=kept)
    return x * kept.mul_(_LEVELS / (_LEVELS - level))


class Dropout(nn.Dropout):
    """torch's layer of that name, with the function above."""

    def forward(self, x: Tensor) -> Tensor:
        """*Shape:* any, unchanged."""
        return dropout(x, self.p, self.training)


def replace_dropout(network: nn.Module) -> None:
    """Put `Dropout` in the place of each of torch's layers in a network."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, Dropout(child.p).train(child.training))
