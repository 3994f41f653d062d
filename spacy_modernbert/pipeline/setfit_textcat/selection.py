"""Which annotated texts something can be learned from, and what becomes of the others."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from itertools import compress
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import Errors, Warnings
from ...setfit.arrays import LabelMatrix
from .config import LearningSettings
from .examples import AnnotatedText, Text, text_of


class Selected(NamedTuple):
    """Texts that something can be learned from.

    Attributes:
        texts: The texts.
        labels: Their `label_matrix`.
        complete: Whether their annotation is complete. *Shape:* (texts,).
    """

    texts: list[Text]
    labels: LabelMatrix
    complete: NDArray[np.bool_]


def label_matrix(given: Sequence[AnnotatedText], settings: LearningSettings) -> LabelMatrix:
    """Lay annotation out as a matrix, as far as something can be learned from it.

    Nothing can be learned from an empty text, from one without annotation, or from one with the
    abstain label; nor from a text that has none of the labels, unless it can have several.

    A label that is not annotated is unknown where a text can have several, and the annotation is
    not complete. Otherwise it is absent.

    Returns:
        1, 0, or NaN where unknown; all NaN for a text of no use. *Shape:* (texts, labels).
    """
    useful = [why_useless(item, settings) is None for item in given]
    matrix = np.full((len(given), len(settings.labels)), np.nan, dtype=np.float32)
    matrix[useful] = _rows(list(compress(given, useful)), settings)
    return matrix


def _rows(useful: Sequence[AnnotatedText], settings: LearningSettings) -> LabelMatrix:
    """Lay the annotation of texts out that something can be learned from; see `label_matrix`."""
    rows = np.empty((len(useful), len(settings.labels)), dtype=np.float32)
    for row, item in zip(rows, useful, strict=True):
        missing = np.nan if settings.flat.multi_label and not item.is_complete else 0.0
        row[:] = [float(item.cats.get(label, missing)) for label in settings.labels]
    return rows


def why_useless(item: AnnotatedText, settings: LearningSettings) -> str | None:
    """Say why nothing can be learned from a text: "empty", "outside" or "bare"; None if it can."""
    abstain_label = settings.flat.abstain_label
    if not text_of(item.text).strip():
        return "empty"
    if abstain_label is not None and item.cats.get(abstain_label):
        return "outside"
    values = [item.cats.get(label) for label in settings.labels]
    if settings.flat.multi_label:
        is_useful = item.is_complete or any(value is not None for value in values)
    else:
        is_useful = values.count(1.0) == 1
    return None if is_useful else "bare"


def annotated_rows(labels: LabelMatrix) -> list[int]:
    """Return the rows of a `label_matrix` that something can be learned from."""
    rows: list[int] = np.flatnonzero(~np.isnan(labels).all(axis=1)).tolist()
    return rows


def select_annotated(given: Sequence[AnnotatedText], settings: LearningSettings) -> Selected:
    """Return the texts that something can be learned from."""
    useful = [item for item in given if why_useless(item, settings) is None]
    complete = np.array([item.is_complete for item in useful], dtype=np.bool_)
    return Selected([item.text for item in useful], _rows(useful, settings), complete)


class UselessExamples:
    """Counts the examples that nothing can be learned from, and warns of them.

    Attributes:
        n_annotated: Examples with any annotation.
    """

    def __init__(self, settings: LearningSettings) -> None:
        self._settings = settings
        self._reasons: Counter[str | None] = Counter()
        self.n_annotated = 0

    def count(self, given: Sequence[AnnotatedText]) -> Sequence[AnnotatedText]:
        """Return the examples, counted."""
        self.n_annotated += sum(item.is_complete or bool(item.cats) for item in given)
        self._reasons.update(why_useless(item, self._settings) for item in given)
        return given

    def warn(self) -> None:
        """Warn if any have been counted."""
        found, total = self._reasons, self._reasons.total()
        if (n := total - found[None]) and self._settings.labels:
            labels = ", ".join(self._settings.labels)
            reasons = {name: found[name] for name in ("empty", "outside", "bare")}
            message = Warnings.SMW235.format(n=n, total=total, labels=labels, **reasons)
            warnings.warn(message, stacklevel=4)


def select_for_evaluation(given: Sequence[AnnotatedText], settings: LearningSettings) -> Selected:
    """Return the texts that a classifier can be evaluated with.

    Warn of the others, and of labels that it does not have.

    Raises:
        ValueError: SM236 where there are texts, but none of them can be used.
    """
    selected = select_annotated(given, settings)
    known = {*settings.labels, settings.flat.abstain_label}
    other = [sorted(n for n, v in item.cats.items() if v and n not in known) for item in given]
    found = ", ".join(dict.fromkeys(name for names in other for name in names)) or "none"
    if given and not selected.texts:
        labels = ", ".join(settings.labels)
        raise ValueError(Errors.SM236.format(total=len(given), found=found, labels=labels))
    reasons = Counter(
        "other" if names else why_useless(item, settings)
        for item, names in zip(given, other, strict=True)
    )
    if n := len(given) - reasons[None]:
        counts = {name: reasons[name] for name in ("other", "empty", "outside", "bare")}
        counts.update(n=n, total=len(given), left=len(selected.texts))
        warnings.warn(Warnings.SMW234.format(found=found, **counts), stacklevel=3)
    return selected
