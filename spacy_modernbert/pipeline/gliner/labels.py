"""Labels in all the forms that users write, checked and brought into one form."""

from __future__ import annotations

import difflib
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from spacy.errors import Errors as SpacyErrors

from ...errors import Errors, Warnings

# A list of labels, or label -> the text that the model reads for it.
Labels: TypeAlias = Sequence[str] | Mapping[str, str]


def read_labels(labels: Labels) -> dict[str, str]:
    """Bring labels into one form, in linear time.

    Args:
        labels: A list of labels that say what they mean, or a mapping of labels to label texts.

    Returns:
        Label -> label text, in the order given.

    Raises:
        ValueError: E187 if a label or label text is no string, SM108 if one is empty, SM130
            where one occurs twice, SM131 if the labels are a string.
    """
    if isinstance(labels, str):
        raise ValueError(Errors.SM131.format(labels=labels))
    pairs = list(labels.items()) if isinstance(labels, Mapping) else [(x, x) for x in labels]
    for pair in pairs:
        for text in pair:
            if not isinstance(text, str):
                raise ValueError(SpacyErrors.E187)
            if not text.strip():
                raise ValueError(Errors.SM108.format(label=text))
    for texts in zip(*pairs, strict=True):
        text, count = Counter(texts).most_common(1)[0]
        if count > 1:
            raise ValueError(Errors.SM130.format(label=text))
    return dict(pairs)


def all_label_texts(labels: Mapping[str, str], phrases: Mapping[str, Sequence[str]]) -> list[str]:
    """Return every label text that a model may read: those of the labels, and their phrasings."""
    texts = [*labels.values(), *(text for options in phrases.values() for text in options)]
    return list(dict.fromkeys(texts))


def warn_of_unknown_thresholds(labels: Sequence[str], label_thresholds: Iterable[str]) -> None:
    """Warn, with SMW130, of thresholds for labels that the component does not have."""
    known = set(labels)
    unknown = [label for label in label_thresholds if label not in known]
    if unknown and labels:
        near = difflib.get_close_matches(unknown[0], labels, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else "."
        names = ", ".join(f"'{label}'" for label in unknown)
        warnings.warn(Warnings.SMW130.format(names=names, hint=hint), stacklevel=2)
