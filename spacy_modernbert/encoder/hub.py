"""Resolve the name of a checkpoint to a folder on this machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from ..errors import Errors

CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
SAFETENSORS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLED = "pytorch_model.bin"

# Enough for every kind of checkpoint of this package, without exports for other engines.
_FILES = ["*.json", "*.safetensors", "*.txt", "*.model"]
_IGNORED = ["onnx/*", "openvino/*", "coreml/*", "*/onnx/*"]

_NO_FOLDER = "there is no such folder"


def resolve(name: str, *, extra: Sequence[str] = ()) -> Path:
    """Find a checkpoint: a folder, or a name on the Hugging Face hub.

    A checkpoint in the local cache is found without a network. Any other is downloaded once, as
    safetensors if the repository has them.

    Args:
        name: A path, or ``owner/name``.
        extra: Further files of the repository that are needed.

    Returns:
        The folder that holds the files.

    Raises:
        FileNotFoundError: SM040 if neither disk, cache nor network has it.
    """
    folder = Path(name).expanduser()
    if name and folder.is_dir():
        return folder
    if _looks_like_path(name):
        raise FileNotFoundError(Errors.SM040.format(name=name, reason=_NO_FOLDER))
    try:
        cached = _cached(name, extra)
        return cached if cached is not None else _download(name, extra)
    except HFValidationError as error:
        # No name of a repository either, so nothing can be downloaded.
        raise FileNotFoundError(Errors.SM040.format(name=name, reason=_NO_FOLDER)) from error


def _looks_like_path(name: str) -> bool:
    is_relative = name.startswith((".", "~")) or (os.sep != "/" and os.sep in name)
    return is_relative or Path(name).is_absolute() or name.count("/") > 1 or not name


def _cached(name: str, extra: Sequence[str]) -> Path | None:
    try:
        folder = Path(snapshot_download(name, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    # Another library may have cached only a part of the repository, such as its config.json.
    has_all = _is_complete(folder) and all((folder / file).exists() for file in extra)
    return folder if has_all else None


def _download(name: str, extra: Sequence[str]) -> Path:
    if constants.HF_HUB_OFFLINE:
        raise _not_available(name, "HF_HUB_OFFLINE forbids the network")
    try:
        files = [*_FILES, *extra]
        folder = Path(snapshot_download(name, allow_patterns=files, ignore_patterns=_IGNORED))
        if not _has_weights(folder):
            snapshot_download(name, allow_patterns=[PICKLED])
        return folder
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise _not_available(name, f"the hub replied: {error}") from error


def _not_available(name: str, reason: str) -> FileNotFoundError:
    full = (
        f"there is no such folder, the local cache does not have it, and {reason}. To download it "
        f"on a machine with a network: `huggingface-cli download {name}`"
    )
    return FileNotFoundError(Errors.SM040.format(name=name, reason=full))


def _has_weights(folder: Path) -> bool:
    return any((folder / file).exists() for file in (SAFETENSORS, INDEX, PICKLED))


def _is_complete(folder: Path) -> bool:
    return _has_weights(folder) and any(folder.glob("*config.json"))
