"""All spans of a batch at once, as training needs them: what two words add up to.

Autograd would keep one result a width, copy them together, and copy them once more for the
activation. Here every sum is written once, to its place, and the way back reads it once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def span_count(n_words: int, max_width: int) -> int:
    """Number of spans of a row, of up to so many words."""
    widest = min(max_width, n_words)
    return widest * n_words - widest * (widest - 1) // 2


def add_edges(
    starts: Tensor, ends: Tensor, lengths: Sequence[int], max_width: int, *, relu: bool
) -> Tensor:
    """Add the edges of every span of every row.

    Args:
        starts: What each word adds to the spans that start with it. *Shape:* (words, inner).
        ends: What it adds to those that end with it. *Shape:* (words, inner).
        lengths: Words of each row.
        max_width: Most words of a span.
        relu: Whether sums below 0 become 0.

    Returns:
        Row by row, and in a row the spans of one word first, then those of two ... *Shape:*
        (spans, inner).
    """
    return cast(Tensor, _AddEdges.apply(starts, ends, tuple(lengths), max_width, relu))


class _AddEdges(torch.autograd.Function):
    """The sums, and the way back through them."""

    @staticmethod
    def forward(
        ctx: Any, starts: Tensor, ends: Tensor, lengths: tuple[int, ...], max_width: int, relu: bool
    ) -> Tensor:
        total = sum(span_count(n_words, max_width) for n_words in lengths)
        sums = starts.new_empty((total, starts.shape[1]))
        for span, start, end in _blocks(lengths, max_width):
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
        for span, start, end in _blocks(lengths, max_width):
            d_starts[start] += gradient[span]
            d_ends[end] += gradient[span]
        return d_starts, d_ends, None, None, None


def _blocks(lengths: Sequence[int], max_width: int) -> Iterator[tuple[slice, slice, slice]]:
    """Where the spans of a row and a width lie, with their first and their last words."""
    at, first = 0, 0
    for n_words in lengths:
        for wider in range(min(max_width, n_words)):
            count = n_words - wider
            yield (
                slice(at, at + count),
                slice(first, first + count),
                slice(first + wider, first + n_words),
            )
            at += count
        first += n_words
