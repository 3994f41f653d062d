"""ModernBERT (arXiv 2412.13663) over packed rows.

Parameters carry the names of the published checkpoints. The residual stream and the norms are
float32; matrix products run in the dtype that `precision` names.

Each layer comes in two writings of the same arithmetic. `forward` is differentiable. `advance_` is
for inference: it updates the residual stream where it lies, some pieces at a time, so that what
one step writes the next still finds in cache, and one buffer serves all layers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import Layout, attend, attend_
from .dropout import dropout as drop
from .modernbert_config import FULL, SLIDING, ModernBertConfig
from .packing import PackedBatch
from .precision import (
    Linear,
    Precision,
    cast_parameters,
    resolve_precision,
)
from .rotary import Rotation

# Pieces that inference takes through a step at a time. Fewer would repeat the preparation of the
# weights in each product more often; more would fall out of the cache.
CHUNK = 1024

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_pytorch_tanh": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
}


class Norm(nn.LayerNorm):
    """Layer norm in float32, handed on in the dtype of the products."""

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__(config.hidden_size, eps=config.norm_eps, bias=config.norm_bias)

    def forward(self, x: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """*Shape:* (total, hidden), unchanged."""
        return super().forward(x).to(dtype)


class NoNorm(nn.Identity):
    """The first layer's: the embeddings have just been normalised."""

    def forward(self, x: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """*Shape:* (total, hidden), unchanged."""
        return x.to(dtype)


class Embeddings(nn.Module):
    """Piece embeddings, normalised."""

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__()
        self.tok_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.norm = Norm(config)
        self.rate = config.embedding_dropout

    def forward(self, ids: Tensor, dtype: torch.dtype, *, dropout: float = 0.0) -> Tensor:
        """*Shape:* (total,) to (total, hidden), float32.

        Weights are rounded to the dtype of the products here as in every other layer: float32 ones
        that are still learning give what their stored copies will.
        """
        hidden = self.norm(self.tok_embeddings(ids).to(dtype).float())
        return drop(hidden, max(dropout, self.rate), self.training)


class Attention(nn.Module):
    """One layer's attention, full or sliding."""

    def __init__(self, config: ModernBertConfig, kind: str) -> None:
        super().__init__()
        width, bias = config.hidden_size, config.attention_bias
        self.sliding = kind == SLIDING
        self.heads = config.num_attention_heads
        self.rate = config.attention_dropout
        self.Wqkv = Linear(width, 3 * width, bias=bias)
        self.Wo = Linear(width, width, bias=bias)

    def forward(self, x: Tensor, rotation: Rotation, layout: Layout, dropout: float) -> Tensor:
        """*Shape:* (total, hidden) to (total, hidden)."""
        rate = max(dropout, self.rate) if self.training else 0.0
        qkv = rotation.turn(self.Wqkv(x).unflatten(-1, (3, self.heads, -1)))
        seen = attend(qkv, layout, sliding=self.sliding, dropout=rate)
        return drop(self.Wo(seen), rate, self.training)


class GatedMLP(nn.Module):
    """GeGLU (arXiv 2002.05202): one half of a projection, activated, times the other half."""

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__()
        self.rate = config.mlp_dropout
        self.activation = config.hidden_activation
        self.Wi = Linear(config.hidden_size, 2 * config.intermediate_size, bias=config.mlp_bias)
        self.Wo = Linear(config.intermediate_size, config.hidden_size, bias=config.mlp_bias)

    def forward(self, x: Tensor, dropout: float) -> Tensor:
        """*Shape:* (total, hidden) to (total, hidden)."""
        value, gate = self.Wi(x).chunk(2, dim=-1)
        gated = _ACTIVATIONS[self.activation](value) * gate
        return cast(Tensor, self.Wo(drop(gated, max(dropout, self.rate), self.training)))

    def add_to_(self, total: Tensor, x: Tensor) -> None:
        """Add the output for `x` to a part of the residual stream. *Shape:* (n, hidden), both."""
        value, gate = self.Wi(x).chunk(2, dim=-1)
        self.Wo.add_to_(total, _ACTIVATIONS[self.activation](value).mul_(gate))


class Layer(nn.Module):
    """Attention, then a gated MLP, each normalised before and added to the residual stream."""

    def __init__(self, config: ModernBertConfig, number: int) -> None:
        super().__init__()
        self.attn_norm = Norm(config) if number else NoNorm()
        self.attn = Attention(config, config.layer_types[number])
        self.mlp_norm = Norm(config)
        self.mlp = GatedMLP(config)

    def forward(self, hidden: Tensor, rotation: Rotation, layout: Layout, dropout: float) -> Tensor:
        """*Shape:* (total, hidden) to (total, hidden), float32."""
        x = self.attn_norm(hidden, layout.dtype)
        hidden = hidden + self.attn(x, rotation, layout, dropout)
        return hidden + cast(Tensor, self.mlp(self.mlp_norm(hidden, layout.dtype), dropout))

    def advance_(self, hidden: Tensor, qkv: Tensor, rotation: Rotation, layout: Layout) -> None:
        """Update the residual stream in place; inference only.

        Args:
            hidden: the residual stream. *Shape:* (total, hidden), float32.
            qkv: scratch space. *Shape:* (total, 3, heads, head_dim), in the products' dtype.
            rotation: angles of this layer's kind of attention.
            layout: where the rows lie.
        """
        chunks = [slice(i, i + CHUNK) for i in range(0, len(hidden), CHUNK)]
        for chunk in chunks:
            x = self.attn_norm(hidden[chunk], layout.dtype)
            self.attn.Wqkv.write(x, qkv[chunk].flatten(1))
            rotation[chunk].turn_(qkv[chunk])
        seen = attend_(qkv, layout, sliding=self.attn.sliding)
        for chunk in chunks:
            part = hidden[chunk]
            self.attn.Wo.add_to_(part, seen[chunk])
            self.mlp.add_to_(part, self.mlp_norm(part, layout.dtype))


class ModernBert(nn.Module):
    """The encoder.

    Built under ``torch.device("meta")`` it costs nothing, and owns no buffer that loading a
    state dict with ``assign=True`` would leave without values.

    Args:
        config: sizes and switches.
        precision: format of the matrix products; where the device of a batch lacks it, float32.
    """

    def __init__(self, config: ModernBertConfig, *, precision: Precision = "float32") -> None:
        super().__init__()
        self.config = config
        self.precision: Precision = precision
        self.embeddings = Embeddings(config)
        self.layers = nn.ModuleList(Layer(config, i) for i in range(config.num_hidden_layers))
        self.final_norm = Norm(config)

    @property
    def hidden_size(self) -> int:
        """Width of the vectors."""
        return self.config.hidden_size

    @property
    def max_length(self) -> int | None:
        """Pieces of the longest row the checkpoint was made for."""
        return self.config.max_position_embeddings

    def prepare_inference_(self, device: torch.device | str | None = None) -> ModernBert:
        """Store the weights in the format of the products, for inference; norms stay float32.

        Args:
            device: where the network will run, when that is not where its weights are now.
        """
        device = self.final_norm.weight.device if device is None else device
        cast_parameters(self, resolve_precision(self.precision, device))
        return self

    def prepare_training_(self) -> ModernBert:
        """Store the weights in float32 again, for training: small updates would round away."""
        cast_parameters(self, torch.float32)
        return self

    def forward(self, batch: PackedBatch, *, dropout: float = 0.0) -> Tensor:
        """Encode rows.

        Args:
            batch: rows of pieces, on the device of the weights.
            dropout: rate in train() mode; where the checkpoint's own is higher, that one counts.

        Returns:
            *Shape:* (total, hidden), float32.
        """
        hidden = deque(self.states(batch, dropout=dropout), maxlen=1).pop()
        return cast(Tensor, self.final_norm(hidden))

    def layer_outputs(self, batch: PackedBatch, *, dropout: float = 0.0) -> list[Tensor]:
        """Encode rows and return every layer's output, the last one normalised.

        Returns:
            One tensor a layer. *Shape:* (total, hidden), float32.
        """
        # Inference updates one tensor over and over: what has to outlive a layer is copied.
        keep = torch.clone if self._in_place() else _same
        states = [keep(hidden) for hidden in self.states(batch, dropout=dropout)]
        return [*states[:-1], self.final_norm(states[-1])]

    def states(self, batch: PackedBatch, *, dropout: float = 0.0) -> Iterator[Tensor]:
        """Yield the residual stream after each layer, before the final norm.

        Without gradients it is one tensor, updated over and over: copy what has to outlive a layer.

        Args:
            batch: As in `forward`.
            dropout: As in `forward`.

        Yields:
            *Shape:* (total, hidden), float32.
        """
        config = self.config
        dtype = resolve_precision(self.precision, batch.device)
        thetas = {FULL: config.global_rope_theta, SLIDING: config.local_rope_theta}
        rotations = {
            kind: Rotation.at(batch.positions, head_dim=config.head_dim, theta=theta)
            for kind, theta in thetas.items()
        }
        layout = Layout.of(batch, reach=config.reach, dtype=dtype)
        hidden = self.embeddings(batch.ids, dtype, dropout=dropout)
        shape = (batch.total, 3, config.num_attention_heads, config.head_dim)
        scratch = hidden.new_empty(shape, dtype=dtype) if self._in_place() else None
        for kind, layer in zip(config.layer_types, self.layers, strict=True):
            if scratch is None:
                hidden = layer(hidden, rotations[kind], layout, dropout)
            else:
                cast(Layer, layer).advance_(hidden, scratch, rotations[kind], layout)
            yield hidden

    def _in_place(self) -> bool:
        return not (self.training or torch.is_grad_enabled())


def _same(hidden: Tensor) -> Tensor:
    return hidden
