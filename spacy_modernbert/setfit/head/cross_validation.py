"""Predictions for held-out texts, and the settings that are chosen by them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..arrays import Floats, LabelMatrix
from .config import HeadConfig
from .logistic_regression import Progress, fit_arrays

# Strengths that "cv" tries. Vectors of length one need little of the penalty.
STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
FOLDS = 5
# Logarithms of the temperatures that are tried, and the standard deviation of their prior.
_LOG_TEMPERATURES = np.linspace(-2.0, 2.0, 81)
_PRIOR_DEVIATION = 0.5


def choose_strength(
    vectors: Floats,
    labels: LabelMatrix,
    config: HeadConfig,
    *,
    multi_label: bool,
    seed: int,
    progress: Progress | None = None,
) -> float:
    """Choose the strength of `STRENGTHS` under which held-out texts are most likely.

    For the arguments see `held_out_logits`; the strength of the config is left aside.
    """
    losses = []
    for strength in STRENGTHS:
        each = config.model_copy(update={"C": strength})
        logits = held_out_logits(
            vectors, labels, each, multi_label=multi_label, seed=seed, progress=progress
        )
        losses.append(negative_log_likelihood(logits, labels, multi_label=multi_label))
    return STRENGTHS[int(np.argmin(losses))]


def choose_temperature(
    logits: Sequence[Floats], labels: LabelMatrix, *, multi_label: bool
) -> float:
    """Choose the temperature under which held-out texts are most likely.

    A few texts say little, so 1 is the most likely beforehand: the prior of the temperature's
    logarithm is normal, with a standard deviation of a half.

    The logits are those of the same held-out texts, from one or several encoders, which count the
    same. *Shapes:* (texts, labels).
    """

    def loss(log: float) -> float:
        scaled = [
            negative_log_likelihood(each / np.exp(log), labels, multi_label=multi_label)
            for each in logits
        ]
        return 0.5 * (log / _PRIOR_DEVIATION) ** 2 + len(labels) * float(np.mean(scaled))

    return float(np.exp(min(_LOG_TEMPERATURES.tolist(), key=loss)))


def held_out_logits(
    vectors: Floats,
    labels: LabelMatrix,
    config: HeadConfig,
    *,
    multi_label: bool,
    seed: int,
    progress: Progress | None = None,
) -> Floats:
    """Return the logits of each text from a head that was fitted without it.

    For the arguments see `fit_arrays`; ``seed`` is that of the folds.

    Returns:
        Zeros for a text that is in no fold. *Shape:* (texts, labels).
    """
    folds = assign_folds(labels, folds=FOLDS, seed=seed)
    logits = np.zeros(labels.shape, dtype=np.float32)
    for fold in range(FOLDS):
        held_out = folds == fold
        if held_out.any() and not held_out.all():
            coef, intercept = fit_arrays(
                vectors[~held_out],
                labels[~held_out],
                config,
                multi_label=multi_label,
                progress=progress,
            )
            logits[held_out] = vectors[held_out] @ coef.T + intercept
    return logits


def assign_folds(labels: LabelMatrix, *, folds: int, seed: int) -> npt.NDArray[np.intp]:
    """Assign texts to folds, so that each fold has its share of every class.

    The only text of a class is in none of them (-1), and thus in every training part. A text of
    several labels counts for its rarest. *Shape:* (texts, labels) to (texts,).
    """
    generator = np.random.default_rng(seed)
    has = labels == 1
    counts = np.where(has, has.sum(axis=0), len(labels) + 1)
    classes = np.where(has.any(axis=1), counts.argmin(axis=1), -1)
    assigned = np.full(len(labels), -1, dtype=np.intp)
    start = 0
    for label in np.unique(classes):
        members = generator.permutation(np.flatnonzero(classes == label))
        if len(members) > 1:
            assigned[members] = (start + np.arange(len(members))) % folds
            start += len(members)
    return assigned


def negative_log_likelihood(
    logits: npt.NDArray[np.floating], labels: LabelMatrix, *, multi_label: bool
) -> float:
    """Return the mean negative log-likelihood of the known labels. *Shapes:* (texts, labels)."""
    logits = logits.astype(np.float64)
    if multi_label:
        known = ~np.isnan(labels)
        signs = np.where(labels == 1, -1.0, 1.0)
        return float(np.logaddexp(0.0, signs * logits)[known].mean())
    logits -= logits.max(axis=1, keepdims=True)
    return float((np.log(np.exp(logits).sum(axis=1)) - logits[labels == 1]).mean())
