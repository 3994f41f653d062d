"""Labels and thresholds as a user may write them, checked and in one form."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from spacy.errors import Errors as SpacyErrors

from ...errors import Errors, Warnings

# A list, or spaCy's label -> the words that the model reads.
Labels: TypeAlias = Sequence[str] | Mapping[str, str]


def read_labels(labels: Labels) -> dict[str, str]:
    """Give labels in one form.

    Args:
        labels: A list of labels that say what they mean, or a mapping of labels to words.

    Returns:
        Label -> the words that the model reads, in the order given.

    Raises:
        ValueError: E187 where one is no string, SM108 where one is empty, SM130 where one (or what
            the model reads of it) is there twice, SM131 where labels are a string.
    """
    if isinstance(labels, str):
        raise ValueError(Errors.SM131.format(labels=labels))
    is_mapping = isinstance(labels, Mapping)
    names = list(labels)
    words = [labels[name] for name in names] if isinstance(labels, Mapping) else names
    for text in (*names, *words):
        if not isinstance(text, str):
            raise ValueError(SpacyErrors.E187)
        if not text.strip():
            raise ValueError(Errors.SM108.format(label=text))
    for texts in (names, words) if is_mapping else (names,):
        twice = [text for text in texts if texts.count(text) > 1]
        if twice:
            raise ValueError(Errors.SM130.format(label=twice[0]))
    return dict(zip(names, words, strict=True))


def all_label_texts(labels: Mapping[str, str], phrases: Mapping[str, Sequence[str]]) -> list[str]:
    """Everything that a model may read of labels: their words, and other phrasings of them."""
    words = [*labels.values(), *(words for options in phrases.values() for words in options)]
    return list(dict.fromkeys(words))


def read_thresholds(
    labels: Sequence[str], threshold: float, label_thresholds: Mapping[str, float]
) -> NDArray[np.float32]:
    """Give each label's threshold: its own, or else that of all.

    Returns:
        *Shape:* (labels,), float32.

    Raises:
        ValueError: SM111 where one is not within 0 and 1.
    """
    check_threshold("threshold", threshold)
    for label, value in label_thresholds.items():
        check_threshold(label, value)
    return np.array([label_thresholds.get(label, threshold) for label in labels], dtype=np.float32)


def warn_of_typos(labels: Sequence[str], label_thresholds: Iterable[str]) -> None:
    """Warn, with SMW130, of thresholds for what is none of the labels."""
    unknown = [label for label in label_thresholds if label not in labels]
    if unknown and labels:
        near = difflib.get_close_matches(unknown[0], labels, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else "."
        names = ", ".join(f"'{label}'" for label in unknown)
        warnings.warn(Warnings.SMW130.format(names=names, hint=hint), stacklevel=2)


def check_threshold(name: str, value: Any) -> None:
    """Raise SM111 unless the value is a number from 0 to 1."""
    try:
        is_fine = 0.0 <= float(value) <= 1.0
    except (TypeError, ValueError):
        is_fine = False
    if not is_fine:
        raise ValueError(Errors.SM111.format(label=name, value=value))
