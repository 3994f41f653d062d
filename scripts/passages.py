r"""Annotated passages of `assets/passages/`, and how they become a corpus that GLiNER learns from.

    python scripts/passages.py assets/passages corpus/generalist

A file has blocks. A block has a topic, the types that were looked for, each in several phrasings,
and passages with their entities in square brackets, in the format of `sentences.py`:

    == lighthouses
    types: lighthouse / beacon; engineer / builder of structures
    The [Bell Rock Lighthouse|lighthouse] was completed by [Robert Stevenson|engineer].

All mentions of a block's types are marked in its passages, and nothing is known about other types:
so every Doc carries the labels of its own block. The first phrasing is the label; the others go to
`phrases.json`, together with those of `assets/phrases.txt`, of which training draws one each time.

Where a block has "person" beside "novelist", a novelist is no "person" in it. So that the model
knows novelists for persons, too, `general.spacy` has such passages with general types only, as
`assets/general.txt` says which types are kinds of which.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import spacy
import srsly
import typer
from sentences import Entity, FormatError, Sentence, parse_marked
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from wasabi import msg

from spacy_modernbert.pipeline.gliner.annotations import EXTENSION, install_extension

SPANS = "sc"
TOPIC, TYPES = "== ", "types:"


@dataclass(frozen=True)
class Block:
    """A topic with its types (the first phrasing is the label) and its annotated passages."""

    topic: str
    types: tuple[tuple[str, ...], ...]
    passages: tuple[Sentence, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """What was looked for in each of the passages."""
        return tuple(phrasings[0] for phrasings in self.types)


def main(folder: Path, corpus: Path, lang: str = "en") -> None:
    """Convert the files of FOLDER into passages.spacy and phrases.json in the folder CORPUS."""
    nlp = spacy.blank(lang)
    install_extension()
    phrases = read_phrases(folder.parent / "phrases.txt")
    kinds = read_phrases(folder.parent / "general.txt")
    docs, general = DocBin(store_user_data=True), DocBin(store_user_data=True)
    blocks = 0
    for path in sorted(folder.glob("*.txt")):
        try:
            for block in read_blocks(path):
                blocks += 1
                for phrasings in block.types:
                    known = phrases.setdefault(phrasings[0], [])
                    known += [words for words in phrasings if words not in known]
                for passage in block.passages:
                    docs.add(make_doc(nlp, passage, block.labels))
                names = tuple(name for name in kinds if name in block.labels)
                for passage in generalize(block, kinds):
                    general.add(make_doc(nlp, passage, names))
        except FormatError as error:
            msg.fail(str(path), str(error))
            sys.exit(1)
    corpus.mkdir(parents=True, exist_ok=True)
    docs.to_disk(corpus / "passages.spacy")
    general.to_disk(corpus / "general.spacy")
    srsly.write_json(corpus / "phrases.json", phrases)
    words = sum(map(len, phrases.values()))
    msg.good(f"{len(docs)} passages of {blocks} topics; {len(phrases)} types in {words} phrasings")


def read_blocks(path: Path) -> Iterator[Block]:
    """Read the blocks of a file. Raises `FormatError` for the first line that is wrong."""
    topic, types = "", ()
    passages: list[Sentence] = []
    for number, line in enumerate(path.read_text(encoding="utf8").splitlines(), start=1):
        if line.startswith(TOPIC):
            if topic:
                yield Block(topic, types, tuple(passages))
            topic, types, passages = line.removeprefix(TOPIC).strip(), (), []
        elif line.startswith(TYPES):
            types = read_types(line.removeprefix(TYPES), number)
        elif line.strip() and not line.startswith("# "):
            labels = [phrasings[0] for phrasings in types]
            passages.append(Sentence(topic, *parse_marked(line, number, labels), number))
    if topic:
        yield Block(topic, types, tuple(passages))


def read_types(line: str, number: int) -> tuple[tuple[str, ...], ...]:
    """Read the list of a block's types."""
    types = tuple(
        tuple(words.strip() for words in one.split("/")) for one in line.split(";") if one.strip()
    )
    labels = [phrasings[0] for phrasings in types]
    if len(set(labels)) < len(labels) or not all(all(phrasings) for phrasings in types):
        raise FormatError(f"line {number}: a type is empty, or there twice")
    return types


def read_phrases(path: Path) -> dict[str, list[str]]:
    """Read `label = phrasing / phrasing` lines: the label itself is the first phrasing."""
    phrases: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf8").splitlines():
        if line.strip() and not line.startswith("#"):
            label, _, others = line.partition(" = ")
            phrases[label] = [label, *(words.strip() for words in others.split("/"))]
    return phrases


def generalize(block: Block, kinds: dict[str, list[str]]) -> Iterator[Sentence]:
    """Give the passages of a block that has general types, with entities of these alone."""
    known = {kind: name for name in kinds if name in block.labels for kind in kinds[name]}
    for passage in block.passages if known else ():
        found = [
            Entity(e.start, e.end, known[e.label]) for e in passage.entities if e.label in known
        ]
        yield Sentence(passage.domain, passage.text, tuple(found), passage.line)


def make_doc(nlp: Language, passage: Sentence, labels: tuple[str, ...]) -> Doc:
    """Tokenize a passage and put spans and labels on it; spans within tokens grow to whole ones."""
    doc = nlp.make_doc(passage.text)
    doc.spans[SPANS] = [
        doc.char_span(entity.start, entity.end, label=entity.label, alignment_mode="expand")
        for entity in passage.entities
    ]
    setattr(doc._, EXTENSION, list(labels))
    return doc


if __name__ == "__main__":
    typer.run(main)
