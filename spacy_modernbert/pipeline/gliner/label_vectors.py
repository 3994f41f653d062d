"""Label vectors of a bi-encoder in a file beside the checkpoint."""

from __future__ import annotations

import json
from collections.abc import Sequence

from thinc.api import Model

from ...encoder.storage import bytes_to_tensors, tensors_to_bytes

_VECTORS = "vectors"


def has_vectors(model: Model) -> bool:
    """Whether labels have vectors of their own, which only those of a bi-encoder do."""
    return model.checkpoint.config.is_bi


def save_vectors(model: Model, labels: Sequence[str]) -> bytes:
    """Give the vectors of labels as a safetensors file.

    Args:
        model: The model; those vectors that it has not met yet are computed.
        labels: What the model reads of each label.

    Returns:
        The file, without tensors where there are no labels.
    """
    vectors = model.shim.label_vectors(labels)
    tensors = {} if vectors is None else {_VECTORS: vectors.cpu()}
    return tensors_to_bytes(tensors, {"labels": json.dumps(list(labels))})


def load_vectors(model: Model, data: bytes) -> None:
    """Let a model know the vectors that `save_vectors` gave.

    Raises:
        ValueError: SM042 where the file is damaged.
    """
    tensors, metadata = bytes_to_tensors(data)
    if _VECTORS in tensors:
        rows = tensors[_VECTORS].clone()
        model.shim.vectors.update(zip(json.loads(metadata["labels"]), rows, strict=True))
