"""What the components around a checkpoint share: Docs that fail, and saving.

The config holds the settings. What it does not hold is saved in ``cfg``, see `live_settings`. So a
pipeline that is loaded with another ``threshold`` in its config uses that one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from spacy import util
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc
from typing_extensions import Self

from ..errors import shorten
from ..text.files import atomic_path
from .error_handling import annotate_batch, annotate_stream

Writers = Mapping[str, Callable[[], bytes]]
# They take the bytes, and where these come from, for messages.
Readers = Mapping[str, Callable[[bytes, object], Any]]


class CheckpointPipe(TrainablePipe):
    """Base class of the components, with saved parts beside ``cfg``, ``vocab`` and ``model``.

    A subclass has `predict` and `set_annotations`, as in spaCy, and the methods below that raise
    ``NotImplementedError``.

    Attributes:
        part_names: Names of all parts of its own that the component can save. They are the names
            that ``exclude`` takes, and those of the files.
        no_labels: The message where the component is used before it has labels.
        not_docs: The message where `predict` gets something else than Docs.
    """

    part_names: ClassVar[tuple[str, ...]] = ()
    no_labels: ClassVar[str]
    not_docs: ClassVar[str]

    def __call__(self, doc: Doc, **settings: Any) -> Doc:
        """Annotate one Doc, with the settings of this call that `predict` takes."""
        annotate_batch(self, [doc], partial(self._annotate, **settings))
        return doc

    def pipe(
        self, stream: Iterable[Doc], *, batch_size: int = 128, **settings: Any
    ) -> Iterator[Doc]:
        """Annotate a stream of Docs, with the settings of this call that `predict` takes.

        Docs come in their order, without those that the error handler has taken.
        """
        annotate = partial(self._annotate, **settings)
        yield from annotate_stream(self, stream, annotate, batch_size=batch_size)

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Return the component as bytes: ``cfg``, ``vocab``, ``model``, and ``part_names``."""
        excluded = set(exclude)
        writers: dict[str, Callable[[], bytes]] = {
            "cfg": lambda: json.dumps(self.changed_settings()).encode("utf8"),
            "vocab": lambda: self.vocab.to_bytes(exclude=excluded),
            "model": lambda: self.model.to_bytes(),
            **self.part_writers(excluded),
        }
        return util.to_bytes(writers, excluded)

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> Self:
        """Load what `to_bytes` returned, into a component of the same config."""
        excluded = set(exclude)
        readers: dict[str, Callable[[bytes], Any]] = {
            "cfg": lambda content: self.change_settings(json.loads(content)),
            "vocab": lambda content: self.vocab.from_bytes(content, exclude=excluded),
            "model": lambda content: self.model.from_bytes(content),
            **{k: partial(_read_bytes, read) for k, read in self.part_readers(excluded).items()},
        }
        util.from_bytes(bytes_data, readers, excluded)
        return self

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Write a folder, each file whole or not at all; ``model`` is a checkpoint like any other.

        Files of parts that the component does not have now are removed.
        """
        excluded = set(exclude)
        parts = self.part_writers(excluded)
        writers: dict[str, Callable[[Path], Any]] = {
            "cfg": lambda file: file.write_text(json.dumps(self.changed_settings())),
            "vocab": lambda file: self.vocab.to_disk(file, exclude=excluded),
            "model": lambda file: self.model.to_disk(file),
            **{name: partial(_write_file, parts.get(name)) for name in self.part_names},
        }
        util.to_disk(path, writers, excluded)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> Self:
        """Load the folder that `to_disk` wrote, into a component of the same config."""
        excluded = set(exclude)
        readers: dict[str, Callable[[Path], Any]] = {
            "cfg": lambda file: self.change_settings(json.loads(file.read_text())),
            "vocab": lambda file: self.vocab.from_disk(file, exclude=excluded),
            "model": lambda file: self.model.from_disk(file),
        }
        for name, read in self.part_readers(excluded).items():
            if (Path(path) / name).exists():
                readers[name] = partial(_read_file, read)
        util.from_disk(path, readers, excluded)
        return self

    def changed_settings(self) -> dict[str, Any]:
        """Return the settings that differ from the config, as `ConfigEntry.changes` does."""
        raise NotImplementedError

    def change_settings(self, changes: dict[str, Any]) -> None:
        """Apply saved settings that `changed_settings` returned."""
        raise NotImplementedError

    def part_writers(self, excluded: set[str]) -> Writers:
        """Return, for each part that the component has now, a function that returns its bytes."""
        raise NotImplementedError

    def part_readers(self, excluded: set[str]) -> Readers:
        """Return, for each part that the component can load, a function that reads its bytes."""
        raise NotImplementedError

    def read_docs(self, docs: Iterable[Any]) -> list[Doc]:
        """Return Docs as a list; ValueError `not_docs` where they are something else.

        A text and a single Doc can be iterated over, too, but not to any good.
        """
        is_iterable = isinstance(docs, Iterable) and not isinstance(docs, str | Doc)
        found: list[Any] = list(docs) if is_iterable else [docs]
        wrong = [item for item in found if not isinstance(item, Doc)]
        if wrong or not is_iterable:
            item = (wrong or found)[0]
            what = f"the {type(item).__name__} {shorten(item)!r}"
            raise ValueError(self.not_docs.format(name=self.name, item=what))
        return found

    def _require_labels(self) -> None:
        if not self.labels:
            raise ValueError(self.no_labels.format(name=self.name))

    def _annotate(self, docs: Sequence[Doc], **settings: Any) -> None:
        self.set_annotations(docs, self.predict(docs, **settings))


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
