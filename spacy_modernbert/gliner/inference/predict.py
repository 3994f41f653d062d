"""The spans of texts of any length, for any number of labels.

A text becomes one sequence or several (`sequences`). Sequences of all texts are batched by length,
and the spans of each text are merged again. What is found in a text depends on no other text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ...text.batching import batch_by_budget
from ..modeling.network import Features
from ..modeling.sequence_batch import InputSequence
from .model import GlinerModel
from .scored_spans import CandidateSpans, ScoredSpans
from .scoring import score_sequences
from .sequences import Overflow, SplitText, TextSequences, make_sequences
from .windows import merge_windows

# Pieces of a batch. On CPUs 2,000 to 8,000 take the same time, and memory grows with them.
BATCH_PIECES = 2048


@dataclass(frozen=True, eq=False)
class _WindowSequence:
    """The sequence of one window of a text with one group of labels.

    Attributes:
        key: Indices of the text, the group and the window.
        sequence: The sequence.
        thresholds: Thresholds of the labels of the group. *Shape:* (labels,).
        candidates: The only spans to score, counted from the window's start.
        vectors: Vectors of the pieces of its words, if they are known. *Shape:* (pieces, width).
    """

    key: tuple[int, int, int]
    sequence: InputSequence
    thresholds: NDArray[np.float32]
    candidates: CandidateSpans | None
    vectors: Tensor | None


def find_spans(
    model: GlinerModel,
    texts: Sequence[SplitText],
    label_texts: Sequence[str],
    *,
    thresholds: ArrayLike,
    label_vectors: Tensor | None = None,
    max_words: int | None = None,
    overlap: int | None = None,
    on_overflow: Overflow = "warn",
    batch_pieces: int = BATCH_PIECES,
) -> list[ScoredSpans]:
    """Find the spans of texts; `decoding.decode` chooses among them.

    Args:
        model: The model.
        texts: The texts; those without words have no spans. Either all of them come with vectors,
            or none does.
        label_texts: The label texts. Of equal ones the first counts.
        thresholds: Least probability, exclusive: one for all labels, or one each. *Shape:* () or
            (labels,).
        label_vectors: Bi-encoders: the output of `GlinerModel.encode_labels` for these labels, if
            it was kept. *Shape:* (labels, width).
        max_words: Most words of a window. Default: as many as in the checkpoint's training.
        overlap: Fewest words that neighboring windows share. Default: an eighth of a window. Never
            less than the widest span.
        on_overflow: Whether labels that do not fit beside a text are read in several groups, with
            a warning, or are an error.
        batch_pieces: Most pieces of a batch.

    Returns:
        Spans of each text. Labels are indices into ``label_texts``.

    Raises:
        ValueError: SM108, SM109, SM114 if labels are empty, too long, or too many.
    """
    distinct = list(dict.fromkeys(label_texts))
    if not distinct or not texts:
        return [ScoredSpans.empty() for _ in texts]
    index = np.array([label_texts.index(label) for label in distinct], dtype=np.int32)
    limits = np.broadcast_to(np.asarray(thresholds, dtype=np.float32), len(label_texts))[index]
    made = make_sequences(
        model, texts, distinct, max_words=max_words, overlap=overlap, on_overflow=on_overflow
    )
    with torch.inference_mode():
        vectors = None
        if model.config.is_bi:
            known = label_vectors
            vectors = model.encode_labels(distinct) if known is None else known[index]
        sequences = [
            sequence
            for number, (text, one) in enumerate(zip(texts, made, strict=True))
            for sequence in _window_sequences(model, number, text, one, limits)
        ]
        found = _score(model, sequences, vectors, batch_pieces)
    merged = [_merge(one, found, number) for number, one in enumerate(made)]
    return [ScoredSpans(c.starts, c.ends, index[c.labels], c.scores) for c in merged]


def _window_sequences(
    model: GlinerModel,
    number: int,
    text: SplitText,
    made: TextSequences,
    thresholds: NDArray[np.float32],
) -> list[_WindowSequence]:
    """Build the sequences of a text: every window with every group."""
    sequences = []
    for window, (start, end) in enumerate(made.bounds()):
        candidates = None if text.candidates is None else text.candidates.within(start, end)
        low, high = np.searchsorted(made.pieces.words, (start, end))
        vectors = None if text.vectors is None else text.vectors[low:high]
        for group, read in enumerate(made.groups):
            sequence = model.prompt_builder.sequence(read.prompt, made.pieces, start, end)
            key, limits = (number, group, window), thresholds[read.labels]
            sequences.append(_WindowSequence(key, sequence, limits, candidates, vectors))
    return sequences


def _score(
    model: GlinerModel,
    sequences: list[_WindowSequence],
    label_vectors: Tensor | None,
    batch_pieces: int,
) -> dict[tuple[int, int, int], ScoredSpans]:
    """Score sequences, those of similar length together. Returns spans by text, group, window."""
    found: dict[tuple[int, int, int], ScoredSpans] = {}
    sequences = sorted(sequences, key=_length)
    lengths = [_length(one) for one in sequences]
    for indices in batch_by_budget(lengths, budget=batch_pieces):
        batch = [sequences[i] for i in indices]
        spans = score_sequences(
            model.network,
            _encode(model, batch, label_vectors),
            [one.thresholds for one in batch],
            [one.candidates for one in batch],
        )
        found.update(zip([one.key for one in batch], spans, strict=True))
    return found


def _encode(
    model: GlinerModel, batch: list[_WindowSequence], label_vectors: Tensor | None
) -> Features:
    """Encode a batch, unless the vectors of its pieces are known."""
    sequences = [one.sequence for one in batch]
    vectors = [one.vectors for one in batch if one.vectors is not None]
    if vectors and label_vectors is not None:
        return model.network.encode_from_vectors(sequences, vectors, label_vectors)
    return model.network.encode(sequences, label_vectors)


def _merge(
    made: TextSequences, found: dict[tuple[int, int, int], ScoredSpans], number: int
) -> ScoredSpans:
    """Merge the spans of the windows and groups of a text."""
    if len(made.windows) == 0:
        return ScoredSpans.empty()
    parts = []
    for group, read in enumerate(made.groups):
        windows = [found[number, group, window] for window in range(len(made.windows))]
        one = merge_windows(made.windows, windows)
        labels = np.array(read.labels, dtype=np.int32)[one.labels]
        parts.append(ScoredSpans(one.starts, one.ends, labels, one.scores))
    return parts[0] if len(parts) == 1 else ScoredSpans.join(parts).in_order()


def _length(one: _WindowSequence) -> int:
    return len(one.sequence)
