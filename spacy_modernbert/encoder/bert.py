"""BERT, RoBERTa, XLM-RoBERTa, CamemBERT, ELECTRA and DistilBERT over packed sequences.

These networks differ in the names of their parameters, which are those of the published
checkpoints. The residual stream and the norms are float32; matrix products run in the dtype that
`precision` names.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from ..text.batching import batch_by_budget
from .activations import ACTIVATIONS
from .attention import SequenceLayout, attend
from .bert_config import BERT_TYPES, BertConfig
from .dropout import dropout as drop
from .packed_encoder import PackedEncoder
from .packing import PackedBatch
from .precision import Linear, Precision, resolve_precision

# Pieces that go through the layers together on a CPU. In smaller groups the matrix products would
# run less efficiently; the results of larger ones would leave the cache.
_GROUP_PIECES = 1024

# Where a layer has its parts (see `LayerParts`).
_BERT_NAMES = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "attended": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "wide": "intermediate.dense",
    "narrow": "output.dense",
    "output_norm": "output.LayerNorm",
}
_LAYER_NAMES = {
    **dict.fromkeys(BERT_TYPES, _BERT_NAMES),
    "distilbert": {
        "query": "attention.q_lin",
        "key": "attention.k_lin",
        "value": "attention.v_lin",
        "attended": "attention.out_lin",
        "attention_norm": "sa_layer_norm",
        "wide": "ffn.lin1",
        "narrow": "ffn.lin2",
        "output_norm": "output_layer_norm",
    },
}
_STACKS = {**dict.fromkeys(BERT_TYPES, "encoder.layer"), "distilbert": "transformer.layer"}


class Embeddings(nn.Module):
    """Embeddings of pieces and positions, and of the first token type, added and normalized."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        width = config.embedding_size or config.hidden_size
        self.word_embeddings = nn.Embedding(config.vocab_size, width)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, width)
        self.token_type_embeddings: nn.Embedding | None = None
        if config.type_vocab_size:
            self.token_type_embeddings = nn.Embedding(config.type_vocab_size, width)
        self.LayerNorm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.first_position = config.first_position
        self.rate = config.hidden_dropout_prob

    def forward(self, batch: PackedBatch, dtype: torch.dtype, *, dropout: float = 0.0) -> Tensor:
        """*Shape:* packed sequences to (total, width), float32.

        Weights are rounded to the dtype of the products here as in every other layer.
        """
        hidden = self.word_embeddings(batch.ids).to(dtype).float()
        if self.token_type_embeddings is not None:
            hidden = hidden + self.token_type_embeddings.weight[0].to(dtype).float()
        positions = batch.positions + self.first_position
        hidden = hidden + self.position_embeddings(positions).to(dtype).float()
        return drop(self.LayerNorm(hidden), max(dropout, self.rate), self.training)


@dataclass(frozen=True, eq=False)
class LayerParts:
    """The modules of a layer. Their names in checkpoints depend on the type of the network."""

    query: Linear
    key: Linear
    value: Linear
    attended: Linear
    attention_norm: nn.LayerNorm
    wide: Linear
    narrow: Linear
    output_norm: nn.LayerNorm

    @classmethod
    def from_config(cls, config: BertConfig) -> LayerParts:
        """Create the modules."""
        width, wide, eps = config.hidden_size, config.intermediate_size, config.layer_norm_eps
        return cls(
            query=Linear(width, width),
            key=Linear(width, width),
            value=Linear(width, width),
            attended=Linear(width, width),
            attention_norm=nn.LayerNorm(width, eps=eps),
            wide=Linear(width, wide),
            narrow=Linear(wide, width),
            output_norm=nn.LayerNorm(width, eps=eps),
        )


