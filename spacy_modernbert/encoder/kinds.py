"""What kind of thing a folder holds, for folders that were taken for something else."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ..errors import Errors

# The component that a checkpoint is for, or "encoder" for a plain one.
Kind = Literal["gliner", "setfit_textcat", "encoder"]

_FILES: tuple[tuple[str, Kind], ...] = (
    ("gliner_config.json", "gliner"),
    ("modules.json", "setfit_textcat"),
    ("config.json", "encoder"),
)
_PIPELINE = ("config.cfg", "meta.json")


def find_kind(folder: Path) -> Kind | None:
    """Return what a checkpoint's files are for, None if the folder is not a checkpoint."""
    return next((kind for file, kind in _FILES if (folder / file).exists()), None)


def require_encoder(folder: Path, name: str) -> None:
    """Refuse a pipeline or a GLiNER in the place of an encoder.

    Raises:
        FileNotFoundError: SM040 if the folder holds no checkpoint.
        ValueError: SM160 or SM163 if the folder holds one of them.
    """
    _refuse_pipeline(folder, name)
    kind = find_kind(folder)
    if kind == "gliner":
        raise ValueError(Errors.SM163.format(name=name))
    if kind is None and not (folder / "tokenizer.json").exists():
        reason = "the folder has no config.json"
        raise FileNotFoundError(Errors.SM040.format(name=name, reason=reason))


def require_gliner(folder: Path) -> None:
    """Refuse a pipeline or an encoder in the place of a GLiNER.

    Raises:
        ValueError: SM160 or SM164 if the folder holds one of them.
    """
    _refuse_pipeline(folder, str(folder))
    if find_kind(folder) in ("setfit_textcat", "encoder"):
        raise ValueError(Errors.SM164.format(name=folder))


def _refuse_pipeline(folder: Path, name: str) -> None:
    if all((folder / file).is_file() for file in _PIPELINE):
        raise ValueError(Errors.SM160.format(name=name))
