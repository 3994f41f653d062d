"""A head with the names of its labels, as a pipeline stores it beside the encoder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ...encoder.storage import bytes_to_tensors, read_tensors, tensors_to_bytes, write_tensors
from ...errors import Errors
from ..arrays import Floats
from .head import Head

_FORMAT = "spacy_modernbert_head"


@dataclass(frozen=True, eq=False)
class Classifier:
    """Everything between a sentence vector and the probabilities of named labels.

    Attributes:
        head: The arrays.
        labels: Names, in the order of the head's rows.
        prototypes: Mean directions of the classes, for the abstain score; may be of length 0.
            *Shape:* (classes, width).
    """

    head: Head
    labels: tuple[str, ...]
    prototypes: Floats

    def to_bytes(self) -> bytes:
        """Return the bytes of a safetensors file."""
        return tensors_to_bytes(self._tensors(), self._header())

    @classmethod
    def from_bytes(cls, data: bytes) -> Classifier:
        """Load what `to_bytes` returned.

        Raises:
            ValueError: SM042 where the bytes are damaged, SM213 where they are something else.
        """
        return cls._build(*bytes_to_tensors(data), "the given bytes")

    def save(self, path: Path) -> None:
        """Write a safetensors file, whole or not at all."""
        write_tensors(path, self._tensors(), self._header())

    @classmethod
    def load(cls, path: Path) -> Classifier:
        """Load what `save` wrote.

        Raises:
            ValueError: SM042 where the file is damaged, SM213 where it is something else.
        """
        return cls._build(*read_tensors(path), path)

    @classmethod
    def _build(
        cls, state: dict[str, torch.Tensor], metadata: dict[str, str], source: Path | str
    ) -> Classifier:
        if _FORMAT not in metadata:
            raise ValueError(Errors.SM213.format(source=source))
        header = json.loads(metadata[_FORMAT])
        arrays = {name: tensor.numpy() for name, tensor in state.items()}
        head = Head(
            arrays["coef"], arrays["intercept"], header["temperature"], header["multi_label"]
        )
        return cls(head, tuple(header["labels"]), arrays["prototypes"])

    def _tensors(self) -> dict[str, torch.Tensor]:
        arrays = {
            "coef": self.head.coef,
            "intercept": self.head.intercept,
            "prototypes": self.prototypes,
        }
        return {n: torch.from_numpy(np.ascontiguousarray(a)) for n, a in arrays.items()}

    def _header(self) -> dict[str, str]:
        header = {
            "labels": list(self.labels),
            "temperature": self.head.temperature,
            "multi_label": self.head.multi_label,
        }
        # A single entry: safetensors writes several in a random order.
        return {_FORMAT: json.dumps(header)}
