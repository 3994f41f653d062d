"""The support set: the texts a classifier learns from, with labels and vectors."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...text.tokenizer import Ints
from ..arrays import Floats, LabelMatrix
from .batches import BalancedBatches
from .reservoir import ClassBalancedReservoir
from .vector_cache import Encode, VectorCache

# Digests begin with it, and no text does.
_MARK = "\0"


class LabeledTexts(NamedTuple):
    """Texts, their piece ids, and their labels. *Shape of the labels:* (texts, labels)."""

    texts: Sequence[str]
    sequences: Sequence[Ints]
    labels: LabelMatrix


class SupportSet:
    """Texts with labels, each text once, and their vectors as far as these are known.

    A text that comes again takes the labels that it has now. Labels that are not annotated this
    time stay as they were, unless the annotation is complete: then it is the answer for every
    label, also for those that are added later. So the set does not depend on how the same texts
    are divided into calls.

    A text whose vector alone is known is there as a digest. It counts for the classifier, but
    cannot train the encoder.

    Of more texts than its capacity, a class-balanced sample is kept.

    Attributes:
        texts: The texts, or their digests.
        digests: Their digests.
        complete: Whether the annotation of each answers for every label.
        sequences: Their piece ids, special tokens included; None where only a vector is known.
        version: Changes whenever texts, labels, or vectors that cannot be computed again do.
        capacity: Most texts that are kept.
        cache: The vectors of the texts.
    """

    def __init__(self, n_labels: int, *, capacity: int = 4096, seed: int = 0) -> None:
        self.texts: list[str] = []
        self.sequences: list[Ints | None] = []
        self.version = 0
        self.capacity = capacity
        self.cache = VectorCache()
        self._n_labels = n_labels
        self.digests: list[str] = []
        self._labels: list[LabelMatrix] = []
        self.complete: list[bool] = []
        self._reservoir = ClassBalancedReservoir(capacity, seed=seed)
        # Digest -> slot of a text that is kept, or labels of one that is not.
        self._slots: dict[str, int] = {}
        self._left_out: dict[str, bytes] = {}
        self._conflicts: set[str] = set()
        self._seed = seed
        self._n_draws = 0
        self._batches: BalancedBatches | None = None
        self._batches_key: tuple[Hashable, ...] = ()

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def n_seen(self) -> int:
        """Number of texts that came, repetitions aside."""
        return len(self._slots) + len(self._left_out)

    @property
    def n_conflicts(self) -> int:
        """Number of texts that came again with other labels."""
        return len(self._conflicts)

    @property
    def can_train_encoder(self) -> bool:
        """Whether all texts can be encoded again."""
        return all(sequence is not None for sequence in self.sequences)

    def labels(self, *, multi_label: bool) -> LabelMatrix:
        """Return the labels of all texts, NaN where unknown. *Shape:* (texts, labels), float32.

        A text that can have one label only does not have the others. Where several are possible,
        texts whose annotation is complete do not have the others either; and where no text is known
        not to have a label, the texts without it are taken not to have it.
        """
        labels = self.known_labels()
        if not multi_label:
            return np.nan_to_num(labels)
        unopposed = ~(labels == 0).any(axis=0)
        labels[:, unopposed] = np.nan_to_num(labels[:, unopposed])
        return labels

    def widen(self, n_labels: int) -> None:
        """Make room for labels that are added later."""
        if n_labels > self._n_labels:
            self._n_labels = n_labels
            self.version += 1

    def add(
        self,
        texts: Sequence[str],
        sequences: Sequence[Ints],
        labels: LabelMatrix,
        complete: Sequence[bool] | NDArray[np.bool_] | None = None,
    ) -> None:
        """Add `LabeledTexts`, as far as they are new and there is room.

        ``complete`` says which annotations are answers for every label; default: none. *Shape:*
        (texts,).
        """
        flags = [False] * len(texts) if complete is None else [bool(flag) for flag in complete]
        for text, sequence, row, flag in zip(texts, sequences, labels, flags, strict=True):
            self._add(text, sequence, row, flag)

    def add_vectors(
        self,
        texts: Sequence[str],
        vectors: Floats,
        labels: LabelMatrix,
        complete: Sequence[bool] | NDArray[np.bool_] | None = None,
    ) -> None:
        """Add texts, or digests, of which only the vectors are to be kept, or new vectors of them.

        *Shapes:* (texts, width) and (texts, labels); see `add`.
        """
        digests = [digest(text) for text in texts]
        flags = [False] * len(texts) if complete is None else [bool(flag) for flag in complete]
        for name, row, flag in zip(digests, labels, flags, strict=True):
            self._add(name, None, row, flag)
        self.cache.set_current(digests, vectors)
        if len(self.cache) > 2 * len(self):
            self.cache.keep_only(self.digests)
        self.version += 1

    def _add(self, text: str, sequence: Ints | None, labels: LabelMatrix, complete: bool) -> None:
        name = digest(text)
        if name in self._slots:
            self._correct(self._slots[name], text, sequence, labels, complete)
            return
        present = np.flatnonzero(labels == 1).tobytes()
        before = self._left_out.get(name)
        if before == present:
            return
        if before is not None:
            self._conflicts.add(name)
        slot = self._reservoir.place(labels)
        if slot is None:
            self._left_out[name] = present
            return
        self._left_out.pop(name, None)
        if slot < len(self):  # another text gives way
            other = self.digests[slot]
            del self._slots[other]
            self._left_out[other] = np.flatnonzero(self._labels[slot] == 1).tobytes()
        self._slots[name] = slot
        place = slice(slot, slot + 1)  # a slot after the last is a new one
        self.texts[place], self.digests[place], self.sequences[place] = [text], [name], [sequence]
        self._labels[place] = [np.array(labels, dtype=np.float32)]
        self.complete[place] = [complete]
        self.version += 1

    def _correct(
        self, slot: int, text: str, sequence: Ints | None, labels: LabelMatrix, complete: bool
    ) -> None:
        """Give a text the labels that it has come with now."""
        if sequence is not None and self.sequences[slot] is None:
            self.texts[slot], self.sequences[slot] = text, sequence
        known = self._row(slot)
        new = np.full_like(known, 0.0 if complete else np.nan)
        new[: len(labels)] = labels
        merged = np.where(np.isnan(new), known, new)
        is_complete = complete or self.complete[slot]
        if is_complete == self.complete[slot] and np.array_equal(merged, known, equal_nan=True):
            return
        if (~np.isnan(known) & (merged != known)).any():
            self._conflicts.add(self.digests[slot])
        self._labels[slot], self.complete[slot] = merged, is_complete
        self._reservoir.relabel(slot, merged)
        self.version += 1

    def without_label(self, column: int, *, multi_label: bool) -> SupportSet:
        """Return the set without one of its labels, and without texts of which none is known now.

        A text that can have one label only goes with it.
        """
        rest = SupportSet(self._n_labels - 1, capacity=self.capacity, seed=self._seed)
        labels = np.delete(self.known_labels(), column, axis=1)
        useful = ~np.isnan(labels).all(axis=1) | np.array(self.complete, dtype=np.bool_)
        if not multi_label:
            useful = (labels == 1).any(axis=1)
        for slot in np.flatnonzero(useful).tolist():
            complete = self.complete[slot]
            rest._add(self.texts[slot], self.sequences[slot], labels[slot], complete)
        rest.cache, rest.version = self.cache.copy(), self.version + 1
        return rest

    def copy(self) -> SupportSet:
        """Return a copy that shares only the arrays."""
        copied = copy.copy(self)
        for name in ("texts", "sequences", "digests", "_labels", "complete"):
            setattr(copied, name, list(getattr(self, name)))
        copied._slots, copied._left_out = dict(self._slots), dict(self._left_out)
        copied._conflicts, copied.cache = set(self._conflicts), self.cache.copy()
        copied._reservoir = copy.deepcopy(self._reservoir)
        copied._batches = copy.deepcopy(self._batches)
        return copied

    def draw(
        self,
        size: int,
        labels: LabelMatrix,
        given: LabeledTexts | None = None,
        without: NDArray[np.bool_] | None = None,
    ) -> tuple[list[Ints], LabelMatrix]:
        """Draw a class-balanced batch around some given texts: piece ids and labels.

        Args:
            size: Texts in the batch; the given ones are in it even if they are more.
            labels: What `labels` returned. *Shape:* (texts, labels).
            given: Texts that have to be in it. They need not be in this set: it may be full.
            without: Texts that are not drawn. *Shape:* (texts,).
        """
        batches = self._balanced_batches(size, labels, without)
        given = given or LabeledTexts((), (), labels[:0])
        slots = {name: slot for slot, name in enumerate(self.digests)} if given.texts else {}
        places = [slots.get(digest(text)) for text in given.texts]
        extra = [i for i, place in enumerate(places) if place is None]
        anchors = [place for place in places if place is not None]
        chosen = batches.draw(anchors)
        if extra:
            chosen = chosen[: max(len(anchors), size - len(extra))]
        drawn = [self.sequences[i] for i in chosen] + [given.sequences[i] for i in extra]
        matrix = np.concatenate([labels[chosen], given.labels[extra]])
        return [sequence for sequence in drawn if sequence is not None], matrix

    def _balanced_batches(
        self, size: int, labels: LabelMatrix, without: NDArray[np.bool_] | None
    ) -> BalancedBatches:
        """Return what draws batches: the same as long as it draws from the same texts."""
        among = None if without is None else np.flatnonzero(~without)
        key = (self.version, size, None if among is None else among.tobytes())
        if self._batches is None or self._batches_key != key:
            self._n_draws += 1
            seed = int(np.random.SeedSequence((self._seed, self._n_draws)).generate_state(1)[0])
            self._batches = BalancedBatches(labels, size=size, seed=seed, among=among)
            self._batches_key = key
        return self._batches

    def vectors(self, encode: Encode, version: Hashable) -> Floats:
        """Return the vectors of all texts, *shape* (texts, width); see `VectorCache.current`."""
        return self.cache.current(self._sequences(), encode, version)

    def initial_vectors(self, encode: Encode) -> Floats:
        """Return the vectors under the weights before any training; see `VectorCache.initial`."""
        return self.cache.initial(self._sequences(), encode)

    def keep_vectors(
        self, vectors: Floats, version: Hashable, *, initial: Floats | None = None
    ) -> None:
        """Take vectors of all texts that were computed elsewhere. *Shapes:* (texts, width).

        Args:
            vectors: Those under a version of the weights.
            version: The version.
            initial: Those from before the training.
        """
        self.cache.version = version
        self.cache.set_current(self.digests, vectors)
        if initial is not None:
            self.cache.set_initial(self.digests, initial)

    def _sequences(self) -> dict[str, Ints | None]:
        return dict(zip(self.digests, self.sequences, strict=True))

    def known_labels(self) -> LabelMatrix:
        """Return what is annotated, NaN for the rest. *Shape:* (texts, labels)."""
        matrix = np.full((len(self), self._n_labels), np.nan, dtype=np.float32)
        matrix[np.array(self.complete, dtype=np.bool_)] = 0.0
        for row, known in zip(matrix, self._labels, strict=True):
            row[: len(known)] = known
        return matrix

    def _row(self, slot: int) -> LabelMatrix:
        # Texts that came before a label was added have shorter rows.
        row = np.full(self._n_labels, 0.0 if self.complete[slot] else np.nan, dtype=np.float32)
        row[: len(self._labels[slot])] = self._labels[slot]
        return row


def digest(text: str) -> str:
    """Return a digest that stands for a text; that of a digest is itself."""
    if text.startswith(_MARK):
        return text
    return _MARK + blake2b(text.encode("utf8", "surrogatepass"), digest_size=16).hexdigest()
