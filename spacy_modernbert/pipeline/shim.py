"""The network inside a thinc model: device, modes, averages, bytes, copies, pickles."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from thinc.api import PyTorchShim, xp2torch
from thinc.util import get_torch_default_device
from torch import Tensor

from ..encoder.checkpoint import (
    Checkpoint,
    Encoder,
    checkpoint_to_bytes,
    load_folder,
    load_packed,
    save_packed,
)
from ..encoder.foreign import ForeignEncoder
from ..encoder.hub import resolve
from ..encoder.packing import PackedBatch
from ..encoder.precision import Precision
from ..errors import Errors, Warnings
from ..text.pieces import Piecer
from ..text.windows import batch_by_budget

# Pieces that go through the network at a time when nothing is to be learnt from them. More would
# not be faster, but a long Doc's intermediate results would need memory for all of it at once.
AT_ONCE = 8192


class EncoderShim(PyTorchShim):
    """Holds a checkpoint, or nothing until one is loaded.

    Args:
        precision: Number format of weights and matrix products.
    """

    def __init__(self, *, precision: Precision = "float32") -> None:
        super().__init__(None)
        self.precision: Precision = precision
        self._piecer: Piecer | None = None
        self._is_borrowed = False

    @property
    def is_loaded(self) -> bool:
        """Whether there is a network yet."""
        return self._model is not None

    @property
    def encoder(self) -> Encoder:
        """The network.

        Raises:
            ValueError: SM061 where nothing is loaded.
        """
        if self._model is None:
            raise ValueError(Errors.SM061)
        encoder: Encoder = self._model
        return encoder

    @property
    def piecer(self) -> Piecer:
        """The tokenizer.

        Raises:
            ValueError: SM061 where nothing is loaded.
        """
        if self._piecer is None:
            raise ValueError(Errors.SM061)
        return self._piecer

    def load(self, name: str) -> None:
        """Load a checkpoint by path or hub name."""
        self._set(load_folder(resolve(name), precision=self.precision, device=_device()))
        if isinstance(self.encoder, ForeignEncoder):
            model_type = self.encoder.config.model_type
            warnings.warn(Warnings.SMW040.format(name=name, model_type=model_type), stacklevel=2)

    def predict(self, rows: list[Any]) -> Tensor:
        """Encode rows of piece ids, without gradients.

        Args:
            rows: One array of ids a row.

        Returns:
            *Shape:* (total, hidden), float32.
        """
        encoder = self.encoder
        if encoder.training:
            encoder.eval()
        groups = batch_by_budget([len(row) for row in rows], budget=AT_ONCE)
        with torch.no_grad():
            parts = [encoder(self._pack([rows[i] for i in group])) for group in groups]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def begin_update(
        self, rows: list[Any], *, dropout: float = 0.0
    ) -> tuple[Tensor, Callable[[Tensor], None]]:
        """Encode rows of piece ids, with a callback that takes the gradient of the result.

        Args:
            rows: One array of ids a row.
            dropout: Dropout rate.

        Returns:
            The vectors and the callback. *Shape:* (total, hidden), float32.
        """
        self._own()
        encoder = self.encoder.promote_().train()
        hidden = encoder(self._pack(rows), dropout=dropout)

        def backprop(d_hidden: Tensor) -> None:
            hidden.backward(d_hidden.to(hidden.device))

        return hidden.detach(), backprop

    @contextlib.contextmanager
    def use_params(self, params: dict) -> Iterator[None]:
        """Put averaged weights in place for a while.

        The stock shim looks for names of the form ``pytorch_<id>_<name>``, which no optimiser
        writes: the keys of its averages are pairs of id and name.
        """
        named = {} if self._model is None else dict(self._model.named_parameters())
        swapped = {name: param for name, param in named.items() if (self.id, name) in params}
        backup = {name: param.data for name, param in swapped.items()}
        for name, param in swapped.items():
            average = xp2torch(params[(self.id, name)], device=param.device)
            param.data = average.to(param.dtype)
        try:
            yield
        finally:
            for name, param in swapped.items():
                param.data = backup[name]

    def to_bytes(self) -> bytes:
        """Give network, configuration and tokenizer as the bytes of one safetensors file."""
        return checkpoint_to_bytes(self._checkpoint())

    def from_bytes(self, bytes_data: bytes) -> EncoderShim:
        """Load what ``to_bytes`` gave. The weights look into ``bytes_data`` until training."""
        self._set(load_packed(bytes_data, precision=self.precision, device=_device()))
        self._is_borrowed = True
        return self

    def to_disk(self, path: str | Path) -> None:
        """Write one safetensors file, whole or not at all."""
        save_packed(self._checkpoint(), Path(path))

    def from_disk(self, path: str | Path) -> EncoderShim:
        """Map the file that ``to_disk`` wrote into memory."""
        self._set(load_packed(Path(path), precision=self.precision, device=_device()))
        return self

    def copy(self) -> EncoderShim:
        """Give an independent copy.

        It gets a number of its own: an optimiser files its moments under that number, and two
        networks trained side by side must not share them.
        """
        copied = EncoderShim(precision=self.precision)
        if self.is_loaded:
            copied.__setstate__(self.__getstate__())
        return copied

    def __getstate__(self) -> dict[str, Any]:
        data = self.to_bytes() if self.is_loaded else None
        return {"precision": self.precision, "data": data}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(precision=state["precision"])  # type: ignore[misc]
        if state["data"] is not None:
            self.from_bytes(state["data"])

    def _set(self, checkpoint: Checkpoint) -> None:
        self._model, self._piecer = checkpoint.encoder, checkpoint.piecer
        self._is_borrowed = False

    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(self.encoder, self.piecer)

    def _pack(self, rows: list[Any]) -> PackedBatch:
        return PackedBatch.from_rows(rows, device=self.device)

    def _own(self) -> None:
        """Make the weights ours before an optimiser writes to them."""
        if self._is_borrowed:
            for param in self.encoder.parameters():
                param.data = param.data.clone()
            self._is_borrowed = False


def _device() -> torch.device:
    return get_torch_default_device()
