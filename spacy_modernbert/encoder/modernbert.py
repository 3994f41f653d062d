"""ModernBERT (arXiv 2412.13663) over packed sequences.

Parameters carry the names of the published checkpoints. The residual stream and the norms are
float32; matrix products run in the dtype that `precision` names.

Each layer has two versions of the same arithmetic. `forward` is differentiable. `forward_` is for
inference: it updates the residual stream in place, a chunk of pieces at a time, so that the output
of one step is still in cache for the next, and one buffer serves all layers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import Self

from .attention import SequenceLayout, attend, attend_
from .dropout import dropout as drop
from .modernbert_config import FULL, SLIDING, ModernBertConfig
from .packing import PackedBatch
from .precision import Linear, Precision, cast_parameters, resolve_precision
from .protocol import Encoder
from .rotary import RotaryEmbedding
from .weights import compact_weights

# Pieces that a step of the in-place forward pass takes at a time. Smaller chunks would prepare the
# weights of each product more often; the results of larger ones would leave the cache.
_CHUNK_PIECES = 1024

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_pytorch_tanh": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
}


class Norm(nn.LayerNorm):
    """Layer norm in float32, whose output has the dtype of the products."""

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__(config.hidden_size, eps=config.norm_eps, bias=config.norm_bias)

    def forward(self, x: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """*Shape:* (total, hidden), unchanged."""
        return super().forward(x).to(dtype)


class IdentityNorm(nn.Identity):
    """Stands for the first norm of the first layer: the embeddings are normalized already."""

    def forward(self, x: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """*Shape:* (total, hidden), unchanged."""
        return x.to(dtype)


class Embeddings(nn.Module):
    """Piece embeddings, normalized."""

    def __init__(self, config: ModernBertConfig) -> None:
        super().__init__()
        self.tok_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.norm = Norm(config)
        self.rate = config.embedding_dropout

    def forward(self, ids: Tensor, dtype: torch.dtype, *, dropout: float = 0.0) -> Tensor:
        """*Shape:* (total,) to (total, hidden), float32.

        Weights are rounded to the dtype of the products here as in every other layer, so that
        float32 weights in training give the same output as the copies that will be stored.
        """
        hidden = self.norm(self.tok_embeddings(ids).to(dtype).float())
        return drop(hidden, max(dropout, self.rate), self.training)


class Attention(nn.Module):
    """Self-attention of one layer, full or in sliding windows."""

    def __init__(self, config: ModernBertConfig, layer_type: str) -> None:
        super().__init__()
        width, bias = config.hidden_size, config.attention_bias
        self.sliding = layer_type == SLIDING
        self.heads = config.num_attention_heads
        self.rate = config.attention_dropout
        self.Wqkv = Linear(width, 3 * width, bias=bias)
        self.Wo = Linear(width, width, bias=bias)

    def forward(
        self, x: Tensor, rotary: RotaryEmbedding, layout: SequenceLayout, dropout: float
    ) -> Tensor:
        """*Shape:* (total, hidden) to (total, hidden)."""
        rate = max(dropout, self.rate) if self.training else 0.0
        qkv = rotary.rotate(self.Wqkv(x).unflatten(-1, (3, self.heads, -1)))
        context = attend(qkv, layout, sliding=self.sliding, dropout=rate)
        return drop(self.Wo(context), rate, self.training)


class GatedMLP(nn.Module):
    """GeGLU (arXiv 2002.05202): half of a projection, activated, times the other half."""

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
    """Pre-norm attention, then a pre-norm gated MLP, each added to the residual stream."""

    def __init__(self, config: ModernBertConfig, index: int) -> None:
        super().__init__()
        self.attn_norm = Norm(config) if index else IdentityNorm()
        self.attn = Attention(config, config.layer_types[index])
        self.mlp_norm = Norm(config)
        self.mlp = GatedMLP(config)

    def forward(
        self, hidden: Tensor, rotary: RotaryEmbedding, layout: SequenceLayout, dropout: float
    ) -> Tensor:
        """*Shape:* (total, hidden) to (total, hidden), float32."""
        x = self.attn_norm(hidden, layout.dtype)
        hidden = hidden + self.attn(x, rotary, layout, dropout)
        return hidden + cast(Tensor, self.mlp(self.mlp_norm(hidden, layout.dtype), dropout))

    def forward_(
        self, hidden: Tensor, qkv: Tensor, rotary: RotaryEmbedding, layout: SequenceLayout
    ) -> None:
        """Update the residual stream in place; inference only.

        Args:
            hidden: The residual stream. *Shape:* (total, hidden), float32.
            qkv: Buffer that is overwritten. *Shape:* (total, 3, heads, head_dim), in the dtype of
                the products.
            rotary: Rotary embeddings of this type of layer.
            layout: Where the sequences lie.
        """
        chunks = [slice(i, i + _CHUNK_PIECES) for i in range(0, len(hidden), _CHUNK_PIECES)]
        for chunk in chunks:
            x = self.attn_norm(hidden[chunk], layout.dtype)
            self.attn.Wqkv.write(x, qkv[chunk].flatten(1))
            rotary[chunk].rotate_(qkv[chunk])
        context = attend_(qkv, layout, sliding=self.attn.sliding)
        for chunk in chunks:
            part = hidden[chunk]
            self.attn.Wo.add_to_(part, context[chunk])
            self.mlp.add_to_(part, self.mlp_norm(part, layout.dtype))


class ModernBert(Encoder):
    """The encoder.

    It owns no buffer, so a checkpoint fills all of it.

    Args:
        config: Sizes and switches.
        precision: Number format of the matrix products; float32 on a device that lacks it.
    """

    pads_sequences = False

    def __init__(self, config: ModernBertConfig, *, precision: Precision = "float32") -> None:
        super().__init__()
        self.config: ModernBertConfig = config
        self.precision = precision
        self.embeddings = Embeddings(config)
        self.layers = nn.ModuleList(Layer(config, i) for i in range(config.num_hidden_layers))
        self.final_norm = Norm(config)

    @property
    def max_length(self) -> int | None:
        """Pieces of the longest sequence that the checkpoint was made for."""
        return self.config.max_position_embeddings

    @property
    def input_embeddings(self) -> nn.Embedding:
        """Table of piece embeddings."""
        return self.embeddings.tok_embeddings

    def prepare_inference_(self, device: torch.device | str | None = None) -> Self:
        """Store the weights in the format of the products, for inference; norms stay float32.

        Args:
            device: Device that the network will run on. Default: that of its weights.
        """
        cast_parameters(self, resolve_precision(self.precision, device or self.device))
        return self

    def prepare_training_(self) -> Self:
        """Store the weights in float32, for training: small updates would round away."""
        cast_parameters(self, torch.float32)
        return self

    def stored_weights(self) -> dict[str, Tensor]:
        """Return the weights by name, in the number formats in which a checkpoint stores them.

        A network that computes in bfloat16 has float32 weights in training. Its output depends
        only on the rounded ones, so these are stored, at half the size.
        """
        dtype = resolve_precision(self.precision, self.device)
        return compact_weights(
            {
                name: tensor.to(dtype) if tensor.dim() == 2 else tensor
                for name, tensor in self.state_dict().items()
            }
        )

    def forward(self, batch: PackedBatch, *, dropout: float = 0.0) -> Tensor:
        """Encode sequences; see `Encoder.forward`.

        Returns:
            *Shape:* (total, hidden), float32.
        """
        hidden = deque(self._residual_stream(batch, dropout), maxlen=1).pop()
        return cast(Tensor, self.final_norm(hidden))

    def layer_outputs(
        self, batch: PackedBatch, *, dropout: float = 0.0, final_norm: bool = True
    ) -> list[Tensor]:
        """Encode sequences and return the output of every layer; see `Encoder.layer_outputs`.

        Returns:
            One tensor a layer. *Shape:* (total, hidden), float32.
        """
        stream = self._residual_stream(batch, dropout)
        # The in-place forward pass updates one tensor over and over.
        outputs = [hidden.clone() if self._is_in_place() else hidden for hidden in stream]
        if final_norm:
            outputs[-1] = self.final_norm(outputs[-1])
        return outputs

    def _residual_stream(self, batch: PackedBatch, dropout: float) -> Iterator[Tensor]:
        """Yield the residual stream after each layer, before the final norm.

        Without gradients it is one tensor, which the next layer overwrites.

        Yields:
            *Shape:* (total, hidden), float32.
        """
        config = self.config
        dtype = resolve_precision(self.precision, batch.device)
        thetas = {FULL: config.global_rope_theta, SLIDING: config.local_rope_theta}
        rotary = {
            layer_type: RotaryEmbedding.from_positions(
                batch.positions, head_dim=config.head_dim, theta=theta
            )
            for layer_type, theta in thetas.items()
        }
        layout = SequenceLayout.from_batch(batch, half_window=config.half_window, dtype=dtype)
        hidden = self.embeddings(batch.ids, dtype, dropout=dropout)
        shape = (batch.total, 3, config.num_attention_heads, config.head_dim)
        qkv = hidden.new_empty(shape, dtype=dtype) if self._is_in_place() else None
        for layer_type, layer in zip(config.layer_types, self.layers, strict=True):
            if qkv is None:
                hidden = layer(hidden, rotary[layer_type], layout, dropout)
            else:
                cast(Layer, layer).forward_(hidden, qkv, rotary[layer_type], layout)
            yield hidden

    def _is_in_place(self) -> bool:
        return not (self.training or torch.is_grad_enabled())
