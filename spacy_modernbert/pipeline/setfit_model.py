"""The thinc model around a sentence encoder: Docs in, one vector a Doc out."""

# No `from __future__ import annotations`: thinc reads the types of `forward` when data validation
# is on.

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, List, Tuple, TypeAlias  # noqa: UP035 - the types pydantic knows in thinc

from spacy.tokens import Doc
from thinc.api import Model, PyTorchShim, xp2torch
from thinc.types import Floats2d

from ..encoder.hub import resolve
from ..encoder.packing import PackedBatch
from ..encoder.precision import Precision
from ..errors import Warnings
from ..setfit import packed, saving
from ..setfit.checkpoint import Overrides, load_folder
from ..setfit.sentence_encoder import SentenceEncoder
from ..text.pieces import Ints
from .gliner_model import find_device

InT: TypeAlias = List[Doc]  # noqa: UP006
OutT: TypeAlias = Floats2d


@dataclass(frozen=True)
class SentenceSettings:
    """What the user says of a sentence encoder; the configuration is the one place for it."""

    name: str
    overrides: Overrides
    precision: Precision


class SentenceShim(PyTorchShim):
    """Holds a sentence encoder, or nothing until one is loaded.

    Args:
        precision: Number format of weights and matrix products.

    Attributes:
        sentences: The sentence encoder.
        is_averaged: Whether averages of an optimiser are in the place of the weights right now.
    """

    def __init__(self, *, precision: Precision = "float32") -> None:
        super().__init__(None)
        self.precision: Precision = precision
        self.sentences: SentenceEncoder | None = None
        self.is_averaged = False
        self._n_cut = self._n_read = 0
        self._has_warned = self._is_ours = False

    def set(self, sentences: SentenceEncoder) -> None:
        """Take another network."""
        self.sentences = self._model = sentences
        self._is_ours = False

    def place(self, name: str) -> None:
        """Move the network to a device, unless it is there.

        Raises:
            ValueError: SM132 where there is no such device.
        """
        device = find_device(name)
        if self.sentences is not None and self.sentences.device != device:
            self.sentences.to(device)

    def tokenize(self, texts: Sequence[str]) -> list[Ints]:
        """Put texts into rows, and count those that lost their end; see `warn_of_cut`."""
        assert self.sentences is not None
        rows = self.sentences.tokenize(texts)
        self._n_cut += len(rows.cut)
        self._n_read += len(texts)
        return rows.rows

    def warn_of_cut(self) -> None:
        """Say once that texts lost their end, if some did."""
        if self._n_cut and not self._has_warned and self.sentences is not None:
            self._has_warned = True
            limit = self.sentences.reading.max_length
            message = Warnings.SMW231.format(n=self._n_cut, total=self._n_read, limit=limit)
            warnings.warn(message, stacklevel=2)

    def learn(self, rows: Sequence[Ints], *, dropout: float) -> Tuple[Any, Callable]:  # noqa: UP006
        """Encode rows, with a callback that takes the gradient of the vectors.

        Returns:
            The vectors and the callback. *Shape:* (rows, width), float32.
        """
        sentences = self.sentences
        assert sentences is not None
        sentences.encoder.promote_()
        if not self._is_ours:  # they may look into a file, or into bytes of somebody else
            for parameter in sentences.parameters():
                parameter.data = parameter.data.clone()
            self._is_ours = True
        sentences.train(dropout > 0)
        batch = PackedBatch.from_rows(list(rows), device=sentences.device)
        vectors = sentences(batch, dropout=dropout)
        sentences.eval()

        def backprop(d_vectors: Any) -> None:
            vectors.backward(xp2torch(d_vectors, device=vectors.device))

        return vectors.detach().cpu().numpy(), backprop

    @contextlib.contextmanager
    def use_params(self, params: dict) -> Iterator[None]:
        """Put averaged weights in place for a while; the stock shim misses their names."""
        named = {} if self._model is None else dict(self._model.named_parameters())
        swapped = {name: param for name, param in named.items() if (self.id, name) in params}
        backup = {name: param.data for name, param in swapped.items()}
        for name, param in swapped.items():
            param.data = xp2torch(params[(self.id, name)], device=param.device).to(param.dtype)
        self.is_averaged = bool(swapped)
        try:
            yield
        finally:
            self.is_averaged = False
            for name, param in swapped.items():
                param.data = backup[name]

    def copy(self) -> "SentenceShim":
        """Give an independent copy, with a number of its own for optimisers."""
        copied = SentenceShim(precision=self.precision)
        copied.__setstate__(self.__getstate__())
        return copied

    def __deepcopy__(self, memo: dict) -> "SentenceShim":
        return self.copy()

    def __getstate__(self) -> dict[str, Any]:
        data = None if self.sentences is None else packed.to_bytes(self.sentences)
        return {"precision": self.precision, "data": data}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(precision=state["precision"])  # type: ignore[misc]
        if state["data"] is not None:
            self.set(packed.from_bytes(state["data"], precision=self.precision))


