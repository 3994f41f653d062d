"""Sums over the first and the last word of every span of a batch, as training needs them.

Autograd would keep one result per width, copy all of them together, and copy them once more for
the activation. Here every sum is written once, to its place, and the backward pass reads it once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .span_layout import count_spans, width_blocks


def add_bounds(
    starts: Tensor, ends: Tensor, lengths: Sequence[int], max_width: int, *, relu: bool
) -> Tensor:
    """Add the parts of the first and the last word of every span of every sequence.

    Args:
        starts: What each word adds to the spans that start with it. *Shape:* (words, inner).
        ends: What it adds to those that end with it. *Shape:* (words, inner).
        lengths: Number of words of each sequence.
        max_width: Most words of a span.
        relu: Whether sums below 0 become 0.

    Returns:
        The sums in the order of `span_layout`, sequence by sequence. *Shape:* (spans, inner).
    """
    return cast(Tensor, _AddBounds.apply(starts, ends, tuple(lengths), max_width, relu))


class _AddBounds(torch.autograd.Function):
    """The sums, and the gradients of their parts."""

    @staticmethod
    def forward(
        ctx: Any, starts: Tensor, ends: Tensor, lengths: tuple[int, ...], max_width: int, relu: bool
    ) -> Tensor:
        total = sum(count_spans(n_words, max_width) for n_words in lengths)
        sums = starts.new_empty((total, starts.shape[1]))
        for span, start, end in width_blocks(lengths, max_width):
            torch.add(starts[start], ends[end], out=sums[span])
        if relu:
            sums.relu_()
        ctx.layout = (lengths, max_width, relu)
        ctx.save_for_backward(sums if relu else sums.new_empty(0))
        return sums

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        lengths, max_width, relu = ctx.layout
        (sums,) = ctx.saved_tensors
        if relu:
            gradient = torch.ops.aten.threshold_backward(gradient, sums, 0)
        shape = (sum(lengths), gradient.shape[1])
        d_starts, d_ends = gradient.new_zeros(shape), gradient.new_zeros(shape)
        for span, start, end in width_blocks(lengths, max_width):
            d_starts[start] += gradient[span]
            d_ends[end] += gradient[span]
        return d_starts, d_ends, None, None, None
