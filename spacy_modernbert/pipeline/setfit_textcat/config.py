"""Settings of ``setfit_textcat``. Importing them does not import torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from ...setfit.head.config import HeadConfig
from ...setfit.training.config import SetfitTrainingConfig
from ...settings import Settings

Share = Annotated[float, Field(ge=0, le=1)]


class SetfitTextcatConfig(Settings):
    """How categories are predicted, and what is kept of the texts that they are learned from."""

    threshold: Share = 0.5
    """Least probability of a label, for the scorer, where a text can have several."""
    multi_label: bool = False
    """Whether a text can have several labels, or none."""
    abstain_label: str | None = None
    """A label for texts that are unlike all examples. Null: no such label."""
    abstain_threshold: Annotated[float, Field(ge=0, le=2)] = 0.5
    """Abstain score above which a text has that label."""
    windows: Literal["mean", "max"] | None = None
    """How an encoder of the component's own reads texts that are too long for it. Null: their
    beginning, with a warning. `mean`: in windows, whose vectors are averaged. `max`: likewise in
    training, but each window of a new text is classified, and the most confident one counts. A
    lower `max_length` of the model makes the windows finer."""
    keep_support: Literal["none", "vectors", "texts"] = "vectors"
    """What a saved pipeline keeps of the texts it learned from: their vectors, to which labels can
    be added later; the texts, so that the encoder can be trained further, too; or nothing."""
    max_support: Annotated[int, Field(ge=1)] = 4096
    """Most texts it learns from at a time; of more, a class-balanced sample."""
    device: str = "auto"
    """`auto` (a GPU if there is one), `cpu`, `cuda:0` ..."""


@dataclass(frozen=True)
class LearningSettings:
    """All that decides how a component learns, as it is at the moment: labels and settings."""

    labels: tuple[str, ...]
    flat: SetfitTextcatConfig
    training: SetfitTrainingConfig
    head: HeadConfig
