"""Rows of a batch laid end to end, with the places of their labels and words, as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...encoder.packing import PackedBatch
from ..inference.prompt import Row


@dataclass(frozen=True, eq=False)
class SequenceBatch:
    """A batch of rows.

    Attributes:
        packed: The rows.
        labels: Position of each label's vector in the packed batch. *Shape:* (labels,), int64.
        label_counts: Labels of each row.
        pieces: Positions of the pieces that make up words. *Shape:* (pieces,), int64.
        words: Word of each of them, counted through the batch. *Shape:* (pieces,), int64.
        word_counts: Words of each row, those without pieces included.
    """

    packed: PackedBatch
    labels: Tensor
    label_counts: tuple[int, ...]
    pieces: Tensor
    words: Tensor
    word_counts: tuple[int, ...]

    @classmethod
    def of(
        cls, rows: Sequence[Row], *, pooling: str, device: torch.device | None = None
    ) -> SequenceBatch:
        """Lay rows end to end.

        Args:
            rows: At least one.
            pooling: For ``first`` and ``last`` only one piece a word is kept.
            device: Where the tensors go.
        """
        packed = PackedBatch.from_sequences([row.ids for row in rows])
        offsets = np.cumsum([0, *packed.lengths[:-1]])
        word_counts = tuple(row.n_words for row in rows)
        first_words = np.cumsum([0, *word_counts[:-1]])
        labels = [row.labels + offset for row, offset in zip(rows, offsets, strict=True)]
        chosen = [choose_pieces(row.words, pooling) for row in rows]
        pieces = [
            which + row.first + offset
            for row, which, offset in zip(rows, chosen, offsets, strict=True)
        ]
        words = [
            row.words[which] + first
            for row, which, first in zip(rows, chosen, first_words, strict=True)
        ]
        batch = cls(
            packed=packed,
            labels=_tensor(labels),
            label_counts=tuple(len(row.labels) for row in rows),
            pieces=_tensor(pieces),
            words=_tensor(words),
            word_counts=word_counts,
        )
        return batch if device is None else batch.to(device)

    @property
    def label_slices(self) -> list[slice]:
        """Which of the labels belong to each row."""
        ends = np.cumsum(self.label_counts).tolist()
        return [slice(end - count, end) for end, count in zip(ends, self.label_counts, strict=True)]

    def to(self, device: torch.device | str) -> SequenceBatch:
        """The same batch on another device."""
        return SequenceBatch(
            packed=self.packed.to(device),
            labels=self.labels.to(device),
            label_counts=self.label_counts,
            pieces=self.pieces.to(device),
            words=self.words.to(device),
            word_counts=self.word_counts,
        )


def pool_words(vectors: Tensor, words: Tensor, n_words: int, *, pooling: str) -> Tensor:
    """Make one vector a word; that of a word without pieces is zero.

    Args:
        vectors: Vectors of the pieces. *Shape:* (pieces, width).
        words: Word of each piece. *Shape:* (pieces,), int64.
        n_words: Number of words.
        pooling: ``mean``, ``max``, or ``first`` and ``last``, with one piece a word at most.

    Returns:
        *Shape:* (n_words, width).
    """
    zeros = vectors.new_zeros((n_words, vectors.shape[1]))
    if pooling == "mean":
        counts = torch.bincount(words, minlength=n_words).clamp(min=1)
        return zeros.index_add(0, words, vectors) / counts[:, None]
    if pooling == "max":
        index = words[:, None].expand_as(vectors)
        return zeros.scatter_reduce(0, index, vectors, "amax", include_self=False)
    return zeros.index_copy(0, words, vectors)


def choose_pieces(words: NDArray[np.int32], pooling: str) -> NDArray[np.int64]:
    """Find the pieces that have a say in their word's vector.

    Args:
        words: Word of each piece, never falling. *Shape:* (pieces,), int32.
        pooling: For ``first`` and ``last`` one piece a word, otherwise all.

    Returns:
        Indices of pieces. *Shape:* (chosen,), int64.
    """
    changes = np.flatnonzero(np.diff(words))
    if pooling == "first" and len(words):
        return np.concatenate([[0], changes + 1])
    if pooling == "last" and len(words):
        return np.concatenate([changes, [len(words) - 1]])
    return np.arange(len(words))


def _tensor(parts: Sequence[NDArray[np.integer]]) -> Tensor:
    return torch.from_numpy(np.concatenate(parts).astype(np.int64))
