"""Weights by name: the names of task checkpoints, and strict loading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ..errors import Errors

# Parts of masked-language-model and classification checkpoints beyond the encoder. The pooler is
# one of them: no encoder of this package has one.
_HEADS = (
    "head.",
    "decoder.",
    "classifier.",
    "cls.",
    "lm_head.",
    "score.",
    "pooler.",
    "qa_outputs.",
)
# Prefixes that other libraries put before the names of a module, outermost first.
_WRAPPERS = ("_orig_mod.", "model.")
# Names in checkpoints that were converted from TensorFlow.
_OLD_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}


def encoder_weights(state: Mapping[str, Tensor], *, prefix: str = "") -> dict[str, Tensor]:
    """Return the weights of the bare encoder in a checkpoint, under its own names.

    Args:
        state: Name to weight.
        prefix: Name of the encoder within task checkpoints, such as ``bert``. Where it occurs,
            weights without it belong to heads.
    """
    weights = dict(state)
    for wrapper in _WRAPPERS:
        if any(name.startswith(wrapper) for name in weights):
            weights = {name.removeprefix(wrapper): tensor for name, tensor in weights.items()}
    if prefix and any(name.startswith(f"{prefix}.") for name in weights):
        weights = weights_below(weights, f"{prefix}.")
    return {
        _current_name(name): tensor
        for name, tensor in weights.items()
        if not name.startswith(_HEADS)
    }


def weights_below(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the weights whose names begin with a prefix, without it."""
    return {n.removeprefix(prefix): tensor for n, tensor in state.items() if n.startswith(prefix)}


def load_weights(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load weights into a module that was built without values, in the dtypes of its parameters.

    Raises:
        ValueError: SM044 if weights are missing or unexpected, SM045 if a shape is wrong.
    """
    expected = module.state_dict()
    missing, unexpected = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected)
    if missing or unexpected:
        message = Errors.SM044.format(missing=_list(missing), unexpected=_list(unexpected))
        raise ValueError(message)
    for name, empty in expected.items():
        if state[name].shape != empty.shape:
            found, shape = tuple(state[name].shape), tuple(empty.shape)
            raise ValueError(Errors.SM045.format(name=name, found=found, expected=shape))
    loaded = {name: state[name].to(empty.dtype) for name, empty in expected.items()}
    module.load_state_dict(loaded, assign=True)


def compact_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights in the smallest number format that holds them exactly.

    A checkpoint in float16 or bfloat16 runs in float32, and is saved as small as it was. Matrices
    that were trained since need all their bits.
    """
    return {name: _compact(tensor) for name, tensor in state.items()}


def _compact(tensor: Tensor) -> Tensor:
    if tensor.dtype != torch.float32 or tensor.dim() < 2:
        return tensor
    narrowed = (tensor.to(dtype) for dtype in (torch.float16, torch.bfloat16))
    return next((narrow for narrow in narrowed if narrow.float().equal(tensor)), tensor)


def _current_name(name: str) -> str:
    for old, new in _OLD_NAMES.items():
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(names[:4]) or "none"
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more"
