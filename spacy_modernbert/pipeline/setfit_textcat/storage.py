"""What a `setfit_textcat` writes and reads: settings, encoder, classifier, texts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import srsly

from ...setfit.head.classifier import Classifier
from ...text.files import atomic_path

if TYPE_CHECKING:
    from .component import SetfitTextcat

HEAD = "head.safetensors"
SUPPORT = "support.safetensors"


def byte_writers(pipe: SetfitTextcat, exclude: set[str]) -> dict[str, Callable[[], bytes]]:
    """Give what makes the parts of a component's bytes; parts that it has not are left out."""
    learner = pipe.learner
    # First of all, since it is what puts trained weights to use.
    classifier = pipe.classifier if pipe.can_classify else None
    writers: dict[str, Callable[[], bytes]] = {
        "cfg": lambda: srsly.json_dumps(pipe.changes()),
        "vocab": lambda: pipe.vocab.to_bytes(exclude=exclude),
        "model": lambda: pipe.model.to_bytes(),
    }
    if classifier is not None:
        writers[HEAD] = classifier.to_bytes
    if pipe.cfg["keep_support"] != "none" and len(learner.support):
        writers[SUPPORT] = lambda: learner.save_support(pipe.cfg)
    return writers


def disk_writers(pipe: SetfitTextcat, exclude: set[str]) -> dict[str, Callable[[Path], Any]]:
    """Give what writes the parts of a component's folder; parts that were there are removed."""

    def write(part: str) -> Callable[[Path], None]:
        def to_file(path: Path) -> None:
            if part not in makers:
                path.unlink(missing_ok=True)
                return
            content = makers[part]()
            with atomic_path(path) as temporary:
                temporary.write_bytes(content)

        return to_file

    makers = byte_writers(pipe, exclude)
    return {
        "cfg": lambda path: srsly.write_json(path, pipe.changes()),
        "vocab": lambda path: pipe.vocab.to_disk(path, exclude=exclude),
        "model": lambda path: pipe.model.to_disk(path),
        HEAD: write(HEAD),
        SUPPORT: write(SUPPORT),
    }


def byte_readers(pipe: SetfitTextcat, exclude: set[str]) -> dict[str, Callable[[bytes], Any]]:
    """Give what reads the parts of a component's bytes."""
    return {
        "cfg": lambda data: pipe.change(srsly.json_loads(data)),
        "vocab": lambda data: pipe.vocab.from_bytes(data, exclude=exclude),
        "model": lambda data: pipe.model.from_bytes(data),
        HEAD: lambda data: pipe.take(Classifier.from_bytes(data)),
        SUPPORT: lambda data: pipe.learner.load_support(data, pipe.cfg),
    }


def disk_readers(
    pipe: SetfitTextcat, path: Path, exclude: set[str]
) -> dict[str, Callable[[Path], Any]]:
    """Give what reads the parts of a component's folder that are there."""
    readers: dict[str, Callable[[Path], Any]] = {
        "cfg": lambda file: pipe.change(srsly.read_json(file)),
        "vocab": lambda file: pipe.vocab.from_disk(file, exclude=exclude),
        "model": lambda file: pipe.model.from_disk(file),
    }
    if (path / HEAD).exists():
        readers[HEAD] = lambda file: pipe.take(Classifier.load(file))
    if (path / SUPPORT).exists():
        readers[SUPPORT] = lambda file: pipe.learner.load_support(file.read_bytes(), pipe.cfg)
    return readers
