"""Rotary position embeddings (RoFormer, arXiv 2104.09864), by position, without stored tables.

The dimensions of each head form pairs (j, j + head_dim / 2). The pair of a piece at position p is
rotated by the angle ``p * theta ** (-2j / head_dim)``, in queries and keys alike, so that their
product depends only on the distance between two pieces.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Pieces that are rotated at a time: few enough that five passes over them stay in the cache of a
# core, which halves the time of a rotation.
_CHUNK_PIECES = 128


@dataclass(frozen=True, eq=False)
class RotaryEmbedding:
    """Cosines and sines of one base for the positions of one batch.

    Attributes:
        cos: *Shape:* (total, 1, 1, head_dim / 2), float32.
        sin: *Shape:* (total, 1, 1, head_dim / 2), float32.
    """

    cos: Tensor
    sin: Tensor

    @classmethod
    def from_positions(cls, positions: Tensor, *, head_dim: int, theta: float) -> RotaryEmbedding:
        """Compute cosines and sines for these positions.

        They are computed anew for each batch: a few thousand cosines cost nothing beside a layer,
        and the network then owns no buffer that a checkpoint does not fill.

        Args:
            positions: *Shape:* (total,), int64.
            head_dim: Width of one head; even.
            theta: Base of the geometric series of frequencies.
        """
        exponents = torch.arange(0, head_dim, 2, device=positions.device) / head_dim
        # The order of operations of the reference implementations: far from the start of a
        # sequence, a rounding error of the frequency is a visible angle.
        frequencies = 1.0 / theta**exponents
        angles = (positions.float().unsqueeze(1) * frequencies)[:, None, None]
        return cls(cos=angles.cos(), sin=angles.sin())

    def __getitem__(self, pieces: slice) -> RotaryEmbedding:
        """Select some of the pieces."""
        return RotaryEmbedding(cos=self.cos[pieces], sin=self.sin[pieces])

    def rotate(self, qkv: Tensor) -> Tensor:
        """Rotate queries and keys, but not values, into a new tensor; differentiable.

        Args:
            qkv: *Shape:* (total, 3, heads, head_dim), float32 or bfloat16.

        Returns:
            Same shape and dtype; computed in float32.
        """
        first, second = qkv[:, :2].chunk(2, dim=-1)
        rotated = (first * self.cos - second * self.sin, second * self.cos + first * self.sin)
        return torch.cat((torch.cat(rotated, dim=-1).to(qkv.dtype), qkv[:, 2:]), dim=1)

    def rotate_(self, qkv: Tensor) -> None:
        """Rotate queries and keys in place: the numbers of `rotate` in fewer passes of memory."""
        tensors = (qkv[:, :2], self.cos, self.sin)
        chunks = (tensor.split(_CHUNK_PIECES) for tensor in tensors)
        for query_key, cos, sin in zip(*chunks, strict=True):
            wide = query_key.float()  # the same tensor where it is float32 already
            first, second = wide.chunk(2, dim=-1)
            first_sin = first * sin
            first.mul_(cos).addcmul_(second, sin, value=-1)
            second.mul_(cos).add_(first_sin)
            if wide is not query_key:
                query_key.copy_(wide)
