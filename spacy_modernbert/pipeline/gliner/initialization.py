"""The beginning of a training: a new head, and a look at what can't be learnt."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from spacy.training import Example
from thinc.api import Model

from ...encoder.checkpoint import Checkpoint, load_folder
from ...encoder.hub import resolve
from ...encoder.precision import Precision
from ...errors import Errors, Warnings
from ...gliner.training.collator import count_coverage
from ...gliner.training.new_model import Head, new_gliner
from ...gliner.training.similarity_init import init_by_similarity
from .annotations import Gold, annotation, own_labels

Start: TypeAlias = Literal["random", "similar"]

# Labels that a message names.
_NAMED = 5


@dataclass(frozen=True)
class NewHead:
    """A head that is to be learnt; see `gliner.new.new_gliner` and `gliner.similarity`."""

    kind: Head
    max_width: int
    max_len: int
    hidden_size: int | None
    dropout: float
    start: Start


def new_head(
    model: Model, encoder: str, labels_encoder: str | None, head: NewHead, words: Sequence[str]
) -> None:
    """Put a new head on an encoder, in place of whatever network the model has.

    Args:
        model: The model of a ``gliner`` pipe.
        encoder: Folder or hub name of the text encoder.
        labels_encoder: The same of the label encoder, for a bi-encoder.
        head: What the head is like.
        words: What the model will read of labels.

    Raises:
        ValueError: SM154 where a head that starts by likeness can't be had.
    """
    similar = head.start == "similar"
    if similar and (labels_encoder is None or head.kind != "span" or not words):
        raise ValueError(Errors.SM154)
    shim = model.shim
    text = _load(encoder, shim.precision)
    labels = None if labels_encoder is None else _load(labels_encoder, shim.precision)
    gliner = new_gliner(
        text,
        labels,
        head=head.kind,
        max_width=head.max_width,
        max_len=head.max_len,
        width=head.hidden_size,
        dropout=head.dropout,
        names=(encoder, labels_encoder or ""),
    )
    if similar:
        init_by_similarity(gliner, words)
    shim.set(gliner)


def check_labels(examples: Iterable[Example], labels: Iterable[str], *, spans_key: str) -> None:
    """Refuse labels that have nothing to do with the annotation.

    Args:
        examples: The examples. Those without annotation, or with labels of their own, do not count.
        labels: Names of the component's labels.
        spans_key: Group of ``doc.spans`` with the annotation.

    Raises:
        ValueError: SM155 where something is annotated, but nothing with any of the labels.
    """
    known = set(labels)
    found: set[str] = set()
    for example in examples:
        if own_labels(example.reference) is not None:
            return
        spans = annotation(example.reference, spans_key) or ()
        found.update(span.label_ for span in spans)
        if found & known:
            return
    if found:
        annotated, ours = (sorted(names)[:_NAMED] for names in (found, known))
        raise ValueError(Errors.SM155.format(annotated=annotated, labels=ours))


def warn_of_lost(model: Model, batches: Iterable[Gold]) -> None:
    """Count the annotated spans that can't be learnt, and warn if there are any."""
    gliner = model.checkpoint
    wide: Counter[str] = Counter()
    cut: Counter[str] = Counter()
    unaligned: Counter[str] = Counter()
    learnt = 0
    for gold in batches:
        coverage = count_coverage(gliner, gold.texts)
        wide.update(coverage.too_wide)
        cut.update(coverage.cut)
        unaligned.update(gold.unaligned)
        learnt += coverage.learned
    counts = [counter.total() for counter in (wide, cut, unaligned)]
    if not sum(counts):
        return
    named = ", ".join(f"{label}: {count}" for label, count in wide.most_common(_NAMED))
    message = Warnings.SMW150.format(
        lost=sum(counts),
        total=learnt + sum(counts),
        too_wide=counts[0],
        width=gliner.config.max_width,
        wide_labels=named or "none",
        cut=counts[1],
        unaligned=counts[2],
    )
    warnings.warn(message, stacklevel=2)


def _load(name: str, precision: Precision) -> Checkpoint:
    return load_folder(resolve(name), precision=precision)
