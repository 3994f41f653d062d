"""Rows of pieces laid end to end: the one shape every encoder of the package takes.

A batch of three rows of 2, 4 and 3 pieces becomes nine ids in one vector, and ``cu_seqlens`` says
where the rows begin and end: ``[0, 2, 6, 9]``. No position is ever padding, so no layer spends a
multiplication on one.
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
    """Rows of piece ids, concatenated without padding.

    Attributes:
        ids: piece ids. *Shape:* (total,), int64.
        positions: position of each piece in its own row, from 0. *Shape:* (total,), int64.
        cu_seqlens: where each row starts, and the total at the end. *Shape:* (rows + 1,), int32.
        lengths: pieces in each row; on the host, so that nobody has to ask a GPU for them.
    """

    ids: Tensor
    positions: Tensor
    cu_seqlens: Tensor
    lengths: tuple[int, ...]

    @classmethod
    def from_sequences(
        cls, rows: Sequence[ArrayLike], *, device: torch.device | str | None = None
    ) -> PackedBatch:
        """Pack rows of ids (arrays or lists of int); an empty row keeps its place.

        Args:
            rows: one sequence of piece ids a row, special pieces included.
            device: where the tensors go; None is torch's default.
        """
        arrays = [np.asarray(row, dtype=np.int64).reshape(-1) for row in rows]
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
        """Pieces in all rows together."""
        return self.ids.shape[0]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.lengths)

    @property
    def max_length(self) -> int:
        """Pieces in the longest row; 0 for a batch of none."""
        return max(self.lengths, default=0)

    @property
    def device(self) -> torch.device:
        """Where the ids live."""
        return self.ids.device

    def to(self, device: torch.device | str) -> PackedBatch:
        """The same batch on another device."""
        return PackedBatch(
            ids=self.ids.to(device),
            positions=self.positions.to(device),
            cu_seqlens=self.cu_seqlens.to(device),
            lengths=self.lengths,
        )

    def take(self, rows: Sequence[int]) -> PackedBatch:
        """A batch of some of the rows.

        Args:
            rows: Their numbers, in the order that they shall have.
        """
        lengths = tuple(self.lengths[i] for i in rows)
        ids, positions = self.split(self.ids), self.split(self.positions)
        starts = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=self.device)
        return PackedBatch(
            ids=torch.cat([ids[i] for i in rows]),
            positions=torch.cat([positions[i] for i in rows]),
            cu_seqlens=starts,
            lengths=lengths,
        )

    def split(self, hidden: Tensor) -> list[Tensor]:
        """Cut what an encoder returned back into rows; views, not copies.

        Args:
            hidden: *Shape:* (total, ...).

        Returns:
            One tensor a row. *Shape:* (length, ...).
        """
        return list(hidden.split(list(self.lengths))) if self.lengths else []

    def pad(self, hidden: Tensor, *, value: float = 0.0) -> Tensor:
        """Spread packed vectors over a rectangle, for networks that know no other shape.

        Args:
            hidden: *Shape:* (total, ...).
            value: what the places after a row's end hold.

        Returns:
            *Shape:* (rows, max_length, ...); keeps gradients.
        """
        out = hidden.new_full((self.rows, self.max_length, *hidden.shape[1:]), value)
        return out.index_put((self._row_index(), self.positions), hidden)

    def unpad(self, padded: Tensor) -> Tensor:
        """The reverse of `pad`: keep the real places of a rectangle.

        Args:
            padded: *Shape:* (rows, max_length or more, ...).

        Returns:
            *Shape:* (total, ...); keeps gradients.
        """
        return padded[self._row_index(), self.positions]

    def mask(self) -> Tensor:
        """True where the rectangle of `pad` holds a piece. *Shape:* (rows, max_length), bool."""
        places = torch.arange(self.max_length, device=self.device)
        return places < self.cu_seqlens.diff().unsqueeze(1)

    def _row_index(self) -> Tensor:
        """Row of each piece. *Shape:* (total,), int64."""
        rows = torch.arange(self.rows, device=self.device)
        return rows.repeat_interleave(self.cu_seqlens.diff().long(), output_size=self.total)
