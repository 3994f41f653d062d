"""Types of the arrays that pass between training and head."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

# Vectors, weights or scores.
Floats: TypeAlias = npt.NDArray[np.float32]
# 1 where a text has a label, 0 where it does not, NaN where that is unknown: (texts, labels).
LabelMatrix: TypeAlias = npt.NDArray[np.float32]
