"""From piece vectors to a sentence vector: pooling over packed rows, and what may follow it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...encoder.packing import PackedBatch
from ...errors import Errors
from ..checkpoint.folder_config import ModuleSpec

# Dotted names as the checkpoints write them. Looked up here, never imported.
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "torch.nn.modules.linear.Identity": nn.Identity,
    **{
        f"torch.nn.modules.activation.{kind.__name__}": kind
        for kind in (nn.ELU, nn.GELU, nn.LeakyReLU, nn.Mish, nn.ReLU, nn.ReLU6, nn.Sigmoid)
    },
    **{
        f"torch.nn.modules.activation.{kind.__name__}": kind
        for kind in (nn.SELU, nn.SiLU, nn.Softplus, nn.Softsign, nn.Tanh)
    },
}
_TANH = "torch.nn.modules.activation.Tanh"
_SENTENCE = "sentence_embedding"


class Pooling(nn.Module):
    """One vector a row, by one or several rules whose results are put side by side.

    Args:
        modes: The rules, of `layout.POOLING_MODES`.
        skip: So many pieces at the beginning of a row don't count: the prompt's, where the
            checkpoint leaves it out.
    """

    def __init__(self, modes: Sequence[str], *, skip: int = 0) -> None:
        super().__init__()
        self.modes = tuple(modes)
        self.skip = skip

    def forward(self, hidden: Tensor, batch: PackedBatch) -> Tensor:
        """Pool.

        Args:
            hidden: Piece vectors. *Shape:* (total, width).
            batch: The rows they belong to, none of them empty.

        Returns:
            *Shape:* (rows, modes * width).
        """
        lengths = batch.cu_seqlens.diff().long()
        rows = torch.arange(batch.n_sequences, device=hidden.device)
        rows = rows.repeat_interleave(lengths, output_size=batch.total)
        positions = batch.positions
        if self.skip:
            # A row that the prompt fills keeps its last piece.
            first = (lengths - 1).clamp(max=self.skip)
            counted = positions >= first[rows]
            hidden, rows, positions = hidden[counted], rows[counted], positions[counted]
            lengths = lengths - first
        ends = lengths.cumsum(0)
        pools = [self._pool(mode, hidden, rows, positions, lengths, ends) for mode in self.modes]
        return pools[0] if len(pools) == 1 else torch.cat(pools, dim=1)

    @staticmethod
    def _pool(
        mode: str, hidden: Tensor, rows: Tensor, positions: Tensor, lengths: Tensor, ends: Tensor
    ) -> Tensor:
        if mode == "cls":
            return hidden[ends - lengths]
        if mode == "lasttoken":
            return hidden[ends - 1]
        empty = hidden.new_zeros(len(lengths), hidden.shape[1])
        if mode == "max":
            index = rows.unsqueeze(1).expand_as(hidden)
            return empty.scatter_reduce(0, index, hidden, "amax", include_self=False)
        if mode == "weightedmean":
            weights = (positions + 1).to(hidden.dtype)
            totals = weights.new_zeros(len(lengths)).index_add(0, rows, weights)
            return empty.index_add(0, rows, hidden * weights[:, None]) / totals[:, None]
        counts = lengths.to(hidden.dtype)[:, None]
        divisor = counts if mode == "mean" else counts.sqrt()
        return empty.index_add(0, rows, hidden) / divisor


class Dense(nn.Module):
    """A linear map and an activation."""

    def __init__(self, in_width: int, out_width: int, *, bias: bool, activation: str) -> None:
        super().__init__()
        self.linear = nn.Linear(in_width, out_width, bias=bias)
        self.activation_name = activation
        self.activation = ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        """*Shape:* (rows, in_width) to (rows, out_width)."""
        return self.activation(self.linear(x))


class LayerNorm(nn.Module):
    """A layer norm, under the name that checkpoints give its weights."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """*Shape:* (rows, width), unchanged."""
        return self.norm(x)


class Normalize(nn.Module):
    """Vectors of length one; one of zeros stays."""

    def forward(self, x: Tensor) -> Tensor:
        """*Shape:* (rows, width), unchanged."""
        return F.normalize(x, dim=1)


def build_module(spec: ModuleSpec, *, width: int, source: Any = "") -> nn.Module:
    """Build a module that comes after the pooling, without sensible weights.

    Args:
        spec: What the checkpoint says of it.
        width: Width of the vectors that go in.
        source: Where the checkpoint is, for messages.

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
    _require({"activation_function": activation}, "activation_function", ACTIVATIONS, source)
    out_width = settings.get("out_features")
    if not isinstance(out_width, int) or out_width < 1:
        need = "a number of at least 1"
        message = Errors.SM202.format(source=source, key="out_features", value=out_width, need=need)
        raise ValueError(message)
    return Dense(
        width,
        out_width,
        bias=bool(settings.get("bias", True)),
        activation=activation,
    )


def module_spec(layer: nn.Module) -> ModuleSpec:
    """Say of a module what `build_module` needs to build it again."""
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
    """Width of the vectors that come out of a module into which those of ``width`` go."""
    return module.linear.out_features if isinstance(module, Dense) else width


def _require(settings: Mapping[str, Any], key: str, allowed: Any, source: Any) -> None:
    value = settings.get(key, next(iter(allowed)))
    if value not in allowed:
        need = "one of " + ", ".join(str(choice) for choice in allowed)
        message = Errors.SM202.format(source=source, key=key, value=value, need=need)
        raise ValueError(message)
