"""Dropout with random numbers that are cheap on a CPU.

torch draws Bernoulli numbers one at a time, which slows the training of a small encoder down.
Reading each 64-bit word of the same generator as four numbers is several times cheaper.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LEVELS = 1 << 16
_PER_WORD = 4


def dropout(x: Tensor, rate: float, training: bool = True) -> Tensor:
    """Set random elements to 0 and scale the others up, so that the mean stays.

    Args:
        x: Any tensor.
        rate: Share of the elements that are dropped; on a CPU, a multiple of 1/65,536.
        training: Whether to drop any.

    Returns:
        The same shape and dtype; `x` itself if nothing is dropped.
    """
    level = round(rate * _LEVELS)
    if not training or not level:
        return x
    if x.device.type != "cpu" or level >= _LEVELS:
        return F.dropout(x, rate)
    words = x.new_empty(-(-x.numel() // _PER_WORD), dtype=torch.int64).random_(-(2**63), None)
    numbers = words.view(torch.int16)[: x.numel()].view(x.shape)
    kept = x.new_empty(x.shape)
    torch.ge(numbers, level - _LEVELS // 2, out=kept)
    return x * kept.mul_(_LEVELS / (_LEVELS - level))


class Dropout(nn.Dropout):
    """The layer of torch, with the function above."""

    def forward(self, x: Tensor) -> Tensor:
        """*Shape:* any, unchanged."""
        return dropout(x, self.p, self.training)


def replace_dropout(network: nn.Module) -> None:
    """Replace each dropout layer of torch in a network by `Dropout`."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, Dropout(child.p).train(child.training))
