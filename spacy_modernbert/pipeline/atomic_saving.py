"""Training checkpoints that survive an interruption.

spaCy's loop saves ``model-last`` through ``Language.to_disk`` and then, if it is the best so far,
removes ``model-best`` and copies ``model-last`` there, file by file. `AtomicSave` hands the loop a
copy of the pipeline object whose ``to_disk`` writes a folder beside its place and moves it there
when it is complete. Neither the pipeline nor spaCy's modules are changed.

No callback runs during the copy to ``model-best``, so a process that is killed then leaves it
incomplete. What holds at any moment is:

- A ``model-last`` that exists is complete. A process that is killed between the two moves of a
  folder leaves the earlier one as ``.model-last.old`` and the new one as ``.model-last.new``.
- Where ``model-best`` is incomplete or missing, ``model-last`` is complete and is the best
  pipeline: spaCy was copying it. After SIGKILL, copy it to ``model-best``.
- After an exception or SIGINT spaCy saves once more. That save completes ``model-best`` first.
"""

# No `from __future__ import annotations`: the types are what configs are validated against.

import functools
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeAlias

from spacy.language import Language
from spacy.util import registry

from ..errors import Errors

_LAST, _BEST = "model-last", "model-best"

# Sizes of a folder's files by their relative paths; None if the folder does not exist.
Files: TypeAlias = dict[Path, int] | None


@registry.callbacks("spacy_modernbert.atomic_save.v1")
def make_atomic_save() -> Callable[[Language], Language]:
    """Make a callback for ``[training.before_to_disk]`` that saves complete folders."""
    return AtomicSave()


class AtomicSave:
    """Gives the training loop a pipeline that saves its folder whole or not at all."""

    def __init__(self) -> None:
        self._best_files: dict[Path, Files] = {}  # as they were at the end of the last save

    def __call__(self, nlp: Language) -> Language:
        """Return a shallow copy of a pipeline with another ``to_disk``."""
        if hasattr(nlp, "atomic_save"):
            return nlp
        cls = _subclass(type(nlp))  # type: ignore[arg-type]
        saved = cls.__new__(cls)
        saved.__dict__.update(vars(nlp), atomic_save=self)
        return saved

    def save(self, target: Path, write: Callable[[Path], None]) -> None:
        """Write a folder beside its place, and move it there when it is complete.

        Args:
            target: The folder; replaced as a whole if it exists.
            write: Writes the folder at the path it is given.

        Raises:
            OSError: SM047 if the system refuses to write, for lack of space or another reason.
        """
        best = target.with_name(_BEST)
        _finish(target)
        if target.name == _LAST:
            self._complete(best, target)
        _replace(target, write)
        self._best_files[best] = _files(best)

    def _complete(self, best: Path, last: Path) -> None:
        """Repeat a copy of ``model-last`` that was interrupted since the last save."""
        _finish(best)
        if best not in self._best_files:
            return
        before, source, found = self._best_files[best], _files(last), _files(best)
        if found not in (before, source) and (_is_part(found, before) or _is_part(found, source)):
            _replace(best, functools.partial(shutil.copytree, last))


class _SavedAtomically:
    """Mixed into the class of a pipeline while it is saved."""

    atomic_save: AtomicSave

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Save the pipeline as `AtomicSave.save` does."""
        to_disk: Callable[..., None] = super().to_disk  # type: ignore[misc]
        self.atomic_save.save(Path(path), functools.partial(to_disk, exclude=list(exclude)))


@functools.cache
def _subclass(cls: type[Language]) -> Any:
    return type(f"Atomic{cls.__name__}", (_SavedAtomically, cls), {})


def _replace(target: Path, write: Callable[[Path], Any]) -> None:
    fresh, old = _beside(target, "new"), _beside(target, "old")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        write(fresh)
    except OSError as error:
        shutil.rmtree(fresh, ignore_errors=True)  # frees the space for what comes next
        if str(error).startswith("[SM047]"):
            raise
        raise OSError(Errors.SM047.format(path=target, reason=error)) from error
    if target.exists():
        os.replace(target, old)  # noqa: PTH105 - a folder, onto nothing
    os.replace(fresh, target)  # noqa: PTH105
    shutil.rmtree(old, ignore_errors=True)


def _finish(target: Path) -> None:
    """Clean up after a process that ended between the two moves of `_replace`."""
    old = _beside(target, "old")
    if old.exists() and not target.exists():
        os.replace(old, target)  # noqa: PTH105
    shutil.rmtree(old, ignore_errors=True)


def _beside(target: Path, part: str) -> Path:
    return target.with_name(f".{target.name}.{part}")


def _files(folder: Path) -> Files:
    if not folder.exists():
        return None
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder): path.stat().st_size for path in paths}


def _is_part(found: Files, whole: Files) -> bool:
    """Whether each file exists in the other folder, and is not longer than it is there."""
    return all(size <= (whole or {}).get(path, -1) for path, size in (found or {}).items())
