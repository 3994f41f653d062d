"""Input sequences, and a batch of them laid end to end as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...encoder.packing import PackedBatch

Ints = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class InputSequence:
    """One sequence for the encoder, and where its labels and words are.

    Attributes:
        ids: Piece ids, special ones included. *Shape:* (pieces,), int32.
        label_positions: Position of each label's vector; none in a bi-encoder. *Shape:* (labels,),
            int32.
        first_piece: Position of the first piece of a word.
        words: Word of each piece from there on, never falling. *Shape:* (word pieces,), int32.
        n_words: Number of words, those without any piece included.
    """

    ids: Ints
    label_positions: Ints
    first_piece: int
    words: Ints
    n_words: int

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class SequenceBatch:
    """A batch of sequences.

    Attributes:
        packed: The sequences.
        labels: Position of each label's vector in the packed batch. *Shape:* (labels,), int64.
        label_slices: Which of the labels belong to each sequence.
        pieces: Positions of the pieces that make up words. *Shape:* (pieces,), int64.
        words: Word of each of them, counted through the batch. *Shape:* (pieces,), int64.
        word_counts: Number of words of each sequence, those without pieces included.
    """

    packed: PackedBatch
    labels: Tensor
    label_slices: tuple[slice, ...]
    pieces: Tensor
    words: Tensor
    word_counts: tuple[int, ...]

    @classmethod
    def of(
        cls, sequences: Sequence[InputSequence], *, pooling: str, device: torch.device
    ) -> SequenceBatch:
        """Lay one or more sequences end to end, with the pieces that `choose_pieces` returns."""
        packed = PackedBatch.from_sequences([one.ids for one in sequences], device=device)
        offsets = np.cumsum([0, *packed.lengths[:-1]])
        word_counts = tuple(sequence.n_words for sequence in sequences)
        first_words = np.cumsum([0, *word_counts[:-1]])
        labels, pieces, words = [], [], []
        for sequence, offset, first_word in zip(sequences, offsets, first_words, strict=True):
            chosen = choose_pieces(sequence.words, pooling)
            labels.append(sequence.label_positions + offset)
            pieces.append(chosen + sequence.first_piece + offset)
            words.append(sequence.words[chosen] + first_word)
        return cls(
            packed=packed,
            labels=_tensor(labels, device),
            label_slices=consecutive_slices([len(one.label_positions) for one in sequences]),
            pieces=_tensor(pieces, device),
            words=_tensor(words, device),
            word_counts=word_counts,
        )


def consecutive_slices(lengths: Sequence[int]) -> tuple[slice, ...]:
    """Return the slices of parts that lie one after the other."""
    edges = np.cumsum([0, *lengths]).tolist()
    return tuple(slice(start, end) for start, end in pairwise(edges))


def pool_words(vectors: Tensor, words: Tensor, n_words: int, *, pooling: str) -> Tensor:
    """Pool the vectors of pieces into one vector per word; a word without pieces gets zeros.

    For ``first`` and ``last`` each word has at most one piece, see `choose_pieces`. *Shape:*
    vectors, (pieces, width), and the word of each, (pieces,), int64, to (n_words, width).
    """
    zeros = vectors.new_zeros((n_words, vectors.shape[1]))
    if pooling == "mean":
        counts = torch.bincount(words, minlength=n_words).clamp(min=1)
        return zeros.index_add(0, words, vectors) / counts[:, None]
    if pooling == "max":
        index = words[:, None].expand_as(vectors)
        return zeros.scatter_reduce(0, index, vectors, "amax", include_self=False)
    return zeros.index_copy(0, words, vectors)


def choose_pieces(words: Ints, pooling: str) -> NDArray[np.int64]:
    """Find the pieces that make their word's vector: all, or one for ``first`` and ``last``.

    *Shape:* word of each piece, never falling, (pieces,), to indices of pieces, (chosen,), int64.
    """
    changes = np.flatnonzero(np.diff(words))
    if pooling == "first" and len(words):
        return np.concatenate([[0], changes + 1])
    if pooling == "last" and len(words):
        return np.concatenate([changes, [len(words) - 1]])
    return np.arange(len(words))


def _tensor(parts: Sequence[NDArray[np.integer]], device: torch.device) -> Tensor:
    return torch.from_numpy(np.concatenate(parts).astype(np.int64)).to(device)
