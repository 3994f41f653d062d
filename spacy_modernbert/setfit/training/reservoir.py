"""Which of many texts are kept where there is room for some."""

from __future__ import annotations

from collections import Counter

import numpy as np

from ..arrays import LabelMatrix


class ClassBalancedReservoir:
    """Places a stream of texts in a fixed number of slots.

    When all slots are taken, a new text replaces one of the largest class, or one of its own class
    with the probability that gives all texts of the class the same chance (class-balancing
    reservoir sampling, Chrysakis and Moens 2020). So rare classes stay whole, whatever the order.
    """

    def __init__(self, capacity: int, *, seed: int = 0) -> None:
        self._capacity = capacity
        self._generator = np.random.default_rng(seed)
        self._n_taken = 0
        self._slots: dict[int, list[int]] = {}
        self._seen: Counter[int] = Counter()
        self._full: set[int] = set()

    def place(self, labels: LabelMatrix) -> int | None:
        """Return the slot of a text with labels, *shape* (labels,); None where it is not kept."""
        group = self._group(labels)
        self._seen[group] += 1
        own = self._slots.setdefault(group, [])
        if self._n_taken < self._capacity:
            own.append(self._n_taken)
            self._n_taken += 1
            return own[-1]
        largest = max(self._slots, key=lambda each: len(self._slots[each]))
        # A class that was once the largest has had its share, and only exchanges from then on.
        self._full.add(largest)
        victims = self._slots[largest]
        if group in self._full:
            if self._generator.random() * self._seen[group] >= len(own):
                return None
            victims = own
        slot = victims.pop(int(self._generator.integers(len(victims))))
        own.append(slot)
        return slot

    def relabel(self, slot: int, labels: LabelMatrix) -> None:
        """Count the text in a slot for the class of its new labels, *shape* (labels,)."""
        (old,) = (group for group, slots in self._slots.items() if slot in slots)
        self._slots[old].remove(slot)
        self._seen[old] -= 1
        new = self._group(labels)
        self._slots.setdefault(new, []).append(slot)
        self._seen[new] += 1

    def _group(self, labels: LabelMatrix) -> int:
        """Return the class: the label that has come least often so far, -1 if there is none."""
        found = np.flatnonzero(labels == 1).tolist()
        return min(found, key=self._seen.__getitem__, default=-1)
