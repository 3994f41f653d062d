"""Annotated texts in all forms that users have them in, brought into one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from spacy.tokens import Doc
from spacy.training import Example

from ...errors import Errors, shorten
from .checks import check_label

Cats: TypeAlias = Mapping[str, float]
Text: TypeAlias = str | Doc

# Examples that are in memory at a time.
EXAMPLE_BATCH = 1000
# Keys of the rows of a data set that hold the annotation.
_ANSWERS = ("label", "labels", "cats")


class AnnotatedText(NamedTuple):
    """A text and its annotation.

    Attributes:
        text: The text.
        cats: Labels to 1 or 0.
        is_complete: Whether the text has none of the other labels; otherwise they are unknown.
    """

    text: Text
    cats: Cats
    is_complete: bool


def read_given(examples: Iterable[Any], labels: Iterable[Any] | None = None) -> list[AnnotatedText]:
    """Bring examples of any form into one.

    An example is an Example of spaCy, a Doc with ``doc.cats``, a pair of a text and its annotation,
    or a row of a data set: a mapping with a "text" and a "label", "labels" or "cats". The
    annotation is a label, a list of labels, or a mapping of labels to 0 or 1, which may be the
    "cats" of another mapping. A label is a string or an integer. With a label or a list, a text has
    none of the other labels. With a mapping, labels that are not in it are unknown.

    Args:
        examples: Examples, or a mapping of each label to all of its texts.
        labels: The annotation, if ``examples`` are texts alone.

    Raises:
        ValueError: SM233 where an item has another form, SM217 where there are more texts than
            labels or fewer, SM212 where a label is blank.
    """
    if isinstance(examples, (str, Doc)) or not isinstance(examples, Iterable):
        raise _no_example(examples)
    if labels is not None:
        if isinstance(examples, Mapping) or isinstance(labels, (str, Mapping)):
            raise _no_example((examples, labels))
        texts, answers = list(examples), list(labels)
        if len(texts) != len(answers):
            message = Errors.SM217.format(n_texts=len(texts), n_labels=len(answers))
            raise ValueError(message)
        return [_read_pair(text, answer) for text, answer in zip(texts, answers, strict=True)]
    if isinstance(examples, Mapping):
        return list(_read_groups(examples))
    return [_read_item(item) for item in examples]


def _read_groups(groups: Mapping[Any, Any]) -> Iterator[AnnotatedText]:
    """Read a mapping of labels to texts. A text of several labels has all of them."""
    if "text" in groups and any(key in groups for key in _ANSWERS):
        raise _no_example(groups)  # the columns of a data set, or a single row
    found: dict[str, tuple[Text, dict[str, float]]] = {}
    for label, texts in groups.items():
        if isinstance(texts, (str, Mapping, Doc)) or not isinstance(texts, Iterable):
            raise _no_example({label: texts})
        name, texts = _read_label(label, {label: texts}), list(texts)
        if not texts:
            raise _no_example({label: texts})
        for item in texts:
            text = _read_text(item, {label: item})
            found.setdefault(text_of(text), (text, {}))[1][name] = 1.0
    for text, cats in found.values():
        yield AnnotatedText(text, cats, True)


def _read_item(item: Any) -> AnnotatedText:
    if isinstance(item, Example):
        return AnnotatedText(item.predicted, _read_cats(item.reference.cats, item), False)
    if isinstance(item, Doc):
        return AnnotatedText(item, _read_cats(item.cats, item), False)
    if isinstance(item, Mapping):
        keys = [key for key in _ANSWERS if key in item]
        if "text" in item and len(keys) == 1:
            return _read_pair(item["text"], item[keys[0]], item)
    elif isinstance(item, (tuple, list)) and len(item) == 2:
        return _read_pair(item[0], item[1], item)
    raise _no_example(item)


def _read_pair(text: Any, answer: Any, item: Any = None) -> AnnotatedText:
    item = (text, answer) if item is None else item
    text = _read_text(text, item)
    if isinstance(answer, Mapping):
        inner = answer.get("cats")
        return AnnotatedText(
            text, _read_cats(inner if isinstance(inner, Mapping) else answer, item), False
        )
    if isinstance(answer, np.ndarray):
        answer = answer.tolist()
    if isinstance(answer, (list, tuple, set, frozenset)):
        # A list of integers can be labels, or a row of zeros and ones: it has to be names.
        if not all(isinstance(label, str) for label in answer):
            raise _no_example(item)
        return AnnotatedText(text, {_read_label(label, item): 1.0 for label in answer}, True)
    return AnnotatedText(text, {_read_label(answer, item): 1.0}, True)


def _read_text(text: Any, item: Any) -> Text:
    if isinstance(text, str):
        return str(text)  # numpy has strings of its own
    if isinstance(text, Doc):
        return text
    raise _no_example(item)


def _read_cats(cats: Mapping[Any, Any], item: Any) -> Cats:
    return {_read_label(label, item): value for label, value in cats.items()}


def _read_label(label: Any, item: Any) -> str:
    if not isinstance(label, (str, int, np.integer, np.bool_)):
        raise _no_example(item)
    return check_label(str(label))


def _no_example(item: Any) -> ValueError:
    return ValueError(Errors.SM233.format(item=shorten(repr(item), most=100)))


def text_of(text: Text) -> str:
    """Return a text, or the text of a Doc."""
    return text.text if isinstance(text, Doc) else text
