"""A support set as one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Sequence
from typing import Literal, TypeAlias

import numpy as np
import torch

from ...encoder.storage import bytes_to_tensors, make_header, read_header, tensors_to_bytes
from ...errors import Errors
from ...text.tokenizer import Ints
from ..arrays import Floats
from .support_set import SupportSet, digest

KeepSupport: TypeAlias = Literal["none", "vectors", "texts"]
Tokenize: TypeAlias = Callable[[Sequence[str]], list[Ints]]

_FORMAT = "spacy_modernbert_support"


def support_to_bytes(support: SupportSet, keep: KeepSupport, vectors: Floats) -> bytes:
    """Return a support set as the bytes of a safetensors file.

    Args:
        support: The texts and their labels.
        keep: With "vectors", no text can be read from the bytes.
        vectors: What `SupportSet.vectors` returned. *Shape:* (texts, width).
    """
    has_texts = keep == "texts" and support.can_train_encoder
    kept = json.dumps(support.texts if has_texts else support.digests, ensure_ascii=False)
    arrays = {
        "labels": support.known_labels(),
        "complete": np.array(support.complete, dtype=np.uint8),
        "texts": np.frombuffer(kept.encode("utf8"), np.uint8).copy(),
    }
    if len(support):
        arrays["vectors"] = vectors
    if (initial := support.cache.initial_of(support.digests)) is not None:
        arrays["initial_vectors"] = initial
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return tensors_to_bytes(tensors, make_header(_FORMAT, {"has_texts": has_texts}))


def add_stored_support(
    support: SupportSet,
    data: bytes,
    tokenize: Tokenize | None,
    version: Hashable,
    *,
    source: object,
) -> None:
    """Add what `support_to_bytes` returned, with vectors of a version of the weights.

    Without ``tokenize``, vectors alone are of use. Messages name the ``source``.

    Raises:
        ValueError: SM042 where the bytes are damaged, SM213 where they are something else.
    """
    tensors, metadata = bytes_to_tensors(data, source)
    header = read_header(metadata, _FORMAT, otherwise=Errors.SM213.format(source=source))
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    texts: list[str] = json.loads(arrays["texts"].tobytes().decode("utf8"))
    if not texts:
        return
    digests = [digest(text) for text in texts]
    support.cache.version = version
    labels, complete = arrays["labels"], arrays["complete"].astype(np.bool_)
    if tokenize is not None and header["has_texts"]:
        support.add(texts, tokenize(texts), labels, complete)
        support.cache.set_current(digests, arrays["vectors"])
    else:
        support.add_vectors(texts, arrays["vectors"], labels, complete)
    if "initial_vectors" in arrays:
        support.cache.set_initial(digests, arrays["initial_vectors"])
