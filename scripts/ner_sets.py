"""Public NER sets -> one corpus per set, to train a GLiNER on or to test it on.

    python scripts/ner_sets.py DATA corpus/generalist --split train --most 8000

DATA has one folder per set with `train.jsonl.gz` and `dev.jsonl.gz`. A line is a sentence,
`{"text": ..., "entities": [{"start", "end", "label"}], "tokens": [...]}`, with offsets in
characters and labels in plain words. The sets are not part of this repository; the card of the
bundled model (`spacy_modernbert/models/gliner-minilm`) names those that it was trained on, and
where they are published.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import spacy
import typer
from corpus_files import SPANS, write_docs
from spacy.language import Language
from spacy.tokens import Doc
from wasabi import msg

Entry = dict[str, Any]


def main(
    data: Path,
    corpus: Path,
    sets: str = "",
    split: str = "train",
    most: int = 0,
    leave_out: Path | None = None,
    merge: str = "",
    lang: str = "en",
) -> None:
    """Convert the sets of DATA to files `<set>.spacy` in the folder CORPUS.

    Args:
        data: Folder of the sets.
        corpus: Folder of the corpora.
        sets: Names, separated by commas. Default: all sets.
        split: Name of the file of a set.
        most: Highest number of sentences of a set, drawn at random. 0: all.
        leave_out: JSON file `{"hits": {"set/split": {"line number": ...}}}` of lines to leave out,
            such as those that occur in a test set.
        merge: `label=subtype,subtype`: the labels that become the first one. The corpus has this
            label only, and is called `<set>_<label>`.
        lang: Language of the tokenizer, for sentences without tokens.
    """
    nlp = spacy.blank(lang)
    names = sets.split(",") if sets else sorted(path.name for path in data.iterdir())
    hits = json.loads(leave_out.read_text(encoding="utf8"))["hits"] if leave_out else {}
    for name in names:
        unwanted = set(hits.get(f"{name}/{split}", ()))
        numbered = read_entries(data / name / f"{split}.jsonl.gz")
        entries = [entry for number, entry in numbered if str(number) not in unwanted]
        if most and len(entries) > most:
            entries = random.Random(0).sample(entries, most)
        if merge:
            label, _, subtypes = merge.partition("=")
            merged = [label, *subtypes.split(",")]
            entries = [merge_labels(entry, label, merged) for entry in entries]
            name = f"{name}_{label}"
        docs = [make_doc(nlp, entry) for entry in entries]
        write_docs(corpus / f"{name}.spacy", docs)
        labels = {span.label_ for doc in docs for span in doc.spans[SPANS]}
        msg.good(f"{name}: {len(docs)} sentences, {len(labels)} labels")


def read_entries(path: Path) -> Iterator[tuple[int, Entry]]:
    """Read the lines of a file that have a text, with their numbers from 0."""
    with gzip.open(path, "rt", encoding="utf8") as lines:
        for number, line in enumerate(lines):
            entry = json.loads(line)
            if entry["text"].strip():
                yield number, entry


def merge_labels(entry: Entry, label: str, merged: list[str]) -> Entry:
    """Give all entities with one of the merged labels the same label. Leave out the others."""
    entities = [{**one, "label": label} for one in entry["entities"] if one["label"] in merged]
    return {**entry, "entities": entities}


def make_doc(nlp: Language, entry: Entry) -> Doc:
    """Make a Doc with all spans, and with the entities among them that do not overlap."""
    tokens = entry.get("tokens") or []
    is_joined = bool(tokens) and " ".join(tokens) == entry["text"] and all(map(str.strip, tokens))
    doc = Doc(nlp.vocab, words=tokens) if is_joined else nlp.make_doc(entry["text"])
    spans = [
        doc.char_span(one["start"], one["end"], label=one["label"], alignment_mode="expand")
        for one in entry["entities"]
    ]
    doc.spans[SPANS] = spans
    doc.set_ents(spacy.util.filter_spans(spans))
    return doc


if __name__ == "__main__":
    typer.run(main)
