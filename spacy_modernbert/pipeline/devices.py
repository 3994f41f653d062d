"""Devices by name, for components that own their encoder."""

from __future__ import annotations

from functools import lru_cache

import torch

from ..errors import Errors


def find_device(name: str) -> torch.device:
    """Return a device by name, with its number; ``auto`` is a GPU if torch can use one.

    Raises:
        ValueError: SM132 if there is no such device.
    """
    has_cuda = torch.cuda.is_available()
    if name == "auto":
        name = "cuda" if has_cuda else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        reason = "torch knows no device of this name"
        raise ValueError(Errors.SM132.format(device=name, reason=reason)) from error
    if device.type == "cuda":
        count = torch.cuda.device_count() if has_cuda else 0
        device = torch.device("cuda", device.index or 0)
        if device.index >= count:
            reason = f"torch sees {count} GPUs here"
            raise ValueError(Errors.SM132.format(device=name, reason=reason))
    elif device.type != "cpu":
        _try(device)
    return device


@lru_cache
def _try(device: torch.device) -> None:
    """Compute something: torch has names for devices that only other builds of it can use."""
    try:
        torch.zeros(1, device=device).add(1).cpu()
    except (RuntimeError, AssertionError) as error:
        reason = "this build of torch can't compute on it, or there is none"
        raise ValueError(Errors.SM132.format(device=device, reason=reason)) from error