class Layer(nn.Module):
    """Attention, then two linear layers, each added to the residual stream and normalized."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.rate = config.hidden_dropout_prob
        self.attention_rate = config.attention_probs_dropout_prob
        self.activation = ACTIVATIONS[config.hidden_act]
        # No module itself, so that its parts have their published names only.
        self.parts = LayerParts.from_config(config)
        for name, path in _LAYER_NAMES[config.model_type].items():
            _register(self, path, getattr(self.parts, name))

    def forward(self, hidden: Tensor, layout: SequenceLayout, dropout: float) -> Tensor:
        """*Shape:* (total, hidden) to (total, hidden), float32."""
        parts, rate = self.parts, max(dropout, self.rate)
        attention_rate = max(dropout, self.attention_rate) if self.training else 0.0
        x = hidden.to(layout.dtype)
        qkv = torch.stack([parts.query(x), parts.key(x), parts.value(x)], dim=1)
        qkv = qkv.unflatten(-1, (self.heads, -1))
        context = attend(qkv, layout, sliding=False, dropout=attention_rate)
        attended = drop(parts.attended(context), rate, self.training)
        hidden = parts.attention_norm(hidden + attended)
        wide = self.activation(parts.wide(hidden.to(layout.dtype)))
        output = drop(parts.narrow(wide), rate, self.training)
        return cast(Tensor, parts.output_norm(hidden + output))


class Bert(PackedEncoder):
    """The encoder.

    It owns no buffer and no pooler, so a checkpoint fills all of it.

    Args:
        config: Sizes, and the type that says how parameters are named.
        precision: Number format of the matrix products; float32 on a device that lacks it.
    """

    def __init__(self, config: BertConfig, *, precision: Precision = "float32") -> None:
        super().__init__()
        self.config: BertConfig = config
        self.precision = precision
        self.embeddings = Embeddings(config)
        self.embeddings_project: Linear | None = None
        if config.embedding_size not in (None, config.hidden_size):
            self.embeddings_project = Linear(config.embedding_size, config.hidden_size)
        layers = [Layer(config) for _ in range(config.num_hidden_layers)]
        _register(self, _STACKS[config.model_type], nn.ModuleList(layers))
        self.layers = tuple(layers)

    @property
    def max_length(self) -> int | None:
        """Most pieces of a sequence, special tokens included."""
        return self.config.max_position_embeddings - self.config.first_position

    @property
    def input_embeddings(self) -> nn.Embedding:
        """Table of piece embeddings."""
        return self.embeddings.word_embeddings

    def forward(self, batch: PackedBatch, *, dropout: float = 0.0) -> Tensor:
        """Encode sequences; see `Encoder.forward`.

        Returns:
            *Shape:* (total, hidden), float32.
        """
        groups = _groups(batch)
        parts = [
            deque(self._layer_outputs(batch.select(group), dropout), maxlen=1).pop()
            for group in groups
        ]
        return batch.restore(torch.cat(parts), [index for group in groups for index in group])

    def layer_outputs(
        self, batch: PackedBatch, *, dropout: float = 0.0, final_norm: bool = True
    ) -> list[Tensor]:
        """Encode sequences and return the output of every layer; see `Encoder.layer_outputs`.

        Returns:
            One tensor a layer. *Shape:* (total, hidden), float32.
        """
        groups = _groups(batch)
        parts = [self._layer_outputs(batch.select(group), dropout) for group in groups]
        order = [index for group in groups for index in group]
        return [batch.restore(torch.cat(outputs), order) for outputs in zip(*parts, strict=True)]

    def _layer_outputs(self, batch: PackedBatch, dropout: float) -> Iterator[Tensor]:
        """Yield the output of each layer. *Shape:* (total, hidden), float32."""
        dtype = resolve_precision(self.precision, batch.device)
        layout = SequenceLayout.from_batch(batch, half_window=0, dtype=dtype)
        hidden = self.embeddings(batch, dtype, dropout=dropout)
        if self.embeddings_project is not None:
            hidden = self.embeddings_project(hidden.to(dtype)).float()
        for layer in self.layers:
            hidden = layer(hidden, layout, dropout)
            yield hidden


def _groups(batch: PackedBatch) -> list[list[int]]:
    """Return groups of sequences, as indices, sorted by length.

    Neighbors of one length share a call of attention. On a CPU, the results of a step stay in cache
    for the next, since a group is small.
    """
    order = sorted(range(batch.n_sequences), key=batch.lengths.__getitem__)
    budget = _GROUP_PIECES if batch.device.type == "cpu" else max(batch.total, 1)
    groups = batch_by_budget([batch.lengths[i] for i in order], budget=budget)
    return [[order[i] for i in group] for group in groups] or [[]]


def _register(module: nn.Module, path: str, part: nn.Module) -> None:
    """Add a module below another, by its path."""
    *parents, name = path.split(".")
    for parent in parents:
        if parent not in module._modules:
            module.add_module(parent, nn.Module())
        module = module.get_submodule(parent)
    module.add_module(name, part)
