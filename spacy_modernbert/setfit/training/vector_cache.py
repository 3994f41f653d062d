"""The vectors of a support set, as far as they are known."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from ...text.tokenizer import Ints
from ..arrays import Floats

Encode: TypeAlias = Callable[[Sequence[Ints]], Floats]


class VectorCache:
    """Vectors by the digest of their text: under the weights in use, and before any training.

    Attributes:
        version: The weights that the current vectors belong to.
    """

    def __init__(self) -> None:
        self.version: Hashable = None
        self._current: dict[str, Floats] = {}
        self._initial: dict[str, Floats] = {}

    def __len__(self) -> int:
        return len(self._current)

    @property
    def has_initial(self) -> bool:
        """Whether vectors from before a training are known."""
        return bool(self._initial)

    def current(
        self, sequences: Mapping[str, Ints | None], encode: Encode, version: Hashable
    ) -> Floats:
        """Return the vectors under a version of the weights; compute those not yet known.

        Vectors of another version are forgotten, as far as ``encode`` can compute them again.

        Args:
            sequences: Digests, with the piece ids of their texts where these are known.
            encode: Encodes with the weights in use.
            version: The version of these weights.

        Returns:
            *Shape:* (texts, width).
        """
        if version != self.version:
            lost = {name for name, sequence in sequences.items() if sequence is not None}
            self._current = {n: v for n, v in self._current.items() if n not in lost}
            self.version = version
        return _complete(self._current, sequences, encode)

    def initial(self, sequences: Mapping[str, Ints | None], encode: Encode) -> Floats:
        """Return the vectors under the weights before any training; they are never forgotten."""
        return _complete(self._initial, sequences, encode)

    def initial_of(self, digests: Sequence[str]) -> Floats | None:
        """Return initial vectors if all of them are known. *Shape:* (texts, width)."""
        if not digests or any(name not in self._initial for name in digests):
            return None
        return np.stack([self._initial[name] for name in digests])

    def set_current(self, digests: Sequence[str], vectors: Floats) -> None:
        """Take vectors that were computed elsewhere. *Shape:* (texts, width)."""
        self._current.update(zip(digests, vectors, strict=True))

    def set_initial(self, digests: Sequence[str], vectors: Floats) -> None:
        """Take vectors from before any training, for texts that have none. *Shape:* as above."""
        self._initial = {**dict(zip(digests, vectors, strict=True)), **self._initial}

    def keep_only(self, digests: Sequence[str]) -> None:
        """Forget the current vectors of all other texts."""
        self._current = {name: self._current[name] for name in digests}

    def copy(self) -> VectorCache:
        """Return a copy that shares only the arrays."""
        copied = copy.copy(self)
        copied._current, copied._initial = dict(self._current), dict(self._initial)
        return copied


def _complete(
    known: dict[str, Floats], sequences: Mapping[str, Ints | None], encode: Encode
) -> Floats:
    new = {n: s for n, s in sequences.items() if n not in known and s is not None}
    if new:
        known.update(zip(new, encode(list(new.values())), strict=True))
    for name in known.keys() - sequences.keys():  # other texts took their place
        del known[name]
    if not sequences:
        return np.zeros((0, 0), dtype=np.float32)
    return np.stack([known[name] for name in sequences])
