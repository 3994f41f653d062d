"""The spans of a batch of sequences, for a model of any kind: among all spans, or candidates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..modeling.network import Features, Gliner
from .scored_spans import (
    CandidateSpans,
    ScoredSpans,
    candidates_above_threshold,
    chains_above_threshold,
    spans_above_threshold,
    token_probabilities,
)


def score_sequences(
    network: Gliner,
    features: Features,
    thresholds: Sequence[NDArray[np.float32]],
    candidates: Sequence[CandidateSpans | None],
) -> list[ScoredSpans]:
    """Find the spans of each sequence of a batch.

    ``thresholds`` are the least probabilities of each sequence's labels, *Shape:* (labels,), and
    ``candidates`` the only spans of it to score, of any width, or None for all spans.
    """
    # A span scorer can score candidates alone, so the other spans are not needed.
    needs_all = not network.has_span_scorer or any(spans is None for spans in candidates)
    logits = network(features) if needs_all else [None] * len(candidates)
    sequences = zip(features.split(), logits, thresholds, candidates, strict=True)
    return [
        _find_spans(network, words, labels, scores, limits, spans)
        for (words, labels), scores, limits, spans in sequences
    ]


def _find_spans(
    network: Gliner,
    words: Tensor,
    labels: Tensor,
    logits: Tensor | None,
    thresholds: NDArray[np.float32],
    candidates: CandidateSpans | None,
) -> ScoredSpans:
    if len(words) == 0 or len(labels) == 0:
        return ScoredSpans.empty()
    if candidates is None and logits is not None:
        if not network.config.is_token:
            return spans_above_threshold(logits, len(words), network.config.max_width, thresholds)
        found = chains_above_threshold(logits, thresholds)
        if not network.has_span_scorer:
            return found
        # The word scores only propose spans: each of them is scored again, for every label.
        pairs = np.stack([found.starts, found.ends], axis=1)
        _, first = np.unique(pairs, axis=0, return_index=True)
        first.sort()
        candidates = CandidateSpans(found.starts[first], found.ends[first])
    if candidates is None or len(candidates) == 0:
        return ScoredSpans.empty()
    starts, ends = candidates.starts, candidates.ends
    if logits is None or network.has_span_scorer:
        bounds = candidates.to_tensors(words.device)
        probabilities = network.score_spans(words, labels, *bounds).sigmoid()
    else:
        probabilities = token_probabilities(logits, starts, ends)
    return candidates_above_threshold(probabilities, starts, ends, thresholds)
