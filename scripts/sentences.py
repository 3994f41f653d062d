r"""The format of the annotated sentences in `assets/sentences.txt`: how to read and write a line.

A line is a domain, a tab, and a text with its entities in square brackets:

    news<TAB>[Maria Lopez|PERSON] joined [Acme Robotics|ORG] on [3 May|DATE].

A backslash makes the next character an ordinary one (`items\[0\]`). Empty lines and lines that
start with `#` are skipped. Entities neither nest nor overlap.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from corpus_files import FormatError, numbered_lines

LABELS = ("CODE", "DATE", "MONEY", "ORG", "PERSON", "PLACE", "PRODUCT", "VERSION")
DOMAINS = ("chat", "news", "review", "science", "support", "travel")

# Either an entity in brackets or plain text; in both, a backslash escapes a character.
PART = re.compile(
    r"\[(?P<surface>(?:\\.|[^\\\[\]|])+)\|(?P<label>[^\\\[\]|]*)\]|(?P<plain>(?:\\.|[^\\\[\]])+)"
)
ESCAPED = re.compile(r"\\(.)")
SPECIAL = re.compile(r"([\\\[\]|])")


@dataclass(frozen=True)
class Entity:
    """An entity: half-open character offsets and the label."""

    start: int
    end: int
    label: str


@dataclass(frozen=True)
class Sentence:
    """One line of the file without its brackets.

    `line` is the number of that line, for messages; 0 without a file.
    """

    domain: str
    text: str
    entities: tuple[Entity, ...]
    line: int = 0


def read_sentences(path: Path) -> list[Sentence]:
    """Read all sentences of a file. Raises `FormatError` for the first line that is wrong."""
    return list(parse_lines(path.read_text(encoding="utf8").splitlines()))


def parse_lines(lines: Iterable[str]) -> Iterator[Sentence]:
    """Read lines, without comments and empty ones."""
    for number, line in numbered_lines(lines):
        yield parse_line(line, number)


def parse_line(line: str, number: int = 0) -> Sentence:
    """Read one line. Raises `FormatError`."""
    domain, tab, marked = line.partition("\t")
    if not tab or domain not in DOMAINS:
        raise FormatError(
            f"line {number}: expected one of {DOMAINS} and a tab, found {line[:30]!r}"
        )
    return Sentence(domain, *parse_marked(marked, number, LABELS), number)


def parse_marked(marked: str, number: int, labels: Sequence[str]) -> tuple[str, tuple[Entity, ...]]:
    """Read a text with its entities in brackets. Raises `FormatError`."""
    text = ""
    entities: list[Entity] = []
    at = 0
    while at < len(marked):
        part = PART.match(marked, at)
        if part is None:
            raise FormatError(
                f"line {number}: cannot read {marked[at : at + 30]!r}; write \\[ for ["
            )
        start = len(text)
        text += ESCAPED.sub(r"\1", part["plain"] or part["surface"])
        if part["label"] is not None:
            if part["label"] not in labels:
                raise FormatError(
                    f"line {number}: the label {part['label']!r} is none of {tuple(labels)}"
                )
            entities.append(Entity(start, len(text), part["label"]))
        at = part.end()
    return text, tuple(entities)


def format_line(sentence: Sentence) -> str:
    """Format one sentence as a line: the reverse of `parse_line`."""
    parts: list[str] = []
    done = 0
    for entity in sentence.entities:
        surface = _escape(sentence.text[entity.start : entity.end])
        parts += [_escape(sentence.text[done : entity.start]), f"[{surface}|{entity.label}]"]
        done = entity.end
    parts.append(_escape(sentence.text[done:]))
    return f"{sentence.domain}\t{''.join(parts)}"


def join_sentences(sentences: list[Sentence]) -> Sentence:
    """Join sentences of one domain into one text, with a space between them."""
    text = ""
    entities: list[Entity] = []
    for sentence in sentences:
        start = len(text) + bool(text)
        text = f"{text} {sentence.text}" if text else sentence.text
        entities += [Entity(e.start + start, e.end + start, e.label) for e in sentence.entities]
    return Sentence(sentences[0].domain, text, tuple(entities), sentences[0].line)


def _escape(text: str) -> str:
    return SPECIAL.sub(r"\\\1", text)
