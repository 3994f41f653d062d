"""What a head would say of texts it has not seen, and the settings that are chosen by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ..training.batches import Labels
from .logistic_regression import Floats, HeadSettings, fit_arrays

# Strengths that "cv" tries. Vectors of length one need little of the penalty.
CHOICES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
FOLDS = 5
# Logarithms of the temperatures that are tried, and the standard deviation they have beforehand.
_TEMPERATURES = np.linspace(-2.0, 2.0, 81)
_DEVIATION = 0.5


def choose_strength(vectors: Floats, labels: Labels, settings: HeadSettings) -> float:
    """Choose the strength of `CHOICES` under which held-out texts are most likely.

    Args:
        vectors: *Shape:* (texts, width).
        labels: *Shape:* (texts, labels).
        settings: How to fit, the strength aside.
    """
    losses = [
        negative_likelihood(
            held_out_logits(vectors, labels, replace(settings, C=strength)), labels, settings
        )
        for strength in CHOICES
    ]
    return CHOICES[int(np.argmin(losses))]


def choose_temperature(logits: Sequence[Floats], labels: Labels, settings: HeadSettings) -> float:
    """Choose the temperature under which held-out texts are most likely.

    A few texts say little, so 1 is held to be likely beforehand: the logarithm of the temperature
    has a normal distribution with a standard deviation of a half.

    Args:
        logits: Of the same held-out texts, one or several times; each time counts the same.
            *Shape:* (texts, labels).
        labels: *Shape:* (texts, labels).
        settings: How the head is fit.
    """
    losses = [
        0.5 * (step / _DEVIATION) ** 2
        + len(labels)
        * np.mean([negative_likelihood(view / np.exp(step), labels, settings) for view in logits])
        for step in _TEMPERATURES
    ]
    return float(np.exp(_TEMPERATURES[int(np.argmin(losses))]))


def held_out_logits(vectors: Floats, labels: Labels, settings: HeadSettings) -> Floats:
    """Give each text the logits of a head that was fit without it, if it belongs to a fold.

    Args:
        vectors: *Shape:* (texts, width).
        labels: *Shape:* (texts, labels).
        settings: How to fit, with a strength that is a number.

    Returns:
        *Shape:* (texts, labels).
    """
    folds = split(labels, folds=FOLDS, seed=settings.seed)
    logits = np.zeros(labels.shape, dtype=np.float32)
    for fold in range(FOLDS):
        held = folds == fold
        if held.any() and not held.all():
            coef, intercept = fit_arrays(vectors[~held], labels[~held], settings)
            logits[held] = vectors[held] @ coef.T + intercept
    return logits


def split(labels: Labels, *, folds: int, seed: int) -> npt.NDArray[np.intp]:
    """Deal texts into folds, so that each has its share of every class.

    The only text of a class is in none of them (-1), and thus in every training part. A text of
    several labels is dealt with those of its rarest.

    Args:
        labels: *Shape:* (texts, labels).
        folds: Number of folds.
        seed: Of the order.

    Returns:
        *Shape:* (texts,).
    """
    generator = np.random.default_rng(seed)
    has = labels == 1
    counts = np.where(has, has.sum(axis=0), len(labels) + 1)
    classes = np.where(has.any(axis=1), counts.argmin(axis=1), -1)
    dealt = np.full(len(labels), -1, dtype=np.intp)
    start = 0
    for label in np.unique(classes):
        members = generator.permutation(np.flatnonzero(classes == label))
        if len(members) > 1:
            dealt[members] = (start + np.arange(len(members))) % folds
            start += len(members)
    return dealt


def negative_likelihood(
    logits: npt.NDArray[np.floating], labels: Labels, settings: HeadSettings
) -> float:
    """Mean negative log-likelihood of the labels that are known.

    Args:
        logits: *Shape:* (texts, labels).
        labels: *Shape:* (texts, labels).
        settings: How the head is fit.
    """
    logits = logits.astype(np.float64)
    if settings.multi_label:
        known = ~np.isnan(labels)
        signs = np.where(labels == 1, -1.0, 1.0)
        return float(np.logaddexp(0.0, signs * logits)[known].mean())
    logits -= logits.max(axis=1, keepdims=True)
    return float((np.log(np.exp(logits).sum(axis=1)) - logits[labels == 1]).mean())
