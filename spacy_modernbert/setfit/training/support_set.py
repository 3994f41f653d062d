"""The support set: the texts a classifier learns from, with labels and vectors."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Sequence
from hashlib import blake2b
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from ...encoder.storage import bytes_to_tensors, make_header, read_header, tensors_to_bytes
from ...errors import Errors
from ...text.tokenizer import Ints
from ..arrays import Floats, LabelMatrix
from .batches import BalancedBatches
from .reservoir import ClassBalancedReservoir

KeepSupport: TypeAlias = Literal["none", "vectors", "texts"]
Encode: TypeAlias = Callable[[Sequence[Ints]], Floats]
Tokenize: TypeAlias = Callable[[Sequence[str]], list[Ints]]

_FORMAT = "spacy_modernbert_support"
# Digests begin with it, and no text does.
_MARK = "\0"


class LabeledTexts(NamedTuple):
    """Texts, their piece ids, and their labels. *Shape of the labels:* (texts, labels)."""

    texts: Sequence[str]
    sequences: Sequence[Ints]
    labels: LabelMatrix


class SupportSet:
    """Texts with labels, each pair of them once, and their vectors as far as these are known.

    A text whose vector alone is known is there as a digest. It counts for the classifier, but
    cannot train the encoder.

    Of more texts than its capacity, a class-balanced sample is kept.

    Attributes:
        texts: The texts, or their digests.
        sequences: Their piece ids, special tokens included; None where only a vector is known.
        version: Changes whenever texts, labels, or vectors that cannot be computed again do.
        n_conflicts: Texts that came again with other labels.
    """

    def __init__(self, n_labels: int, *, capacity: int = 4096, seed: int = 0) -> None:
        self.texts: list[str] = []
        self.sequences: list[Ints | None] = []
        self.version = 0
        self.n_conflicts = 0
        self._n_labels = n_labels
        self._digests: list[str] = []
        self._labels: list[LabelMatrix] = []
        self._reservoir = ClassBalancedReservoir(capacity, seed=seed)
        # Digest of a text -> the sets of labels it came with.
        self._known: dict[str, set[bytes]] = {}
        self._seed = seed
        self._n_draws = 0
        self._batches: BalancedBatches | None = None
        self._batches_key: tuple[Hashable, ...] = ()
        # Digest -> vector: under the weights of a version, and under those before any training.
        self._vectors: dict[str, Floats] = {}
        self._vectors_version: Hashable = None
        self._initial: dict[str, Floats] = {}

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def n_seen(self) -> int:
        """Number of texts that came, repetitions aside."""
        return self._reservoir.n_seen

    @property
    def can_train_encoder(self) -> bool:
        """Whether all texts can be encoded again."""
        return all(sequence is not None for sequence in self.sequences)

    @property
    def has_initial_vectors(self) -> bool:
        """Whether vectors from before a training are known."""
        return bool(self._initial)

    def labels(self, *, multi_label: bool) -> LabelMatrix:
        """Return the labels of all texts, NaN where unknown. *Shape:* (texts, labels), float32.

        A text that can have one label only does not have the others. Where several are possible, a
        label that no text is known not to have was added later than the others: texts without it
        are taken not to have it.
        """
        labels = self._label_matrix()
        if not multi_label:
            return np.nan_to_num(labels)
        later = ~(labels == 0).any(axis=0)
        labels[:, later] = np.nan_to_num(labels[:, later])
        return labels

    def widen(self, n_labels: int) -> None:
        """Make room for labels that are added later; they are unknown of earlier texts."""
        if n_labels > self._n_labels:
            self._n_labels = n_labels
            self.version += 1

    def add(self, texts: Sequence[str], sequences: Sequence[Ints], labels: LabelMatrix) -> None:
        """Add `LabeledTexts`, as far as they are new and there is room."""
        for text, sequence, row in zip(texts, sequences, labels, strict=True):
            self._add(text, sequence, row)

    def add_vectors(self, texts: Sequence[str], vectors: Floats, labels: LabelMatrix) -> None:
        """Add texts, or digests, of which only the vectors are to be kept, or new vectors of them.

        *Shapes:* (texts, width) and (texts, labels).
        """
        digests = [digest(text) for text in texts]
        for name, row in zip(digests, labels, strict=True):
            self._add(name, None, row)
        self._vectors.update(zip(digests, vectors, strict=True))
        if len(self._vectors) > 2 * len(self):
            self._vectors = {name: self._vectors[name] for name in self._digests}
        self.version += 1

    def _add(self, text: str, sequence: Ints | None, labels: LabelMatrix) -> None:
        # Labels that were added later, or are not annotated this time, contradict nothing.
        name = digest(text)
        present = np.flatnonzero(labels == 1).tobytes()
        known = self._known.setdefault(name, set())
        if present in known:
            return
        self.n_conflicts += bool(known)
        known.add(present)
        slot = self._reservoir.place(labels)
        if slot is None:
            return
        place = slice(slot, slot + 1)  # a slot after the last is a new one
        self.texts[place], self._digests[place], self.sequences[place] = [text], [name], [sequence]
        self._labels[place] = [np.array(labels, dtype=np.float32)]
        self.version += 1

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
        slots = {name: slot for slot, name in enumerate(self._digests)} if given.texts else {}
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
        """Return the vectors of all texts, *shape* (texts, width); compute those not yet known.

        Vectors of another version of the weights are forgotten, as far as ``encode`` can compute
        them again.
        """
        if version != self._vectors_version:
            pairs = zip(self._digests, self.sequences, strict=True)
            kept = {name for name, sequence in pairs if sequence is None}
            self._vectors = {name: v for name, v in self._vectors.items() if name in kept}
            self._vectors_version = version
        return self._complete(self._vectors, encode)

    def initial_vectors(self, encode: Encode) -> Floats:
        """Return the vectors under the weights before any training; they are never forgotten."""
        return self._complete(self._initial, encode)

    def _complete(self, known: dict[str, Floats], encode: Encode) -> Floats:
        digests = self._digests
        new = {
            name: sequence
            for name, sequence in zip(digests, self.sequences, strict=True)
            if name not in known and sequence is not None
        }
        if new:
            known.update(zip(new, encode(list(new.values())), strict=True))
        for name in known.keys() - set(digests):  # other texts took their place
            del known[name]
        return np.stack([known[name] for name in digests]) if digests else np.zeros((0, 0), "f4")

    def to_bytes(self, keep: KeepSupport, vectors: Floats) -> bytes:
        """Return the bytes of a safetensors file, with what `vectors` returned.

        With "vectors" to keep, no text can be read from it.
        """
        digests = self._digests
        has_texts = keep == "texts" and self.can_train_encoder
        kept = json.dumps(self.texts if has_texts else digests, ensure_ascii=False)
        arrays = {
            "labels": self._label_matrix(),
            "texts": np.frombuffer(kept.encode("utf8"), np.uint8).copy(),
        }
        if digests:
            arrays["vectors"] = vectors
        if digests and all(name in self._initial for name in digests):
            arrays["initial_vectors"] = np.stack([self._initial[name] for name in digests])
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        return tensors_to_bytes(tensors, make_header(_FORMAT, {"has_texts": has_texts}))

    def add_bytes(
        self, data: bytes, tokenize: Tokenize | None, version: Hashable, *, source: object
    ) -> None:
        """Add what `to_bytes` returned, with vectors of a version of the weights.

        Without ``tokenize``, vectors alone are of use. Messages name the ``source``.

        Raises:
            ValueError: SM042 where the bytes are damaged, SM213 where they are something else.
        """
        tensors, metadata = bytes_to_tensors(data, source)
        message = Errors.SM213.format(source=source)
        header = read_header(metadata, _FORMAT, otherwise=message)
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        texts: list[str] = json.loads(arrays["texts"].tobytes().decode("utf8"))
        if not texts:
            return
        digests = [digest(text) for text in texts]
        self._vectors_version = version
        if tokenize is not None and header["has_texts"]:
            self.add(texts, tokenize(texts), arrays["labels"])
            self._vectors.update(zip(digests, arrays["vectors"], strict=True))
        else:
            self.add_vectors(texts, arrays["vectors"], arrays["labels"])
        if "initial_vectors" in arrays:
            self._initial.update(zip(digests, arrays["initial_vectors"], strict=True))

    def _label_matrix(self) -> LabelMatrix:
        # Texts that came before a label was added have shorter rows.
        matrix = np.full((len(self), self._n_labels), np.nan, dtype=np.float32)
        for row, known in zip(matrix, self._labels, strict=True):
            row[: len(known)] = known
        return matrix


def digest(text: str) -> str:
    """Return a digest that stands for a text; that of a digest is itself."""
    if text.startswith(_MARK):
        return text
    return _MARK + blake2b(text.encode("utf8", "surrogatepass"), digest_size=16).hexdigest()
