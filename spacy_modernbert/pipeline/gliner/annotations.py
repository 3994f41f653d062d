"""Annotated Docs as a GLiNER learns from them.

Spans come from ``doc.spans[spans_key]`` where the reference has that group, and from ``doc.ents``
otherwise. A Doc with neither was not annotated, which is not the same as having no entities.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc, Span
from spacy.training import Example

from ...gliner.inference.label_texts import readable_label_texts
from ...gliner.training.dataset import AnnotatedSpan, AnnotatedText
from .doc_words import DocWords
from .labels import Labels, read_labels

EXTENSION = "gliner_labels"
_MISSING = 0  # of `token.ent_iob`


@dataclass
class Gold:
    """What a batch of examples teaches.

    Attributes:
        texts: The annotated texts. Labels in them are what the model reads.
        unaligned: Spans that do not end between two tokens of the predicted Doc, by label.
    """

    texts: list[AnnotatedText] = field(default_factory=list)
    unaligned: dict[str, int] = field(default_factory=dict)


def install_extension() -> None:
    """Add ``doc._.gliner_labels``: the labels of this Doc alone; None for the component's."""
    if not Doc.has_extension(EXTENSION):
        Doc.set_extension(EXTENSION, default=None)


def read_gold(
    examples: Iterable[Example], labels: Labels, *, spans_key: str, words: str = "spacy"
) -> Gold:
    """Read annotated Docs; those without annotation are left out.

    Args:
        examples: Predicted Docs, whose words are read, and references with the annotation.
        labels: Labels that annotators looked for, where a reference does not say so itself in
            ``doc._.gliner_labels``. Spans of other labels are left out.
        spans_key: Group of ``doc.spans`` with the annotation.
        words: ``spacy`` or ``gliner``, as the component's setting.
    """
    gold = Gold()
    shared = read_labels(labels)
    for example in examples:
        spans = annotation(example.reference, spans_key)
        if spans is None:
            continue
        own = own_labels(example.reference)
        known = shared if own is None else own
        wanted = [span for span in spans if span.label_ in known]
        aligned = _align(example, wanted)
        if len(aligned) < len(wanted):
            _count_lost(wanted, aligned, gold.unaligned)
        is_group = spans_key in example.reference.spans
        unknown = None if is_group else _unknown(example)
        gold.texts.append(_text(example.predicted, aligned, known, unknown, words))
    return gold


def read_plain(docs: Iterable[Doc], *, words: str = "spacy") -> list[AnnotatedText]:
    """Read the words of Docs, whatever is annotated."""
    return [_text(doc, [], {}, None, words) for doc in docs]


def annotation(doc: Doc, spans_key: str) -> Sequence[Span] | None:
    """The annotated spans of a Doc; None where it has no annotation."""
    if spans_key in doc.spans:
        return list(doc.spans[spans_key])
    return list(doc.ents) if doc.has_annotation("ENT_IOB") else None


def own_labels(doc: Doc) -> dict[str, str] | None:
    """The labels of a Doc alone, with their words."""
    own = getattr(doc._, EXTENSION, None)
    return None if own is None else read_labels(own)


def find_labels(
    examples: Iterable[Example], *, spans_key: str, table: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Collect the labels of examples.

    Args:
        examples: The examples.
        spans_key: Group of ``doc.spans`` with the annotation.
        table: Words of single labels.

    Returns:
        Label -> the words that the model reads: those of ``doc._.gliner_labels``, where there are
        any, or what `readable_label_texts` makes of it.
    """
    given: dict[str, str] = {}
    found: dict[str, None] = {}
    for example in examples:
        own = own_labels(example.reference)
        if own is not None:
            given.update(own)
            continue
        for span in annotation(example.reference, spans_key) or ():
            found[span.label_] = None
    return readable_label_texts([*given, *sorted(found)], {**given, **(table or {})})


def _text(
    doc: Doc,
    spans: Sequence[Span],
    known: Mapping[str, str],
    unknown: NDArray[np.bool_] | None,
    words: str,
) -> AnnotatedText:
    read = DocWords.of_regex(doc) if words == "gliner" else DocWords.of_tokens(doc)
    starts = np.searchsorted(read.last, [span.start for span in spans], side="left").tolist()
    ends = np.searchsorted(read.first, [span.end for span in spans], side="left").tolist()
    gold = [
        AnnotatedSpan(start, end, known[span.label_])
        for span, start, end in zip(spans, starts, ends, strict=True)
        if start < end
    ]
    hidden = None if unknown is None else unknown[read.first]
    return AnnotatedText(read.text(None), gold, list(known.values()), hidden)


def _align(example: Example, spans: Sequence[Span]) -> list[Span]:
    """The same spans in the predicted Doc."""
    doc = example.predicted
    if _same_tokens(example):
        return [Span(doc, span.start, span.end, label=span.label) for span in spans]
    aligned: list[Span] = example.get_aligned_spans_y2x(spans, allow_overlap=True)
    return aligned


def _unknown(example: Example) -> NDArray[np.bool_] | None:
    """Tokens of the predicted Doc that nobody annotated; None where there are none."""
    reference = example.reference
    missing = reference.to_array(["ENT_IOB"]).reshape(-1) == _MISSING
    if not missing.any():
        return None
    if _same_tokens(example):
        return np.asarray(missing)
    aligned = example.get_aligned("ENT_IOB")
    return np.array([value == _MISSING for value in aligned], dtype=bool)


def _same_tokens(example: Example) -> bool:
    one, other = example.predicted, example.reference
    if len(one) != len(other):
        return False
    return np.array_equal(one.to_array(["ORTH"]), other.to_array(["ORTH"]))


def _count_lost(wanted: Sequence[Span], aligned: Sequence[Span], lost: dict[str, int]) -> None:
    for spans, sign in ((wanted, 1), (aligned, -1)):
        for span in spans:
            lost[span.label_] = lost.get(span.label_, 0) + sign
    for label in [label for label, count in lost.items() if count == 0]:
        del lost[label]
