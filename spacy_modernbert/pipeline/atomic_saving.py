"""Pipelines that are saved whole or not at all."""

# No `from __future__ import annotations`: the types are what configs are validated against.

import functools
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.training import loop
from spacy.util import registry

from ..errors import Errors


@registry.callbacks("spacy_modernbert.atomic_save.v1")
def make_atomic_save() -> Callable[[Language], Language]:
    """Make a callback for ``[training.before_to_disk]``.

    With it, a training that is interrupted while it saves leaves the last state that was saved
    whole: ``model-last`` is written beside its place, and moved there when it is complete, and so
    is the copy of it that becomes ``model-best``.
    """
    return save_whole


def save_whole(nlp: Language) -> Language:
    """Let a pipeline write its folder whole or not at all.

    Args:
        nlp: The pipeline; its ``to_disk`` is replaced.

    Returns:
        The same pipeline.
    """
    if not isinstance(nlp.to_disk, functools.partial):
        write = functools.partial(to_disk_whole, nlp)
        nlp.to_disk = write  # type: ignore[method-assign]
    # spaCy's loop makes `model-best` a copy of `model-last`, file by file, and offers no hook.
    loop.shutil = _WholeFolders()  # type: ignore[attr-defined, assignment]
    return nlp


def to_disk_whole(nlp: Language, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
    """Write a pipeline beside its place, and move it there when it is complete.

    Args:
        nlp: The pipeline.
        path: The folder; what of its name is there is replaced, all of it.
        exclude: Names of parts that are left out.

    Raises:
        OSError: SM047 where the system refuses to write, for want of space or otherwise.
    """
    target = Path(path)
    fresh, old = _beside(target, "new"), _beside(target, "old")
    _finish(target, old)
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        Language.to_disk(nlp, fresh, exclude=list(exclude))
    except OSError as error:
        shutil.rmtree(fresh, ignore_errors=True)  # room for what comes next
        if str(error).startswith("[SM047]"):
            raise
        raise OSError(Errors.SM047.format(path=target, reason=error)) from error
    if target.exists():
        os.replace(target, old)  # noqa: PTH105 - a folder, on top of nothing
    os.replace(fresh, target)  # noqa: PTH105
    shutil.rmtree(old, ignore_errors=True)


class _WholeFolders:
    """The module `shutil`, but for folders that come and go in one piece."""

    def __getattr__(self, name: str) -> Any:
        return getattr(shutil, name)

    @staticmethod
    def copytree(source: Path, target: Path) -> Path:
        """Copy a folder beside its place, and move it there when it is complete."""
        fresh = _beside(target, "new")
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(source, fresh)
        os.replace(fresh, target)  # noqa: PTH105
        return target

    @staticmethod
    def rmtree(path: str | Path) -> None:
        """Move a folder out of its place, and remove it there."""
        old = _beside(Path(path), "old")
        shutil.rmtree(old, ignore_errors=True)
        os.replace(path, old)  # noqa: PTH105
        shutil.rmtree(old)


def _beside(target: Path, part: str) -> Path:
    return target.with_name(f".{target.name}.{part}")


def _finish(target: Path, old: Path) -> None:
    """Clean up after a process that ended between the two moves."""
    if old.exists() and not target.exists():
        os.replace(old, target)  # noqa: PTH105
    shutil.rmtree(old, ignore_errors=True)
