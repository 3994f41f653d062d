"""Labels in all the forms that users write, checked and brought into one form."""

from __future__ import annotations

import copy
import difflib
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from ...errors import Errors, Warnings, shorten
from ...gliner.inference.label_texts import readable_label_texts

# A list of labels, or label -> the text that the model reads for it.
Labels: TypeAlias = Sequence[str] | Mapping[str, str]


def read_labels(labels: Labels) -> dict[str, str]:
    """Bring labels into one form, in linear time.

    Args:
        labels: A list of labels, whose label texts `readable_label_texts` finds, or a mapping of
            labels to label texts.

    Returns:
        Label -> label text, in the order given.

    Raises:
        ValueError: SM131 if they are no list or mapping of strings, SM108 if one is empty, SM130
            where one occurs twice.
    """
    check_form(labels)
    if isinstance(labels, Mapping):
        _check(labels.keys())
        _check(labels.values())
        return dict(labels)
    _check(labels)
    return readable_label_texts(labels)


def check_form(labels: Labels) -> None:
    """Refuse, with SM131, what is no list, tuple or mapping of strings, such as a string."""
    members: Iterable[object] = [None]
    if isinstance(labels, Mapping):
        members = [*labels, *labels.values()]
    elif isinstance(labels, list | tuple):
        members = labels
    if all(isinstance(member, str) for member in members):
        return
    given = labels.split(",") if isinstance(labels, str) else []
    example = [label.strip() for label in given if label.strip()] or ["person", "city"]
    message = Errors.SM131.format(labels=shorten(repr(labels)), example=shorten(example))
    raise ValueError(message)


class LabelReader:
    """Reads labels with `read_labels`, unless they are the same as at the last call.

    A component may have thousands of labels, and reads them for every batch of Docs.
    """

    def __init__(self) -> None:
        self._labels: Labels | None = None
        self._texts: dict[str, str] = {}

    def read(self, labels: Labels) -> dict[str, str]:
        """Return label -> label text; don't change it."""
        if labels != self._labels:
            self._texts = read_labels(labels)
            self._labels = copy.copy(labels)
        return self._texts


def _check(texts: Iterable[str]) -> None:
    for text in texts:
        if not text.strip():
            raise ValueError(Errors.SM108.format(label=text))
    text, count = next(iter(Counter(texts).most_common(1)), ("", 0))
    if count > 1:
        raise ValueError(Errors.SM130.format(label=shorten(text)))


def all_label_texts(labels: Mapping[str, str], phrases: Mapping[str, Sequence[str]]) -> list[str]:
    """Return every label text that a model may read: those of the labels, and their phrasings."""
    texts = [*labels.values(), *(text for options in phrases.values() for text in options)]
    return list(dict.fromkeys(texts))


def warn_of_unknown_thresholds(
    label_texts: Mapping[str, str], label_thresholds: Iterable[str]
) -> None:
    """Warn, with SMW130, of thresholds for labels that the component does not have."""
    unknown = [label for label in label_thresholds if label not in label_texts]
    if unknown and label_texts:
        by_text = {text: label for label, text in label_texts.items()}
        near = difflib.get_close_matches(unknown[0], label_texts, n=1)
        hint = f"; did you mean '{shorten(near[0])}'?" if near else "."
        if unknown[0] in by_text:
            text, label = shorten(unknown[0]), shorten(by_text[unknown[0]])
            hint = f"; '{text}' is the label text of '{label}', which is the name to use."
        names = ", ".join(f"'{shorten(label)}'" for label in unknown)
        warnings.warn(Warnings.SMW130.format(names=names, hint=hint), stacklevel=2)
