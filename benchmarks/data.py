"""The data sets of the benchmarks: JSON lines, sentences with their entities, frequent labels."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import spacy

Span = tuple[int, int, str]


@dataclass(frozen=True)
class Sentence:
    """A sentence with its annotated entities.

    Attributes:
        words: The words.
        spans: First word, word after the last one, and label of each entity.
    """

    words: list[str]
    spans: list[Span]


def read_lines(path: Path) -> Iterator[str]:
    """Read the lines of a text file; a name that ends in ``.gz`` means that it is compressed."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf8") as lines:
        yield from lines


def read_json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Read a file that has one JSON object per line."""
    return map(json.loads, read_lines(path))


def write_json_lines(path: Path, entries: Iterable[dict[str, Any]]) -> None:
    """Write a compressed file with one JSON object per line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf8") as file:
        file.writelines(json.dumps(entry) + "\n" for entry in entries)


def read_sentences(path: Path, limit: int | None = None) -> list[Sentence]:
    """Read sentences with entities.

    Args:
        path: JSON lines with ``text``, ``entities`` (``start`` and ``end`` in characters, and
            ``label``), and optionally ``tokens``; without these spaCy splits the text.
        limit: Number of sentences to read. Default: all.
    """
    tokenizer = spacy.blank("en").tokenizer
    sentences = []
    for entry in read_json_lines(path):
        words = entry.get("tokens")
        if words is None:
            words = [token.text for token in tokenizer(entry["text"]) if not token.is_space]
        sentences.append(Sentence(words, _word_spans(entry, words)))
        if len(sentences) == limit:
            break
    return sentences


def _word_spans(entry: dict[str, Any], words: Sequence[str]) -> list[Span]:
    """Convert entities to words. Entities that start or end inside a word are left out."""
    starts: dict[int, int] = {}
    ends: dict[int, int] = {}
    offset = 0
    for i, word in enumerate(words):
        offset = entry["text"].index(word, offset)
        starts[offset], ends[offset + len(word)] = i, i + 1
        offset += len(word)
    return [
        (starts[e["start"]], ends[e["end"]], e["label"])
        for e in entry["entities"]
        if e["start"] in starts and e["end"] in ends
    ]


def frequent_labels(sentences: Iterable[Sentence], most: int = 25) -> list[str]:
    """Return the most frequent labels of sentences, the most frequent one first."""
    counts = Counter(label for sentence in sentences for *_, label in sentence.spans)
    return sorted(counts, key=lambda label: (-counts[label], label))[:most]


def all_labels(sentences: Iterable[Sentence]) -> list[str]:
    """Return all labels of sentences in alphabetical order."""
    return sorted({label for sentence in sentences for *_, label in sentence.spans})
