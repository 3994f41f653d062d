"""Batches in which every class has its share, however many texts it has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..arrays import LabelMatrix, class_members

# Texts of a class in a batch that can't hold all classes: enough to see a group, not just a pair.
GROUP = 4


class BalancedBatches:
    """Draws batches of texts, class by class.

    The texts of each class are drawn in a random order, and in another one when they are used up;
    the classes take turns likewise. So after any number of batches no class, and no text within a
    class, has been drawn more than about once more often than another. Memory is linear in the
    number of texts.

    Args:
        labels: Texts without any label are a class of their own. *Shape:* (texts, labels).
        size: Texts in a batch. All of them are in every batch where there are no more than that.
        group: Texts of a class in a batch that has no room for all classes.
        seed: Seed of a generator of its own.
        among: Indices of the only texts that are drawn. Default: all. *Shape:* (texts,).
    """

    def __init__(
        self,
        labels: LabelMatrix,
        *,
        size: int,
        group: int = GROUP,
        seed: int = 0,
        among: npt.NDArray[np.intp] | None = None,
    ) -> None:
        self.size = size
        self.group = group
        self._texts = np.arange(len(labels)) if among is None else among
        self._generator = np.random.default_rng(seed)
        members = class_members(labels[self._texts])
        self._classes = [ShuffledCycle(self._texts[places], self._generator) for places in members]
        self._turns = ShuffledCycle(np.arange(len(self._classes)), self._generator)

    def draw(self, anchors: Sequence[int] = ()) -> npt.NDArray[np.intp]:
        """Draw a batch: indices of texts, each once. *Shape:* (texts,).

        The anchors have to be in it; more of them than ``size`` are all taken.
        """
        if len(self._texts) <= self.size:
            return self._generator.permutation(self._texts)
        chosen = dict.fromkeys(int(anchor) for anchor in anchors)
        each = max(self.group, self.size // max(len(self._classes), 1))
        # With texts of several labels a class may have nothing new to give, so turns are counted.
        for _ in range(2 * len(self._classes)):
            room = self.size - len(chosen)
            if room <= 0:
                break
            texts = self._classes[self._turns.next()]
            chosen.update(dict.fromkeys(texts.take(min(each, room))))
        return np.fromiter(chosen, dtype=np.intp, count=len(chosen))


class ShuffledCycle:
    """Goes through items in a random order again and again, each time in another one."""

    def __init__(self, items: npt.NDArray[np.intp], generator: np.random.Generator) -> None:
        self._items = generator.permutation(items)
        self._generator = generator
        self._position = 0

    def next(self) -> int:
        """Return the next item."""
        if self._position == len(self._items):
            self._items = self._generator.permutation(self._items)
            self._position = 0
        self._position += 1
        return int(self._items[self._position - 1])

    def take(self, n: int) -> list[int]:
        """Return up to ``n`` items, none of them twice."""
        return list(dict.fromkeys(self.next() for _ in range(min(n, len(self._items)))))
