"""Resolve the name of a checkpoint to a folder on this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from ..errors import Errors
from .bundled import BUNDLED, bundled_folder
from .kinds import require_encoder

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
    safetensors if the repository has them. A name whose parent is a folder here, such as
    ``models/encoder`` beside a folder ``models``, is a path: it is not downloaded.

    Args:
        name: ``bundled``, a path, ``owner/name``, or ``owner/name@revision`` with a branch, tag or
            commit.
        extra: Further files of the repository that are needed.

    Returns:
        The folder that holds the files.

    Raises:
        FileNotFoundError: SM040 if neither disk, cache nor network has it.
    """
    if name == BUNDLED:
        return bundled_folder()
    folder = Path(name).expanduser()
    if name and folder.is_dir():
        return folder
    repository, at, revision = name.partition("@")
    if _looks_like_path(repository) or (at and not revision):
        raise _no_folder(name)
    try:
        cached = _cached(repository, revision or None, extra)
        if cached is not None:
            return cached
        if _is_like_bundled(name):
            raise _no_folder(name)
        if "/" in repository and folder.parent.is_dir():
            raise _no_folder(name, ", and the local cache has no repository of this name")
        return _download(repository, revision or None, extra)
    except HFValidationError as error:
        # No name of a repository either, so nothing can be downloaded.
        raise _no_folder(name) from error


def resolve_encoder(name: str) -> Path:
    """Find the checkpoint of an encoder, as `resolve` does.

    Raises:
        FileNotFoundError: SM040 if neither disk, cache nor network has it.
        ValueError: SM160 or SM163 if it is something else.
    """
    folder = resolve(name)
    require_encoder(folder, name)
    return folder


def _looks_like_path(name: str) -> bool:
    is_relative = name.startswith((".", "~")) or (os.sep != "/" and os.sep in name)
    return is_relative or Path(name).is_absolute() or name.count("/") > 1 or not name


def _cached(repository: str, revision: str | None, extra: Sequence[str]) -> Path | None:
    try:
        folder = Path(snapshot_download(repository, revision=revision, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    # Another library may have cached only a part of the repository, such as its config.json.
    has_all = _is_complete(folder) and all((folder / file).exists() for file in extra)
    return folder if has_all else None


def _download(repository: str, revision: str | None, extra: Sequence[str]) -> Path:
    if constants.HF_HUB_OFFLINE:
        raise _not_available(repository, revision, "HF_HUB_OFFLINE forbids the network")
    load = partial(snapshot_download, repository, revision=revision)
    try:
        files = [*_FILES, *extra]
        folder = Path(load(allow_patterns=files, ignore_patterns=_IGNORED))
        if not _has_weights(folder):
            load(allow_patterns=[PICKLED])
        return folder
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise _not_available(repository, revision, f"the hub replied: {error}") from error


def _no_folder(name: str, more: str = "") -> FileNotFoundError:
    reason = _NO_FOLDER + _hint(name) + more
    return FileNotFoundError(Errors.SM040.format(name=name, reason=reason))


def _not_available(repository: str, revision: str | None, reason: str) -> FileNotFoundError:
    name = f"{repository}@{revision}" if revision else repository
    option = f" --revision {revision}" if revision else ""
    full = (
        f"{_NO_FOLDER}{_hint(name)}, the local cache does not have it, and {reason.rstrip('. ')}. "
        f"If the name is right, fetch it on a machine with a network: `hf download {repository}"
        f"{option}`. `gliner` and `setfit_textcat` need no network with the model '{BUNDLED}'"
    )
    return FileNotFoundError(Errors.SM040.format(name=name, reason=full))


def _hint(name: str) -> str:
    """Name what has a similar name, for a name that was mistyped."""
    if _is_like_bundled(name):
        return f" (the bundled model is '{BUNDLED}')"
    if found := re.fullmatch(r"https?://[^/]+/([^/]+/[^/]+)(/.*)?", name):
        return f" (on the hub its name is '{found[1]}', without the rest of the address)"
    folder = Path(name).expanduser()
    try:
        beside = {path.name: path for path in folder.parent.iterdir() if path.is_dir()}
    except OSError:
        return ""
    similar = [str(beside[found]) for found in get_close_matches(folder.name, beside)]
    return f" (but there is {' and '.join(similar)})" if similar else ""


def _is_like_bundled(name: str) -> bool:
    return bool(get_close_matches(name.lower(), [BUNDLED], cutoff=0.8))


def _has_weights(folder: Path) -> bool:
    return any((folder / file).exists() for file in (SAFETENSORS, INDEX, PICKLED))


def _is_complete(folder: Path) -> bool:
    return _has_weights(folder) and any(folder.glob("*config.json"))
