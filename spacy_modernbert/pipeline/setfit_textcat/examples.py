"""Annotation of texts: from Examples, or from pairs of a text and its labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from spacy.errors import Errors as SpacyErrors
from spacy.tokens import Doc
from spacy.training import Example

from ...errors import Errors
from ...setfit.arrays import LabelMatrix
from .config import LearningSettings

Cats: TypeAlias = Mapping[str, float]
Text: TypeAlias = str | Doc
# (text, label), (text, [labels]), (text or Doc, {label: 0 or 1}), or an Example
Given: TypeAlias = Any

# Examples that are in memory at a time.
EXAMPLE_BATCH = 1000


def check_cats(annotations: Iterable[Cats], *, multi_label: bool) -> None:
    """Check that a classifier can learn from the annotation of texts.

    Raises:
        ValueError: E851 where a value is neither 0 nor 1, E895 where a text has several labels
            and may have one only.
    """
    for cats in annotations:
        for value in cats.values():
            if value not in (0.0, 1.0):
                raise ValueError(SpacyErrors.E851.format(val=value))
        if not multi_label and list(cats.values()).count(1.0) > 1:
            raise ValueError(SpacyErrors.E895.format(value=dict(cats)))


def check_positive_label(label: str | None, labels: Sequence[str]) -> None:
    """Check that a label, if any, is one of two; ValueError E919 or E920 where it is not."""
    if label is not None and label not in labels:
        raise ValueError(SpacyErrors.E920.format(pos_label=label, labels=labels))
    if label is not None and len(labels) != 2:
        raise ValueError(SpacyErrors.E919.format(pos_label=label, labels=labels))


def read_given(examples: Iterable[Given]) -> list[tuple[Text, Cats]]:
    """Bring examples of any form into one: texts with annotation.

    With a label or a list of labels, a text has none of the other labels. With a mapping, labels
    that are not in it are unknown.

    Raises:
        ValueError: SM233 where an item is of another form.
    """
    found: list[tuple[Text, Any]] = []
    for item in examples:
        if isinstance(item, Example):
            found.append((item.predicted, item.reference.cats))
            continue
        try:
            text, answer = item
        except (TypeError, ValueError) as error:
            raise ValueError(Errors.SM233.format(item=repr(item)[:100])) from error
        is_answer = isinstance(answer, (str, Mapping, list, tuple, set, frozenset))
        if not isinstance(text, (str, Doc)) or not is_answer:
            raise ValueError(Errors.SM233.format(item=repr(item)[:100]))
        found.append((text, [answer] if isinstance(answer, str) else answer))
    names = dict.fromkeys(
        label for _, answer in found if not isinstance(answer, Mapping) for label in answer
    )
    return [
        (text, answer if isinstance(answer, Mapping) else {n: float(n in answer) for n in names})
        for text, answer in found
    ]


def text_of(text: Text) -> str:
    """Return a text, or the text of a Doc."""
    return text.text if isinstance(text, Doc) else text


def label_matrix(given: Sequence[tuple[Text, Cats]], settings: LearningSettings) -> LabelMatrix:
    """Lay annotation out as a matrix, as far as something can be learned from it.

    Nothing can be learned from an empty text, from one without annotation, or from one with the
    abstain label; nor from a text that has none of the labels, unless it can have several.

    A label that is not annotated is unknown where a text can have several, and absent otherwise.

    Returns:
        1, 0, or NaN where unknown; all NaN for a text of no use. *Shape:* (texts, labels).
    """
    multi_label, abstain_label = settings.flat.multi_label, settings.flat.abstain_label
    missing = np.nan if multi_label else 0.0
    rows = [[float(cats.get(label, missing)) for label in settings.labels] for _, cats in given]
    matrix = np.array(rows, dtype=np.float32).reshape(len(given), len(settings.labels))
    if not multi_label:
        matrix[(matrix == 1).sum(axis=1) != 1] = np.nan
    for row, (text, cats) in zip(matrix, given, strict=True):
        if not text_of(text).strip() or (abstain_label is not None and cats.get(abstain_label)):
            row[:] = np.nan
    return matrix


def annotated_rows(labels: LabelMatrix) -> list[int]:
    """Return the rows of a `label_matrix` that something can be learned from."""
    rows: list[int] = np.flatnonzero(~np.isnan(labels).all(axis=1)).tolist()
    return rows


def select_annotated(
    given: Sequence[tuple[Text, Cats]], settings: LearningSettings
) -> tuple[list[Text], LabelMatrix]:
    """Return the texts that something can be learned from, and their `label_matrix`."""
    labels = label_matrix(given, settings)
    chosen = annotated_rows(labels)
    return [given[i][0] for i in chosen], labels[chosen]
