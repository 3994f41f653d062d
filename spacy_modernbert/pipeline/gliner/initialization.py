"""The start of a training: a new head, and a check of labels and annotation."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Sequence

from spacy.training import Example

from ...encoder.checkpoint import load_encoder
from ...encoder.hub import resolve_encoder
from ...errors import Errors, Warnings
from ...gliner.training.collator import count_coverage
from ...gliner.training.new_model import new_gliner
from ...gliner.training.similarity_init import init_by_similarity
from ..checkpoint_model import CheckpointModel
from .annotations import TrainingBatch, annotated_spans, doc_labels
from .config import NewHeadConfig

# Labels that a message names.
_NAMED = 5


def put_new_head(
    model: CheckpointModel, encoder: str, config: NewHeadConfig, label_texts: Sequence[str]
) -> None:
    """Put an untrained head on an encoder, in place of the network that the model has.

    The encoder is a folder or hub name; ``label_texts`` are those that the model will read.

    Raises:
        ValueError: SM154 if this head can't start from similarity.
    """
    own, precision = config.labels_encoder, model.shim.precision
    by_similarity = config.head_init == "similarity"
    if by_similarity and (own is None or config.head != "span" or not label_texts):
        raise ValueError(Errors.SM154)
    gliner = new_gliner(
        load_encoder(resolve_encoder(encoder), precision=precision),
        None if own is None else load_encoder(resolve_encoder(own), precision=precision),
        head=config.head,
        max_width=config.max_width,
        max_len=config.max_len,
        width=config.hidden_size,
        dropout=config.head_dropout,
        names=(encoder, own or ""),
    )
    if by_similarity:
        init_by_similarity(gliner, label_texts)
    model.shim.set(gliner)


def check_labels(examples: Iterable[Example], labels: Iterable[str], *, spans_key: str) -> None:
    """Refuse labels of the component that do not occur in any annotation.

    Examples without annotation are ignored. One with labels of its own ends the check.

    Raises:
        ValueError: SM155 if spans are annotated, but none of them has any of the labels.
    """
    known = set(labels)
    found: set[str] = set()
    for example in examples:
        if doc_labels(example.reference) is not None:
            return
        spans = annotated_spans(example.reference, spans_key) or ()
        found.update(span.label_ for span in spans)
        if found & known:
            return
    if found:
        annotated, ours = (sorted(names)[:_NAMED] for names in (found, known))
        raise ValueError(Errors.SM155.format(annotated=annotated, labels=ours))


def warn_of_lost_spans(model: CheckpointModel, batches: Iterable[TrainingBatch]) -> None:
    """Warn, with SMW150, of annotated spans that the model can't learn."""
    gliner = model.checkpoint
    wide: Counter[str] = Counter()
    cut: Counter[str] = Counter()
    crossing: Counter[str] = Counter()
    unaligned: Counter[str] = Counter()
    learned = 0
    for batch in batches:
        coverage = count_coverage(gliner, batch.texts)
        wide.update(coverage.too_wide)
        cut.update(coverage.cut)
        crossing.update(coverage.crossing)
        unaligned.update(batch.unaligned)
        learned += coverage.learned
    counts = [counter.total() for counter in (wide, cut, crossing, unaligned)]
    if not sum(counts):
        return
    named = ", ".join(f"{label}: {count}" for label, count in wide.most_common(_NAMED))
    message = Warnings.SMW150.format(
        lost=sum(counts),
        total=learned + sum(counts),
        too_wide=counts[0],
        width=gliner.config.max_width,
        wide_labels=named or "none",
        cut=counts[1],
        crossing=counts[2],
        unaligned=counts[3],
    )
    warnings.warn(message, stacklevel=2)
