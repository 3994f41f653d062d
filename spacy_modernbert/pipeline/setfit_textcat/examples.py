"""What is known of texts: from Examples, or from pairs of a text and its labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from spacy.errors import Errors as SpacyErrors
from spacy.tokens import Doc
from spacy.training import Example

from ...errors import Errors
from ...setfit.training.batches import Labels

Cats: TypeAlias = Mapping[str, float]
Text: TypeAlias = str | Doc
# (text, label), (text, [labels]), (text or Doc, {label: 0 or 1}), or an Example
Given: TypeAlias = Any


def check_cats(cats: Cats, *, multi_label: bool) -> None:
    """Refuse annotation that no classifier of this kind can learn from.

    Raises:
        ValueError: E851 where a value is neither 0 nor 1, E895 where a text has several labels
            and may have one only.
    """
    for value in cats.values():
        if value not in (0.0, 1.0):
            raise ValueError(SpacyErrors.E851.format(val=value))
    if not multi_label and list(cats.values()).count(1.0) > 1:
        raise ValueError(SpacyErrors.E895.format(value=dict(cats)))


def read_given(examples: Iterable[Given]) -> list[tuple[Text, Cats]]:
    """Bring what a user gives into one form.

    With a label or a list of labels, a text is known not to have any of the labels that others
    have. With a mapping, nothing is known of labels that are not in it.

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


def text_of(given: Text) -> str:
    """Give the text of a text, or of a Doc."""
    return given.text if isinstance(given, Doc) else given


def label_matrix(cats: Sequence[Cats], labels: Sequence[str], *, multi_label: bool) -> Labels:
    """Lay annotation out as a matrix.

    Args:
        cats: Annotation of each text.
        labels: Names of the columns.
        multi_label: Whether a label that is not annotated is unknown, rather than absent.

    Returns:
        1, 0, or NaN where unknown. *Shape:* (texts, labels).
    """
    missing = np.nan if multi_label else 0.0
    rows = [[float(answer.get(label, missing)) for label in labels] for answer in cats]
    return np.array(rows, dtype=np.float32).reshape(len(rows), len(labels))


def usable(
    given: Sequence[tuple[Text, Cats]],
    labels: Sequence[str],
    *,
    multi_label: bool,
    outside: str | None = None,
) -> Labels:
    """Give the labels of texts, as far as something can be learnt from them.

    Nothing can be learnt from an empty text, nothing without annotation, nothing from a text of
    which the annotation says that no label fits.

    Args:
        given: Texts with annotation.
        labels: Names of the labels.
        multi_label: Whether a text can have several labels.
        outside: The label of texts that none of the labels fits.

    Returns:
        A row of NaN for a text that is of no use. *Shape:* (texts, labels).
    """
    matrix = label_matrix([cats for _, cats in given], labels, multi_label=multi_label)
    if not multi_label:
        matrix[(matrix == 1).sum(axis=1) != 1] = np.nan
    for row, (text, cats) in zip(matrix, given, strict=True):
        if not text_of(text).strip() or (outside is not None and cats.get(outside)):
            row[:] = np.nan
    return matrix


def only_usable(
    given: Sequence[tuple[Text, Cats]],
    labels: Sequence[str],
    *,
    multi_label: bool,
    outside: str | None = None,
) -> tuple[list[Text], Labels]:
    """Give the texts that something can be learnt from, and their labels; see `usable`.

    Args:
        given: Texts with annotation.
        labels: Names of the labels.
        multi_label: Whether a text can have several labels.
        outside: The label of texts that none of the labels fits.
    """
    matrix = usable(given, labels, multi_label=multi_label, outside=outside)
    keep = np.flatnonzero(~np.isnan(matrix).all(axis=1)).tolist()
    return [given[i][0] for i in keep], matrix[keep]
