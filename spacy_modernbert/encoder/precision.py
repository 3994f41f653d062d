"""Number formats of an encoder: those that a device has, and layers that use them.

The precision bfloat16 means weights and matrix products in bfloat16, and norms, softmax and the
residual stream in float32. It halves the memory of the weights, and the time of the products on
hardware with units for it.
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

# Below this gain in speed, a warning says that bfloat16 only saves memory.
MIN_GAIN = 0.9


def resolve_precision(precision: Precision, device: torch.device | str) -> torch.dtype:
    """Choose the dtype of matrix products; warn once if the device lacks the requested one.

    Args:
        precision: The requested precision.
        device: Device of the products.

    Raises:
        ValueError: SM024 if there is no such precision.
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
        if gain < MIN_GAIN:
            warnings.warn(Warnings.SMW021.format(gain=gain), stacklevel=3)
        return torch.bfloat16
    warnings.warn(Warnings.SMW020.format(precision=precision, device=device_type), stacklevel=3)
    return torch.float32


def _has_bfloat16(device_type: str) -> bool:
    """Tell whether the device has bfloat16 instructions; emulation is slower than float32."""
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device_type != "cpu":
        return False
    if platform.machine().lower() in ("aarch64", "arm64"):
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    # Private names, because torch has no public ones; a version without them counts as "no".
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in probes)


def bfloat16_gain() -> float | None:
    """Measure the gain of bfloat16 on the CPU, by a product that takes a few milliseconds.

    Processors with the instructions may still run them slowly, such as those whose virtual
    machine hides the faster AMX units.

    Returns:
        Speed of bfloat16 as a multiple of float32; None if the processor has no instructions.
    """
    return _gain_of_bfloat16() if _has_bfloat16("cpu") else None


def _gain_of_bfloat16() -> float:
    with torch.no_grad():
        wide = torch.ones(512, 768), torch.ones(768, 768)
        half = wide[0].bfloat16(), wide[1].bfloat16()
        seconds = {"wide": float("inf"), "half": float("inf")}
        for _ in range(4):  # the first includes the set-up of the kernels; the best counts
            for name, (x, weight) in (("wide", wide), ("half", half)):
                start = time.perf_counter()
                F.linear(x, weight)
                seconds[name] = min(seconds[name], time.perf_counter() - start)
    return seconds["wide"] / seconds["half"]


class Linear(nn.Linear):
    """A linear layer whose products run in the dtype of the input, not of the stored weights.

    In training, weights are float32 and cast in each forward pass, through which gradients flow.
    For inference they are stored cast (see `cast_parameters`).
    """

    def forward(self, x: Tensor) -> Tensor:
        """*Shape:* (..., in) to (..., out), in the dtype of `x`."""
        return F.linear(x, self.weight.to(x.dtype), self._bias(x.dtype))

    def write(self, x: Tensor, out: Tensor) -> None:
        """Write the output of the layer into a tensor; not differentiable.

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
        """Add the output of the layer to a tensor; not differentiable.

        If both have one dtype, the product accumulates in place, and the sum costs no extra pass.

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
