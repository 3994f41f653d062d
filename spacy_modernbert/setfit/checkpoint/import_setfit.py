"""Checkpoints of setfit: a folder of sentence-transformers, a pickled head, a list of labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ...encoder.precision import Precision
from ...errors import Errors
from ..arrays import Floats
from ..head.head import Head
from ..modeling.sentence_encoder import SentenceEncoder
from .folder_config import read_json
from .pickled_head import (
    BINARIZER,
    CONSTANT,
    MULTI_OUTPUT,
    ONE_VS_REST,
    REGRESSION,
    Box,
    read_pickled_head,
)
from .read import Overrides, load_sentence_encoder

HEAD = "model_head.pkl"
CONFIG = "config_setfit.json"
# The logit of a label that every text of the training had, or none.
_CERTAIN = 30.0


@dataclass(frozen=True)
class SetfitCheckpoint:
    """The content of a checkpoint."""

    encoder: SentenceEncoder
    head: Head
    labels: list[str]


def load_setfit(
    folder: Path, *, precision: Precision = "float32", device: torch.device | None = None
) -> SetfitCheckpoint:
    """Load a checkpoint that setfit saved, with a head of scikit-learn.

    For the arguments see `load_sentence_encoder`.

    Raises:
        FileNotFoundError: SM041 where a file is missing.
        ValueError: SM220 where the head holds anything but logistic regression, SM221 where it is
            one that gives probabilities of another kind, SM043 where a file is damaged; besides
            those of `checkpoint.load_sentence_encoder`.
    """
    if not (folder / HEAD).is_file():
        raise FileNotFoundError(Errors.SM041.format(folder=folder, file=HEAD))
    settings = read_json(folder / CONFIG, default={})
    head, classes = read_head(folder / HEAD)
    names = settings.get("labels")
    if names is None or (head.multi_label is False and classes.dtype.kind == "U"):
        labels = [str(name) for name in classes.tolist()]
    else:
        labels = [str(names[int(index)]) for index in classes]
    # As the classifier was trained; None leaves it to the modules, as setfit does.
    normalize = True if settings.get("normalize_embeddings") else None
    encoder = load_sentence_encoder(
        folder, overrides=Overrides(normalize=normalize), precision=precision, device=device
    )
    return SetfitCheckpoint(encoder, head, labels)


def read_head(path: Path) -> tuple[Head, np.ndarray]:
    """Read a pickled head, and the classes of its rows: numbers, or names.

    Raises:
        ValueError: SM220 or SM221.
    """
    box = read_pickled_head(path)
    try:
        if box.kind == REGRESSION:
            return _multinomial(box, path)
        return _one_vs_rest(box, path)
    except (AttributeError, TypeError, ValueError, IndexError) as error:
        if str(error).startswith("[SM"):
            raise
        raise ValueError(Errors.SM220.format(path=path, reason=error)) from error


def _multinomial(box: Box, path: Path) -> tuple[Head, np.ndarray]:
    classes, coef, intercept = _arrays(box)
    one_each = box.get("multi_class") == "ovr" or box.get("solver") == "liblinear"
    if len(classes) > 2 and one_each:
        raise ValueError(Errors.SM221.format(path=path, kind="one regression a class, scaled"))
    if len(classes) == 2:
        coef = np.concatenate([-0.5 * coef, 0.5 * coef])
        intercept = np.concatenate([-0.5 * intercept, 0.5 * intercept])
    return Head(coef, intercept), classes


def _one_vs_rest(box: Box, path: Path) -> tuple[Head, np.ndarray]:
    binarizer = box.get("label_binarizer_")
    is_multi = box.kind == MULTI_OUTPUT
    if isinstance(binarizer, Box) and binarizer.kind == BINARIZER:
        is_multi = str(binarizer.get("y_type_", "")).startswith("multilabel")
    if not is_multi:
        raise ValueError(Errors.SM221.format(path=path, kind=f"{ONE_VS_REST} for single labels"))
    rows = [_binary(estimator) for estimator in box.get("estimators_")]
    coefs, constants = [coef for coef, _ in rows], [constant for _, constant in rows]
    width = max((len(coef) for coef in coefs), default=0)
    coef = np.stack([c if len(c) else np.zeros(width, np.float32) for c in coefs])
    intercept = np.array(constants, dtype=np.float32)
    return Head(coef, intercept, multi_label=True), np.arange(len(rows))


def _binary(box: Box) -> tuple[Floats, float]:
    """Return the weights of "yes" against "no", none for a label that was always the same."""
    if box.kind == CONSTANT:
        is_yes = bool(np.asarray(box.get("y_")).reshape(-1)[0])
        return np.zeros(0, dtype=np.float32), _CERTAIN if is_yes else -_CERTAIN
    classes, coef, intercept = _arrays(box)
    if len(classes) != 2:
        raise ValueError(f"a regression of {len(classes)} classes for a single label")
    return coef[0], float(intercept[0])


def _arrays(box: Box) -> tuple[np.ndarray, Floats, Floats]:
    """Return classes, weights and intercepts, checked against each other."""
    classes = np.asarray(box.get("classes_"))
    coef = np.asarray(box.get("coef_"), dtype=np.float32)
    intercept = np.asarray(box.get("intercept_"), dtype=np.float32)
    rows = 1 if len(classes) == 2 else len(classes)
    if coef.ndim != 2 or len(coef) != rows or not np.isfinite(coef).all():
        raise ValueError(f"weights of the shape {coef.shape} for {len(classes)} classes")
    # A regression without intercepts holds a single zero.
    return classes, coef, np.broadcast_to(intercept.reshape(-1), (rows,)).copy()
