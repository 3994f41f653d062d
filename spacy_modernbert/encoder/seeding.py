"""Chance that can be repeated, and that nobody else notices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(device: torch.device, *numbers: int) -> Iterator[None]:
    """Let torch draw the numbers that belong to a seed; its own generator is as before afterwards.

    Args:
        device: Where numbers are drawn, besides the CPU.
        numbers: The seed, and what tells this draw from others of it: a step, for example.
    """
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))
        yield
