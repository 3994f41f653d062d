"""BERT, RoBERTa and similar networks over packed sequences: transformers' layers, our attention.

Everything in such a layer except its attention works on one piece at a time and takes packed
sequences as they are. So nothing is spent on padding, and only a few lines are rewritten.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor

from .attention import SequenceLayout, attend
from .packing import PackedBatch

# These count positions from the padding id on, so that many positions cannot be used.
OFFSET_POSITIONS = {"roberta", "xlm-roberta", "camembert", "mpnet", "longformer", "xlm-roberta-xl"}
_BERT_LIKE = {"bert", "roberta", "xlm-roberta", "camembert"}


def is_bert_like(config: Any) -> bool:
    """Tell whether a transformers configuration describes such a network.

    Networks with relative positions, which enter the attention, do not count.
    """
    positions = getattr(config, "position_embedding_type", "absolute")
    return config.model_type in _BERT_LIKE and positions == "absolute"


def packed_layer_outputs(
    network: Any, batch: PackedBatch, *, dtype: torch.dtype
) -> Iterator[Tensor]:
    """Yield the output of each layer.

    Args:
        network: A transformers model for which `is_bert_like` holds.
        batch: Sequences, none longer than the network's table of positions.
        dtype: Number format of the matrix products, as autocast has set it.

    Yields:
        *Shape:* (total, hidden).
    """
    config = network.config
    layout = SequenceLayout.from_batch(batch, half_window=0, dtype=dtype)
    first = config.pad_token_id + 1 if config.model_type in OFFSET_POSITIONS else 0
    hidden = network.embeddings(
        input_ids=batch.ids[None],
        token_type_ids=torch.zeros_like(batch.ids)[None],
        position_ids=batch.positions[None] + first,
    )[0]
    for layer in network.encoder.layer:
        attention = layer.attention.self
        parts = [linear(hidden) for linear in (attention.query, attention.key, attention.value)]
        qkv = torch.stack(parts, dim=1).unflatten(-1, (config.num_attention_heads, -1))
        rate = attention.dropout.p if attention.dropout.training else 0.0
        context = attend(qkv, layout, sliding=False, dropout=rate)
        attended = layer.attention.output(context, hidden)
        hidden = cast(Tensor, layer.output(layer.intermediate(attended), attended))
        yield hidden
