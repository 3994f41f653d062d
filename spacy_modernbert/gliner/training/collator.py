"""Annotated texts to rows with targets: what one step of training goes through the network.

A text that is longer than a row becomes several, as in prediction, and what was annotated in the
part that a window does not show is no mistake of the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...text.tokenizer import WordPieces
from ..inference.model import GlinerModel
from ..inference.prompt import Prompt, Row
from ..inference.scoring import CandidateSpans
from ..inference.windows import WordWindows, clip_words, cut_word_windows, owners
from .dataset import AnnotatedSpan, AnnotatedText
from .label_sampling import LabelSample
from .losses import Floats, LossConfig
from .targets import Coverage, Targets, make_targets


@dataclass(frozen=True, eq=False)
class TrainingSequence:
    """One row with what it should score.

    Attributes:
        row: The row.
        targets: What its scores should be.
        given: Token models that score spans, too: the spans to learn from.
        given_targets: What their scores should be. *Shape:* (spans, labels).
    """

    row: Row
    targets: Targets
    given: CandidateSpans | None = None
    given_targets: Targets | None = None


def collate(
    model: GlinerModel,
    texts: Sequence[AnnotatedText],
    asked: Sequence[LabelSample],
    *,
    objective: LossConfig,
    rng: np.random.Generator,
    max_words: int | None = None,
) -> list[TrainingSequence]:
    """Make the rows of a batch.

    Args:
        model: The model.
        texts: The texts.
        asked: The labels of each. Those that leave a text less than half a row are left out.
        objective: Gives weights to targets.
        rng: The source of chance.
        max_words: Most words of a row; by default as many as in the checkpoint's training.

    Returns:
        One a window; none for texts without words or labels.
    """
    rows = model.prompt_builder.encode([text.text.words for text in texts])
    lessons = []
    for text, pieces, labels in zip(texts, rows, asked, strict=True):
        if len(labels) == 0 or len(text.text.words) == 0:
            continue
        prompt, labels = _fit(model, labels, len(pieces.ids))
        pieces, windows = _cut(model, text, pieces, prompt, max_words)
        for start, end in zip(windows.starts.tolist(), windows.ends.tolist(), strict=True):
            row = model.prompt_builder.row(prompt, pieces, start, end)
            part = _part(text, start, end)
            lessons.append(_lesson(model, row, part, labels, objective, rng))
    return lessons


def measure(
    model: GlinerModel, texts: Sequence[AnnotatedText], *, max_words: int | None = None
) -> Coverage:
    """Count the annotated spans that the model can learn, and those that it cannot.

    Args:
        model: The model.
        texts: The texts.
        max_words: Most words of a row; by default as many as in the checkpoint's training.
    """
    coverage = Coverage()
    prompt = model.prompt_builder.prompt(["label"])
    rows = model.prompt_builder.encode([text.text.words for text in texts])
    widest = None if model.config.is_token else model.config.max_width
    for text, pieces in zip(texts, rows, strict=True):
        spans = sorted(text.spans, key=_bounds)
        if not spans:
            continue
        _, windows = _cut(model, text, pieces, prompt, max_words)
        owner = owners(windows, [s.start for s in spans], [s.end for s in spans])
        for span, window in zip(spans, owner.tolist(), strict=True):
            lost = None
            if widest is not None and span.end - span.start > widest:
                lost = coverage.too_wide
            elif window < 0:
                lost = coverage.cut
            if lost is None:
                coverage.learnt += 1
            else:
                lost[span.label] = lost.get(span.label, 0) + 1
    return coverage


def _fit(model: GlinerModel, labels: LabelSample, n_pieces: int) -> tuple[Prompt, LabelSample]:
    """The prompt of as many of the labels as leave room for the text, or for half a row of it."""
    limit = model.prompt_builder.max_length
    prompt = model.prompt_builder.prompt(labels.words)
    while limit is not None and len(labels) > 1:
        capacity = model.prompt_builder.capacity(prompt)
        if capacity is None or capacity >= min(n_pieces, limit // 2):
            break
        labels = labels.first(max(1, len(labels) * 3 // 4))
        prompt = model.prompt_builder.prompt(labels.words)
    return prompt, labels


def _cut(
    model: GlinerModel,
    text: AnnotatedText,
    pieces: WordPieces,
    prompt: Prompt,
    max_words: int | None,
) -> tuple[WordPieces, WordWindows]:
    """The windows of a text, and its pieces without those that fit no row."""
    capacity = model.prompt_builder.capacity(prompt)
    capacity = max(len(pieces.ids), 1) if capacity is None else max(capacity, 1)
    fits, clipped = clip_words(pieces.words, capacity=capacity)
    if len(clipped):
        pieces = WordPieces(pieces.ids[fits], pieces.words[fits])
    longest = max_words or model.config.max_len
    wide = longest // 8 if model.config.is_token else 0
    windows = cut_word_windows(
        np.bincount(pieces.words, minlength=len(text.text.words)),
        capacity=capacity,
        max_words=longest,
        overlap=max(model.config.max_width, wide),
        breaks=text.text.breaks,
    )
    return pieces, windows


def _part(text: AnnotatedText, start: int, end: int) -> AnnotatedText:
    """The annotation as one window sees it; spans that it holds in part count from its start."""
    spans = [
        AnnotatedSpan(span.start - start, span.end - start, span.label)
        for span in text.spans
        if span.end > start and span.start < end
    ]
    unknown = None if text.unknown is None else text.unknown[start:end]
    return AnnotatedText(text.text, spans, text.labels, unknown)


def _lesson(
    model: GlinerModel,
    row: Row,
    part: AnnotatedText,
    labels: LabelSample,
    objective: LossConfig,
    rng: np.random.Generator,
) -> TrainingSequence:
    config = model.config
    targets = make_targets(
        part.spans,
        labels.labels,
        n_words=row.n_words,
        max_width=None if config.is_token else config.max_width,
        unknown=part.unknown,
        known_labels=part.labels,
        objective=objective,
        rng=rng,
    )
    if not config.is_token or model.network.is_chained:
        return TrainingSequence(row, targets)
    given, values = _choose_spans(part.spans, labels.labels, row.n_words, config.max_width, rng)
    weights = np.ones_like(values)
    if part.labels is not None:
        weights[:, ~np.isin(labels.labels, list(part.labels))] = 0.0
    return TrainingSequence(row, targets, given, Targets(values, np.maximum(weights, values)))


def _choose_spans(
    spans: Sequence[AnnotatedSpan],
    labels: Sequence[str],
    n_words: int,
    max_width: int,
    rng: np.random.Generator,
) -> tuple[CandidateSpans, Floats]:
    """The annotated spans, and as many others that overlap none of them."""
    whole = [s for s in spans if s.label in labels and s.start >= 0 and s.end <= n_words]
    bounds = sorted({(span.start, span.end) for span in whole})
    taken = np.zeros(n_words, dtype=bool)
    for start, end in bounds:
        taken[start:end] = True
    chosen = dict.fromkeys(bounds)
    starts = rng.integers(0, n_words, size=4 * len(bounds)).tolist()
    widths = rng.integers(1, max_width + 1, size=4 * len(bounds)).tolist()
    for start, width in zip(starts, widths, strict=True):
        end = min(start + width, n_words)
        if len(chosen) < 2 * len(bounds) and not taken[start:end].any():
            chosen[start, end] = None
    values = np.zeros((len(chosen), len(labels)), dtype=np.float32)
    places = {pair: i for i, pair in enumerate(chosen)}
    for span in whole:
        values[places[span.start, span.end], labels.index(span.label)] = 1.0
    return CandidateSpans.of([start for start, _ in chosen], [end for _, end in chosen]), values


def _bounds(span: AnnotatedSpan) -> tuple[int, int]:
    return span.start, span.end
