"""Vectors of a bi-encoder's labels, as a file beside the checkpoint."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ...encoder.storage import bytes_to_tensors, tensors_to_bytes
from ...errors import Errors
from ..inference.model import GlinerModel

_VECTORS = "vectors"


def label_vectors_to_bytes(model: GlinerModel, labels: Sequence[str]) -> bytes:
    """Return the vectors of labels as the bytes of a safetensors file.

    Args:
        model: A bi-encoder; vectors that it does not keep yet are computed.
        labels: Label texts.

    Returns:
        The bytes, without tensors where there are no labels.
    """
    vectors = model.vectors_of(labels)
    tensors = {} if vectors is None else {_VECTORS: vectors.cpu()}
    return tensors_to_bytes(tensors, {"labels": json.dumps(list(labels))})


def load_label_vectors(model: GlinerModel, data: bytes, source: object = "the given bytes") -> None:
    """Load the vectors that `label_vectors_to_bytes` returned into a model.

    Raises:
        ValueError: SM042 if the bytes are damaged or hold something else.
    """
    tensors, metadata = bytes_to_tensors(data, source)
    if "labels" not in metadata or tensors.keys() - {_VECTORS}:
        reason = "it does not hold the vectors of labels"
        raise ValueError(Errors.SM042.format(path=source, reason=reason))
    if _VECTORS in tensors:
        model.label_vectors.update(json.loads(metadata["labels"]), tensors[_VECTORS])
