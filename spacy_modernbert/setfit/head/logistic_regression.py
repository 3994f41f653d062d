"""Logistic regression over all labels at once, or one for each label against the rest."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ...errors import Errors, Warnings
from ..arrays import Floats, LabelMatrix
from .config import HeadConfig

# Called with the number of regressions that were fitted.
Progress: TypeAlias = Callable[[int], object]

_MAX_ITERATIONS = 1000
# The logit of a class that no text has; with the sign turned, of one that all texts have.
_ABSENT = -10.0


def check_labels(labels: LabelMatrix, names: Sequence[str], *, multi_label: bool) -> None:
    """Check that a head can be fitted. *Shape of the labels:* (texts, labels).

    Raises:
        ValueError: SM210 where there is nothing to choose from, SM211 where a label has no example.
    """
    if len(names) < (1 if multi_label else 2):
        raise ValueError(Errors.SM210.format(found=", ".join(names) or "none"))
    columns = labels[select_usable(labels, multi_label=multi_label)].T
    empty = [name for name, col in zip(names, columns, strict=True) if not (col == 1).any()]
    if empty:
        raise ValueError(Errors.SM211.format(labels=", ".join(empty)))


def select_usable(labels: LabelMatrix, *, multi_label: bool) -> npt.NDArray[np.bool_]:
    """Return which texts a head can be fitted to. *Shape:* (texts,)."""
    if multi_label:
        return np.ones(len(labels), dtype=np.bool_)
    return (labels == 1).sum(axis=1) == 1


def fit_arrays(
    vectors: Floats,
    labels: LabelMatrix,
    config: HeadConfig,
    *,
    multi_label: bool,
    warn: bool = False,
    progress: Progress | None = None,
) -> tuple[Floats, Floats]:
    """Fit one regression over all labels, or one for each, with a strength that is a number.

    Say so if it does not converge, if wanted, and call ``progress`` after each regression.

    *Shapes:* vectors (texts, width) and labels (texts, labels) to weights (labels, width) and
    intercepts (labels,).
    """
    coef = np.zeros((labels.shape[1], vectors.shape[1]), dtype=np.float32)
    intercept = np.full(len(coef), _ABSENT, dtype=np.float32)
    if not multi_label:
        if not _fit(vectors, (labels == 1).argmax(axis=1), config, coef, intercept) and warn:
            _warn_of_iterations(config)
        if progress is not None:
            progress(1)
        return coef, intercept
    have_converged = True
    for label, column in enumerate(labels.T):
        known = ~np.isnan(column)
        pair, constants = np.zeros_like(coef, shape=(2, coef.shape[1])), np.zeros(2, np.float32)
        classes = column[known].astype(np.intp)
        have_converged &= _fit(vectors[known], classes, config, pair, constants)
        if progress is not None:
            progress(1)
        # "No" and "yes" share the difference; a sigmoid needs all of it on one side.
        coef[label], intercept[label] = pair[1] - pair[0], constants[1] - constants[0]
    if warn and not have_converged:
        _warn_of_iterations(config)
    return coef, intercept


def _fit(
    vectors: Floats,
    classes: npt.NDArray[np.intp],
    config: HeadConfig,
    coef: Floats,
    intercept: Floats,
) -> bool:
    """Fit one regression, and write it to the rows of the classes that it has.

    Return whether it has converged.
    """
    from sklearn.linear_model import LogisticRegression

    present = np.unique(classes)
    if len(present) < 2:
        intercept[present] = -_ABSENT
        return True
    model = LogisticRegression(
        C=config.C, class_weight=config.class_weight, max_iter=_MAX_ITERATIONS
    )
    # Warnings of scikit-learn speak of a regression that users have not written.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(vectors, classes)
    if len(present) == 2:  # it has one row only; half of it each way gives the same softmax
        coef[present] = np.outer([-0.5, 0.5], model.coef_[0])
        intercept[present] = np.array([-0.5, 0.5]) * model.intercept_[0]
    else:
        coef[present], intercept[present] = model.coef_, model.intercept_
    return int(np.max(model.n_iter_)) < _MAX_ITERATIONS


def _warn_of_iterations(config: HeadConfig) -> None:
    warnings.warn(Warnings.SMW240.format(n=_MAX_ITERATIONS, C=config.C), stacklevel=3)
