"""The thinc layer around a torch checkpoint, the same for all components.

It handles the device, copies, pickling, averages and bytes. A `CheckpointFormat` says how a
checkpoint is read and written, and the layer's ``forward`` says what a component computes with it.
"""

# No `from __future__ import annotations`: thinc reads types when data validation is on.

import contextlib
import copy
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from thinc.api import Model, PyTorchShim, xp2torch
from torch import nn

from ..encoder.precision import Precision
from .multiprocessing import limit_threads_after_fork

CheckpointT = TypeVar("CheckpointT")
InT = TypeVar("InT")
OutT = TypeVar("OutT")

# Only one thread at a time loads weights, so that two threads with a first text load them once.
_LOADING = threading.RLock()


class CheckpointFormat(Protocol[CheckpointT]):
    """Reads and writes checkpoints of one kind. Implementations can be pickled."""

    def load(self, name: str, precision: Precision) -> CheckpointT:
        """Load a checkpoint by folder or hub name."""
        ...

    def from_disk(self, path: Path, precision: Precision) -> CheckpointT:
        """Read what `to_disk` wrote."""
        ...

    def to_disk(self, checkpoint: CheckpointT, path: Path) -> None:
        """Write a checkpoint, each file whole or not at all."""
        ...

    def from_bytes(self, data: bytes, precision: Precision) -> CheckpointT:
        """Read what `to_bytes` returned."""
        ...

    def to_bytes(self, checkpoint: CheckpointT) -> bytes:
        """Return a checkpoint as bytes."""
        ...

    def network(self, checkpoint: CheckpointT) -> nn.Module:
        """Return the module with all weights."""
        ...

    def output_width(self, checkpoint: CheckpointT) -> int | None:
        """Return the width of the layer's output, None if it is not an array."""
        ...


