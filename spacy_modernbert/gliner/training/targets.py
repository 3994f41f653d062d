"""Targets of training: annotated spans as values for every score, with a weight for each.

A span model scores every span up to its greatest width, a token model for each word whether a span
starts, ends or continues there. The targets of a sequence have the layout of the scores of
`Gliner.forward`. Where the annotation does not tell the value, the weight is 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..inference.scored_spans import crosses
from ..modeling.span_layout import count_spans, span_bounds, span_indices
from .config import LossConfig, Masking
from .dataset import AnnotatedSpan, Bools

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Targets:
    """Targets of the scores of one sequence.

    Attributes:
        values: 0 or 1. *Shape:* (spans, labels) or (words, labels, 3), float32.
        weights: How much each counts. The same shape.
    """

    values: Floats
    weights: Floats

    @property
    def count(self) -> int:
        """Number of spans (token models: of words and labels) with any known value."""
        return int((self.weights > 0).any(axis=-1).sum())


@dataclass
class Coverage:
    """How many of the annotated spans a model can learn.

    Attributes:
        learned: Spans that are in the targets.
        too_wide: Spans of more words than the model's greatest width, by label.
        cut: Spans that no window of their text contains, by label.
        crossing: Spans that contain the start of a sentence, so that they are never predicted, by
            label.
    """

    learned: int = 0
    too_wide: Counter[str] = field(default_factory=Counter)
    cut: Counter[str] = field(default_factory=Counter)
    crossing: Counter[str] = field(default_factory=Counter)

    @property
    def lost(self) -> int:
        """All spans that cannot be learned."""
        return self.too_wide.total() + self.cut.total() + self.crossing.total()


def make_targets(
    spans: Sequence[AnnotatedSpan],
    labels: Sequence[str],
    *,
    n_words: int,
    max_width: int | None,
    unknown: Bools | None = None,
    known_labels: Sequence[str] | None = None,
    borders: ArrayLike = (),
    config: LossConfig,
    rng: np.random.Generator,
) -> Targets:
    """Make the targets of one sequence.

    Args:
        spans: Annotated spans; some may reach out of the sequence, or be too wide for the model.
        labels: The labels of the sequence, in order. Spans of other labels are left out.
        n_words: Number of words of the sequence.
        max_width: Most words of a span; None for token models.
        unknown: Words that annotators did not look at. *Shape:* (n_words,).
        known_labels: Labels that annotators looked for; None: all. Other labels have no negatives.
        borders: Words that no predicted span contains unless it starts with them: no negatives.
        config: The loss, for the weights.
        rng: Draws the negatives that count.
    """
    column = {label: i for i, label in enumerate(labels)}
    # A span that is only partly in the sequence: its words must not count as negatives.
    hidden = np.zeros(n_words, dtype=bool) if unknown is None else unknown.copy()
    whole = []
    for span in spans:
        if span.label not in column:
            continue
        if span.start >= 0 and span.end <= n_words:
            whole.append(span)
        else:
            hidden[max(span.start, 0) : max(span.end, 0)] = True
    columns = [column[span.label] for span in whole]
    if max_width is None:
        values, is_unknown = _token_values(whole, columns, n_words, len(labels)), hidden
    else:
        values = _span_values(whole, columns, n_words, len(labels), max_width)
        is_unknown = _touching(hidden, max_width)
        is_unknown |= crosses(*span_bounds(n_words, max_width), borders)
    weights = draw_weights(values, config, rng)
    weights[is_unknown] *= values[is_unknown] > 0
    if known_labels is not None:
        looked_for = np.isin(labels, list(known_labels)) | np.isin(range(len(labels)), columns)
        weights[:, ~looked_for] = 0.0
    if config.width_weight and max_width is not None:
        starts, ends = span_bounds(n_words, max_width)
        weights *= np.where(values > 0, 1 + np.log(ends - starts)[:, None], 1)
    return Targets(values, weights.astype(np.float32))


def draw_weights(values: Floats, config: LossConfig, rng: np.random.Generator) -> Floats:
    """Draw which elements count: 1 for those that do, 0 for the others.

    *Shape:* targets, 0 or 1, (spans, labels) or (words, labels, 3), to the same.
    """
    if config.keep_negatives >= 1.0:
        return np.ones_like(values)
    axes: dict[Masking, tuple[int, ...]] = {
        "element": (),
        "label": (0, *range(2, values.ndim)),
        "span": tuple(range(1, values.ndim)),
    }
    # A label or span with any positive keeps all its elements. Those of the others are drawn one
    # by one.
    may_go = values.sum(axis=axes[config.masking], keepdims=True) == 0
    is_drawn = rng.random(values.shape, dtype=np.float32) < config.keep_negatives
    return np.where(may_go, is_drawn, True).astype(np.float32)


def _span_values(
    spans: Sequence[AnnotatedSpan], columns: Sequence[int], n_words: int, n_labels: int, widest: int
) -> Floats:
    """*Shape:* (spans, labels)."""
    values = np.zeros((count_spans(n_words, widest), n_labels), dtype=np.float32)
    fits = [(s, i) for s, i in zip(spans, columns, strict=True) if s.end - s.start <= widest]
    places = span_indices([s.start for s, _ in fits], [s.end for s, _ in fits], n_words)
    values[places, [i for _, i in fits]] = 1.0
    return values


def _token_values(
    spans: Sequence[AnnotatedSpan], columns: Sequence[int], n_words: int, n_labels: int
) -> Floats:
    """*Shape:* (words, labels, 3): start, end, inside."""
    values = np.zeros((n_words, n_labels, 3), dtype=np.float32)
    for span, label in zip(spans, columns, strict=True):
        values[span.start, label, 0] = 1.0
        values[span.end - 1, label, 1] = 1.0
        values[span.start : span.end, label, 2] = 1.0
    return values


def _touching(hidden: Bools, max_width: int) -> Bools:
    """Return which spans of a sequence touch a hidden word. *Shape:* (words,) to (spans,)."""
    before = np.concatenate([[0], hidden.cumsum()])
    starts, ends = span_bounds(len(hidden), max_width)
    return before[ends] > before[starts]
