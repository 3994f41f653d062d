"""The thinc model around a GLiNER: questions in, candidates out."""

# No `from __future__ import annotations`: thinc reads the types of `forward` when data validation
# is on.

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, List, Tuple, TypeAlias  # noqa: UP035 - the types pydantic knows in thinc

import numpy as np
import torch
from numpy.typing import NDArray
from thinc.api import Model, PyTorchShim
from torch import Tensor

from ..encoder.precision import Precision
from ..errors import Errors
from ..gliner import checkpoint
from ..gliner.candidates import Candidates
from ..gliner.convert import load
from ..gliner.model import GlinerModel
from ..gliner.plan import Overflow, WordText
from ..gliner.predict import find_candidates

# Label vectors that are kept. Labels may come from a service's users, who never run out of them.
KEPT_VECTORS = 10_000


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked of the model.

    Attributes:
        texts: The texts.
        labels: What the model reads of each label.
        thresholds: Least probability of each label, exclusive. *Shape:* (labels,).
        window: Most words of a window; None: as many as in the checkpoint's training.
        stride: Words by which windows overlap at least; None: an eighth of the window.
        on_overflow: What to do with labels that do not fit beside a text.
        device: ``auto``, or torch's name of a device.
    """

    texts: list[WordText]
    labels: list[str]
    thresholds: NDArray[np.float32]
    window: int | None = None
    stride: int | None = None
    on_overflow: Overflow = "warn"
    device: str = "cpu"


InT: TypeAlias = Question
OutT: TypeAlias = List[Candidates]  # noqa: UP006


class GlinerShim(PyTorchShim):
    """Holds a GLiNER, or nothing until one is loaded, and the vectors of labels met so far.

    Attributes:
        is_shared: Whether a Doc has shown that the shared encoder has the weights of this one.
    """

    def __init__(self, *, precision: Precision = "float32") -> None:
        super().__init__(None)
        self.precision: Precision = precision
        self.gliner: GlinerModel | None = None
        self.vectors: OrderedDict[str, Tensor] = OrderedDict()
        self.is_shared = False

    def set(self, gliner: GlinerModel) -> None:
        """Take another network; vectors of the old one are forgotten."""
        self.gliner, self._model = gliner, gliner.network
        self.vectors.clear()
        self.is_shared = False

    def place(self, name: str) -> None:
        """Move the network to a device, unless it is there.

        Raises:
            ValueError: SM132 where there is no such device.
        """
        gliner = self.gliner
        device = find_device(name)
        if gliner is not None and gliner.network.device != device:
            gliner.network.to(device)

    def label_vectors(self, labels: Sequence[str]) -> Tensor | None:
        """Give the vectors of labels; only those that are new are computed.

        Returns:
            *Shape:* (labels, width), on the network's device. None where this is no bi-encoder.
        """
        gliner = self.gliner
        if gliner is None or not gliner.config.is_bi or not labels:
            return None
        new = [label for label in dict.fromkeys(labels) if label not in self.vectors]
        if new:
            with torch.inference_mode():
                self.vectors.update(zip(new, gliner.encode_labels(new).cpu(), strict=True))
        for label in labels:
            self.vectors.move_to_end(label)
        stacked = torch.stack([self.vectors[label] for label in labels])
        while len(self.vectors) > KEPT_VECTORS:
            self.vectors.popitem(last=False)
        return stacked.to(gliner.network.device)

    def drop_label_encoder(self) -> None:
        """Let the label encoder go. Labels whose vectors are kept still work."""
        if self.gliner is not None:
            network, piecer = self.gliner.network, self.gliner.piecer
            del network.token_rep_layer.labels_encoder
            self.gliner = GlinerModel(network, piecer)

    def copy(self) -> "GlinerShim":
        """Give an independent copy, with a number of its own for optimisers."""
        copied = GlinerShim(precision=self.precision)
        copied.__setstate__(self.__getstate__())
        return copied

    def __deepcopy__(self, memo: dict) -> "GlinerShim":
        return self.copy()

    def __getstate__(self) -> dict[str, Any]:
        data = None if self.gliner is None else checkpoint.to_bytes(self.gliner)
        vectors = {label: vector.numpy() for label, vector in self.vectors.items()}
        return {"precision": self.precision, "data": data, "vectors": vectors}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(precision=state["precision"])  # type: ignore[misc]
        if state["data"] is not None:
            self.set(checkpoint.from_bytes(state["data"], precision=self.precision))
        for label, vector in state["vectors"].items():
            self.vectors[label] = torch.from_numpy(vector)


class GlinerLayer(Model[InT, OutT]):
    """A thinc model whose stored form is a GLiNER checkpoint.

    Created without weights. They come from ``initialize``, ``from_disk`` or ``from_bytes``, or at
    first use from the checkpoint that the settings name.
    """

    def __init__(self, name: str, *, precision: Precision = "float32") -> None:
        super().__init__(
            "gliner",
            forward,
            init=init,
            attrs={"name": name},
            shims=[GlinerShim(precision=precision)],
        )

    def to_bytes(self) -> bytes:
        """Give the bytes of a safetensors file with network, configuration and tokenizers."""
        return checkpoint.to_bytes(loaded(self))

    def from_bytes(self, bytes_data: bytes) -> "GlinerLayer":
        """Load what ``to_bytes`` gave."""
        shim = shim_of(self)
        shim.set(checkpoint.from_bytes(bytes_data, precision=shim.precision))
        return self

    def to_disk(self, path: Path | str) -> None:
        """Write a GLiNER checkpoint folder."""
        checkpoint.save_folder(loaded(self), Path(path))

    def from_disk(self, path: Path | str) -> "GlinerLayer":
        """Map a checkpoint folder into memory."""
        shim = shim_of(self)
        shim.set(checkpoint.load_folder(Path(path), precision=shim.precision))
        return self


def forward(model: Model[InT, OutT], question: InT, is_train: bool) -> Tuple[OutT, Callable]:  # noqa: UP006
    """Find the candidates of texts. There is nothing to be learnt from this."""
    gliner, shim = loaded(model), shim_of(model)
    shim.place(question.device)
    found = find_candidates(
        gliner,
        question.texts,
        question.labels,
        thresholds=question.thresholds,
        label_vectors=shim.label_vectors(question.labels),
        max_words=question.window,
        overlap=question.stride,
        on_overflow=question.on_overflow,
    )
    return found, _no_backprop


def init(model: Model[InT, OutT], X: InT | None = None, Y: OutT | None = None) -> None:  # noqa: N803
    """Load the checkpoint that the settings name, unless weights are there already."""
    loaded(model)


def loaded(model: Model[InT, OutT]) -> GlinerModel:
    """Give a model's GLiNER, loaded where it was not."""
    shim = shim_of(model)
    if shim.gliner is None:
        shim.set(load(model.attrs["name"], precision=shim.precision))
    gliner: GlinerModel = shim.gliner  # type: ignore[assignment]
    return gliner


def shim_of(model: Model[InT, OutT]) -> GlinerShim:
    """Give the shim that holds a model's network."""
    shim: GlinerShim = model.shims[0]
    return shim


def find_device(name: str) -> torch.device:
    """Give the device of a name, with its number; ``auto`` is the GPU where there is one.

    Raises:
        ValueError: SM132 where there is no such device.
    """
    has_cuda = torch.cuda.is_available()
    if name == "auto":
        name = "cuda" if has_cuda else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(Errors.SM132.format(device=name, reason=error)) from error
    if device.type == "cuda":
        count = torch.cuda.device_count() if has_cuda else 0
        device = torch.device("cuda", device.index or 0)
        if device.index >= count:
            reason = f"torch sees {count} GPUs here"
            raise ValueError(Errors.SM132.format(device=name, reason=reason))
    return device


def _no_backprop(d_candidates: OutT) -> None:
    return None
