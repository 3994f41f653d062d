"""Settings of the classifier. Importing them does not import scikit-learn."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ...settings import Settings

Strength = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class HeadConfig(Settings):
    """How logistic regression is fitted to sentence vectors."""

    C: Literal["cv"] | Strength = 10.0
    """Inverse strength of the penalty; `cv` chooses the one that predicts held-out texts best."""
    class_weight: Literal["balanced"] | None = "balanced"
    """`balanced` gives every class the same weight, however many texts it has. Where a text can
    have several labels, each is a class of few texts beside the rest of many: without the weight,
    labels are hardly ever predicted."""
    calibrate: bool = True
    """Whether probabilities are scaled by a temperature that held-out texts determine."""
