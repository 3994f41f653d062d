"""Rotary position embeddings (RoFormer, arXiv 2104.09864), by position, without stored tables.

Each head's dimensions are read as pairs (j, j + head_dim / 2). A pair of a piece at position p is
turned by the angle ``p * theta ** (-2j / head_dim)``, in queries and keys alike, so that their
product depends on the distance between two pieces only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Pieces turned at a time: few enough that the five passes over them find them in the cache of the
# core, which halves the time of a turn.
SLICE = 128


@dataclass(frozen=True, eq=False)
class Rotation:
    """Cosines and sines of one base for the positions of one batch.

    Attributes:
        cos: *Shape:* (total, 1, 1, head_dim / 2), float32.
        sin: *Shape:* (total, 1, 1, head_dim / 2), float32.
    """

    cos: Tensor
    sin: Tensor

    @classmethod
    def at(cls, positions: Tensor, *, head_dim: int, theta: float) -> Rotation:
        """Compute the table for these positions.

        It is made anew for each batch: a few thousand cosines cost nothing beside a layer, and
        the network then owns no buffer that a load on the meta device could leave empty.

        Args:
            positions: *Shape:* (total,), int64.
            head_dim: width of one head; even.
            theta: base of the geometric series of frequencies.
        """
        exponents = torch.arange(0, head_dim, 2, device=positions.device) / head_dim
        # In this order of operations, as everywhere else: far from the start of a row a rounding
        # of the frequency is a visible angle.
        frequencies = 1.0 / theta**exponents
        angles = (positions.float().unsqueeze(1) * frequencies)[:, None, None]
        return cls(cos=angles.cos(), sin=angles.sin())

    def __getitem__(self, pieces: slice) -> Rotation:
        """Select the rows of the table for some of the pieces."""
        return Rotation(cos=self.cos[pieces], sin=self.sin[pieces])

    def turn(self, qkv: Tensor) -> Tensor:
        """Turn queries and keys, leave the values; a new tensor, differentiable.

        Args:
            qkv: *Shape:* (total, 3, heads, head_dim), float32 or bfloat16.

        Returns:
            Same shape and dtype; the arithmetic between is float32.
        """
        first, second = qkv[:, :2].chunk(2, dim=-1)
        turned = (first * self.cos - second * self.sin, second * self.cos + first * self.sin)
        return torch.cat((torch.cat(turned, dim=-1).to(qkv.dtype), qkv[:, 2:]), dim=1)

    def turn_(self, qkv: Tensor) -> None:
        """Turn queries and keys where they lie: same numbers as `turn`, fewer passes of memory."""
        parts = (qkv[:, :2].split(SLICE), self.cos.split(SLICE), self.sin.split(SLICE))
        for pair, cos, sin in zip(*parts, strict=True):
            wide = pair.float()  # the same tensor where it is float32 already
            first, second = wide.chunk(2, dim=-1)
            crossed = first * sin
            first.mul_(cos).addcmul_(second, sin, value=-1)
            second.mul_(cos).add_(crossed)
            if wide is not pair:
                pair.copy_(wide)
