"""What a model should have said: annotated spans as targets, with a weight for each.

A span model is asked about every span up to its greatest width, a token model whether each word
starts, ends or continues a span. The targets of a row lie in the order in which
`Gliner.score_rows` gives its scores. Where nobody knows the answer, the weight is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..modeling.span_edges import span_count
from .dataset import AnnotatedSpan, Bools
from .losses import Floats, LossConfig, keep_negatives


@dataclass(frozen=True, eq=False)
class Targets:
    """What the scores of one row should be.

    Attributes:
        values: 0 or 1. *Shape:* (spans, labels) or (words, labels, 3), float32.
        weights: How much each counts. In the same shape.
    """

    values: Floats
    weights: Floats

    @property
    def count(self) -> int:
        """What a mean loss is a mean over: spans, or words and labels, that are known at all."""
        known = self.weights > 0
        return int(known.any(axis=-1).sum())


@dataclass
class Coverage:
    """How many of the annotated spans a model can learn, and what became of the rest.

    Attributes:
        learnt: Spans that are in the targets.
        too_wide: Spans of more words than the model's greatest width, by label.
        cut: Spans that no window of their text holds, by label.
    """

    learnt: int = 0
    too_wide: dict[str, int] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)

    @property
    def lost(self) -> int:
        """All spans that cannot be learnt."""
        return sum(self.too_wide.values()) + sum(self.cut.values())


def span_places(starts: Sequence[int], ends: Sequence[int], n_words: int) -> NDArray[np.int64]:
    """Where spans are in a row's scores: those of one word first, then those of two ...

    Args:
        starts: First word of each span. *Shape:* (spans,).
        ends: End of each, exclusive, within the row. *Shape:* (spans,).
        n_words: Words of the row.

    Returns:
        *Shape:* (spans,), int64.
    """
    first = np.asarray(starts, dtype=np.int64)
    wider = np.asarray(ends, dtype=np.int64) - first - 1
    # Before the spans of w + 1 words: n of one word, n - 1 of two, ..., n - w + 1 of w.
    return wider * n_words - wider * (wider - 1) // 2 + first


def make_targets(
    spans: Sequence[AnnotatedSpan],
    labels: Sequence[str],
    *,
    n_words: int,
    max_width: int | None,
    unknown: Bools | None = None,
    known_labels: Sequence[str] | None = None,
    objective: LossConfig,
    rng: np.random.Generator,
) -> Targets:
    """Make the targets of one row.

    Args:
        spans: Annotated spans; some may leave the row, or be wider than the model knows.
        labels: The labels of the row, in order. Spans of others are left out.
        n_words: Words of the row.
        max_width: Most words of a span; None for token models.
        unknown: Words nobody looked at. *Shape:* (n_words,).
        known_labels: Labels that annotators looked for; None: all. The others count nothing.
        objective: Gives weights.
        rng: Draws the negatives that count.
    """
    column = {label: i for i, label in enumerate(labels)}
    held = [span for span in spans if span.label in column]
    # A span that is only partly here: its words may not be taken for nothing.
    hidden = np.zeros(n_words, dtype=bool) if unknown is None else unknown.copy()
    whole = []
    for span in held:
        if span.start >= 0 and span.end <= n_words:
            whole.append(span)
        else:
            hidden[max(span.start, 0) : max(span.end, 0)] = True
    index = [column[span.label] for span in whole]
    if max_width is None:
        values, blind = _token_values(whole, index, n_words, len(labels)), hidden
    else:
        values = _span_values(whole, index, n_words, len(labels), max_width)
        blind = _touching(hidden, max_width)
    weights = keep_negatives(values, objective, rng)
    weights[blind] *= values[blind] > 0
    if known_labels is not None:
        looked_for = np.isin(labels, list(known_labels)) | (np.isin(range(len(labels)), index))
        weights[:, ~looked_for] = 0.0
    if objective.width_weight and max_width is not None:
        weights *= np.where(values > 0, 1 + np.log(_widths(n_words, max_width))[:, None], 1)
    return Targets(values, weights.astype(np.float32))


def _widths(n_words: int, max_width: int) -> NDArray[np.int64]:
    """Words of each span of a row. *Shape:* (spans,)."""
    widths = np.arange(1, min(max_width, n_words) + 1)
    return np.repeat(widths, n_words - widths + 1)


def _span_values(
    spans: Sequence[AnnotatedSpan],
    index: Sequence[int],
    n_words: int,
    n_labels: int,
    max_width: int,
) -> Floats:
    """*Shape:* (spans, labels)."""
    values = np.zeros((span_count(n_words, max_width), n_labels), dtype=np.float32)
    fits = [(s, i) for s, i in zip(spans, index, strict=True) if s.end - s.start <= max_width]
    places = span_places([s.start for s, _ in fits], [s.end for s, _ in fits], n_words)
    values[places, [i for _, i in fits]] = 1.0
    return values


def _token_values(
    spans: Sequence[AnnotatedSpan], index: Sequence[int], n_words: int, n_labels: int
) -> Floats:
    """*Shape:* (words, labels, 3): start, end, inside."""
    values = np.zeros((n_words, n_labels, 3), dtype=np.float32)
    for span, label in zip(spans, index, strict=True):
        values[span.start, label, 0] = 1.0
        values[span.end - 1, label, 1] = 1.0
        values[span.start : span.end, label, 2] = 1.0
    return values


def _touching(hidden: Bools, max_width: int) -> Bools:
    """Which spans of a row touch a hidden word. *Shape:* (words,) to (spans,)."""
    before = np.concatenate([[0], hidden.cumsum()])
    n_words = len(hidden)
    widths = range(1, min(max_width, n_words) + 1)
    counts = [before[width:] - before[: n_words + 1 - width] for width in widths]
    return np.concatenate([np.zeros(0, dtype=np.int64), *counts]) > 0