class CheckpointShim(PyTorchShim, Generic[CheckpointT]):
    """Holds a checkpoint, or the name of one that is loaded at first use.

    Args:
        format: How the checkpoint is read and written.
        name: Folder or hub name of the checkpoint.
        precision: Number format of weights and matrix products.

    Attributes:
        is_averaged: Whether averages of an optimizer replace the weights right now.
    """

    def __init__(
        self,
        format: CheckpointFormat[CheckpointT],
        name: str,
        *,
        precision: Precision = "float32",
    ) -> None:
        super().__init__(None)
        self.format = format
        self.name = name
        self.precision: Precision = precision
        self.is_averaged = False
        self._checkpoint: CheckpointT | None = None

    @property
    def is_loaded(self) -> bool:
        """Whether the weights are loaded."""
        return self._checkpoint is not None

    @property
    def checkpoint(self) -> CheckpointT:
        """The checkpoint, loaded now if it was not."""
        limit_threads_after_fork()
        if self._checkpoint is None:
            with _LOADING:
                if self._checkpoint is None:
                    self.set(self.format.load(self.name, self.precision))
        checkpoint: CheckpointT = self._checkpoint  # type: ignore[assignment]
        return checkpoint

    def set(self, checkpoint: CheckpointT) -> None:
        """Replace the checkpoint."""
        self._model = self.format.network(checkpoint)
        self._checkpoint = checkpoint

    def place(self, device: torch.device) -> None:
        """Move the weights to a device, unless they are there already."""
        if self.is_loaded and self.device != device:
            self._model.to(device)

    @contextlib.contextmanager
    def use_params(self, params: Mapping[Any, Any]) -> Iterator[None]:
        """Use averaged weights within a context.

        The stock shim looks for names of the form ``pytorch_<id>_<name>``, but the keys of an
        optimizer's averages are pairs of id and name.
        """
        named = dict(self._model.named_parameters()) if self.is_loaded else {}
        swapped = {name: param for name, param in named.items() if (self.id, name) in params}
        backup = {name: param.data for name, param in swapped.items()}
        for name, param in swapped.items():
            average = xp2torch(params[(self.id, name)], device=param.device)
            param.data = average.to(param.dtype)
        self.is_averaged = bool(swapped)
        try:
            yield
        finally:
            self.is_averaged = False
            for name, param in swapped.items():
                param.data = backup[name]

    def to_bytes(self) -> bytes:
        """Return the checkpoint as bytes."""
        return self.format.to_bytes(self.checkpoint)

    def from_bytes(self, bytes_data: bytes) -> "CheckpointShim[CheckpointT]":
        """Load what `to_bytes` returned."""
        with _LOADING:
            self.set(self.format.from_bytes(bytes_data, self.precision))
        return self

    def to_disk(self, path: str | Path) -> None:
        """Write the checkpoint."""
        self.format.to_disk(self.checkpoint, Path(path))

    def from_disk(self, path: str | Path) -> "CheckpointShim[CheckpointT]":
        """Load what `to_disk` wrote."""
        with _LOADING:
            self.set(self.format.from_disk(Path(path), self.precision))
        return self

    def copy(self) -> "CheckpointShim[CheckpointT]":
        """Return an independent copy.

        It has an id of its own: an optimizer stores its moments by that id, and two networks that
        are trained side by side must not share them.
        """
        copied = CheckpointShim(self.format, self.name, precision=self.precision)
        copied.__setstate__(self.__getstate__())
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> "CheckpointShim[CheckpointT]":
        return self.copy()

    def __getstate__(self) -> dict[str, Any]:
        data = self.to_bytes() if self.is_loaded else None
        return {
            "format": self.format,
            "name": self.name,
            "precision": self.precision,
            "data": data,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(  # type: ignore[misc]
            state["format"], state["name"], precision=state["precision"]
        )
        if state["data"] is not None:
            self.from_bytes(state["data"])


class CheckpointModel(Model[InT, OutT]):
    """A thinc layer that is stored in the checkpoint's own format.

    It is created without weights. They come from ``initialize``, ``from_disk`` or ``from_bytes``,
    or at first use from the checkpoint that the config names.

    Args:
        name: Name of the layer.
        forward: Computes the output.
        shim: Holds the checkpoint.
        dims: As in thinc; the width of the output is set when the checkpoint is loaded.
        attrs: As in thinc.
    """

    def __init__(
        self,
        name: str,
        forward: Callable,
        shim: CheckpointShim,
        *,
        dims: dict[str, int | None] | None = None,
        attrs: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(name, forward, init=init, dims=dims or {}, attrs=attrs or {}, shims=[shim])

    @property
    def shim(self) -> CheckpointShim:
        """The shim that holds the checkpoint."""
        shim: CheckpointShim = self.shims[0]
        return shim

    @property
    def checkpoint(self) -> Any:
        """The checkpoint, loaded now if it was not."""
        checkpoint = self.shim.checkpoint
        width = self.shim.format.output_width(checkpoint)
        if width is not None:
            self.set_dim("nO", width, force=True)
        return checkpoint

    def to_bytes(self) -> bytes:
        """Return the checkpoint as bytes."""
        return self.shim.to_bytes()

    def from_bytes(self, bytes_data: bytes) -> "CheckpointModel[InT, OutT]":
        """Load what `to_bytes` returned."""
        self.shim.from_bytes(bytes_data)
        return self._loaded()

    def to_disk(self, path: str | Path) -> None:
        """Write the checkpoint, each file whole or not at all."""
        self.shim.to_disk(path)

    def from_disk(self, path: str | Path) -> "CheckpointModel[InT, OutT]":
        """Load what `to_disk` wrote."""
        self.shim.from_disk(path)
        return self._loaded()

    def _loaded(self) -> "CheckpointModel[InT, OutT]":
        _ = self.checkpoint  # sets the width
        return self

    def _copy(self, seen: dict[int, Any] | None = None) -> "CheckpointModel[InT, OutT]":
        """Return a copy of the same class; thinc would return a plain `Model`."""
        shims = {} if seen is None else seen
        if id(self.shim) not in shims:
            shims[id(self.shim)] = self.shim.copy()
        return CheckpointModel(
            self.name,
            self._func,
            shims[id(self.shim)],
            dims=dict(self._dims),
            attrs=copy.deepcopy(dict(self._attrs)),
        )


def init(model: Model, X: Any = None, Y: Any = None) -> None:  # noqa: N803
    """Load the checkpoint that the config names, unless there are weights already."""
    if isinstance(model, CheckpointModel):
        model._loaded()
