"""Number formats of an encoder: which one a device really has, and layers that use it.

bfloat16 here means: weights and matrix products in bfloat16; norms, softmax and the residual
stream in float32. It halves the memory of the weights, and the time of the products on hardware
with units for it.
"""

from __future__ import annotations

import platform
import time
import warnings
from functools import cache
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import Errors, Warnings

Precision = Literal["float32", "bfloat16"]

# Below this gain in speed the user is told that bfloat16 saves memory only.
WORTH = 0.9


def resolve_precision(precision: Precision, device: torch.device | str) -> torch.dtype:
    """Choose the dtype of matrix products; warn once where it cannot be the one asked for.

    Args:
        precision: what the user asked for.
        device: where the products run.

    Raises:
        ValueError: SM024, no such precision.
    """
    return _resolve(precision, torch.device(device).type)


@cache
def _resolve(precision: Precision, device_type: str) -> torch.dtype:
    if precision not in get_args(Precision):
        raise ValueError(Errors.SM024.format(precision=precision, choices=get_args(Precision)))
    if precision == "float32":
        return torch.float32
    if _has_bfloat16(device_type):
        gain = _gain_of_bfloat16() if device_type == "cpu" else 1.0
        if gain < WORTH:
            warnings.warn(Warnings.SMW021.format(gain=gain), stacklevel=3)
        return torch.bfloat16
    warnings.warn(Warnings.SMW020.format(precision=precision, device=device_type), stacklevel=3)
    return torch.float32


def _has_bfloat16(device_type: str) -> bool:
    """Whether the device has instructions for bfloat16; emulation would be slower than float32."""
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device_type != "cpu":
        return False
    if platform.machine().lower() in ("aarch64", "arm64"):
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    # Private names: torch has no public ones, and a version without them answers "no".
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in probes)


def bfloat16_gain() -> float | None:
    """Compare both formats on the CPU, by a product that takes a few milliseconds.

    To have the instructions is not to be fast: some processors run them slowly, among
    them those whose virtual machine hides the faster AMX units.

    Returns:
        How many times faster bfloat16 is; None where the processor has no instructions for it.
    """
    return _gain_of_bfloat16() if _has_bfloat16("cpu") else None


def _gain_of_bfloat16() -> float:
    with torch.no_grad():
        wide = torch.ones(512, 768), torch.ones(768, 768)
        half = wide[0].bfloat16(), wide[1].bfloat16()
        seconds = {"wide": float("inf"), "half": float("inf")}
        for _ in range(4):  # the first pays for setting the kernels up; the best counts
            for name, (x, weight) in (("wide", wide), ("half", half)):
                start = time.perf_counter()
                F.linear(x, weight)
                seconds[name] = min(seconds[name], time.perf_counter() - start)
    return seconds["wide"] / seconds["half"]


class Linear(nn.Linear):
    """A linear layer whose products run in the input's dtype, whatever its weights are stored in.

    Training keeps float32 weights and casts them in each forward pass, through which gradients
    flow; inference stores them cast (see `cast_parameters`).
    """

    def forward(self, x: Tensor) -> Tensor:
        """*Shape:* (..., in) to (..., out), in the dtype of `x`."""
        return F.linear(x, self.weight.to(x.dtype), self._bias(x.dtype))

    def write(self, x: Tensor, out: Tensor) -> None:
        """Write the layer's output to where it is wanted; not differentiable.

        Args:
            x: *Shape:* (n, in).
            out: *Shape:* (n, out), in the dtype of `x`.
        """
        weight, bias = self.weight.to(x.dtype).t(), self._bias(x.dtype)
        if bias is None:
            torch.mm(x, weight, out=out)
        else:
            torch.addmm(bias, x, weight, out=out)

    def add_to_(self, total: Tensor, x: Tensor) -> None:
        """Add the layer's output to a tensor; not differentiable.

        In one dtype the product accumulates right there, and the sum costs no pass of its own.

        Args:
            total: *Shape:* (n, out), float32.
            x: *Shape:* (n, in).
        """
        if x.dtype != total.dtype:
            total.add_(self(x))
            return
        total.addmm_(x, self.weight.to(x.dtype).t())
        bias = self._bias(x.dtype)
        if bias is not None:
            total.add_(bias)

    def _bias(self, dtype: torch.dtype) -> Tensor | None:
        return None if self.bias is None else self.bias.to(dtype)


def cast_parameters(module: nn.Module, dtype: torch.dtype) -> None:
    """Store the weights of linear and embedding layers as `dtype`; those of norms stay float32."""
    for layer in module.modules():
        if isinstance(layer, (nn.Linear, nn.Embedding)):
            layer.to(dtype)
