"""Attention over packed rows: full inside each row, or in a window that slides along it.

Nothing here is as large as row x row. Full attention gives each row to torch's fused kernel.
Sliding attention cuts a row into blocks of queries and gives each block the keys it can reach,
so its cost grows with the text and not with its square:

    keys     [....|====|====|====|....]
    queries            [====]             one block sees itself and `reach` places on each side

No call ever holds two different rows, hence no mask between them, and no row can see another.
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
    """Look for torch's attention over packed rows, in a version that knows windows."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    known = inspect.signature(varlen_attn).parameters
    return varlen_attn if "window_size" in known else None


varlen_attn = _find_varlen()

# Queries of one block of sliding attention, at least: smaller products run less efficiently.
MIN_BLOCK = 64


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the rows of one batch lie, and who sees whom in a window; made once a forward.

    Attributes:
        runs: neighbouring rows of equal length, as (rows, length).
        band: 0 where query i of a block may see a key, -inf elsewhere; key j lies at place
            j - block of the queries. *Shape:* (block, 3 * block).
        reach: neighbours a piece sees on each side in sliding layers.
        cu_seqlens: where each row starts. *Shape:* (rows + 1,), int32.
        max_length: pieces in the longest row.
    """

    runs: tuple[tuple[int, int], ...]
    band: Tensor
    reach: int
    cu_seqlens: Tensor
    max_length: int

    @classmethod
    def of(cls, batch: PackedBatch, *, reach: int, dtype: torch.dtype) -> Layout:
        """Lay out a batch for queries of one dtype."""
        groups = ((sum(1 for _ in group), length) for length, group in groupby(batch.lengths))
        runs = tuple((rows, length) for rows, length in groups if length)
        block = max(reach, MIN_BLOCK)
        queries = torch.arange(block, device=batch.device).unsqueeze(1)
        far = (torch.arange(-block, 2 * block, device=batch.device) - queries).abs() > reach
        band = torch.zeros(far.shape, dtype=dtype, device=batch.device)
        return cls(
            runs=runs,
            band=band.masked_fill_(far, float("-inf")),
            reach=reach,
            cu_seqlens=batch.cu_seqlens,
            max_length=batch.max_length,
        )

    @property
    def dtype(self) -> torch.dtype:
        """Number format of queries, keys, values and all other products."""
        return self.band.dtype

    def heads(self, qkv: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Views of the queries, keys and values of each run. *Shape:* (rows, heads, length, d)."""
        # Split, not sliced: the gradient of a slice is as large as the whole that it was cut from.
        parts = qkv.split([rows * length for rows, length in self.runs])
        for part, run in zip(parts, self.runs, strict=True):
            query, key, value = part.unflatten(0, run).permute(2, 0, 3, 1, 4).unbind(0)
            yield query, key, value

    def blocks(self, length: int) -> Iterator[tuple[slice, slice, Tensor]]:
        """Blocks of a row: their queries, the keys these reach, and the mask between both."""
        block = len(self.band)
        for start in range(0, length, block):
            end = min(start + block, length)
            first, last = max(0, start - self.reach), min(length, end + self.reach)
            shift = block - start
            mask = self.band[: end - start, first + shift : last + shift]
            yield slice(start, end), slice(first, last), mask

    def is_covered(self, length: int) -> bool:
        """Whether the window is as wide as the whole row, from each of its pieces."""
        return length <= self.reach + 1


def attend(qkv: Tensor, layout: Layout, *, sliding: bool, dropout: float = 0.0) -> Tensor:
    """Attention as a new tensor, differentiable.

    Args:
        qkv: turned queries and keys, and values. *Shape:* (total, 3, heads, head_dim).
        layout: where the rows lie.
        sliding: see the window only, not the whole row.
        dropout: rate on the attention weights.

    Returns:
        *Shape:* (total, heads * head_dim).
    """
    if _has_varlen(qkv) and not dropout:
        return _attend_varlen(qkv, layout, sliding=sliding)
    parts = [qkv.new_empty(0, qkv.shape[2] * qkv.shape[3])]
    for query, key, value in layout.heads(qkv):
        if not sliding or layout.is_covered(query.shape[2]):
            seen = _look(query, key, value, dropout=dropout)
        else:
            seen = _attend_blocks(query, key, value, layout, dropout)
        parts.append(seen.transpose(1, 2).flatten(2).flatten(0, 1))
    return torch.cat(parts)


def attend_(qkv: Tensor, layout: Layout, *, sliding: bool) -> Tensor:
    """Attention in the place of the queries, which nobody needs once they have been answered.

    Args:
        qkv: turned queries and keys, and values. *Shape:* (total, 3, heads, head_dim).
        layout: where the rows lie.
        sliding: see the window only, not the whole row.

    Returns:
        *Shape:* (total, heads * head_dim), a view into `qkv` unless a GPU kernel made it.
    """
    if _has_varlen(qkv):
        return _attend_varlen(qkv, layout, sliding=sliding)
    for query, key, value in layout.heads(qkv):
        if not sliding or layout.is_covered(query.shape[2]):
            query.copy_(F.scaled_dot_product_attention(query, key, value))
            continue
        for own, reached, mask in layout.blocks(query.shape[2]):
            part = query[:, :, own]
            near = key[:, :, reached], value[:, :, reached]
            part.copy_(F.scaled_dot_product_attention(part, *near, attn_mask=mask))
    return qkv[:, 0].flatten(1)


def _attend_blocks(
    query: Tensor, key: Tensor, value: Tensor, layout: Layout, dropout: float
) -> Tensor:
    """Sliding attention of one run. *Shape:* (rows, heads, length, head_dim), all of them.

    The keys are put together from neighbouring blocks rather than sliced: the gradient of a
    slice is as large as the row it was cut from, which would make the backward pass quadratic.
    """
    block, length = len(layout.band), query.shape[2]
    queries, keys, values = (x.split(block, dim=2) for x in (query, key, value))
    seen = []
    for i, part in enumerate(queries):
        first, last = max(0, i - 1), min(i + 2, len(queries))
        width = min(last * block, length) - first * block
        shift = (first - i + 1) * block
        mask = layout.band[: part.shape[2], shift : shift + width]
        near = torch.cat(keys[first:last], dim=2), torch.cat(values[first:last], dim=2)
        seen.append(_look(part, *near, mask=mask, dropout=dropout))
    return torch.cat(seen, dim=2)


def _look(
    query: Tensor, key: Tensor, value: Tensor, *, mask: Tensor | None = None, dropout: float
) -> Tensor:
    """One call of attention, step by step where torch's CPU kernel, too, could not fuse it."""
    if not dropout or query.is_cuda:
        return F.scaled_dot_product_attention(query, key, value, mask, dropout)
    weights = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    weights = weights if mask is None else weights + mask
    return drop(weights.softmax(dim=-1), dropout) @ value


def _has_varlen(qkv: Tensor) -> bool:
    """Whether torch's kernel for packed rows takes these: half precision, on a GPU."""
    half = qkv.dtype in (torch.bfloat16, torch.float16)
    return varlen_attn is not None and qkv.is_cuda and half and qkv.shape[-1] % 8 == 0


def _attend_varlen(qkv: Tensor, layout: Layout, *, sliding: bool) -> Tensor:
    window = (layout.reach, layout.reach) if sliding else (-1, -1)
    rows, longest = layout.cu_seqlens, layout.max_length
    query, key, value = qkv.unbind(1)
    kernel = cast(Callable[..., Tensor], varlen_attn)
    seen = kernel(query, key, value, rows, rows, longest, longest, window_size=window)
    return seen.flatten(1)
