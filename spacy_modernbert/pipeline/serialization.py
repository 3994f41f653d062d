"""A component as bytes and as a folder: settings, vocabulary, model, and parts of its own.

The config holds the settings. Only those that were changed since are saved, in ``cfg``. So a
pipeline that is loaded with another ``threshold`` in its config uses that one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import srsly
from spacy import util
from spacy.vocab import Vocab
from thinc.api import Model

from ..text.files import atomic_path

Writers = Mapping[str, Callable[[], bytes]]
# They take the bytes, and where these come from, for messages.
Readers = Mapping[str, Callable[[bytes, object], Any]]


class Component(Protocol):
    """The parts that every component saves."""

    vocab: Vocab
    model: Model

    def changed_settings(self) -> dict[str, Any]:
        """Return the settings that differ from the config."""
        ...

    def change_settings(self, changes: dict[str, Any]) -> None:
        """Apply settings that `changed_settings` returned."""
        ...


def component_to_bytes(pipe: Component, exclude: Iterable[str], parts: Writers) -> bytes:
    """Return a component as bytes.

    Args:
        pipe: The component.
        exclude: Names of parts that are left out.
        parts: The component's own parts: name -> function that returns the bytes.
    """
    excluded = set(exclude)
    writers: dict[str, Callable[[], bytes]] = {
        "cfg": lambda: srsly.json_dumps(pipe.changed_settings()),
        "vocab": lambda: pipe.vocab.to_bytes(exclude=excluded),
        "model": lambda: pipe.model.to_bytes(),
        **parts,
    }
    return util.to_bytes(writers, excluded)


def component_from_bytes(
    pipe: Component, data: bytes, exclude: Iterable[str], parts: Readers
) -> None:
    """Load what `component_to_bytes` returned.

    Args:
        pipe: A component of the same config.
        data: The bytes.
        exclude: Names of parts that are not loaded.
        parts: The component's own parts: name -> function that reads the bytes, if they exist.
    """
    excluded = set(exclude)
    readers: dict[str, Callable[[bytes], Any]] = {
        "cfg": lambda content: pipe.change_settings(srsly.json_loads(content)),
        "vocab": lambda content: pipe.vocab.from_bytes(content, exclude=excluded),
        "model": lambda content: pipe.model.from_bytes(content),
        **{name: partial(_read_bytes, read) for name, read in parts.items()},
    }
    util.from_bytes(data, readers, excluded)


def component_to_disk(
    pipe: Component, path: str | Path, exclude: Iterable[str], parts: Writers, names: Iterable[str]
) -> None:
    """Write a component as a folder, each file whole or not at all.

    Args:
        pipe: The component.
        path: The folder.
        exclude: Names of parts that are left out.
        parts: The component's own parts: name -> function that returns the bytes.
        names: Names of all parts that the component can have. Files of parts that it does not have
            now are removed.
    """
    excluded = set(exclude)
    writers: dict[str, Callable[[Path], Any]] = {
        "cfg": lambda file: srsly.write_json(file, pipe.changed_settings()),
        "vocab": lambda file: pipe.vocab.to_disk(file, exclude=excluded),
        "model": lambda file: pipe.model.to_disk(file),
        **{name: partial(_write_file, parts.get(name)) for name in names},
    }
    util.to_disk(path, writers, excluded)


def component_from_disk(
    pipe: Component, path: str | Path, exclude: Iterable[str], parts: Readers
) -> None:
    """Load the folder that `component_to_disk` wrote.

    Args:
        pipe: A component of the same config.
        path: The folder.
        exclude: Names of parts that are not loaded.
        parts: The component's own parts: name -> function that reads the bytes, if they exist.
    """
    excluded = set(exclude)
    readers: dict[str, Callable[[Path], Any]] = {
        "cfg": lambda file: pipe.change_settings(srsly.read_json(file)),
        "vocab": lambda file: pipe.vocab.from_disk(file, exclude=excluded),
        "model": lambda file: pipe.model.from_disk(file),
    }
    for name, read in parts.items():
        if (Path(path) / name).exists():
            readers[name] = partial(_read_file, read)
    util.from_disk(path, readers, excluded)


def _write_file(make: Callable[[], bytes] | None, file: Path) -> None:
    if make is None:
        file.unlink(missing_ok=True)
        return
    content = make()
    with atomic_path(file) as temporary:
        temporary.write_bytes(content)


def _read_file(read: Callable[[bytes, object], Any], file: Path) -> None:
    read(file.read_bytes(), file)


def _read_bytes(read: Callable[[bytes, object], Any], content: bytes) -> None:
    read(content, "the given bytes")
