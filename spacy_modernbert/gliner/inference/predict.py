"""The spans of texts of any length, for any number of labels.

A text becomes one sequence or several (`sequences`). Sequences of all texts are batched by length,
and the spans of each text are merged again. What is found in a text depends on no other text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ...text.batching import batch_by_budget
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
        sequence: The sequence.
        thresholds: Thresholds of the labels of the group. *Shape:* (labels,).
        candidates: The only spans to score, counted from the window's start.
        vectors: Vectors of the pieces of its words, if they are known. *Shape:* (pieces, width).
    """

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
        texts: The texts. Either all of them come with vectors, or none does.
        label_texts: The label texts. Of equal ones the first counts.
        thresholds: Least probability, exclusive: one for all labels, or one each. *Shape:* () or
            (labels,).
        label_vectors: Bi-encoders: the output of `GlinerModel.encode_labels` for these labels, if
            it was kept. *Shape:* (labels, width).
        max_words: Most words of a window. Default: as `cut_text` says.
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
    first = {text: i for i, text in reversed(list(enumerate(label_texts)))}
    distinct = list(dict.fromkeys(label_texts))
    if not distinct or not texts:
        return [ScoredSpans.empty() for _ in texts]
    index = np.array([first[text] for text in distinct], dtype=np.int32)
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
            for text, one in zip(texts, made, strict=True)
            for sequence in _window_sequences(model, text, one, limits)
        ]
        found = iter(_score(model, sequences, vectors, batch_pieces))
    merged = [
        _merge(one, found).within_borders(text.borders)
        for text, one in zip(texts, made, strict=True)
    ]
    return [replace(spans, labels=index[spans.labels]) for spans in merged]


def _window_sequences(
    model: GlinerModel, text: SplitText, made: TextSequences, thresholds: NDArray[np.float32]
) -> Iterator[_WindowSequence]:
    """Build the sequences of a text: of each group of labels with every window."""
    for group in made.groups:
        for start, end in made.bounds():
            low, high = np.searchsorted(made.pieces.words, (start, end))
            yield _WindowSequence(
                model.prompt_builder.sequence(group.prompt, made.pieces, start, end),
                thresholds[group.labels],
                None if text.candidates is None else text.candidates.within(start, end),
                None if text.vectors is None else text.vectors[low:high],
            )


def _score(
    model: GlinerModel,
    sequences: Sequence[_WindowSequence],
    label_vectors: Tensor | None,
    batch_pieces: int,
) -> list[ScoredSpans]:
    """Find the spans of each sequence; those of similar length are scored together."""
    lengths = np.array([len(one.sequence) for one in sequences], dtype=np.int64)
    order = lengths.argsort(kind="stable")
    found: dict[int, ScoredSpans] = {}
    for group in batch_by_budget(lengths[order].tolist(), budget=batch_pieces):
        indices = order[group].tolist()
        batch = [sequences[i] for i in indices]
        inputs = [one.sequence for one in batch]
        vectors = [one.vectors for one in batch if one.vectors is not None]
        if vectors and label_vectors is not None:
            features = model.network.encode_from_vectors(inputs, vectors, label_vectors)
        else:
            features = model.network.encode(inputs, label_vectors)
        thresholds, candidates = [o.thresholds for o in batch], [o.candidates for o in batch]
        spans = score_sequences(model.network, features, thresholds, candidates)
        found.update(zip(indices, spans, strict=True))
    return [found[i] for i in range(len(sequences))]


def _merge(made: TextSequences, found: Iterator[ScoredSpans]) -> ScoredSpans:
    """Merge the spans of the windows and groups of a text, which are the next ones found."""
    parts = []
    for group in made.groups:
        one = merge_windows(made.windows, list(islice(found, len(made.windows))))
        parts.append(replace(one, labels=np.array(group.labels, dtype=np.int32)[one.labels]))
    return parts[0] if len(parts) == 1 else ScoredSpans.join(parts).in_order()
