"""Types of the arrays that pass between training and head."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

# Vectors, weights or scores.
Floats: TypeAlias = npt.NDArray[np.float32]
# 1 where a text has a label, 0 where it does not, NaN where that is unknown: (texts, labels).
LabelMatrix: TypeAlias = npt.NDArray[np.float32]


def class_members(labels: LabelMatrix) -> list[npt.NDArray[np.intp]]:
    """Return the indices of the texts of each class that has some, those without labels last.

    *Shapes:* (texts, labels) to (members,) each.
    """
    has = labels == 1
    members = [np.flatnonzero(column) for column in has.T] + [np.flatnonzero(~has.any(axis=1))]
    return [texts for texts in members if len(texts)]
