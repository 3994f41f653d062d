"""Vectors of labels that a bi-encoder has read, kept for the next text."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

# A service may get labels from its users, without end.
CAPACITY = 10_000


class LabelVectorCache:
    """Keeps the vectors of the labels that were used last.

    Args:
        capacity: Most labels to keep.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.capacity = capacity
        self._vectors: OrderedDict[str, Tensor] = OrderedDict()

    def get(self, labels: Sequence[str], encode: Callable[[Sequence[str]], Tensor]) -> Tensor:
        """Return the vectors of labels; only those that are new are computed.

        Args:
            labels: Label texts; at least one.
            encode: Computes the vectors of label texts. *Shape:* (labels, width).

        Returns:
            *Shape:* (labels, width), on the CPU.
        """
        new = [label for label in dict.fromkeys(labels) if label not in self._vectors]
        if new:
            self.update(new, encode(new).cpu())
        for label in labels:
            self._vectors.move_to_end(label)
        stacked = torch.stack([self._vectors[label] for label in labels])
        while len(self._vectors) > self.capacity:
            self._vectors.popitem(last=False)
        return stacked

    def update(self, labels: Iterable[str], vectors: Tensor) -> None:
        """Add vectors that were computed elsewhere. *Shape:* (labels, width)."""
        self._vectors.update(zip(labels, vectors, strict=True))

    def items(self) -> tuple[list[str], Tensor | None]:
        """Return all labels with their vectors, or None. *Shape:* (labels, width)."""
        labels = list(self._vectors)
        return labels, torch.stack(list(self._vectors.values())) if labels else None

    def clear(self) -> None:
        """Forget all vectors: the weights have changed."""
        self._vectors.clear()
