"""How an encoder is trained: numbers only, so that whoever needs them need not import torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LossName = Literal["cosine", "supcon"]


@dataclass(frozen=True)
class Schedule:
    """How an encoder is trained.

    Attributes:
        loss: Name of the loss, of `loss.LOSSES`.
        learn_rate: Highest learning rate. The default, with the number of steps and the blend, was
            chosen on eight texts each of scientific citations, comments in code, requests to hotels
            and banks, and questions of programmers: few large steps do as well as many small ones.
        weight_decay: Of the matrices; biases and norms have none.
        warmup_steps: Steps over which the rate rises from 0.
        total_steps: Step at which the rate is back at 0; None keeps it.
        dropout: Dropout rate. 0 is none at all, whatever the checkpoint was trained with: with all
            pairs of a batch in the loss, noise costs more than it protects from. Above 0, a higher
            rate of the checkpoint's own wins.
        freeze_embeddings: Whether the piece embeddings stay as they are. They are many, a step
            touches few of them, and a handful of texts says little about them.
        blend: How far the weights in use are along the way from those at the start (0) to those
            of the training (1); see `Trainer.settle`.
        seed: Of the dropout.
    """

    loss: LossName = "cosine"
    learn_rate: float = 2e-4
    weight_decay: float = 0.01
    warmup_steps: int = 2
    total_steps: int | None = 20
    dropout: float = 0.0
    freeze_embeddings: bool = True
    blend: float = 0.9
    seed: int = 0

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        rise = min(1.0, (step + 1) / (self.warmup_steps + 1))
        if self.total_steps is None:
            return self.learn_rate * rise
        left = (self.total_steps - step) / max(1, self.total_steps - self.warmup_steps)
        return self.learn_rate * max(0.0, min(rise, left))
