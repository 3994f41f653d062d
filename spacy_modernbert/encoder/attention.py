"""Attention over packed sequences: full within each sequence, or in a window that slides along it.

No tensor here is as large as sequence x sequence. Full attention gives each sequence to torch's
fused kernel. Sliding-window attention cuts a sequence into blocks of queries and gives each block
only the keys in its window, so its cost grows with the text and not with its square:

    keys     [....|====|====|====|....]
    queries            [====]             a block attends to itself and `half_window` on each side

No call ever holds two different sequences, so none needs a mask between them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from .dropout import dropout as drop
from .packing import PackedBatch


def _find_varlen() -> Callable[..., Any] | None:
    """Return torch's attention over packed sequences, None if this version has no windows."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    known = inspect.signature(varlen_attn).parameters
    return varlen_attn if "window_size" in known else None


varlen_attn = _find_varlen()

# Fewest queries in a block of sliding-window attention: smaller products run less efficiently.
MIN_BLOCK = 64


@dataclass(frozen=True, eq=False)
class SequenceLayout:
    """Where the sequences of a batch lie, and the mask of sliding windows; made once a forward.

    Attributes:
        groups: Neighboring sequences of equal length, as (sequences, length).
        band: 0 where query i of a block attends to a key, -inf elsewhere; key j lies at position
            j - block relative to the queries. *Shape:* (block, 3 * block).
        half_window: Neighbors that a piece attends to on each side in sliding-window layers.
        cu_seqlens: Where each sequence starts. *Shape:* (sequences + 1,), int32.
        max_length: Pieces in the longest sequence.
    """

    groups: tuple[tuple[int, int], ...]
    band: Tensor
    half_window: int
    cu_seqlens: Tensor
    max_length: int

    @classmethod
    def from_batch(
        cls, batch: PackedBatch, *, half_window: int, dtype: torch.dtype
    ) -> SequenceLayout:
        """Lay out a batch for queries of one dtype."""
        runs = ((sum(1 for _ in run), length) for length, run in groupby(batch.lengths))
        groups = tuple((n_sequences, length) for n_sequences, length in runs if length)
        block = max(half_window, MIN_BLOCK)
        queries = torch.arange(block, device=batch.device).unsqueeze(1)
        keys = torch.arange(-block, 2 * block, device=batch.device)
        outside = (keys - queries).abs() > half_window
        band = torch.zeros(outside.shape, dtype=dtype, device=batch.device)
        return cls(
            groups=groups,
            band=band.masked_fill_(outside, float("-inf")),
            half_window=half_window,
            cu_seqlens=batch.cu_seqlens,
            max_length=batch.max_length,
        )

    @property
    def dtype(self) -> torch.dtype:
        """Number format of queries, keys, values and all other products."""
        return self.band.dtype

    def heads(self, qkv: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield views of queries, keys and values of each group.

        *Shape:* (sequences, heads, length, head_dim).
        """
        # Split, not sliced: the gradient of a slice is as large as the tensor it was cut from.
        parts = qkv.split([n_sequences * length for n_sequences, length in self.groups])
        for part, group in zip(parts, self.groups, strict=True):
            query, key, value = part.unflatten(0, group).permute(2, 0, 3, 1, 4).unbind(0)
            yield query, key, value

    def blocks(self, length: int) -> Iterator[tuple[slice, slice, Tensor]]:
        """Yield the queries of each block of a sequence, the keys in their windows, the mask."""
        block = len(self.band)
        for start in range(0, length, block):
            end = min(start + block, length)
            first, last = max(0, start - self.half_window), min(length, end + self.half_window)
            shift = block - start
            mask = self.band[: end - start, first + shift : last + shift]
            yield slice(start, end), slice(first, last), mask

    def is_covered(self, length: int) -> bool:
        """Tell whether the window of each piece covers a whole sequence of this length."""
        return length <= self.half_window + 1


def attend(qkv: Tensor, layout: SequenceLayout, *, sliding: bool, dropout: float = 0.0) -> Tensor:
    """Compute attention into a new tensor; differentiable.

    Args:
        qkv: Rotated queries and keys, and values. *Shape:* (total, 3, heads, head_dim).
        layout: Where the sequences lie.
        sliding: Whether pieces attend to their window only, not to the whole sequence.
        dropout: Rate on the attention weights.

    Returns:
        *Shape:* (total, heads * head_dim).
    """
    if _has_varlen(qkv) and not dropout:
        return _attend_varlen(qkv, layout, sliding=sliding)
    parts = [qkv.new_empty(0, qkv.shape[2] * qkv.shape[3])]
    for query, key, value in layout.heads(qkv):
        if not sliding or layout.is_covered(query.shape[2]):
            context = _scaled_dot_product(query, key, value, dropout=dropout)
        else:
            context = _attend_blocks(query, key, value, layout, dropout)
        parts.append(context.transpose(1, 2).flatten(2).flatten(0, 1))
    return torch.cat(parts)


def attend_(qkv: Tensor, layout: SequenceLayout, *, sliding: bool) -> Tensor:
    """Compute attention in place: the output overwrites the queries, each after its last use.

    Args:
        qkv: Rotated queries and keys, and values. *Shape:* (total, 3, heads, head_dim).
        layout: Where the sequences lie.
        sliding: Whether pieces attend to their window only, not to the whole sequence.

    Returns:
        *Shape:* (total, heads * head_dim), a view into `qkv` unless a GPU kernel made it.
    """
    if _has_varlen(qkv):
        return _attend_varlen(qkv, layout, sliding=sliding)
    for query, key, value in layout.heads(qkv):
        if not sliding or layout.is_covered(query.shape[2]):
            query.copy_(F.scaled_dot_product_attention(query, key, value))
            continue
        for queries, keys, mask in layout.blocks(query.shape[2]):
            block = query[:, :, queries]
            window = key[:, :, keys], value[:, :, keys]
            block.copy_(F.scaled_dot_product_attention(block, *window, attn_mask=mask))
    return qkv[:, 0].flatten(1)


def _attend_blocks(
    query: Tensor, key: Tensor, value: Tensor, layout: SequenceLayout, dropout: float
) -> Tensor:
    """Compute sliding-window attention of a group.

    The keys are concatenated from neighboring blocks rather than sliced: the gradient of a slice
    is as large as the sequence it was cut from, which would make the backward pass quadratic.

    *Shape:* (sequences, heads, length, head_dim), all of them.
    """
    block, length = len(layout.band), query.shape[2]
    queries, keys, values = (x.split(block, dim=2) for x in (query, key, value))
    contexts = []
    for i, part in enumerate(queries):
        first, last = max(0, i - 1), min(i + 2, len(queries))
        width = min(last * block, length) - first * block
        shift = (first - i + 1) * block
        mask = layout.band[: part.shape[2], shift : shift + width]
        window = torch.cat(keys[first:last], dim=2), torch.cat(values[first:last], dim=2)
        contexts.append(_scaled_dot_product(part, *window, mask=mask, dropout=dropout))
    return torch.cat(contexts, dim=2)


def _scaled_dot_product(
    query: Tensor, key: Tensor, value: Tensor, *, mask: Tensor | None = None, dropout: float
) -> Tensor:
    """Compute one product of attention, step by step where torch's CPU kernel cannot fuse it."""
    if not dropout or query.is_cuda:
        return F.scaled_dot_product_attention(query, key, value, mask, dropout)
    weights = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    weights = weights if mask is None else weights + mask
    return drop(weights.softmax(dim=-1), dropout) @ value


def _has_varlen(qkv: Tensor) -> bool:
    """Tell whether torch's kernel for packed sequences applies: half precision, on a GPU."""
    half = qkv.dtype in (torch.bfloat16, torch.float16)
    return varlen_attn is not None and qkv.is_cuda and half and qkv.shape[-1] % 8 == 0


def _attend_varlen(qkv: Tensor, layout: SequenceLayout, *, sliding: bool) -> Tensor:
    window = (layout.half_window, layout.half_window) if sliding else (-1, -1)
    starts, longest = layout.cu_seqlens, layout.max_length
    query, key, value = qkv.unbind(1)
    kernel = cast(Callable[..., Tensor], varlen_attn)
    context = kernel(query, key, value, starts, starts, longest, longest, window_size=window)
    return context.flatten(1)
