"""Learning rates: how fast each part of a model learns, and when."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

Decay: TypeAlias = Literal["constant", "linear", "cosine"]


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Learning rates of a training. The defaults are those of the paper's (appendix A).

    Attributes:
        encoder_rate: Highest learning rate of the encoders.
        head_rate: Highest learning rate of all else.
        encoder_decay: Weight decay of the encoders' matrices; biases and norms have none.
        head_decay: Weight decay of all other matrices.
        warmup: Steps over which the rate rises from 0; below 1 the share of all steps.
        total_steps: Step at which the rate is back at 0; None: it never falls.
        decay: How it gets there.
        clip: Longest gradient, over all weights together.
    """

    encoder_rate: float = 1e-5
    head_rate: float = 5e-5
    encoder_decay: float = 0.01
    head_decay: float = 0.01
    warmup: float = 0.1
    total_steps: int | None = None
    decay: Decay = "cosine"
    clip: float = 10.0

    def factor(self, step: int) -> float:
        """Share of the highest rates in a step, counted from 0."""
        total = self.total_steps
        warmup = self.warmup
        if warmup < 1:
            warmup = int(warmup * total) if total is not None else 0
        rise = min(1.0, (step + 1) / (warmup + 1))
        if total is None or self.decay == "constant" or rise < 1:
            return rise
        gone = min(1.0, max(0.0, (step - warmup) / max(1.0, total - warmup)))
        return 1 - gone if self.decay == "linear" else (1 + math.cos(math.pi * gone)) / 2
