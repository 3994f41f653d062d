"""Annotated sentences -> corpus/{train,dev,test}.spacy and the raw text of the training part.

Every sentence becomes one Doc with its entities in `doc.ents` and its domain in `doc.cats` (all
domains are present, one of them is 1.0). The training part also has its sentences in paragraphs of
three, because a pipeline that is trained on single sentences only takes every word after a period
for a name. The tokenizer is trained on the raw text, one sentence per line. It is that of the
training part alone, so that the test sentences stay unseen.
"""

from __future__ import annotations

from collections import Counter
from hashlib import sha256
from pathlib import Path

import spacy
import typer
from corpus_files import FormatError, exit_with, write_docs
from sentences import DOMAINS, Sentence, join_sentences, read_sentences
from spacy.language import Language
from spacy.tokens import Doc
from wasabi import msg

DEV_SHARE = TEST_SHARE = 0.15
PARAGRAPH = 3


def main(path: Path, corpus: Path, lang: str = "en") -> None:
    """Convert the file PATH to the folder CORPUS, and print the size of each part."""
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
        exit_with(path, error)
    for part, sentences in parts.items():
        write_docs(corpus / f"{part}.spacy", docs[part])
        entities = sum(len(sentence.entities) for sentence in sentences)
        domains = Counter(sentence.domain for sentence in sentences)
        rows.append([part, len(sentences), entities, *(domains[domain] for domain in DOMAINS)])
    texts = "".join(f"{sentence.text}\n" for sentence in parts["train"])
    (corpus / "train.txt").write_text(texts, encoding="utf8")
    msg.table(rows, header=["part", "sentences", "entities", *DOMAINS], divider=True)


def split(sentences: list[Sentence]) -> dict[str, list[Sentence]]:
    """Split the sentences of every domain: 70 % train, 15 % dev, 15 % test.

    Within a domain, sentences are sorted by the hashes of their texts: that requires no seed, does
    not depend on the order in the file, and a new sentence moves few of the others.
    """
    parts: dict[str, list[Sentence]] = {"train": [], "dev": [], "test": []}
    for domain in DOMAINS:
        own = [sentence for sentence in sentences if sentence.domain == domain]
        own.sort(key=text_hash)
        dev, test = round(len(own) * DEV_SHARE), round(len(own) * TEST_SHARE)
        parts["dev"] += own[:dev]
        parts["test"] += own[dev : dev + test]
        parts["train"] += own[dev + test :]
    return parts


def paragraphs(sentences: list[Sentence]) -> list[Sentence]:
    """Join sentences of one domain that follow each other, a few at a time."""
    joined = []
    for domain in DOMAINS:
        own = [sentence for sentence in sentences if sentence.domain == domain]
        for start in range(0, len(own), PARAGRAPH):
            joined.append(join_sentences(own[start : start + PARAGRAPH]))
    return joined


def text_hash(sentence: Sentence) -> str:
    """Return the sort key of the split."""
    return sha256(sentence.text.encode("utf8")).hexdigest()


def make_doc(nlp: Language, sentence: Sentence) -> Doc:
    """Tokenize a sentence and annotate it.

    Raises:
        FormatError: An entity starts or ends in the middle of a token.
    """
    doc = nlp.make_doc(sentence.text)
    spans = []
    for entity in sentence.entities:
        span = doc.char_span(entity.start, entity.end, label=entity.label)
        if span is None:
            surface = sentence.text[entity.start : entity.end]
            raise FormatError(
                f"line {sentence.line}: {surface!r} does not start and end between tokens: "
                f"{[token.text for token in doc]}"
            )
        spans.append(span)
    doc.set_ents(spans)  # all other tokens are marked as "outside", not as missing
    doc.cats = {domain: float(domain == sentence.domain) for domain in DOMAINS}
    return doc


if __name__ == "__main__":
    typer.run(main)
