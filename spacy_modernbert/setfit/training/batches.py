"""Batches in which every class has its share, drawn from however many texts there are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.float32]
# Texts of a class in a batch that can't hold all classes: enough to see a group, not just a pair.
GROUP = 4


class BalancedBatches:
    """Draws batches of texts, class by class.

    Each class hands out its texts in a random order, and again from the start when they are used
    up; the classes take turns likewise. So after any number of batches no class, and no text within
    a class, has been drawn more than about once more often than another. Nothing is kept but the
    order: memory is linear in the number of texts.

    Args:
        labels: 1 where a text has a label, 0 where it has not, NaN where nobody knows. Texts
            without any label are a class of their own. *Shape:* (texts, labels).
        size: Texts in a batch. All of them are in every batch where there are no more than that.
        group: Texts of a class in a batch that has no room for all classes.
        seed: Of a generator of its own.
        among: Indices of the only texts that are drawn. Default: all. *Shape:* (texts,).
    """

    def __init__(
        self,
        labels: Labels,
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
        self._classes = [Deck(self._texts[places], self._generator) for places in members]
        self._turns = Deck(np.arange(len(self._classes)), self._generator)

    def draw(self, anchors: Sequence[int] = ()) -> npt.NDArray[np.intp]:
        """Draw a batch.

        Args:
            anchors: Texts that have to be in it; more of them than ``size`` are all taken.

        Returns:
            Indices of texts, each once. *Shape:* (texts,).
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
            deck = self._classes[self._turns.next()]
            chosen.update(dict.fromkeys(deck.take(min(each, room))))
        return np.fromiter(chosen, dtype=np.intp, count=len(chosen))


class Deck:
    """Cards that are dealt in a random order, and shuffled anew when none is left."""

    def __init__(self, cards: npt.NDArray[np.intp], generator: np.random.Generator) -> None:
        self._cards = generator.permutation(cards)
        self._generator = generator
        self._at = 0

    def next(self) -> int:
        """Deal one card."""
        if self._at == len(self._cards):
            self._cards = self._generator.permutation(self._cards)
            self._at = 0
        self._at += 1
        return int(self._cards[self._at - 1])

    def take(self, n: int) -> list[int]:
        """Deal up to ``n`` cards, none of them twice."""
        return list(dict.fromkeys(self.next() for _ in range(min(n, len(self._cards)))))


def class_members(labels: Labels) -> list[npt.NDArray[np.intp]]:
    """Give the texts of each class, leaving out classes without any.

    Args:
        labels: As for `BalancedBatches`.
    """
    has = labels == 1
    members = [np.flatnonzero(column) for column in has.T] + [np.flatnonzero(~has.any(axis=1))]
    return [texts for texts in members if len(texts)]
