"""BERT, RoBERTa and their like over packed rows: transformers' layers around our attention.

Everything in such a layer but its attention works on one piece at a time and takes packed rows as
they are. So nothing is spent on padding, and what is rewritten is a few lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor

from .attention import Layout, attend
from .packing import PackedBatch

# These count positions from the padding id on, so that many positions are out of reach.
OFFSET_POSITIONS = {"roberta", "xlm-roberta", "camembert", "mpnet", "longformer", "xlm-roberta-xl"}
_KINDS = {"bert", "roberta", "xlm-roberta", "camembert"}


def is_like_bert(config: Any) -> bool:
    """Whether a transformers configuration describes such an encoder.

    Those with relative positions, which enter the attention, are none.
    """
    positions = getattr(config, "position_embedding_type", "absolute")
    return config.model_type in _KINDS and positions == "absolute"


def packed_layer_outputs(
    network: Any, batch: PackedBatch, *, dtype: torch.dtype
) -> Iterator[Tensor]:
    """Yield the output of each layer.

    Args:
        network: A transformers model for which `is_like_bert` holds.
        batch: The rows, none longer than the network's table of positions.
        dtype: Format of the matrix products, as autocast has set it.

    Yields:
        *Shape:* (total, hidden).
    """
    config = network.config
    layout = Layout.of(batch, reach=0, dtype=dtype)
    first = config.pad_token_id + 1 if config.model_type in OFFSET_POSITIONS else 0
    hidden = network.embeddings(
        input_ids=batch.ids[None],
        token_type_ids=torch.zeros_like(batch.ids)[None],
        position_ids=batch.positions[None] + first,
    )[0]
    for layer in network.encoder.layer:
        own = layer.attention.self
        parts = [linear(hidden) for linear in (own.query, own.key, own.value)]
        qkv = torch.stack(parts, dim=1).unflatten(-1, (config.num_attention_heads, -1))
        rate = own.dropout.p if own.dropout.training else 0.0
        seen = attend(qkv, layout, sliding=False, dropout=rate)
        attended = layer.attention.output(seen, hidden)
        hidden = cast(Tensor, layer.output(layer.intermediate(attended), attended))
        yield hidden
