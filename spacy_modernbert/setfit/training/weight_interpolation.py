"""How far to go toward the weights of a training: what held-out texts say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ..arrays import Floats, LabelMatrix
from ..head.config import HeadConfig
from ..head.cross_validation import assign_folds
from ..head.logistic_regression import Progress, fit_arrays, select_usable

# Texts that are enough to hold some of them out.
MIN_TEXTS = 256
PARTS = 4
SHARES = (0.0, 0.3, 0.6, 0.9)


def hold_out(labels: LabelMatrix, *, seed: int) -> npt.NDArray[np.bool_]:
    """Choose texts that an encoder is not trained on: a quarter of each class, none of few texts.

    *Shape:* (texts, labels) to (texts,).
    """
    if len(labels) < MIN_TEXTS:
        return np.zeros(len(labels), dtype=np.bool_)
    return assign_folds(labels, folds=PARTS, seed=seed) == 0


def choose_weight_interpolation(
    encode: Callable[[float], Floats],
    labels: LabelMatrix,
    held_out: npt.NDArray[np.bool_],
    config: HeadConfig,
    *,
    multi_label: bool,
    progress: Progress | None = None,
) -> float:
    """Choose where to stay between the encoder before its training and after it.

    For each share a head is fitted to the texts that the encoder was trained on. The share with the
    best head on the others is taken; of equals, the one closer to the start.

    Args:
        encode: Returns the vectors of all texts under one of `SHARES`. *Shape:* (texts, width).
        labels: *Shape:* (texts, labels).
        held_out: The texts that were held out. *Shape:* (texts,).
        config: How heads are fitted; "cv" stands for the default strength.
        multi_label: Whether a text can have several labels.
        progress: Called after each regression.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    usable = select_usable(labels, multi_label=multi_label)
    seen, unseen = usable & ~held_out, usable & held_out
    if config.C == "cv":
        config = config.model_copy(update={"C": HeadConfig().C})
    scores = []
    for share in SHARES:
        vectors = encode(share)
        with threadpool_limits(limits=1):
            arrays = fit_arrays(
                vectors[seen], labels[seen], config, multi_label=multi_label, progress=progress
            )
        logits = vectors[unseen] @ arrays[0].T + arrays[1]
        scores.append(_score(logits, labels[unseen], multi_label=multi_label))
    return SHARES[int(np.argmax(scores))]


def _score(logits: Floats, labels: LabelMatrix, *, multi_label: bool) -> float:
    """Return the accuracy, or micro-averaged F1 where a text can have several labels."""
    if not multi_label:
        return float((labels[np.arange(len(labels)), logits.argmax(axis=1)] == 1).mean())
    known = ~np.isnan(labels)
    hits = ((logits > 0) & (labels == 1)).sum()
    return float(2.0 * hits / max(1, ((logits > 0) & known).sum() + (labels == 1).sum()))
