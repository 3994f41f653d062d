"""The thinc layer of the ``gliner`` component: texts and labels in, scored spans out."""

# No `from __future__ import annotations`: thinc reads the types of `forward` when data validation
# is on, and configs are validated against those of the architecture.

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import List, Tuple, TypeAlias  # noqa: UP035 - the types pydantic knows in thinc

import numpy as np
from numpy.typing import NDArray
from spacy.util import registry
from thinc.api import Model
from torch import nn

from ...encoder.bundled import BUNDLED
from ...encoder.precision import Precision
from ...gliner.checkpoint import serialization
from ...gliner.checkpoint.convert import load_any
from ...gliner.inference.model import GlinerModel
from ...gliner.inference.predict import find_spans
from ...gliner.inference.scored_spans import ScoredSpans
from ...gliner.inference.sequences import Overflow, SplitText
from ..checkpoint_model import CheckpointModel, CheckpointShim
from ..devices import find_device
from .config import GlinerPipeConfig


@dataclass(frozen=True, eq=False)
class GlinerInput:
    """Input of the model: texts, and the labels to look for in them.

    Attributes:
        texts: The texts.
        labels: The label texts.
        thresholds: Least probability of each label, exclusive. *Shape:* (labels,).
        window: Most words of a window; None: as `cut_text` says.
        overlap: Fewest words that two windows share; None: an eighth of the window.
        on_overflow: What to do with labels that do not fit beside a text.
        device: ``auto``, or torch's name of a device.
    """

    texts: list[SplitText]
    labels: list[str]
    thresholds: NDArray[np.float32]
    window: int | None = None
    overlap: int | None = None
    on_overflow: Overflow = "warn"
    device: str = "cpu"

    @classmethod
    def from_config(
        cls, texts: list[SplitText], label_texts: Mapping[str, str], config: GlinerPipeConfig
    ) -> "GlinerInput":
        """Combine texts and the label texts of labels with settings, which name a threshold."""
        thresholds = [config.label_thresholds.get(label, config.threshold) for label in label_texts]
        return cls(
            texts,
            list(label_texts.values()),
            np.array(thresholds, dtype=np.float32),
            window=config.window,
            overlap=config.overlap,
            on_overflow=config.on_overflow,
            device=config.device,
        )


InT: TypeAlias = GlinerInput
OutT: TypeAlias = List[ScoredSpans]  # noqa: UP006


@registry.architectures("spacy_modernbert.Gliner.v1")
def gliner_v1(name: str = BUNDLED, precision: Precision = "float32") -> Model:
    """Make the model of a ``gliner`` component.

    Weights are loaded later: in ``nlp.initialize``, from the saved pipeline, or at first use.

    Args:
        name: ``bundled``, a GLiNER checkpoint folder, or a name on the Hugging Face hub.
        precision: Number format of the encoders' matrix products.

    Returns:
        The model. Its input is a `GlinerInput`, its output the spans of each text.
    """
    shim = CheckpointShim(GlinerFormat(), name, precision=precision)
    return CheckpointModel("gliner", forward, shim)


class GlinerFormat:
    """GLiNER checkpoint folders; in memory one safetensors file."""

    def load(self, name: str, precision: Precision) -> GlinerModel:
        """Load a checkpoint by folder or hub name, with what it takes from other repositories."""
        return load_any(name, precision=precision)

    def from_disk(self, path: Path, precision: Precision) -> GlinerModel:
        """Read a checkpoint folder."""
        return serialization.load_gliner(path, precision=precision)

    def to_disk(self, checkpoint: GlinerModel, path: Path) -> None:
        """Write a checkpoint folder, which upstream gliner loads, too."""
        serialization.save_gliner(checkpoint, path)

    def from_bytes(self, data: bytes, precision: Precision) -> GlinerModel:
        """Read what `to_bytes` returned."""
        return serialization.gliner_from_bytes(data, precision=precision)

    def to_bytes(self, checkpoint: GlinerModel) -> bytes:
        """Return network, configuration and tokenizers as the bytes of a safetensors file."""
        return serialization.gliner_to_bytes(checkpoint)

    def network(self, checkpoint: GlinerModel) -> nn.Module:
        """Return the network."""
        return checkpoint.network

    def output_width(self, checkpoint: GlinerModel) -> None:
        """Return None: the output is not an array."""


def forward(
    model: CheckpointModel[InT, OutT], inputs: InT, is_train: bool
) -> Tuple[OutT, Callable]:  # noqa: UP006
    """Find the spans of texts. Training does not use this function."""
    checkpoint: GlinerModel = model.checkpoint
    model.shim.place(find_device(inputs.device))
    found = find_spans(
        checkpoint,
        inputs.texts,
        inputs.labels,
        thresholds=inputs.thresholds,
        label_vectors=checkpoint.vectors_of(inputs.labels),
        max_words=inputs.window,
        overlap=inputs.overlap,
        on_overflow=inputs.on_overflow,
    )
    return found, _no_backprop


def _no_backprop(d_spans: OutT) -> None:
    return None
