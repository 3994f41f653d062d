"""From scores to spans: the labeled spans of a text that are above the threshold.

They are arrays, so that those of several windows or label groups of a text can be joined before
`decoding` chooses among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..modeling.span_layout import span_bounds

Ints = NDArray[np.int32]
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ScoredSpans:
    """Labeled spans of one text.

    Attributes:
        starts: First word of each span. *Shape:* (spans,), int32.
        ends: End of each span, exclusive. *Shape:* (spans,), int32.
        labels: Index of its label. *Shape:* (spans,), int32.
        scores: Probability of the label, 0 to 1. *Shape:* (spans,), float32.
    """

    starts: Ints
    ends: Ints
    labels: Ints
    scores: Floats

    def __len__(self) -> int:
        return len(self.starts)

    @classmethod
    def of(
        cls, starts: ArrayLike, ends: ArrayLike, labels: ArrayLike, scores: ArrayLike
    ) -> ScoredSpans:
        """Convert whatever can be converted to arrays."""
        return cls(
            np.asarray(starts, dtype=np.int32),
            np.asarray(ends, dtype=np.int32),
            np.asarray(labels, dtype=np.int32),
            np.asarray(scores, dtype=np.float32),
        )

    @classmethod
    def empty(cls) -> ScoredSpans:
        """Return no spans."""
        return cls.of([], [], [], [])

    @classmethod
    def join(cls, parts: Sequence[ScoredSpans]) -> ScoredSpans:
        """Concatenate the spans of several runs over one text."""
        if not parts:
            return cls.empty()
        names = ("starts", "ends", "labels", "scores")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def take(self, which: NDArray[np.integer] | NDArray[np.bool_]) -> ScoredSpans:
        """Return the spans at these indices, or where a mask is true."""
        return ScoredSpans(
            self.starts[which], self.ends[which], self.labels[which], self.scores[which]
        )

    def within_borders(self, borders: ArrayLike) -> ScoredSpans:
        """Return the spans that contain none of these words, unless they start with it.

        *Shape:* rising, (borders,).
        """
        return self.take(~crosses(self.starts, self.ends, borders))

    def in_order(self) -> ScoredSpans:
        """Sort by start, then end, then label: upstream's order for span models."""
        return self.take(np.lexsort((self.labels, self.ends, self.starts)))


