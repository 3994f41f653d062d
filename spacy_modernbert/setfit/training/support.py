"""The texts a `setfit_textcat` learns from, with their vectors as far as these are known."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from ...encoder.storage import bytes_to_tensors, tensors_to_bytes
from ...errors import Errors
from ...text.tokenizer import Ints
from ..head.logistic_regression import Floats
from .batches import BalancedBatches, Labels
from .support_set import SupportSet

Keep: TypeAlias = Literal["none", "vectors", "texts"]
Encode: TypeAlias = Callable[[Sequence[Ints]], Floats]
Tokenize: TypeAlias = Callable[[Sequence[str]], list[Ints]]
# Texts, rows and labels.
Given: TypeAlias = tuple[Sequence[str], Sequence[Ints], Labels]
NOTHING: Given = ((), (), np.zeros((0, 0), dtype=np.float32))

_FORMAT = "spacy_modernbert_support"
# What a digest starts with that stands for a text; no text does.
_MARK = "\0"


class Support:
    """Texts with labels and vectors.

    Where only the vector of a text was kept, a digest stands in for it. Such a text still counts
    for the classifier, but can't train the encoder.

    Args:
        n_labels: Number of labels.
        capacity: Most texts.
        seed: Of what is drawn.

    Attributes:
        texts: The texts and their labels.
        has_rows: Whether all texts can be encoded again.
    """

    def __init__(self, n_labels: int, *, capacity: int, seed: int) -> None:
        self.texts = SupportSet(n_labels, capacity=capacity, seed=seed)
        self.has_rows = True
        self.n_labels = n_labels
        self._seed = seed
        self._n_draws = 0
        self._batches: BalancedBatches | None = None
        self._excluded = b""
        self._places: dict[str, int] = {}
        # Under the weights in use, and under those before any training.
        self._vectors: dict[str, Floats] = {}
        self._frozen: dict[str, Floats] = {}

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def width(self) -> int:
        """Width of the vectors; 0 where there are none."""
        return len(next(iter(self._vectors.values()), ()))

    @property
    def has_frozen(self) -> bool:
        """Whether there are vectors from before a training."""
        return bool(self._frozen)

    def labels(self, *, multi_label: bool) -> Labels:
        """Give the labels of all texts, NaN where unknown. *Shape:* (texts, labels).

        A text that can have one label only is known not to have the others. Where several are
        possible, a label that no text is known not to have came later than the others: texts
        without it are taken not to have it.
        """
        labels = self.texts.labels
        if not multi_label:
            return np.nan_to_num(labels)
        later = ~(labels == 0).any(axis=0)
        labels[:, later] = np.nan_to_num(labels[:, later])
        return labels

    def widen(self, n_labels: int) -> None:
        """Make room for labels that came later."""
        if n_labels > self.n_labels:
            self.texts.widen(n_labels)
            self.n_labels = n_labels
            self._batches = None

    def add(self, texts: Sequence[str], rows: Sequence[Ints], labels: Labels) -> None:
        """Take in texts, as far as they are new and there is room.

        Args:
            texts: The texts.
            rows: Their pieces.
            labels: Their labels. *Shape:* (texts, labels).
        """
        before = self.texts.n_seen, self.texts.n_conflicts
        if not self.has_rows:  # the set knows digests only, and would take texts for new ones
            keep = [i for i, text in enumerate(texts) if key(text) not in self._vectors]
            texts, rows, labels = [texts[i] for i in keep], [rows[i] for i in keep], labels[keep]
        self.texts.add(texts, rows, labels)
        if before != (self.texts.n_seen, self.texts.n_conflicts):
            self._batches = None

    def add_vectors(self, texts: Sequence[str], vectors: Floats, labels: Labels) -> None:
        """Take in texts of which nothing but the vectors shall be known, or new vectors of them.

        Args:
            texts: The texts, or digests.
            vectors: *Shape:* (texts, width).
            labels: *Shape:* (texts, labels).
        """
        self.has_rows = False
        names = [key(text) for text in texts]
        self.texts.add(names, [np.frombuffer(n.encode(), np.uint8) for n in names], labels)
        self._vectors.update(zip(names, vectors, strict=True))
        if len(self._vectors) > 2 * len(self.texts):
            self._vectors = {name: self._vectors[name] for name in self.texts.texts}

    def draw(
        self,
        size: int,
        labels: Labels,
        given: Given = NOTHING,
        without: NDArray[np.bool_] | None = None,
    ) -> tuple[list[Ints], Labels]:
        """Draw a class-balanced batch around some given texts.

        Args:
            size: Texts in the batch; the given ones are in it even if they are more.
            labels: What `labels` gives. *Shape:* (texts, labels).
            given: Texts that shall be in it, with their rows and labels. They need not be in this
                set: it may have been full.
            without: Texts that are not drawn. *Shape:* (texts,).

        Returns:
            Rows of pieces and their labels. *Shape of the labels:* (drawn, labels).
        """
        excluded = b"" if without is None or not without.any() else without.tobytes()
        if self._batches is None or self._batches.size != size or self._excluded != excluded:
            self._n_draws += 1
            seed = int(np.random.SeedSequence((self._seed, self._n_draws)).generate_state(1)[0])
            self._excluded = excluded
            among = None if without is None else np.flatnonzero(~without)
            self._batches = BalancedBatches(labels, size=size, seed=seed, among=among)
            self._places = {key(text): i for i, text in enumerate(self.texts.texts)}
        texts, rows, own = given
        places = [self._places.get(key(text)) for text in texts]
        extra = [i for i, place in enumerate(places) if place is None]
        anchors = [place for place in places if place is not None]
        chosen = self._batches.draw(anchors)
        if extra:
            chosen = chosen[: max(len(anchors), size - len(extra))]
        drawn = [self.texts.rows[i] for i in chosen] + [rows[i] for i in extra]
        return drawn, np.concatenate([labels[chosen], own[extra]]) if extra else labels[chosen]

    def vectors(self, encode: Encode) -> Floats:
        """Give the vectors of all texts; those that are not known yet are computed.

        Args:
            encode: Makes vectors of rows with the weights in use.

        Returns:
            *Shape:* (texts, width).
        """
        return self._complete(self._vectors, encode)

    def frozen(self, encode: Encode) -> Floats:
        """Do the same with the weights before any training; these vectors are never forgotten."""
        return self._complete(self._frozen, encode)

    def weights_changed(self) -> None:
        """Forget what can be computed again."""
        if self.has_rows:
            self._vectors.clear()

    def to_bytes(self, keep: Keep, encode: Encode) -> bytes:
        """Give the bytes of a safetensors file.

        Args:
            keep: With "vectors" no text can be read from it.
            encode: As for `vectors`.
        """
        tensors = {"labels": torch.from_numpy(self.texts.labels)}
        if len(self):
            tensors["vectors"] = torch.from_numpy(self.vectors(encode))
        names = [key(text) for text in self.texts.texts]
        if names and all(name in self._frozen for name in names):
            tensors["frozen"] = torch.from_numpy(np.stack([self._frozen[n] for n in names]))
        has_texts = keep == "texts" and self.has_rows
        kept = json.dumps(self.texts.texts if has_texts else names, ensure_ascii=False)
        tensors["texts"] = torch.from_numpy(np.frombuffer(kept.encode("utf8"), np.uint8).copy())
        return tensors_to_bytes(tensors, {_FORMAT: json.dumps({"has_texts": has_texts})})

    def load(self, data: bytes, tokenize: Tokenize) -> None:
        """Take in what `to_bytes` gave.

        Args:
            data: The bytes.
            tokenize: Makes rows of texts.

        Raises:
            ValueError: SM042 where the bytes are damaged, SM213 where they are something else.
        """
        tensors, metadata = bytes_to_tensors(data)
        if _FORMAT not in metadata:
            raise ValueError(Errors.SM213.format(source="the given file"))
        arrays = {name: np.array(tensor.numpy()) for name, tensor in tensors.items()}
        texts: list[str] = json.loads(arrays["texts"].tobytes().decode("utf8"))
        names = [key(text) for text in texts]
        if not texts:
            return
        if json.loads(metadata[_FORMAT])["has_texts"]:
            self.add(texts, tokenize(texts), arrays["labels"])
            self._vectors.update(zip(names, arrays["vectors"], strict=True))
        else:
            self.add_vectors(texts, arrays["vectors"], arrays["labels"])
        if "frozen" in arrays:
            self._frozen.update(zip(names, arrays["frozen"], strict=True))

    def _complete(self, known: dict[str, Floats], encode: Encode) -> Floats:
        names = [key(text) for text in self.texts.texts]
        new = [i for i, name in enumerate(names) if name not in known]
        if new:
            vectors = encode([self.texts.rows[i] for i in new])
            known.update(zip((names[i] for i in new), vectors, strict=True))
        if len(known) > len(names):  # of texts that others have taken the place of
            gone = known.keys() - set(names)
            for name in gone:
                del known[name]
        return np.stack([known[name] for name in names]) if names else np.zeros((0, 0), np.float32)


def key(text: str) -> str:
    """Give a digest that stands for a text; that of a digest is itself."""
    if text.startswith(_MARK):
        return text
    return _MARK + blake2b(text.encode("utf8", "surrogatepass"), digest_size=16).hexdigest()
