"""Sums over the first and the last word of every span of a sequence, as training needs them.

Autograd would keep one result per width, copy all of them together, and copy them once more for
the activation. Here every sum is written once, to its place, and the backward pass reads it once.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .span_layout import count_spans, width_blocks


def add_bounds(starts: Tensor, ends: Tensor, max_width: int, *, relu: bool) -> Tensor:
    """Add the parts of the first and the last word of every span of a sequence.

    With ``relu`` sums below 0 become 0. *Shape:* what each word adds to the spans that start, and
    that end, with it, two of (words, inner), to (spans, inner), in the order of `span_layout`.
    """
    return cast(Tensor, _AddBounds.apply(starts, ends, max_width, relu))


class _AddBounds(torch.autograd.Function):
    """The sums, and the gradients of their parts."""

    @staticmethod
    def forward(ctx: Any, starts: Tensor, ends: Tensor, max_width: int, relu: bool) -> Tensor:
        n_words, width = starts.shape
        sums = starts.new_empty((count_spans(n_words, max_width), width))
        for span, start, end in width_blocks(n_words, max_width):
            torch.add(starts[start], ends[end], out=sums[span])
        if relu:
            sums.relu_()
        ctx.layout = (n_words, max_width, relu)
        ctx.save_for_backward(sums if relu else sums.new_empty(0))
        return sums

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        n_words, max_width, relu = ctx.layout
        (sums,) = ctx.saved_tensors
        if relu:
            gradient = torch.ops.aten.threshold_backward(gradient, sums, 0)
        d_starts, d_ends = gradient.new_zeros((2, n_words, gradient.shape[1]))
        for span, start, end in width_blocks(n_words, max_width):
            d_starts[start] += gradient[span]
            d_ends[end] += gradient[span]
        return d_starts, d_ends, None, None
