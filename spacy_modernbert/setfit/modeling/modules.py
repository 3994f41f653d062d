"""From piece vectors to a sentence vector: pooling over packed sequences, and later modules."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...encoder.packing import PackedBatch
from ...errors import Errors

# Dotted names as the checkpoints write them. Looked up here, never imported.
_ACTIVATIONS = "ELU GELU LeakyReLU Mish ReLU ReLU6 Sigmoid SELU SiLU Softplus Softsign Tanh"
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "torch.nn.modules.linear.Identity": nn.Identity,
    **{f"torch.nn.modules.activation.{n}": getattr(nn, n) for n in _ACTIVATIONS.split()},
}
_TANH = "torch.nn.modules.activation.Tanh"
_SENTENCE = "sentence_embedding"
# How piece vectors become one, in the order in which several results are concatenated.
POOLING_MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")


@dataclass(frozen=True)
class ModuleSpec:
    """One module that comes after the transformer.

    Attributes:
        kind: Name of its class in sentence-transformers.
        settings: The content of its ``config.json``; for ``Pooling`` always in the newer form,
            ``{"modes": [...], "include_prompt": bool}``.
        path: Its folder, which holds its weights.
    """

    kind: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    path: str = ""


class Pooling(nn.Module):
    """One vector for each sequence, by one or several of `POOLING_MODES`, concatenated.

    The first ``skip`` pieces of a sequence don't count: those of the prompt, where the checkpoint
    leaves it out.
    """

    def __init__(self, modes: Sequence[str], *, skip: int = 0) -> None:
        super().__init__()
        self.modes = tuple(modes)
        self.skip = skip

    def forward(self, hidden: Tensor, batch: PackedBatch) -> Tensor:
        """Pool the piece vectors of sequences, none of them empty.

        *Shape:* (total, width) to (sequences, modes * width).
        """
        lengths = batch.cu_seqlens.diff().long()
        index = torch.arange(batch.n_sequences, device=hidden.device)
        index = index.repeat_interleave(lengths, output_size=batch.total)
        positions = batch.positions
        if self.skip:
            # A sequence that the prompt fills keeps its last piece.
            first = (lengths - 1).clamp(max=self.skip)
            counted = positions >= first[index]
            hidden, index, positions = hidden[counted], index[counted], positions[counted]
            lengths = lengths - first
        ends = lengths.cumsum(0)
        pools = [self._pool(mode, hidden, index, positions, lengths, ends) for mode in self.modes]
        return pools[0] if len(pools) == 1 else torch.cat(pools, dim=1)

    @staticmethod
    def _pool(
        mode: str, hidden: Tensor, index: Tensor, positions: Tensor, lengths: Tensor, ends: Tensor
    ) -> Tensor:
        if mode == "cls":
            return hidden[ends - lengths]
        if mode == "lasttoken":
            return hidden[ends - 1]
        empty = hidden.new_zeros(len(lengths), hidden.shape[1])
        if mode == "max":
            rows = index.unsqueeze(1).expand_as(hidden)
            return empty.scatter_reduce(0, rows, hidden, "amax", include_self=False)
        if mode == "weightedmean":
            weights = (positions + 1).to(hidden.dtype)
            totals = weights.new_zeros(len(lengths)).index_add(0, index, weights)
            return empty.index_add(0, index, hidden * weights[:, None]) / totals[:, None]
        counts = lengths.to(hidden.dtype)[:, None]
        divisor = counts if mode == "mean" else counts.sqrt()
        return empty.index_add(0, index, hidden) / divisor


class Dense(nn.Module):
    """A linear map and an activation."""

    def __init__(self, in_width: int, out_width: int, *, bias: bool, activation: str) -> None:
        super().__init__()
        self.linear = nn.Linear(in_width, out_width, bias=bias)
        self.activation_name = activation
        self.activation = ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        """*Shape:* (sequences, in_width) to (sequences, out_width)."""
        return self.activation(self.linear(x))


class LayerNorm(nn.Module):
    """A layer norm, under the name that checkpoints give its weights."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """*Shape:* (sequences, width), unchanged."""
        return self.norm(x)


class Normalize(nn.Module):
    """Vectors of length one; zeros stay."""

    def forward(self, x: Tensor) -> Tensor:
        """*Shape:* (sequences, width), unchanged."""
        return F.normalize(x, dim=1)


def build_module(spec: ModuleSpec, *, width: int, source: Any = "") -> nn.Module:
    """Build a module that comes after the pooling, for vectors of ``width``, without its weights.

    Messages name the ``source`` of the checkpoint.

    Raises:
        ValueError: SM202 where a setting has an unsupported value.
    """
    settings = spec.settings
    if spec.kind == "Normalize":
        return Normalize()
    if spec.kind == "Dropout":
        return nn.Dropout(float(settings.get("dropout", 0.2)))
    if spec.kind == "LayerNorm":
        _require(settings, "dimension", (width,), source)
        return LayerNorm(width)
    _require(settings, "in_features", (width,), source)
    _require(settings, "module_input_name", (_SENTENCE,), source)
    _require(settings, "module_output_name", (_SENTENCE, None), source)
    activation = settings.get("activation_function", _TANH)
    require_one_of(ACTIVATIONS, "activation_function", activation, source)
    out_width = settings.get("out_features")
    if not isinstance(out_width, int) or out_width < 1:
        raise unsupported("out_features", out_width, "a number of at least 1", source)
    return Dense(width, out_width, bias=bool(settings.get("bias", True)), activation=activation)


def module_spec(layer: nn.Module) -> ModuleSpec:
    """Return what `build_module` needs to build a module again."""
    if isinstance(layer, Dense):
        settings = {
            "in_features": layer.linear.in_features,
            "out_features": layer.linear.out_features,
            "bias": layer.linear.bias is not None,
            "activation_function": layer.activation_name,
        }
        return ModuleSpec("Dense", settings)
    if isinstance(layer, LayerNorm):
        return ModuleSpec("LayerNorm", {"dimension": layer.norm.normalized_shape[0]})
    if isinstance(layer, nn.Dropout):
        return ModuleSpec("Dropout", {"dropout": layer.p})
    return ModuleSpec(type(layer).__name__)


def module_width(module: nn.Module, width: int) -> int:
    """Return the width of the vectors that a module makes of those of ``width``."""
    return module.linear.out_features if isinstance(module, Dense) else width


def unsupported(key: str, value: Any, need: str, source: Any) -> ValueError:
    """Return the error SM202: a setting has an unsupported value."""
    return ValueError(Errors.SM202.format(source=source, key=key, value=value, need=need))


def require_one_of(allowed: Collection[Any], key: str, value: Any, source: Any) -> None:
    """Raise ValueError SM202 where the value of a setting is not one of those allowed."""
    if value not in allowed:
        raise unsupported(key, value, "one of " + ", ".join(map(str, allowed)), source)


def _require(settings: Mapping[str, Any], key: str, allowed: Sequence[Any], source: Any) -> None:
    require_one_of(allowed, key, settings.get(key, allowed[0]), source)
