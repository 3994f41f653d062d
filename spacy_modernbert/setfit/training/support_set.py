"""The texts a classifier learns from, as rows of pieces: as many of them as there is room for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from ...text.tokenizer import Ints
from .batches import Labels

CAPACITY = 4096


class SupportSet:
    """Rows of pieces with labels, each pair of them once.

    When it is full, a new text takes the place of one of the largest class, or of one of its own
    with the chance that gives all texts of the class the same (class-balancing reservoir sampling,
    Chrysakis and Moens 2020). So rare classes stay whole, whatever the order of the texts.

    Args:
        n_labels: Number of labels.
        capacity: Most texts.
        seed: Of a generator of its own.

    Attributes:
        rows: Piece ids of each text.
        texts: The texts themselves.
        n_conflicts: Texts that came again with other labels.
        n_seen: Texts that came, repetitions aside.
    """

    def __init__(self, n_labels: int, *, capacity: int = CAPACITY, seed: int = 0) -> None:
        self.rows: list[Ints] = []
        self.texts: list[str] = []
        self.n_conflicts = 0
        self.n_seen = 0
        self._n_labels = n_labels
        self._capacity = capacity
        self._generator = np.random.default_rng(seed)
        self._labels: list[Labels] = []
        self._members: dict[int, list[int]] = {}
        self._seen: Counter[int] = Counter()
        self._full: set[int] = set()
        # Digest of a text -> that of the labels it first came with; of both -> again the labels.
        self._known: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def labels(self) -> Labels:
        """The labels of all texts, NaN where unknown. *Shape:* (texts, labels), float32."""
        if not self._labels:
            return np.zeros((0, self._n_labels), dtype=np.float32)
        return np.stack(self._labels)

    def widen(self, n_labels: int) -> None:
        """Make room for labels that came later: nobody knows whether earlier texts have them."""
        extra = np.full(n_labels - self._n_labels, np.nan, dtype=np.float32)
        self._labels = [np.concatenate([row, extra]) for row in self._labels]
        self._n_labels = n_labels

    def add(self, texts: Sequence[str], rows: Sequence[Ints], labels: Labels) -> None:
        """Take in texts, as far as they are new and there is room.

        Args:
            texts: The texts.
            rows: Their pieces.
            labels: Their labels. *Shape:* (texts, labels).
        """
        for text, row, label in zip(texts, rows, np.asarray(labels, np.float32), strict=True):
            if self._is_new(row, label):
                self._offer(text, row, label)

    def _is_new(self, row: Ints, label: Labels) -> bool:
        # Labels that came since the text did, or are not annotated this time, contradict nothing.
        text, mark = _digest(row), _digest(np.flatnonzero(label == 1))
        first = self._known.setdefault(text, b"")
        if not first:
            self._known[text] = mark
            return True
        if mark == first or text + mark in self._known:
            return False
        self._known[text + mark] = mark
        self.n_conflicts += 1
        return True

    def _offer(self, text: str, row: Ints, label: Labels) -> None:
        group = self._group(label)
        self._seen[group] += 1
        self.n_seen += 1
        members = self._members.setdefault(group, [])
        if len(self.rows) < self._capacity:
            members.append(len(self.rows))
            self.rows.append(row)
            self.texts.append(text)
            self._labels.append(label)
            return
        largest = max(self._members, key=self._size)
        # A class that was once the largest has had its share, and only exchanges from then on.
        self._full.add(largest)
        victims = self._members[largest]
        if group in self._full:
            if self._generator.random() * self._seen[group] >= len(members):
                return
            victims = members
        slot = victims.pop(int(self._generator.integers(len(victims))))
        members.append(slot)
        self.rows[slot], self.texts[slot] = row, text
        self._labels[slot] = label

    def _group(self, label: Labels) -> int:
        """The label that has come least often so far of those a text has, -1 for none."""
        return min(np.flatnonzero(label == 1).tolist(), key=self._seen.__getitem__, default=-1)

    def _size(self, group: int) -> int:
        return len(self._members[group])


def _digest(array: np.ndarray) -> bytes:
    return blake2b(array.tobytes(), digest_size=12).digest()
