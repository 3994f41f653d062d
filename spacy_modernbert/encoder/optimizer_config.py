"""Settings of the optimizer that a component owns. Importing them does not import torch."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from ..settings import Settings

Rate = Annotated[float, Field(ge=0)]
LrSchedule = Literal["constant", "linear", "cosine"]


class OptimizerConfig(Settings):
    """AdamW with warm-up and a schedule of learning rates."""

    learn_rate: Rate = 5e-5
    """Highest learning rate of the encoder."""
    weight_decay: Rate = 0.01
    """Weight decay of the encoder's matrices. Biases and norms have none."""
    lr_schedule: LrSchedule = "linear"
    """How learning rates fall after the warm-up."""
    warmup_steps: Annotated[int, Field(ge=0)] | None = None
    """Steps over which learning rates rise from 0. Null: `warmup_ratio` of all steps."""
    warmup_ratio: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of all steps over which learning rates rise, if `warmup_steps` is null."""
    total_steps: Annotated[int, Field(ge=1)] | None = None
    """Step at which learning rates return to 0. Null: `max_steps` of `[training]`."""
    grad_clip: Annotated[float, Field(gt=0)] = 1.0
    """Largest norm of the gradient of all weights; longer gradients are scaled down."""

    def factor(self, step: int) -> float:
        """Return the factor of the highest learning rates for a step, counted from 0.

        Without `total_steps`, learning rates never fall, and rise only over `warmup_steps`.
        """
        total, warmup = self.total_steps, self.warmup_steps
        if warmup is None:
            warmup = 0 if total is None else int(self.warmup_ratio * total)
        rise = min(1.0, (step + 1) / (warmup + 1))
        if total is None or self.lr_schedule == "constant":
            return rise
        progress = min(1.0, max(0.0, (step - warmup) / max(1, total - warmup)))
        fall = 1 - progress
        if self.lr_schedule == "cosine":
            fall = (1 + math.cos(math.pi * progress)) / 2
        return min(rise, fall)
