"""Sequences of pieces laid end to end: the one shape that every encoder of the package takes.

A batch of three sequences of 2, 4 and 3 pieces becomes nine ids in one vector, and ``cu_seqlens``
says where the sequences begin and end: ``[0, 2, 6, 9]``. No position is ever padding, so no layer
spends a multiplication on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor


@dataclass(frozen=True, eq=False)
class PackedBatch:
    """Sequences of piece ids, concatenated without padding.

    Attributes:
        ids: Piece ids. *Shape:* (total,), int64.
        positions: Position of each piece in its own sequence, from 0. *Shape:* (total,), int64.
        cu_seqlens: Where each sequence starts, and the total at the end.
            *Shape:* (sequences + 1,), int32.
        lengths: Pieces in each sequence, on the host: reading them never waits for a GPU.
    """

    ids: Tensor
    positions: Tensor
    cu_seqlens: Tensor
    lengths: tuple[int, ...]

    @classmethod
    def from_sequences(
        cls, sequences: Sequence[ArrayLike], *, device: torch.device | str | None = None
    ) -> PackedBatch:
        """Pack sequences of ids (arrays or lists of int); an empty sequence keeps its place.

        Args:
            sequences: Piece ids of each sequence, special pieces included.
            device: Where the tensors go; None is torch's default.
        """
        arrays = [np.asarray(sequence, dtype=np.int64).reshape(-1) for sequence in sequences]
        lengths = tuple(len(array) for array in arrays)
        ids = np.concatenate(arrays) if arrays else np.empty(0, dtype=np.int64)
        positions = np.concatenate([np.arange(n) for n in lengths] or [ids])
        batch = cls(
            ids=torch.from_numpy(ids),
            positions=torch.from_numpy(positions.astype(np.int64, copy=False)),
            cu_seqlens=torch.tensor([0, *accumulate(lengths)], dtype=torch.int32),
            lengths=lengths,
        )
        return batch if device is None else batch.to(device)

    @property
    def total(self) -> int:
        """Pieces in all sequences together."""
        return self.ids.shape[0]

    @property
    def n_sequences(self) -> int:
        """Number of sequences."""
        return len(self.lengths)

    @property
    def max_length(self) -> int:
        """Pieces in the longest sequence; 0 for an empty batch."""
        return max(self.lengths, default=0)

    @property
    def device(self) -> torch.device:
        """Device of the ids."""
        return self.ids.device

    def to(self, device: torch.device | str) -> PackedBatch:
        """Return the same batch on another device."""
        return PackedBatch(
            ids=self.ids.to(device),
            positions=self.positions.to(device),
            cu_seqlens=self.cu_seqlens.to(device),
            lengths=self.lengths,
        )

    def select(self, indices: Sequence[int]) -> PackedBatch:
        """Return a batch of some of the sequences, in the order of ``indices``."""
        lengths = tuple(self.lengths[i] for i in indices)
        ids, positions = self.split(self.ids), self.split(self.positions)
        starts = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=self.device)
        return PackedBatch(
            ids=torch.cat([self.ids[:0], *(ids[i] for i in indices)]),
            positions=torch.cat([self.ids[:0], *(positions[i] for i in indices)]),
            cu_seqlens=starts,
            lengths=lengths,
        )

    def restore(self, hidden: Tensor, order: Sequence[int]) -> Tensor:
        """Undo `select`: bring the vectors of sequences back into the order of this batch.

        Args:
            hidden: Vectors of the sequences in another order. *Shape:* (total, ...).
            order: Indices that `select` was given, each sequence once.

        Returns:
            *Shape:* (total, ...); keeps gradients. `hidden` itself if the order is the same.
        """
        if list(order) == list(range(self.n_sequences)):
            return hidden
        parts = hidden.split([self.lengths[i] for i in order])
        by_index = dict(zip(order, parts, strict=True))
        return torch.cat([by_index[index] for index in range(len(order))])

    def split(self, hidden: Tensor) -> list[Tensor]:
        """Cut the output of an encoder back into sequences; views, not copies.

        Args:
            hidden: *Shape:* (total, ...).

        Returns:
            One tensor a sequence. *Shape:* (length, ...).
        """
        return list(hidden.split(list(self.lengths))) if self.lengths else []

    def pad(self, hidden: Tensor, *, value: float = 0.0) -> Tensor:
        """Spread packed vectors over a rectangle, for networks that take no other shape.

        Args:
            hidden: *Shape:* (total, ...).
            value: Fills the positions after the end of a sequence.

        Returns:
            *Shape:* (sequences, max_length, ...); keeps gradients.
        """
        out = hidden.new_full((self.n_sequences, self.max_length, *hidden.shape[1:]), value)
        return out.index_put((self._sequence_index(), self.positions), hidden)

    def unpad(self, padded: Tensor) -> Tensor:
        """Undo `pad`: keep the positions of a rectangle that hold a piece.

        Args:
            padded: *Shape:* (sequences, max_length or more, ...).

        Returns:
            *Shape:* (total, ...); keeps gradients.
        """
        return padded[self._sequence_index(), self.positions]

    def mask(self) -> Tensor:
        """Return where `pad` puts pieces. *Shape:* (sequences, max_length), bool."""
        places = torch.arange(self.max_length, device=self.device)
        return places < self.cu_seqlens.diff().unsqueeze(1)

    def _sequence_index(self) -> Tensor:
        """Return the index of each piece's sequence. *Shape:* (total,), int64."""
        indices = torch.arange(self.n_sequences, device=self.device)
        return indices.repeat_interleave(self.cu_seqlens.diff().long(), output_size=self.total)
