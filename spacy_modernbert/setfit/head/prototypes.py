"""Prototypes of classes, and how far texts are from them: the abstain score."""

from __future__ import annotations

import numpy as np

from ..arrays import Floats, LabelMatrix, class_members


def make_prototypes(vectors: Floats, labels: LabelMatrix) -> Floats:
    """Return the mean direction of the texts of each class, and of those without any label.

    *Shapes:* (texts, width) and (texts, labels) to (classes, width), unit vectors.
    """
    units = to_units(vectors)
    means = np.stack([units[members].mean(axis=0) for members in class_members(labels)])
    return to_units(means)


def abstain_scores(vectors: Floats, prototypes: Floats) -> Floats:
    """Return the distance of each text to the nearest prototype: 0 is on it, 1 at a right angle.

    *Shapes:* (texts, width) and (classes, width) to (texts,), from 0 to 2.
    """
    cosines = to_units(vectors) @ prototypes.T
    return (1.0 - cosines.max(axis=1)).astype(np.float32)


def to_units(vectors: Floats) -> Floats:
    """Scale vectors to length one; zeros stay. *Shape:* (texts, width), unchanged."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
