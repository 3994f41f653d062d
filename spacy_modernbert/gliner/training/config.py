"""Settings of the training of a GLiNER. The defaults are those of the paper (arXiv 2311.08526).

Importing them does not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from ...encoder.optimizer_config import LrSchedule, OptimizerConfig, Rate
from ...settings import Settings

Freezable: TypeAlias = Literal["embeddings", "encoder", "labels_encoder"]
LossName: TypeAlias = Literal["bce", "dice"]
Masking: TypeAlias = Literal["element", "label", "span"]
Reduction: TypeAlias = Literal["sum", "mean"]

Share = Annotated[float, Field(ge=0, le=1)]


class GlinerOptimizerConfig(OptimizerConfig):
    """AdamW with one learning rate for the encoders and another one for the head (appendix A)."""

    learn_rate: Rate = 1e-5
    """Highest learning rate of the encoders."""
    head_learn_rate: Rate = 5e-5
    """Highest learning rate of everything but the encoders."""
    head_weight_decay: Rate = 0.01
    """Weight decay of the head's matrices."""
    lr_schedule: LrSchedule = "cosine"
    """How learning rates fall after the warm-up."""
    grad_clip: Annotated[float, Field(gt=0)] = 10.0
    """Longest gradient, over all weights together; longer ones are scaled down."""


class LossConfig(Settings):
    """What training minimizes: plain binary cross entropy, summed (equation 4)."""

    name: LossName = "bce"
    """`bce`, or `dice` (arXiv 1911.02855, equation 8)."""
    alpha: Share | None = None
    """Weight of positives, with 1 - alpha for negatives. Null: both count the same."""
    gamma: Annotated[float, Field(ge=0)] = 0.0
    """Focus on scores that are still wrong (arXiv 1708.02002, equation 5). 0: none."""
    margin: Share = 0.0
    """Negatives with a probability below this cost nothing (arXiv 2009.14119)."""
    label_smoothing: Share = 0.0
    """How far targets are moved from 0 and 1 towards one half."""
    keep_negatives: Share = 1.0
    """Share of the negatives that count, drawn anew at every step."""
    masking: Masking = "element"
    """What is left out together: single elements, all elements of an absent label, or of a span."""
    width_weight: bool = False
    """Whether a positive span of k words counts 1 + log(k) times. Span models only."""
    reduction: Reduction = "sum"
    """`sum`, or `mean` over spans (token models: over words and labels)."""
    min_probability: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Lower probabilities cost no more than this one, as upstream has it with 1e-6. 0: no limit."""


class LabelSamplingConfig(Settings):
    """Which labels a text is read with (section 2.3 and table 5)."""

    max_types: Annotated[int, Field(ge=1)] = 25
    """Most labels of a text."""
    negative_ratio: Annotated[int, Field(ge=0)] | None = 1
    """Most absent labels for each span of a text; the number is drawn. Null: all labels."""
    drop_types: Share = 1.0
    """Share of the texts that are read with a few of their labels only."""
    shuffle: bool = True
    """Whether labels come in another order each time."""
    phrases: Mapping[str, Sequence[str]] = {}
    """Label to phrasings, of which one is drawn each time."""


class RehearsalConfig(Settings):
    """Distillation of the model from before the training, against forgetting (arXiv 1606.09282)."""

    weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight of its loss beside that of the annotation. 0: none."""
    labels: Sequence[str] = ()
    """Label texts that must not be forgotten."""


class TrainingConfig(Settings):
    """How a GLiNER is trained."""

    freeze: Sequence[Freezable] = ()
    """Parts that stay as they are: `embeddings`, `encoder`, `labels_encoder`."""
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Least dropout rate of the encoder. Null: that of `[training]`."""
    label_texts: Mapping[str, str] = {}
    """What the model reads for labels of the examples, before the built-in table."""
    use_training_optimizer: bool = False
    """Whether the optimizer of `[training]` takes the steps, with its own learning rates."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of everything that is drawn."""
    optimizer: GlinerOptimizerConfig = GlinerOptimizerConfig()
    loss: LossConfig = LossConfig()
    sampling: LabelSamplingConfig = LabelSamplingConfig()
    rehearsal: RehearsalConfig = RehearsalConfig()