class SentenceModel(Model[InT, OutT]):
    """A thinc model whose stored form is a folder of sentence-transformers.

    Created without weights. They come with ``initialize``, ``from_disk`` or ``from_bytes``, or at
    first use from the checkpoint that the settings name.
    """

    def __init__(self, settings: SentenceSettings) -> None:
        super().__init__(
            "sentence_encoder",
            forward,
            init=init,
            dims={"nO": None},
            attrs={"settings": settings, "dropout_rate": 0.0},
            shims=[SentenceShim(precision=settings.precision)],
        )

    def to_bytes(self) -> bytes:
        """Give the bytes of a safetensors file with network, configuration and tokenizer."""
        return packed.to_bytes(loaded(self))

    def from_bytes(self, bytes_data: bytes) -> "SentenceModel":
        """Load what ``to_bytes`` gave."""
        shim = shim_of(self)
        shim.set(packed.from_bytes(bytes_data, precision=shim.precision))
        loaded(self)
        return self

    def to_disk(self, path: Path | str) -> None:
        """Write a folder that sentence-transformers loads, too."""
        saving.save_folder(loaded(self), Path(path))

    def from_disk(self, path: Path | str) -> "SentenceModel":
        """Map the weights of such a folder into memory; settings win over what it says."""
        load(self, Path(path))
        return self


def forward(model: Model[InT, OutT], docs: InT, is_train: bool) -> Tuple[OutT, Callable]:  # noqa: UP006
    """Encode Docs. A Doc's vector comes from its text alone, not from its tokens.

    Returns:
        *Shape:* (docs, width), float32.
    """
    sentences, shim = loaded(model), shim_of(model)
    rows = shim.tokenize([doc.text for doc in docs])
    shim.warn_of_cut()
    if not is_train:
        return model.ops.asarray2f(sentences.encode(rows)), _no_backprop
    vectors, finish = shim.learn(rows, dropout=model.attrs["dropout_rate"])

    def backprop(d_vectors: OutT) -> InT:
        finish(d_vectors)
        return []

    return model.ops.asarray2f(vectors), backprop


def init(model: Model[InT, OutT], X: InT | None = None, Y: OutT | None = None) -> None:  # noqa: N803
    """Load the checkpoint that the settings name, unless weights are there already."""
    loaded(model)


def loaded(model: Model[InT, OutT]) -> SentenceEncoder:
    """Give a model's sentence encoder, loaded where it was not."""
    shim = shim_of(model)
    if shim.sentences is None:
        load(model, resolve(model.attrs["settings"].name))
    sentences: SentenceEncoder = shim.sentences  # type: ignore[assignment]
    model.set_dim("nO", sentences.width, force=True)
    return sentences


def load(model: Model[InT, OutT], folder: Path) -> None:
    """Load a folder into a model, with the model's settings."""
    shim, settings = shim_of(model), model.attrs["settings"]
    shim.set(load_folder(folder, overrides=settings.overrides, precision=shim.precision))
    loaded(model)


def shim_of(model: Model[InT, OutT]) -> SentenceShim:
    """Give the shim that holds a model's network."""
    shim: SentenceShim = model.shims[0]
    return shim


def _no_backprop(d_vectors: OutT) -> InT:
    return []
