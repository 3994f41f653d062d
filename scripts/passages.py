r"""Annotated passages of `assets/passages/` -> a corpus to train a GLiNER on.

    python scripts/passages.py assets/passages corpus/generalist

A file has blocks. A block has a topic, its entity types, each in several phrasings, and passages
with their entities in square brackets, in the format of `sentences.py`:

    == lighthouses
    types: lighthouse / beacon; engineer / builder of structures
    The [Bell Rock Lighthouse|lighthouse] was completed by [Robert Stevenson|engineer].

All mentions of a block's types are marked in its passages; mentions of other types are not. Every
Doc therefore has the labels of its own block. The first phrasing is the label. All phrasings go to
`phrases.json`, together with those of `assets/phrases.txt`; training draws one of them each time.

In a block with both "person" and "novelist", a novelist is not marked as "person". For the model to
learn that novelists are persons, `general.spacy` has such passages with general types only;
`assets/general.txt` says which types are subtypes of which.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import spacy
import srsly
import typer
from corpus_files import SPANS, FormatError, exit_with, read_lines, write_docs
from sentences import Entity, Sentence, parse_marked
from spacy.language import Language
from spacy.tokens import Doc
from wasabi import msg

from spacy_modernbert.pipeline.gliner.extensions import EXTENSION, install_extension

TOPIC, TYPES = "== ", "types:"


@dataclass(frozen=True)
class Block:
    """A topic with its types (their first phrasing is the label) and its annotated passages."""

    topic: str
    types: tuple[tuple[str, ...], ...]
    passages: tuple[Sentence, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of each passage."""
        return tuple(phrasings[0] for phrasings in self.types)


def main(folder: Path, corpus: Path, lang: str = "en") -> None:
    """Convert the files of FOLDER to a corpus in the folder CORPUS."""
    nlp = spacy.blank(lang)
    install_extension()
    phrases = read_phrases(folder.parent / "phrases.txt")
    subtypes = read_phrases(folder.parent / "general.txt")
    docs: list[Doc] = []
    general: list[Doc] = []
    blocks = 0
    for path in sorted(folder.glob("*.txt")):
        try:
            for block in read_blocks(path):
                blocks += 1
                for phrasings in block.types:
                    known = phrases.setdefault(phrasings[0], [])
                    known += [words for words in phrasings if words not in known]
                for passage in block.passages:
                    docs.append(make_doc(nlp, passage, block.labels))
                names = tuple(name for name in subtypes if name in block.labels)
                for passage in generalize(block, subtypes):
                    general.append(make_doc(nlp, passage, names))
        except FormatError as error:
            exit_with(path, error)
    write_docs(corpus / "passages.spacy", docs, store_user_data=True)
    write_docs(corpus / "general.spacy", general, store_user_data=True)
    srsly.write_json(corpus / "phrases.json", phrases)
    words = sum(map(len, phrases.values()))
    msg.good(f"{len(docs)} passages of {blocks} topics; {len(phrases)} types in {words} phrasings")


def read_blocks(path: Path) -> Iterator[Block]:
    """Read the blocks of a file. Raises `FormatError` for the first line that is wrong."""
    topic, types = "", ()
    passages: list[Sentence] = []
    for number, line in read_lines(path, comment="# "):
        if line.startswith(TOPIC):
            if topic:
                yield Block(topic, types, tuple(passages))
            topic, types, passages = line.removeprefix(TOPIC).strip(), (), []
        elif line.startswith(TYPES):
            types = read_types(line.removeprefix(TYPES), number)
        else:
            labels = [phrasings[0] for phrasings in types]
            passages.append(Sentence(topic, *parse_marked(line, number, labels), number))
    if topic:
        yield Block(topic, types, tuple(passages))


def read_types(line: str, number: int) -> tuple[tuple[str, ...], ...]:
    """Read the types of a block. Raises `FormatError`."""
    types = tuple(
        tuple(words.strip() for words in one.split("/")) for one in line.split(";") if one.strip()
    )
    labels = [phrasings[0] for phrasings in types]
    if len(set(labels)) < len(labels) or not all(all(phrasings) for phrasings in types):
        raise FormatError(f"line {number}: a type is empty, or occurs twice")
    return types


def read_phrases(path: Path) -> dict[str, list[str]]:
    """Read lines `label = phrasing / phrasing`. The label itself is the first phrasing."""
    phrases: dict[str, list[str]] = {}
    for _, line in read_lines(path):
        label, _, others = line.partition(" = ")
        phrases[label] = [label, *(words.strip() for words in others.split("/"))]
    return phrases


def generalize(block: Block, subtypes: dict[str, list[str]]) -> Iterator[Sentence]:
    """Yield the passages of a block that has general types, with entities of these types only."""
    general = {one: name for name in subtypes if name in block.labels for one in subtypes[name]}
    for passage in block.passages if general else ():
        found = [
            Entity(e.start, e.end, general[e.label]) for e in passage.entities if e.label in general
        ]
        yield Sentence(passage.domain, passage.text, tuple(found), passage.line)


def make_doc(nlp: Language, passage: Sentence, labels: tuple[str, ...]) -> Doc:
    """Tokenize a passage and annotate it. Spans that end inside a token grow to the whole token."""
    doc = nlp.make_doc(passage.text)
    doc.spans[SPANS] = [
        doc.char_span(entity.start, entity.end, label=entity.label, alignment_mode="expand")
        for entity in passage.entities
    ]
    setattr(doc._, EXTENSION, list(labels))
    return doc


if __name__ == "__main__":
    typer.run(main)
