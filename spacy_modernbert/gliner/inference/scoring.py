"""What a model of any kind says about one row: candidates, free or among given spans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..modeling.network import Features, Gliner
from .scored_spans import (
    Ints,
    ScoredSpans,
    candidates_above_threshold,
    chains_above_threshold,
    spans_above_threshold,
    token_probabilities,
)


@dataclass(frozen=True, eq=False)
class CandidateSpans:
    """Spans that somebody else proposed.

    Attributes:
        starts: First word of each span. *Shape:* (spans,), int32.
        ends: End of each span, exclusive. *Shape:* (spans,), int32.
    """

    starts: Ints
    ends: Ints

    @classmethod
    def of(cls, starts: ArrayLike, ends: ArrayLike) -> CandidateSpans:
        """Take anything that makes arrays."""
        return cls(np.asarray(starts, dtype=np.int32), np.asarray(ends, dtype=np.int32))

    def within(self, start: int, end: int) -> CandidateSpans:
        """Those within a stretch of words, counted from its start."""
        held = (self.starts >= start) & (self.ends <= end)
        return CandidateSpans(
            self.starts[held] - np.int32(start), self.ends[held] - np.int32(start)
        )


def score_sequences(
    network: Gliner,
    features: Features,
    thresholds: Sequence[NDArray[np.float32]],
    given: Sequence[CandidateSpans | None],
) -> list[ScoredSpans]:
    """Find the candidates of each row of a batch.

    Args:
        network: The network.
        features: What it made of the rows.
        thresholds: For each row the least probability of each label. *Shape:* (labels,).
        given: For each row the only spans in question, of any width, or None for all spans.
    """
    # Nothing but given spans, and a head that can score them alone: there is no need for the rest.
    needs_all = network.is_chained or any(spans is None for spans in given)
    logits = network(features) if needs_all else [None] * len(given)
    rows = zip(features.split(), logits, thresholds, given, strict=True)
    return [
        _find(network, words, labels, scores, limits, spans)
        for (words, labels), scores, limits, spans in rows
    ]


def _find(
    network: Gliner,
    words: Tensor,
    labels: Tensor,
    logits: Tensor | None,
    thresholds: NDArray[np.float32],
    given: CandidateSpans | None,
) -> ScoredSpans:
    if len(words) == 0 or len(labels) == 0:
        return ScoredSpans.empty()
    if given is not None:
        if network.is_chained and logits is not None:
            probabilities = token_probabilities(logits, given.starts, given.ends)
            return candidates_above_threshold(probabilities, given.starts, given.ends, thresholds)
        return _score(network, words, labels, given, thresholds)
    if logits is None:
        return ScoredSpans.empty()
    if not network.config.is_token:
        return spans_above_threshold(logits, thresholds)
    found = chains_above_threshold(logits, thresholds)
    if network.is_chained:
        return found
    # The tokens only propose: every proposed span is scored again, for every label.
    pairs = np.stack([found.starts, found.ends], axis=1)
    _, first = np.unique(pairs, axis=0, return_index=True)
    proposed = found.take(np.sort(first))
    return _score(
        network, words, labels, CandidateSpans(proposed.starts, proposed.ends), thresholds
    )


def _score(
    network: Gliner,
    words: Tensor,
    labels: Tensor,
    spans: CandidateSpans,
    thresholds: NDArray[np.float32],
) -> ScoredSpans:
    if len(spans.starts) == 0:
        return ScoredSpans.empty()
    index = [torch.from_numpy(ends.astype(np.int64)) for ends in (spans.starts, spans.ends)]
    starts, ends = (part.to(words.device) for part in index)
    probabilities = network.score_spans(words, labels, starts, ends).sigmoid()
    return candidates_above_threshold(probabilities, spans.starts, spans.ends, thresholds)
