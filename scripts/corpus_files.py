"""Files of the corpus: lines of annotated texts to read, spaCy's `DocBin` to read and write."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NoReturn

import spacy
from spacy.tokens import Doc, DocBin
from wasabi import msg

SPANS = "sc"


class FormatError(ValueError):
    """A line cannot be read. The message says which line, and why."""


def numbered_lines(lines: Iterable[str], comment: str = "#") -> Iterator[tuple[int, str]]:
    """Yield lines with their numbers from 1, without empty lines and comments."""
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.startswith(comment):
            yield number, line


def read_lines(path: Path, comment: str = "#") -> Iterator[tuple[int, str]]:
    """Yield the lines of a file with their numbers from 1, without empty lines and comments."""
    return numbered_lines(path.read_text(encoding="utf8").splitlines(), comment)


def exit_with(path: Path, error: FormatError) -> NoReturn:
    """Print what is wrong with a file, and exit with status 1."""
    msg.fail(str(path), str(error))
    sys.exit(1)


def read_docs(path: Path) -> Iterator[Doc]:
    """Read the Docs of a file."""
    return DocBin().from_disk(path).get_docs(spacy.blank("en").vocab)


def write_docs(path: Path, docs: Iterable[Doc], *, store_user_data: bool = False) -> None:
    """Write Docs to a file, and create its folder if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    DocBin(docs=docs, store_user_data=store_user_data).to_disk(path)
