"""The format of the labeled messages in `assets/requests.txt`.

A line is a label, a tab, and a text. It belongs to the part whose heading is above it:

    [support]
    noise<TAB>The neighbours' party is far too loud.

The parts are `support` (to learn from), `test`, and `scope`, whose texts fit no label and are
marked `none`. Empty lines and lines that start with `#` are skipped.

This module is not called `requests`, which would shadow the package that spaCy uses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from corpus_files import FormatError, numbered_lines

LABELS = (
    "address_change",
    "building_permit",
    "fly_tipping",
    "hall_booking",
    "identity_documents",
    "noise",
    "parking_fine",
    "parking_permit",
    "parks",
    "road_damage",
    "street_lighting",
    "waste_collection",
)
NO_LABEL = "none"
# The labels that lines may have, by part.
PARTS = {"support": LABELS, "test": LABELS, "scope": (NO_LABEL,)}


@dataclass(frozen=True)
class Request:
    """One message: its part, its label, its text, and the number of its line."""

    part: str
    label: str
    text: str
    line: int


def read_requests(path: Path) -> list[Request]:
    """Read all messages of a file. Raises `FormatError` for the first line that is wrong."""
    return list(parse_lines(path.read_text(encoding="utf8").splitlines()))


def parse_lines(lines: Iterable[str]) -> Iterator[Request]:
    """Read lines, without comments and empty ones.

    Raises:
        FormatError: A heading or a line cannot be read, or a text occurs a second time.
    """
    part = ""
    seen: dict[str, int] = {}
    for number, line in numbered_lines(lines):
        if line.startswith("["):
            part = parse_heading(line, number)
            continue
        request = parse_line(line, part, number)
        first = seen.setdefault(request.text, number)
        if first != number:
            raise FormatError(f"line {number}: the text is on line {first} already")
        yield request


def parse_heading(line: str, number: int) -> str:
    """Read the heading of a part. Raises `FormatError`."""
    part = line.rstrip().removeprefix("[").removesuffix("]")
    if line.rstrip() != f"[{part}]" or part not in PARTS:
        raise FormatError(f"line {number}: the heading {line!r} is none of {tuple(PARTS)}")
    return part


def parse_line(line: str, part: str, number: int) -> Request:
    """Read one message of a part. Raises `FormatError`."""
    if not part:
        raise FormatError(f"line {number}: expected a heading first, such as [support]")
    label, tab, text = line.partition("\t")
    if not tab or label not in PARTS[part]:
        raise FormatError(
            f"line {number}: expected one of {PARTS[part]} and a tab, found {line[:30]!r}"
        )
    if not text or text != text.strip() or "\t" in text:
        raise FormatError(
            f"line {number}: expected a text without tabs or spaces around it, found {text!r}"
        )
    return Request(part, label, text, number)
