"""Tensors in files and bytes of the safetensors format, copied when read, written atomically."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from ..errors import Errors
from ..text.files import atomic_path

# Names of number formats in safetensors, and in torch.
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


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


def bytes_to_tensors(data: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the bytes of a safetensors file. The tensors are copies.

    Raises:
        ValueError: SM042 if the bytes are truncated or are no safetensors file.
    """
    try:
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + size].decode("utf8"))
        metadata = header.pop("__metadata__", {})
        start = 8 + size
        return {name: _copy_tensor(data, start, spec) for name, spec in header.items()}, metadata
    except (ValueError, KeyError, AttributeError, TypeError, RuntimeError) as error:
        raise ValueError(Errors.SM042.format(path="the given bytes", reason=error)) from error


def _copy_tensor(data: bytes, start: int, spec: dict) -> Tensor:
    dtype = DTYPES[spec["dtype"]]
    begin, end = spec["data_offsets"]
    shape = spec["shape"]
    count = (end - begin) // dtype.itemsize
    if start + end > len(data) or end < begin:
        raise ValueError(f"a tensor ends at byte {start + end} of {len(data)}")
    if count == 0:
        return torch.empty(shape, dtype=dtype)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given buffer is not writable")
        flat = torch.frombuffer(data, dtype=dtype, count=count, offset=start + begin)
    return flat.reshape(shape).clone()


def _detached(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
