"""A head with the names of its labels, as a pipeline stores it beside the encoder."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ...encoder.storage import bytes_to_tensors, make_header, read_header, tensors_to_bytes
from ...errors import Errors
from ..arrays import Floats
from .head import Head

_FORMAT = "spacy_modernbert_head"
_ARRAYS = ("coef", "intercept", "prototypes")


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

    def without_label(self, label: str) -> Classifier:
        """Return a classifier of the other labels.

        Where a text has one label, the others keep their proportions.
        """
        row = self.labels.index(label)
        head = Head(
            np.delete(self.head.coef, row, axis=0),
            np.delete(self.head.intercept, row),
            self.head.temperature,
            self.head.multi_label,
        )
        labels = self.labels[:row] + self.labels[row + 1 :]
        has_prototypes = len(self.prototypes) >= len(self.labels)
        prototypes = np.delete(self.prototypes, row, axis=0) if has_prototypes else self.prototypes
        return Classifier(head, labels, prototypes)

    def to_bytes(self) -> bytes:
        """Return the bytes of a safetensors file."""
        arrays = (self.head.coef, self.head.intercept, self.prototypes)
        contiguous = [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]
        tensors = dict(zip(_ARRAYS, contiguous, strict=True))
        header = {
            "labels": list(self.labels),
            "temperature": self.head.temperature,
            "multi_label": self.head.multi_label,
        }
        return tensors_to_bytes(tensors, make_header(_FORMAT, header))

    @classmethod
    def from_bytes(cls, data: bytes, source: object = "the given bytes") -> Classifier:
        """Load what `to_bytes` returned; messages name the ``source``.

        Raises:
            ValueError: SM042 where the bytes are damaged, SM213 where they are something else.
        """
        state, metadata = bytes_to_tensors(data, source)
        message = Errors.SM213.format(source=source)
        header = read_header(metadata, _FORMAT, otherwise=message)
        coef, intercept, prototypes = (state[name].numpy() for name in _ARRAYS)
        head = Head(coef, intercept, header["temperature"], header["multi_label"])
        return cls(head, tuple(header["labels"]), prototypes)
