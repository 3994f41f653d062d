"""The matrix products that no encoder of ModernBERT's shape can do without."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from spacy_modernbert.encoder.modernbert_config import FULL, ModernBertConfig

QUERIES = 256  # of a long sequence, multiplied at a time
IN_CACHE = 512  # keys up to which the scores of all heads stay in cache


def make_products(
    config: ModernBertConfig, lengths: Sequence[int], dtype: torch.dtype
) -> Callable[[], None]:
    """Build the bare products of one forward pass on preallocated memory.

    The products are the four linear layers, and queries x keys and weights x values, sequence by
    sequence in full layers and block by block in sliding-window ones.
    """
    total, width, inner = sum(lengths), config.hidden_size, config.intermediate_size
    shapes = [(width, 3 * width), (width, width), (width, 2 * inner), (inner, width)]
    linear = [
        (
            torch.randn(total, n).to(dtype),
            torch.randn(m, n).to(dtype).t(),
            torch.empty(total, m, dtype=dtype),
        )
        for n, m in shapes
    ]
    heads = torch.randn(total, 3, config.num_attention_heads, config.head_dim).to(dtype)
    qkv = heads.permute(1, 2, 0, 3)
    pairs = {kind: list(blocks(config, lengths, kind)) for kind in set(config.layer_types)}
    scores = torch.empty(QUERIES, max(lengths), dtype=dtype)

    def run() -> None:
        for kind in config.layer_types:
            for left, right, out in linear:
                torch.mm(left, right, out=out)
            for queries, keys in pairs[kind]:
                attention_products(qkv, queries, keys, scores)

    return run


def blocks(
    config: ModernBertConfig, lengths: Sequence[int], kind: str
) -> Iterator[tuple[slice, slice]]:
    """Yield blocks of queries with the keys that they attend to."""
    size, window = (
        (QUERIES, max(lengths)) if kind == FULL else (config.half_window, config.half_window)
    )
    start = 0
    for length in lengths:
        for begin in range(0, length, size):
            end = min(begin + size, length)
            first, last = max(0, begin - window), min(length, end + window)
            yield slice(start + begin, start + end), slice(start + first, start + last)
        start += length


def attention_products(qkv: Tensor, queries: slice, keys: slice, scores: Tensor) -> None:
    """Multiply queries by keys, and the result by values.

    Where the scores of all heads would leave the cache, heads are multiplied one by one into the
    same memory, because new memory pages cost more than the product.

    Args:
        qkv: *Shape:* (3, heads, pieces, head width).
        queries: Pieces whose queries are multiplied.
        keys: Pieces whose keys and values are multiplied.
        scores: Memory for the scores of one head. *Shape:* (queries, keys) or larger.
    """
    query, key, value = qkv[0, :, queries], qkv[1, :, keys], qkv[2, :, keys]
    if key.shape[1] <= IN_CACHE:
        torch.bmm(torch.bmm(query, key.transpose(1, 2)), value)
        return
    out = scores[: query.shape[1], : key.shape[1]]
    for head in range(len(query)):
        torch.mm(torch.mm(query[head], key[head].t(), out=out), value[head])
