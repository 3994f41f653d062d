"""Annotated texts to sequences with targets: the batches of training.

A text that is longer than a sequence becomes several windows, the same as in prediction. A window
that shows only a part of an annotated span does not count that part as a negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..inference.model import GlinerModel
from ..inference.scored_spans import CandidateSpans, crosses
from ..inference.sequences import cut_text, fit_labels
from ..inference.windows import owners
from ..modeling.sequence_batch import InputSequence
from .config import LossConfig
from .dataset import AnnotatedSpan, AnnotatedText
from .label_sampling import LabelSample
from .targets import Coverage, Floats, Targets, make_targets


@dataclass(frozen=True, eq=False)
class TrainingSequence:
    """A sequence with its targets.

    Attributes:
        sequence: The sequence.
        targets: Targets of its scores.
        candidates: Token models that score spans, too: the spans to learn from.
        candidate_targets: Targets of their scores. *Shape:* (spans, labels).
    """

    sequence: InputSequence
    targets: Targets
    candidates: CandidateSpans | None = None
    candidate_targets: Targets | None = None


def collate(
    model: GlinerModel,
    texts: Sequence[AnnotatedText],
    samples: Sequence[LabelSample],
    *,
    config: LossConfig,
    rng: np.random.Generator,
    max_words: int | None = None,
) -> list[TrainingSequence]:
    """Make the sequences of a batch: one per window, none for texts without words or labels.

    Of the labels in ``samples`` those that leave a text less than half a sequence are left out. A
    window has at most ``max_words`` words, by default as many as in the checkpoint's training.
    """
    builder = model.prompt_builder
    encoded = builder.encode([text.text.words for text in texts])
    collated = []
    for text, pieces, sample in zip(texts, encoded, samples, strict=True):
        if len(sample) == 0 or len(text.text.words) == 0:
            continue
        group = fit_labels(builder, sample.label_texts, len(pieces.ids))
        cut = cut_text(model, text.text, pieces, [group], max_words=max_words)
        labels = sample.labels[: len(group.labels)]
        for start, end in cut.bounds():
            sequence = builder.sequence(group.prompt, cut.pieces, start, end)
            part = _part(text, start, end)
            collated.append(_add_targets(model, sequence, part, labels, config, rng))
    return collated


def count_coverage(
    model: GlinerModel, texts: Sequence[AnnotatedText], *, max_words: int | None = None
) -> Coverage:
    """Count the annotated spans that the model can learn, and those that it cannot."""
    coverage = Coverage()
    builder = model.prompt_builder
    group = fit_labels(builder, ["label"], 0)
    encoded = builder.encode([text.text.words for text in texts])
    widest = None if model.config.is_token else model.config.max_width
    for text, pieces in zip(texts, encoded, strict=True):
        windows = cut_text(model, text.text, pieces, [group], max_words=max_words).windows
        starts, ends = [s.start for s in text.spans], [s.end for s in text.spans]
        crossing = crosses(starts, ends, text.text.borders).tolist()
        owned = owners(windows, starts, ends).tolist()
        for span, window, is_crossing in zip(text.spans, owned, crossing, strict=True):
            if is_crossing:
                coverage.crossing[span.label] += 1
            elif widest is not None and span.end - span.start > widest:
                coverage.too_wide[span.label] += 1
            elif window < 0:
                coverage.cut[span.label] += 1
            else:
                coverage.learned += 1
    return coverage


def _part(text: AnnotatedText, start: int, end: int) -> AnnotatedText:
    """Return the annotation of a window; spans that it contains in part count from its start."""
    spans = [
        AnnotatedSpan(span.start - start, span.end - start, span.label)
        for span in text.spans
        if span.end > start and span.start < end
    ]
    unknown = None if text.unknown is None else text.unknown[start:end]
    borders = np.asarray(text.text.borders, dtype=np.int64) - start
    part = replace(text.text, borders=borders[(borders > 0) & (borders < end - start)])
    return AnnotatedText(part, spans, text.labels, unknown)


def _add_targets(
    model: GlinerModel,
    sequence: InputSequence,
    part: AnnotatedText,
    labels: Sequence[str],
    config: LossConfig,
    rng: np.random.Generator,
) -> TrainingSequence:
    settings, n_words = model.config, sequence.n_words
    targets = make_targets(
        part.spans,
        labels,
        n_words=n_words,
        max_width=None if settings.is_token else settings.max_width,
        unknown=part.unknown,
        known_labels=part.labels,
        borders=part.text.borders,
        config=config,
        rng=rng,
    )
    if not settings.is_token or not model.network.has_span_scorer:
        return TrainingSequence(sequence, targets)
    candidates, values = _draw_candidates(part, labels, n_words, settings.max_width, rng)
    weights = np.ones_like(values)
    if part.labels is not None:
        weights[:, ~np.isin(labels, list(part.labels))] = 0.0
    candidate_targets = Targets(values, np.maximum(weights, values))
    return TrainingSequence(sequence, targets, candidates, candidate_targets)


def _draw_candidates(
    part: AnnotatedText,
    labels: Sequence[str],
    n_words: int,
    max_width: int,
    rng: np.random.Generator,
) -> tuple[CandidateSpans, Floats]:
    """Take the annotated spans, and draw as many others that overlap none of them."""
    whole = [s for s in part.spans if s.label in labels and s.start >= 0 and s.end <= n_words]
    bounds = sorted({(span.start, span.end) for span in whole})
    taken = np.zeros(n_words, dtype=bool)
    for start, end in bounds:
        taken[start:end] = True
    chosen = dict.fromkeys(bounds)
    starts = rng.integers(0, n_words, size=4 * len(bounds)).tolist()
    widths = rng.integers(1, max_width + 1, size=4 * len(bounds)).tolist()
    ends = [min(start + width, n_words) for start, width in zip(starts, widths, strict=True)]
    crossing = crosses(starts, ends, part.text.borders).tolist()
    for start, end, is_crossing in zip(starts, ends, crossing, strict=True):
        is_free = not is_crossing and not taken[start:end].any()
        if len(chosen) < 2 * len(bounds) and is_free:
            chosen[start, end] = None
    values = np.zeros((len(chosen), len(labels)), dtype=np.float32)
    places = {pair: i for i, pair in enumerate(chosen)}
    for span in whole:
        values[places[span.start, span.end], labels.index(span.label)] = 1.0
    return CandidateSpans.of([start for start, _ in chosen], [end for _, end in chosen]), values