@dataclass(frozen=True, eq=False)
class CandidateSpans:
    """Spans to score, in place of all spans of a text.

    Attributes:
        starts: First word of each span. *Shape:* (spans,), int32.
        ends: End of each span, exclusive. *Shape:* (spans,), int32.
    """

    starts: Ints
    ends: Ints

    def __len__(self) -> int:
        return len(self.starts)

    @classmethod
    def of(cls, starts: ArrayLike, ends: ArrayLike) -> CandidateSpans:
        """Convert whatever can be converted to arrays."""
        return cls(np.asarray(starts, dtype=np.int32), np.asarray(ends, dtype=np.int32))

    def within(self, start: int, end: int) -> CandidateSpans:
        """Return the spans within a window of words, counted from its start."""
        inside = (self.starts >= start) & (self.ends <= end)
        return CandidateSpans(
            self.starts[inside] - np.int32(start), self.ends[inside] - np.int32(start)
        )

    def to_tensors(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return starts and ends on a device. *Shape:* two of (spans,), int64."""
        bounds = np.stack([self.starts, self.ends]).astype(np.int64)
        starts, ends = torch.from_numpy(bounds).to(device)
        return starts, ends


def crosses(starts: ArrayLike, ends: ArrayLike, borders: ArrayLike) -> NDArray[np.bool_]:
    """Return which spans contain a border, a word that they don't start with.

    *Shape:* first words and exclusive ends, two of (spans,), and rising borders, (borders,), to
    (spans,), bool.
    """
    edges = np.asarray(borders, dtype=np.int64)
    before = np.searchsorted(edges, starts, side="right")
    return np.asarray(before < np.searchsorted(edges, ends, side="left"))


def spans_above_threshold(
    logits: Tensor, n_words: int, max_width: int, thresholds: ArrayLike
) -> ScoredSpans:
    """Find the spans of a span model whose probability is above their label's threshold.

    *Shape:* scores in the order of `span_layout`, (spans, labels), and thresholds of all labels or
    of each, () or (labels,), to spans in order of start, end, label.
    """
    probabilities = logits.detach().float().sigmoid()
    bounds = span_bounds(n_words, max_width)
    found = candidates_above_threshold(probabilities, *bounds, thresholds)
    # The labels of a span are in order already.
    keys = found.starts.astype(np.int64) * (n_words + 1) + found.ends
    return found.take(np.argsort(keys, kind="stable"))


def chains_above_threshold(logits: Tensor, thresholds: ArrayLike) -> ScoredSpans:
    """Find the spans of a token model: a start and an end of one label, all words between inside.

    The score of a span is the least of its start, end and inside probabilities. Start and end must
    be above the threshold, the words of the span at least at it.

    *Shape:* (words, labels, 3), and thresholds of all labels or of each, () or (labels,), to spans
    in order of start, label, end.
    """
    scores = logits.detach().float().sigmoid().cpu().numpy()
    limits = np.broadcast_to(np.asarray(thresholds, dtype=np.float32), scores.shape[1:2])
    begin, finish, inside = scores[..., 0], scores[..., 1], scores[..., 2]
    starts, ends, labels = _chains(begin > limits, finish > limits, inside >= limits)
    weakest = np.minimum(begin[starts, labels], finish[ends, labels])
    weakest = np.minimum(weakest, _range_min(inside, starts, ends, labels))
    return ScoredSpans.of(starts, ends + 1, labels, weakest)


def candidates_above_threshold(
    probabilities: Tensor, starts: ArrayLike, ends: ArrayLike, thresholds: ArrayLike
) -> ScoredSpans:
    """Select the labels of candidate spans whose probability is above the threshold.

    *Shape:* (spans, labels), two of (spans,), and thresholds of all labels or of each, () or
    (labels,), to spans in the order of the candidates, then labels.
    """
    limits = torch.as_tensor(np.asarray(thresholds, np.float32), device=probabilities.device)
    found = (probabilities > limits).nonzero(as_tuple=True)
    spans, labels = (index.cpu().numpy() for index in found)
    scores = probabilities[found].detach().cpu().numpy()
    return ScoredSpans.of(np.asarray(starts)[spans], np.asarray(ends)[spans], labels, scores)


def token_probabilities(logits: Tensor, starts: ArrayLike, ends: ArrayLike) -> Tensor:
    """Return a token model's probabilities of candidate spans: the least of each span's words.

    *Shape:* (words, labels, 3), two of (spans,) to (spans, labels), float32, on the CPU.
    """
    scores = logits.detach().float().sigmoid().cpu().numpy()
    first, last = np.asarray(starts, dtype=np.intp), np.asarray(ends, dtype=np.intp) - 1
    n_labels = scores.shape[1]
    spans = np.repeat(np.arange(len(first)), n_labels)
    labels = np.tile(np.arange(n_labels), len(first))
    inside = _range_min(scores[..., 2], first[spans], last[spans], labels).reshape(-1, n_labels)
    weakest = np.minimum(np.minimum(scores[first, :, 0], scores[last, :, 1]), inside)
    return torch.from_numpy(weakest)


def _chains(
    begins: NDArray[np.bool_], finishes: NDArray[np.bool_], inside: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Pair starts with ends of their label that an unbroken run of inside words joins.

    *Shape:* three masks, (words, labels), to first words, last words and labels, (pairs,), by first
    word, then label, then last word.
    """
    n_words = len(inside)
    words = np.arange(n_words)[:, None]
    # Where the run that holds a word ends: at the next word that is not inside, exclusive.
    stops = np.where(inside, n_words, words)
    stops = np.minimum.accumulate(stops[::-1])[::-1] if n_words else stops
    starts, labels = begins.nonzero()
    end_labels, end_words = finishes.T.nonzero()
    # One number a (label, word), rising, so that the ends within a run are a slice of a list.
    keys = end_labels * (n_words + 1) + end_words
    base = labels * (n_words + 1)
    low = np.searchsorted(keys, base + starts)
    high = np.maximum(np.searchsorted(keys, base + stops[starts, labels]), low)
    counts = high - low
    within = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
    ends = end_words[np.repeat(low, counts) + within]
    return np.repeat(starts, counts), ends, np.repeat(labels, counts)


def _range_min(
    values: Floats, first: NDArray[np.intp], last: NDArray[np.intp], columns: NDArray[np.intp]
) -> Floats:
    """Return the least value of each range of a column, both ends included.

    With tables of the least of every 1, 2, 4 ... neighboring values, two look-ups do for any range.
    """
    result = np.full(len(first), np.inf, dtype=np.float32)
    levels = np.frexp(last - first + 1)[1] - 1
    table = values
    for level in range(int(levels.max(initial=-1)) + 1):
        if level:
            step = 1 << (level - 1)
            table = np.minimum(table[:-step], table[step:])
        here = levels == level
        left, right = first[here], last[here] + 1 - (1 << level)
        result[here] = np.minimum(table[left, columns[here]], table[right, columns[here]])
    return result
