"""Annotated Docs as the annotated texts that a GLiNER is trained on.

Spans come from ``doc.spans[spans_key]`` if the reference has that group, and from ``doc.ents``
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
from .config import GlinerPipeConfig
from .doc_words import DocWords
from .extensions import EXTENSION, install_extension
from .labels import read_labels

_MISSING = 0  # of `token.ent_iob`
# Not when a component is created: unpickling imports this module, and creates none.
install_extension()


@dataclass
class TrainingBatch:
    """The annotated texts of a batch of examples.

    Attributes:
        texts: The annotated texts. Their labels are label texts.
        unaligned: Number of spans that do not align with tokens of the predicted Doc, by label.
    """

    texts: list[AnnotatedText] = field(default_factory=list)
    unaligned: dict[str, int] = field(default_factory=dict)


def read_examples(examples: Iterable[Example], config: GlinerPipeConfig) -> TrainingBatch:
    """Read annotated Docs, and leave out those without annotation.

    Args:
        examples: Predicted Docs, whose words are read, and references with the annotation.
        config: The settings. Annotators looked for its labels, unless a reference has its own in
            ``doc._.gliner_labels``. Spans of other labels are left out.
    """
    batch = TrainingBatch()
    shared = read_labels(config.labels)
    for example in examples:
        spans = annotated_spans(example.reference, config.spans_key)
        if spans is None:
            continue
        own = doc_labels(example.reference)
        known = shared if own is None else own
        wanted = [span for span in spans if span.label_ in known]
        aligned = _align(example, wanted)
        if len(aligned) < len(wanted):
            _count_lost(wanted, aligned, batch.unaligned)
        is_group = config.spans_key in example.reference.spans
        unknown = None if is_group else _unknown(example)
        read = DocWords.read(example.predicted, config.word_mode)
        text = read.text(cross_sentences=config.cross_sentences)
        gold = _gold(read, aligned, known)
        hidden = None if unknown is None else unknown[read.first]
        batch.texts.append(AnnotatedText(text, gold, list(known.values()), hidden))
    return batch


def annotated_spans(doc: Doc, spans_key: str | None) -> Sequence[Span] | None:
    """Return the annotated spans of a Doc, None if it has no annotation."""
    if spans_key is not None and spans_key in doc.spans:
        return list(doc.spans[spans_key])
    return list(doc.ents) if doc.has_annotation("ENT_IOB") else None


def doc_labels(doc: Doc) -> dict[str, str] | None:
    """Return the labels of a Doc alone with their label texts, None if it has none."""
    own = getattr(doc._, EXTENSION, None)
    return None if own is None else read_labels(own)


def group_by_labels(docs: Sequence[Doc]) -> dict[tuple[tuple[str, str], ...] | None, list[int]]:
    """Group Docs that have the same labels and label texts of their own, or None: their indices."""
    groups: dict[tuple[tuple[str, str], ...] | None, list[int]] = {}
    for index, doc in enumerate(docs):
        own = doc_labels(doc)
        groups.setdefault(None if own is None else tuple(own.items()), []).append(index)
    return groups


def find_labels(
    examples: Iterable[Example], *, spans_key: str, table: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Collect the labels of examples, with their label texts.

    A label text is that of ``table``, that of ``doc._.gliner_labels`` if a Doc has labels of its
    own, or the one that `readable_label_texts` makes of the label.
    """
    given: dict[str, str] = {}
    found: dict[str, None] = {}
    for example in examples:
        own = doc_labels(example.reference)
        if own is not None:
            given.update(own)
            continue
        for span in annotated_spans(example.reference, spans_key) or ():
            found[span.label_] = None
    return readable_label_texts([*given, *sorted(found)], {**given, **(table or {})})


def _gold(
    words: DocWords, spans: Sequence[Span], label_texts: Mapping[str, str]
) -> list[AnnotatedSpan]:
    """Return spans of tokens as annotated spans of words."""
    starts = np.searchsorted(words.last, [span.start for span in spans], side="left").tolist()
    ends = np.searchsorted(words.first, [span.end for span in spans], side="left").tolist()
    return [
        AnnotatedSpan(start, end, label_texts[span.label_])
        for span, start, end in zip(spans, starts, ends, strict=True)
        if start < end
    ]


def _align(example: Example, spans: Sequence[Span]) -> list[Span]:
    """Return the same spans of the predicted Doc."""
    doc = example.predicted
    if _same_tokens(example):
        return [Span(doc, span.start, span.end, label=span.label) for span in spans]
    aligned: list[Span] = example.get_aligned_spans_y2x(spans, allow_overlap=True)
    return aligned


def _unknown(example: Example) -> NDArray[np.bool_] | None:
    """Return a mask of the tokens that are not annotated, None if all are."""
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
