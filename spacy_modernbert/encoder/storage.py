"""Tensors in files and in bytes: safetensors, read into memory, written all or nothing."""

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

# The names of the safetensors format, and what torch calls them.
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
        tensors: Name -> tensor, on any device.
        metadata: Name -> text, kept in the header.
    """
    with atomic_path(path) as temporary:
        try:
            safetensors.torch.save_file(_plain(tensors), temporary, metadata=dict(metadata))
        except safetensors.SafetensorError as error:  # its name for an input/output error
            raise OSError(str(error)) from error


def tensors_to_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Give the bytes of the file that ``write_tensors`` writes."""
    data: bytes = safetensors.torch.save(_plain(tensors), metadata=dict(metadata))
    return data


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file.

    The tensors are copies: a file that is overwritten or cut short later changes nothing. Mapped
    pages would change with it, or end the process.

    Raises:
        ValueError: SM042 where the file is cut short or is no safetensors file.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            # `keys` is a method of the file here, no mapping.
            return {n: file.get_tensor(n).clone() for n in file.keys()}, metadata  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise ValueError(Errors.SM042.format(path=path, reason=error)) from error


def bytes_to_tensors(data: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the bytes of a safetensors file. The tensors are copies, which training may write to.

    Raises:
        ValueError: SM042 where the bytes are cut short or are no safetensors file.
    """
    try:
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + size].decode("utf8"))
        metadata = header.pop("__metadata__", {})
        start = 8 + size
        return {name: _view(data, start, spec) for name, spec in header.items()}, metadata
    except (ValueError, KeyError, AttributeError, TypeError, RuntimeError) as error:
        raise ValueError(Errors.SM042.format(path="the given bytes", reason=error)) from error


def _view(data: bytes, start: int, spec: dict) -> Tensor:
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


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
