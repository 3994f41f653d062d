"""Tensors in files and bytes of the safetensors format, copied when read, written atomically."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from ..errors import Errors
from ..text.files import atomic_path


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file atomically.

    Args:
        path: The file.
        tensors: Name to tensor, on any device.
        metadata: Name to text, kept in the header.
    """
    with atomic_path(path) as temporary:
        try:
            safetensors.torch.save_file(_detached(tensors), temporary, metadata=dict(metadata))
        except safetensors.SafetensorError as error:  # also raised for errors of input and output
            raise OSError(str(error)) from error


def tensors_to_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Return the bytes of the file that ``write_tensors`` writes."""
    data: bytes = safetensors.torch.save(_detached(tensors), metadata=dict(metadata))
    return data


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file.

    The tensors are copies, so overwriting or truncating the file later changes nothing. Mapped
    pages would change with the file, or end the process.

    Raises:
        ValueError: SM042 if the file is truncated or is no safetensors file.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            # `keys` is a method of the file, which is no mapping.
            return {n: file.get_tensor(n).clone() for n in file.keys()}, metadata  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise ValueError(Errors.SM042.format(path=path, reason=error)) from error


def bytes_to_tensors(
    data: bytes, source: object = "the given bytes"
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the bytes of a safetensors file. The tensors are copies.

    Args:
        data: The bytes.
        source: Where they come from, for the message.

    Raises:
        ValueError: SM042 if the bytes are truncated or are no safetensors file.
    """
    try:
        size = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + size]).get("__metadata__", {})
        return safetensors.torch.load(data), metadata
    except (ValueError, AttributeError, safetensors.SafetensorError) as error:
        raise ValueError(Errors.SM042.format(path=source, reason=error)) from error


def make_header(format: str, content: Mapping[str, Any]) -> dict[str, str]:
    """Return the metadata of a file of ours: the name of its format, and its content as JSON.

    It is a single entry: safetensors writes several in a random order, and bytes must be
    repeatable.
    """
    return {format: json.dumps(content)}


def read_header(metadata: Mapping[str, str], format: str, *, otherwise: str) -> dict[str, Any]:
    """Read what `make_header` returned.

    Raises:
        ValueError: The message ``otherwise`` if the file is not of this format.
    """
    if format not in metadata:
        raise ValueError(otherwise)
    content: dict[str, Any] = json.loads(metadata[format])
    return content


def _detached(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
