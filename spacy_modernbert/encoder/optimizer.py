"""AdamW for the weights of a checkpoint: parameter groups, schedule, clipping."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import nn

from .optimizer_config import OptimizerConfig


def decay_groups(
    parameters: Iterable[nn.Parameter], *, learn_rate: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Divide parameters into groups with and without weight decay.

    Args:
        parameters: The parameters; those that need no gradient are left out.
        learn_rate: Highest learning rate of all of them.
        weight_decay: Weight decay of the matrices. Biases and norms have none.

    Returns:
        Groups as torch's optimizers take them; none is empty.
    """
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    matrices = [parameter for parameter in trained if parameter.dim() > 1]
    vectors = [parameter for parameter in trained if parameter.dim() <= 1]
    groups = [(matrices, weight_decay), (vectors, 0.0)]
    return [
        {"params": group, "lr": learn_rate, "weight_decay": decay}
        for group, decay in groups
        if group
    ]


class Optimizer:
    """Fused AdamW whose learning rates follow a schedule.

    Args:
        groups: Parameter groups, each with its highest learning rate.
        config: Schedule and clipping.

    Attributes:
        steps: Number of steps taken.
        parameters: All trained parameters.
    """

    def __init__(self, groups: list[dict[str, Any]], config: OptimizerConfig) -> None:
        self.config = config
        self.steps = 0
        self.parameters: list[nn.Parameter] = [p for group in groups for p in group["params"]]
        self._highest = [group["lr"] for group in groups]
        self._adamw = torch.optim.AdamW(groups, fused=True)

    @property
    def is_over(self) -> bool:
        """Whether the next step would have a learning rate of 0."""
        return self.config.factor(self.steps) == 0.0

    @property
    def has_gradients(self) -> bool:
        """Whether gradients have accumulated since the last step."""
        return any(parameter.grad is not None for parameter in self.parameters)

    def step(self) -> float:
        """Update the weights by the accumulated gradients, and clear these.

        A gradient that is not finite changes no weight, but counts as a step.

        Returns:
            The norm of the gradient before clipping; 0 without gradients, which count as no step.
        """
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if not gradients:
            return 0.0
        norm = float(nn.utils.get_total_norm(gradients))
        if norm > self.config.grad_clip:
            nn.utils.clip_grads_with_norm_(
                self.parameters, self.config.grad_clip, torch.tensor(norm)
            )
        factor = self.config.factor(self.steps)
        for group, highest in zip(self._adamw.param_groups, self._highest, strict=True):
            group["lr"] = highest * factor
        if np.isfinite(norm):
            self._adamw.step()
        self.zero_gradients()
        self.steps += 1
        return norm

    def zero_gradients(self) -> None:
        """Clear the accumulated gradients."""
        self._adamw.zero_grad()
