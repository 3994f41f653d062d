"""F1 and time of a GLiNER on annotated texts, alone and joined into one long Doc.

    python benchmarks/bench_long_docs.py MODEL DATA --sets crossner_music/dev redocred/test

MODEL is a checkpoint folder, DATA as in `bench_zeroshot.py`. The joined Doc is read with and
without the texts' starts as starts of sentences, in the windows that the checkpoint states and in
those of `--windows`. Each cell is F1 in percent and CPU seconds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import spacy
import torch
from data import Sentence, all_labels, read_sentences
from markdown_table import format_header, format_row
from spacy.language import Language
from spacy.tokens import Doc
from timing import stay_offline

SETS = ["crossner_music/dev", "crossner_science/dev", "redocred/test", "btc/test", "wikigold/train"]


def join(sentences: Sequence[Sentence]) -> Sentence:
    """Join sentences into one text."""
    words, spans = [], []
    for sentence in sentences:
        first = len(words)
        spans.extend((start + first, end + first, label) for start, end, label in sentence.spans)
        words.extend(sentence.words)
    return Sentence(words, spans)


def measure(nlp: Language, texts: Sequence[Sentence], starts: Sequence[int] = ()) -> str:
    """Return F1 and CPU seconds, given the first words of sentences."""
    docs = [Doc(nlp.vocab, words=text.words) for text in texts]
    for doc in docs if starts else ():
        for token in doc:
            token.is_sent_start = token.i in starts
    begin = time.process_time()
    docs = list(nlp.pipe(docs))
    seconds = time.process_time() - begin
    found = [{(ent.start, ent.end, ent.label_) for ent in doc.ents} for doc in docs]
    gold = [set(text.spans) for text in texts]
    correct = sum(len(one & other) for one, other in zip(found, gold, strict=True))
    total = sum(map(len, found)) + sum(map(len, gold))
    return f"{200 * correct / max(total, 1):.1f}, {seconds:.1f} s"


def compare(model: Path, sentences: list[Sentence], windows: Sequence[int]) -> list[str]:
    """Return the cells of a set."""
    nlp = spacy.blank("en")
    config = {"labels": all_labels(sentences), "model": {"name": str(model)}, "device": "cpu"}
    gliner = nlp.add_pipe("gliner", config=config)
    nlp(" ".join(sentences[0].words))
    joined = join(sentences)
    firsts, count = set(), 0
    for sentence in sentences:
        firsts.add(count)
        count += len(sentence.words)
    cells = [measure(nlp, sentences)]
    for window in (None, *windows):
        gliner.cfg["window"] = window
        cells += [measure(nlp, [joined]), measure(nlp, [joined], firsts)]
    return cells


def main() -> None:
    """Read the command line, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--limit", type=int, default=300, help="texts of a set")
    parser.add_argument("--windows", nargs="*", type=int, default=[384], help="words of a window")
    args = parser.parse_args()
    stay_offline()
    torch.set_num_threads(1)
    names = [
        f"joined, {window}{sentences}"
        for window in ("as stated", *args.windows)
        for sentences in ("", ", sentence starts")
    ]
    print(format_header(("set", "alone", *names)))
    for name in args.sets:
        sentences = read_sentences(args.data / f"{name}.jsonl.gz", args.limit)
        print(format_row((name, *compare(args.model, sentences, args.windows))), flush=True)


if __name__ == "__main__":
    main()
