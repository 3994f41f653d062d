"""Devices by name, for components that own their encoder."""

from __future__ import annotations

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
        raise ValueError(Errors.SM132.format(device=name, reason=error)) from error
    if device.type == "cuda":
        count = torch.cuda.device_count() if has_cuda else 0
        device = torch.device("cuda", device.index or 0)
        if device.index >= count:
            reason = f"torch sees {count} GPUs here"
            raise ValueError(Errors.SM132.format(device=name, reason=reason))
    return device
