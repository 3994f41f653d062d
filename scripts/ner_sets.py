"""Public NER sets -> one corpus a set, for GLiNER to learn from or to be tested on.

    python scripts/ner_sets.py DATA corpus/generalist --split train --most 8000

DATA has a folder a set, with `train.jsonl.gz` and `dev.jsonl.gz` in it: a line is a sentence,
`{"text": ..., "entities": [{"start", "end", "label"}], "tokens": [...]}`, offsets in characters and
labels in plain words. Sets are not part of this repository; the model card of
`assets/models/gliner-minilm` names those that it learnt from, and where they are.
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
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from wasabi import msg

SPANS = "sc"
Row = dict[str, Any]


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
    """Convert the sets of DATA into the folder CORPUS, a file `<set>.spacy` each.

    Args:
        data: Where the sets are.
        corpus: Where the corpora go.
        sets: Names with commas between; all by default.
        split: Which file of a set.
        most: Most sentences of a set, drawn by chance; 0: all.
        leave_out: JSON file `{"hits": {"set/split": {"line number": ...}}}` of lines to leave out,
            such as those that are in a test set, too.
        merge: `label=kind,kind`: kinds of a label that are to bear its name; the corpus has this
            label alone, and is called `<set>_<label>`.
        lang: Language of the tokenizer, for sentences without tokens.
    """
    nlp = spacy.blank(lang)
    names = sets.split(",") if sets else sorted(path.name for path in data.iterdir())
    hits = json.loads(leave_out.read_text(encoding="utf8"))["hits"] if leave_out else {}
    corpus.mkdir(parents=True, exist_ok=True)
    for name in names:
        unwanted = set(hits.get(f"{name}/{split}", ()))
        rows = [row for n, row in read(data / name / f"{split}.jsonl.gz") if str(n) not in unwanted]
        if most and len(rows) > most:
            rows = random.Random(0).sample(rows, most)
        if merge:
            label, _, kinds = merge.partition("=")
            rows = [merged(row, label, [label, *kinds.split(",")]) for row in rows]
            name = f"{name}_{label}"
        docs = [make_doc(nlp, row) for row in rows]
        DocBin(docs=docs).to_disk(corpus / f"{name}.spacy")
        labels = {span.label_ for doc in docs for span in doc.spans[SPANS]}
        msg.good(f"{name}: {len(docs)} sentences, {len(labels)} labels")


def read(path: Path) -> Iterator[tuple[int, Row]]:
    """The lines of a file that have words, with their numbers, from 0."""
    with gzip.open(path, "rt", encoding="utf8") as lines:
        for number, line in enumerate(lines):
            row = json.loads(line)
            if row["text"].strip():
                yield number, row


def merged(row: Row, label: str, kinds: list[str]) -> Row:
    """The same sentence with one label only, for entities of several kinds."""
    entities = [{**one, "label": label} for one in row["entities"] if one["label"] in kinds]
    return {**row, "entities": entities}


def make_doc(nlp: Language, row: Row) -> Doc:
    """A sentence with its spans, and with entities where none lies within another."""
    tokens = row.get("tokens") or []
    is_joined = bool(tokens) and " ".join(tokens) == row["text"] and all(map(str.strip, tokens))
    doc = Doc(nlp.vocab, words=tokens) if is_joined else nlp.make_doc(row["text"])
    spans = [
        doc.char_span(one["start"], one["end"], label=one["label"], alignment_mode="expand")
        for one in row["entities"]
    ]
    doc.spans[SPANS] = spans
    doc.set_ents(spacy.util.filter_spans(spans))
    return doc


if __name__ == "__main__":
    typer.run(main)
