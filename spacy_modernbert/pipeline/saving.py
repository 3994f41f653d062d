"""Pipelines that are saved whole or not at all."""

# No `from __future__ import annotations`: the types are what configs are validated against.

import functools
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from spacy.language import Language
from spacy.util import registry

from ..errors import Errors


@registry.callbacks("spacy_modernbert.atomic_save.v1")
def make_atomic_save() -> Callable[[Language], Language]:
    """Make a callback for ``[training.before_to_disk]``.

    With it, a training that is interrupted while it saves leaves the last state that was saved
    whole: ``model-last`` is written beside its place, and moved there when it is complete.
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
    fresh, old = (target.with_name(f".{target.name}.{part}") for part in ("new", "old"))
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


def _finish(target: Path, old: Path) -> None:
    """Clean up after a process that ended between the two moves."""
    if old.exists() and not target.exists():
        os.replace(old, target)  # noqa: PTH105
    shutil.rmtree(old, ignore_errors=True)
