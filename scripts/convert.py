"""Annotated sentences -> corpus/{train,dev,test}.spacy and the raw text of the training part.

Every sentence becomes one Doc: its entities in `doc.ents`, its domain in `doc.cats` (all domains
present, one of them 1.0). The training part also holds its sentences in paragraphs of three, since
a pipeline that has seen only single sentences takes every word after a full stop for a name. The
raw text, one sentence a line, is what the tokenizer learns from; it is cut from the training part
alone, so that the test sentences stay unseen.
"""

from __future__ import annotations

import sys
from collections import Counter
from hashlib import sha256
from pathlib import Path

import spacy
import typer
from sentences import DOMAINS, FormatError, Sentence, join_sentences, read_sentences
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from wasabi import msg

DEV_SHARE = TEST_SHARE = 0.15
PARAGRAPH = 3


def main(path: Path, corpus: Path, lang: str = "en") -> None:
    """Convert PATH into the folder CORPUS and say how much went where."""
    nlp = spacy.blank(lang)
    rows = []
    try:
        parts = split(read_sentences(path))
        docs = {
            part: [make_doc(nlp, sentence) for sentence in sentences]
            for part, sentences in parts.items()
        }
        docs["train"] += [make_doc(nlp, paragraph) for paragraph in paragraphs(parts["train"])]
    except FormatError as error:
        msg.fail(str(path), str(error))
        sys.exit(1)
    corpus.mkdir(parents=True, exist_ok=True)
    for part, sentences in parts.items():
        DocBin(docs=docs[part]).to_disk(corpus / f"{part}.spacy")
        entities = sum(len(sentence.entities) for sentence in sentences)
        domains = Counter(sentence.domain for sentence in sentences)
        rows.append([part, len(sentences), entities, *(domains[domain] for domain in DOMAINS)])
    texts = "".join(f"{sentence.text}\n" for sentence in parts["train"])
    (corpus / "train.txt").write_text(texts, encoding="utf8")
    msg.table(rows, header=["part", "sentences", "entities", *DOMAINS], divider=True)


def split(sentences: list[Sentence]) -> dict[str, list[Sentence]]:
    """Share the sentences out: 70 % train, 15 % dev, 15 % test of every domain.

    The order within a domain is that of the texts' hashes: no seed to keep, nothing to do with
    the order in the file, and a new sentence moves few of the others.
    """
    parts: dict[str, list[Sentence]] = {"train": [], "dev": [], "test": []}
    for domain in DOMAINS:
        ours = [sentence for sentence in sentences if sentence.domain == domain]
        ours.sort(key=text_hash)
        dev, test = round(len(ours) * DEV_SHARE), round(len(ours) * TEST_SHARE)
        parts["dev"] += ours[:dev]
        parts["test"] += ours[dev : dev + test]
        parts["train"] += ours[dev + test :]
    return parts


def paragraphs(sentences: list[Sentence]) -> list[Sentence]:
    """Join sentences of one domain that follow each other, a few at a time."""
    joined = []
    for domain in DOMAINS:
        ours = [sentence for sentence in sentences if sentence.domain == domain]
        for start in range(0, len(ours), PARAGRAPH):
            joined.append(join_sentences(ours[start : start + PARAGRAPH]))
    return joined


def text_hash(sentence: Sentence) -> str:
    """The sort key of the split."""
    return sha256(sentence.text.encode("utf8")).hexdigest()


def make_doc(nlp: Language, sentence: Sentence) -> Doc:
    """Tokenize a sentence and put its annotation on it.

    Raises:
        FormatError: an entity starts or ends in the middle of a token.
    """
    doc = nlp.make_doc(sentence.text)
    spans = []
    for entity in sentence.entities:
        span = doc.char_span(entity.start, entity.end, label=entity.label)
        if span is None:
            surface = sentence.text[entity.start : entity.end]
            raise FormatError(
                f"line {sentence.line}: {surface!r} does not end where the tokens end: "
                f"{[token.text for token in doc]}"
            )
        spans.append(span)
    doc.set_ents(spans)  # all other tokens are marked "outside", so no entity counts as "none"
    doc.cats = {domain: float(domain == sentence.domain) for domain in DOMAINS}
    return doc


if __name__ == "__main__":
    typer.run(main)
