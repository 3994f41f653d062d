"""Settings of the training of a sentence encoder.

The default learning rate, number of steps and weight interpolation were chosen on eight texts each
of scientific citations, comments in code, requests to hotels and banks, and questions of
programmers: few large steps do as well as many small ones. Importing them does not import torch.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from ...encoder.optimizer_config import OptimizerConfig, Rate
from ...settings import Settings

Freezable: TypeAlias = Literal["embeddings", "encoder"]
LossName: TypeAlias = Literal["cosine", "supcon"]


class SetfitOptimizerConfig(OptimizerConfig):
    """AdamW that takes a few large steps."""

    learn_rate: Rate = 2e-4
    """Highest learning rate of the encoder."""
    warmup_steps: Annotated[int, Field(ge=0)] | None = 2
    """Steps over which learning rates rise from 0. Null: `warmup_ratio` of all steps."""
    total_steps: Annotated[int, Field(ge=1)] | None = 20
    """Step at which learning rates are back at 0, and the training is over. Null: `max_steps` of
    `[training]`."""


class SetfitTrainingConfig(Settings):
    """How a sentence encoder is fine-tuned by contrast."""

    loss: LossName = "cosine"
    """`cosine` (section 3.1 of the paper), or `supcon` (arXiv 2004.11362, equation 2)."""
    batch_size: Annotated[int, Field(ge=0)] = 64
    """Texts of a step. Earlier texts fill up a smaller batch, class by class. 0: only the batch."""
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = 0.0
    """Least dropout rate of the encoder; 0 also turns off the checkpoint's own, since with all
    pairs of a batch in the loss, noise costs more than it protects from. Null: that of
    `[training]`."""
    freeze: tuple[Freezable, ...] = ("embeddings",)
    """Parts that stay as they are: `embeddings`, of which a few texts say little, or `encoder`,
    so that only the classifier learns."""
    weight_interpolation: Annotated[float, Field(ge=0, le=1)] | None = None
    """Where the weights in use lie between those from before the training (0) and those from after
    it (1), see arXiv 2109.01903. Null: 0.9; but `fit` with 256 texts or more, and no others to
    evaluate with, holds out a quarter of them to choose it."""
    use_training_optimizer: bool = False
    """Whether the optimizer of `[training]` takes the steps, with its own learning rates."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the order of texts, of dropout and of folds."""
    optimizer: SetfitOptimizerConfig = SetfitOptimizerConfig()

    def with_total_steps(self, steps: int | None) -> SetfitTrainingConfig:
        """Return the same settings for a training of another length."""
        optimizer = self.optimizer.model_copy(update={"total_steps": steps})
        return self.model_copy(update={"optimizer": optimizer})
