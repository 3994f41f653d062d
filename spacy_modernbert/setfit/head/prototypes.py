"""How far a text is from everything the classifier was shown: the abstain score."""

from __future__ import annotations

import numpy as np

from ..training.batches import Labels, class_members
from .logistic_regression import Floats


def make_prototypes(vectors: Floats, labels: Labels) -> Floats:
    """Give each class the mean direction of its texts.

    Args:
        vectors: Sentence vectors of the support set. *Shape:* (texts, width).
        labels: *Shape:* (texts, labels).

    Returns:
        Unit vectors; texts without any label have one of their own. *Shape:* (classes, width).
    """
    units = to_units(vectors)
    means = np.stack([units[members].mean(axis=0) for members in class_members(labels)])
    return to_units(means)


def abstain_scores(vectors: Floats, prototypes: Floats) -> Floats:
    """Give each text's distance to the nearest prototype: 0 is on it, 1 at a right angle.

    Args:
        vectors: *Shape:* (texts, width).
        prototypes: As `make_prototypes` gives them. *Shape:* (classes, width).

    Returns:
        *Shape:* (texts,), from 0 to 2.
    """
    cosines = to_units(vectors) @ prototypes.T
    return (1.0 - cosines.max(axis=1)).astype(np.float32)


def to_units(vectors: Floats) -> Floats:
    """Scale vectors to length one; one of zeros stays. *Shape:* (texts, width), unchanged."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
