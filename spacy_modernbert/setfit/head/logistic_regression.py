"""Logistic regression over all labels at once, or one for each label against the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ...errors import Errors
from ..training.batches import Labels

Floats: TypeAlias = npt.NDArray[np.float32]
ClassWeight: TypeAlias = Literal["balanced"] | None

_MOST_STEPS = 1000
# The logit of a class that no text of the data has; with the sign turned, of one that all have.
_ABSENT = -10.0


@dataclass(frozen=True)
class HeadSettings:
    """How a head is fit.

    Attributes:
        multi_label: Whether each label is decided on its own, by one regression against the rest.
        C: Inverse strength of the penalty, or "cv" for the one that predicts held-out texts best.
        class_weight: "balanced" gives every class the same weight, however many texts it has. With
            several labels, each is a class of few texts beside the rest of many, and would hardly
            ever be given without.
        calibrate: Whether to find a temperature; otherwise it is 1.
        seed: Of the split into folds.
    """

    multi_label: bool = False
    C: float | Literal["cv"] = 10.0
    class_weight: ClassWeight = "balanced"
    calibrate: bool = True
    seed: int = 0


def check(labels: Labels, names: Sequence[str], settings: HeadSettings) -> None:
    """Refuse what nothing can be learnt from.

    Args:
        labels: *Shape:* (texts, labels).
        names: Names of the labels.
        settings: How the head is to be fit.

    Raises:
        ValueError: SM210, SM211 or SM212.
    """
    strength = settings.C
    if strength != "cv" and (not isinstance(strength, (int, float)) or not 0 < strength < np.inf):
        raise ValueError(Errors.SM212.format(value=strength))
    if len(names) < (1 if settings.multi_label else 2):
        raise ValueError(Errors.SM210.format(found=", ".join(names) or "none"))
    columns = labels[usable(labels, settings)].T
    empty = [name for name, col in zip(names, columns, strict=True) if not (col == 1).any()]
    if empty:
        raise ValueError(Errors.SM211.format(labels=", ".join(empty)))


def usable(labels: Labels, settings: HeadSettings) -> npt.NDArray[np.bool_]:
    """Tell which texts a head can be fit to. *Shape:* (texts,)."""
    if settings.multi_label:
        return np.ones(len(labels), dtype=np.bool_)
    return (labels == 1).sum(axis=1) == 1


def fit_arrays(vectors: Floats, labels: Labels, settings: HeadSettings) -> tuple[Floats, Floats]:
    """Fit one regression over all labels, or one for each.

    Args:
        vectors: *Shape:* (texts, width).
        labels: *Shape:* (texts, labels).
        settings: How, with a strength that is a number.

    Returns:
        Weights and constants. *Shapes:* (labels, width) and (labels,).
    """
    coef = np.zeros((labels.shape[1], vectors.shape[1]), dtype=np.float32)
    intercept = np.full(len(coef), _ABSENT, dtype=np.float32)
    if not settings.multi_label:
        _fit(vectors, (labels == 1).argmax(axis=1), settings, coef, intercept)
        return coef, intercept
    for label, column in enumerate(labels.T):
        known = ~np.isnan(column)
        two, constants = np.zeros_like(coef, shape=(2, coef.shape[1])), np.zeros(2, np.float32)
        _fit(vectors[known], column[known].astype(np.intp), settings, two, constants)
        # "No" and "yes" share the difference; a sigmoid needs all of it on one side.
        coef[label], intercept[label] = two[1] - two[0], constants[1] - constants[0]
    return coef, intercept


def _fit(
    vectors: Floats,
    answers: npt.NDArray[np.intp],
    settings: HeadSettings,
    coef: Floats,
    intercept: Floats,
) -> None:
    """Fit one regression, and write it to the rows of the classes that it knows."""
    from sklearn.linear_model import LogisticRegression

    classes = np.unique(answers)
    if len(classes) < 2:
        intercept[classes] = -_ABSENT
        return
    model = LogisticRegression(
        C=settings.C, class_weight=settings.class_weight, max_iter=_MOST_STEPS
    )
    model.fit(vectors, answers)
    if len(classes) == 2:  # one row is all it has; half of it each way gives the same softmax
        coef[classes] = np.outer([-0.5, 0.5], model.coef_[0])
        intercept[classes] = np.array([-0.5, 0.5]) * model.intercept_[0]
    else:
        coef[classes], intercept[classes] = model.coef_, model.intercept_
