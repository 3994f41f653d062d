"""What a corpus holds for a ``gliner``: spans of each label, and those that can't be learned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from spacy.training import Example

from ...gliner.training.collator import count_coverage
from ...gliner.training.targets import Coverage
from ..checkpoint_model import CheckpointModel
from .annotations import annotated_spans, doc_labels, read_examples
from .config import GlinerPipeConfig


@dataclass
class SpanStatistics:
    """Counts of annotated Docs.

    Attributes:
        n_docs: All Docs.
        n_unannotated: Docs with neither a span group nor entities.
        n_without_spans: Annotated Docs in which there is no span.
        per_label: Spans of each label.
        unknown: Spans of labels that are neither the component's nor the Doc's own.
        unaligned: Spans that do not end at a token of the predicted Doc.
        coverage: Spans that the model can learn, and those that it can't, by label text.
    """

    n_docs: int = 0
    n_unannotated: int = 0
    n_without_spans: int = 0
    per_label: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    unaligned: Counter[str] = field(default_factory=Counter)
    coverage: Coverage = field(default_factory=Coverage)


def count_spans(
    examples: Sequence[Example], config: GlinerPipeConfig, model: CheckpointModel
) -> SpanStatistics:
    """Count annotated spans; load the weights, whose limits decide what can be learned."""
    found = SpanStatistics(n_docs=len(examples))
    for example in examples:
        spans = annotated_spans(example.reference, config.spans_key)
        if spans is None:
            found.n_unannotated += 1
            continue
        found.n_without_spans += not spans
        known = doc_labels(example.reference)
        names = [span.label_ for span in spans]
        found.per_label.update(names)
        labels = config.labels if known is None else known
        found.unknown.update(name for name in names if name not in labels)
    batch = read_examples(examples, config)
    found.unaligned.update(batch.unaligned)
    found.coverage = count_coverage(model.checkpoint, batch.texts)
    return found
