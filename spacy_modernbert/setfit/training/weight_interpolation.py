"""How far to go with a tuned encoder: what texts say of it that it was not tuned on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ..head.cross_validation import split
from ..head.logistic_regression import Floats, HeadSettings, fit_arrays, usable
from .batches import Labels

# So many texts are enough to do without some of them, and for the rest to say something.
ENOUGH = 256
PARTS = 4
BLENDS = (0.0, 0.3, 0.6, 0.9)
_STRENGTH = 10.0


def hold_out(labels: Labels, *, seed: int) -> npt.NDArray[np.bool_]:
    """Choose texts that an encoder shall not be tuned on: a quarter of each class.

    Args:
        labels: *Shape:* (texts, labels).
        seed: Of the choice.

    Returns:
        True for the texts to be held back; for none where there are few of them.
        *Shape:* (texts,).
    """
    if len(labels) < ENOUGH:
        return np.zeros(len(labels), dtype=np.bool_)
    return split(labels, folds=PARTS, seed=seed) == 0


def choose_weight_interpolation(
    encode: Callable[[float], Floats],
    labels: Labels,
    held: npt.NDArray[np.bool_],
    settings: HeadSettings,
) -> float:
    """Choose how far to go from the encoder as it was to the encoder as it is after its training.

    For each blend a head is fit to the texts that the encoder was tuned on. The one that is most
    often right about the others is taken; of equals, the one that stays closer to the start.

    Args:
        encode: Gives the vectors of all texts under a blend. *Shape:* (texts, width).
        labels: *Shape:* (texts, labels).
        held: The texts that were held back. *Shape:* (texts,).
        settings: How the head is fit.

    Returns:
        One of `BLENDS`.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    used = usable(labels, settings)
    seen, asked = used & ~held, used & held
    if settings.C == "cv":
        settings = replace(settings, C=_STRENGTH)
    right = []
    for blend in BLENDS:
        vectors = encode(blend)
        with threadpool_limits(limits=1):
            coef, intercept = fit_arrays(vectors[seen], labels[seen], settings)
        logits = vectors[asked] @ coef.T + intercept
        right.append(_share_right(logits, labels[asked], multi_label=settings.multi_label))
    return BLENDS[int(np.argmax(right))]


def _share_right(logits: Floats, labels: Labels, *, multi_label: bool) -> float:
    if not multi_label:
        return float((labels[np.arange(len(labels)), logits.argmax(axis=1)] == 1).mean())
    known = ~np.isnan(labels)
    hits = ((logits > 0) & (labels == 1)).sum()
    return float(2.0 * hits / max(1, ((logits > 0) & known).sum() + (labels == 1).sum()))
