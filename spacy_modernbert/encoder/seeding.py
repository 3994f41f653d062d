"""Reproducible random numbers that leave the generators of torch unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(device: torch.device, *numbers: int) -> Iterator[None]:
    """Seed torch for a block, and restore its generators afterwards.

    Args:
        device: Device that draws numbers, besides the CPU.
        numbers: The seed, and numbers that tell this block from others with the same seed, such
            as the step.
    """
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))
        yield
