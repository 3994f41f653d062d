"""The thinc layer around an encoder: Docs in, a batch for listeners out."""

# No `from __future__ import annotations`: thinc reads the types of `forward` when data validation
# is on.

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import List, Tuple, TypeAlias  # noqa: UP035 - the types pydantic knows in thinc

from spacy.tokens import Doc
from spacy_transformers.data_classes import FullTransformerBatch
from spacy_transformers.layers import split_trf_batch
from thinc.api import Model, chain

from ..encoder.precision import Precision
from ..errors import Errors
from .rows import Mode, docs_to_rows, empty_batch, padding_mask, rows_to_batch
from .shim import EncoderShim

InT: TypeAlias = List[Doc]  # noqa: UP006
OutT: TypeAlias = FullTransformerBatch

TOK2VEC = "spacy_modernbert.ModernBertTok2Vec.v1"


@dataclass(frozen=True)
class EncoderSettings:
    """What the user says of an encoder.

    Kept as one attribute that thinc cannot write: the configuration is the one place where the
    settings live, so that a pipeline loaded with another ``max_length`` uses it.
    """

    name: str
    max_length: int | None
    stride: int | None
    precision: Precision
    mode: Mode = "text"


class EncoderModel(Model[InT, OutT]):
    """A thinc model whose stored form is one safetensors file, written and read without copies.

    Created without weights. They come with ``initialize``, ``from_disk`` or ``from_bytes``, or at
    first use from the checkpoint that the settings name.
    """

    def __init__(self, settings: EncoderSettings) -> None:
        super().__init__(
            "modernbert",
            forward,
            init=init,
            dims={"nO": None},
            attrs={
                "settings": settings,
                "dropout_rate": 0.0,
                "replace_listener": replace_listener,
                "replace_listener_cfg": replace_listener_cfg,
            },
            shims=[EncoderShim(precision=settings.precision)],
        )

    def to_bytes(self) -> bytes:
        """Give the bytes of a safetensors file with network, configuration and tokenizer."""
        return loaded_shim(self).to_bytes()

    def from_bytes(self, bytes_data: bytes) -> "EncoderModel":
        """Load what ``to_bytes`` gave."""
        _shim(self).from_bytes(bytes_data)
        loaded_shim(self)
        return self

    def to_disk(self, path: Path | str) -> None:
        """Write one safetensors file, whole or not at all."""
        loaded_shim(self).to_disk(path)

    def from_disk(self, path: Path | str) -> "EncoderModel":
        """Map the file that ``to_disk`` wrote into memory."""
        _shim(self).from_disk(path)
        loaded_shim(self)
        return self


def forward(model: Model[InT, OutT], docs: InT, is_train: bool) -> Tuple[OutT, Callable]:  # noqa: UP006
    """Encode Docs.

    Returns:
        The batch, and a callback that takes the gradient as such a batch.
    """
    shim = loaded_shim(model)
    settings: EncoderSettings = model.attrs["settings"]
    max_length = _row_limit(settings, shim)
    rows = docs_to_rows(
        docs, shim.piecer, max_length=max_length, stride=settings.stride, mode=settings.mode
    )
    if not rows.ids:
        return empty_batch(len(docs), shim.encoder.hidden_size), _no_backprop
    if not is_train:
        return rows_to_batch(rows, shim.predict(rows.ids), shim.piecer), _no_backprop

    hidden, finish = shim.begin_update(rows.ids, dropout=model.attrs["dropout_rate"])
    mask = padding_mask(rows)

    def backprop(d_batch: OutT) -> InT:
        (d_padded,) = d_batch.model_output.to_tuple()
        finish(d_padded[mask.to(d_padded.device)])
        return []

    return rows_to_batch(rows, hidden, shim.piecer), backprop


def init(model: Model[InT, OutT], X: InT | None = None, Y: OutT | None = None) -> None:  # noqa: N803
    """Load the checkpoint that the settings name, unless weights are there already."""
    loaded_shim(model)


def loaded_shim(model: Model[InT, OutT]) -> EncoderShim:
    """Give a model's shim, with its network loaded and the model's width set."""
    shim = _shim(model)
    if not shim.is_loaded:
        shim.load(model.attrs["settings"].name)
    model.set_dim("nO", shim.encoder.hidden_size, force=True)
    return shim


def replace_listener(model: Model[InT, OutT]) -> Model:
    """Give a copied encoder the shape of the listener whose place it takes."""
    return chain(model, split_trf_batch())


def replace_listener_cfg(encoder_cfg: dict, listener_cfg: dict) -> dict:
    """Describe the encoder that takes a listener's place: our settings, the listener's pooling."""
    copied = ("pooling", "grad_factor")
    return {
        **encoder_cfg,
        "@architectures": TOK2VEC,
        **{key: listener_cfg[key] for key in copied if key in listener_cfg},
    }


def _shim(model: Model[InT, OutT]) -> EncoderShim:
    shim: EncoderShim = model.shims[0]
    return shim


def _row_limit(settings: EncoderSettings, shim: EncoderShim) -> int | None:
    """Give the longest row: the user's wish, which must not exceed what the network can take."""
    limit = shim.encoder.max_length
    if settings.max_length is None:
        limits = [n for n in (limit, shim.piecer.model_max_length) if n is not None]
        return min(limits, default=None)
    if limit is not None and settings.max_length > limit:
        message = Errors.SM062.format(value=settings.max_length, name=settings.name, limit=limit)
        raise ValueError(message)
    return settings.max_length


def _no_backprop(d_batch: OutT) -> InT:
    return []
