"""Zero-shot F1 of a GLiNER checkpoint on label sets that it was not trained on.

    python benchmarks/bench_zeroshot.py MODEL DATA --split dev --per-label

MODEL is a checkpoint folder. DATA has one folder per set with `<split>.jsonl.gz`: a line is a
sentence with `text`, `tokens` and `entities` (`start` and `end` in characters, `label` in plain
words). Every sentence is searched for all labels of its set at once. A span counts if start, end
and label are correct; F1 is over all spans of a set (micro), of entities that do not overlap. One
threshold holds for all sets: that of `--threshold`, or the one with the best mean, which is then
tuned on the sets that it is measured on. `--per-label` adds F1 of each label.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import spacy
import torch
from data import Sentence, all_labels, read_sentences
from markdown_table import format_header, format_row
from ner_scores import CROSSNER, Scores, find_spans, micro_f1
from timing import stay_offline

THRESHOLDS = [0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6]


def measure(args: argparse.Namespace) -> None:
    """Print the tables."""
    thresholds = THRESHOLDS if args.threshold is None else [args.threshold]
    nlp = spacy.blank("en")
    nlp.add_pipe("gliner", config={"model": {"name": str(args.model)}, "device": "cpu"})
    nlp.initialize()
    sets: dict[str, list[Sentence]] = {}
    found: dict[str, list[Scores]] = {}
    start = time.process_time()
    for name in args.sets:
        sets[name] = read_sentences(args.data / name / f"{args.split}.jsonl.gz", args.limit)
        found[name] = find_spans(nlp, sets[name], min(thresholds))
    seconds = time.process_time() - start
    scores = {t: [micro_f1(sets[name], found[name], t) for name in sets] for t in thresholds}
    best = max(thresholds, key=lambda threshold: statistics.mean(scores[threshold]))
    print(format_header(("threshold", *sets, "mean")))
    cells = (*scores[best], statistics.mean(scores[best]))
    print(format_row((best, *(f"{cell:.1f}" for cell in cells))))
    words = sum(len(sentence.words) for sentences in sets.values() for sentence in sentences)
    threads = torch.get_num_threads()
    print(f"\n{words / seconds:.0f} words a second of CPU time, {threads} thread(s)")
    for name in sets if args.per_label else ():
        f1 = {
            label: micro_f1(sets[name], found[name], best, label)
            for label in all_labels(sets[name])
        }
        ranked = sorted(f1, key=f1.__getitem__, reverse=True)
        print(f"\n{name}: " + ", ".join(f"{label} {f1[label]:.0f}" for label in ranked))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", default=CROSSNER)
    parser.add_argument("--split", default="dev")
    parser.add_argument("--limit", type=int, help="sentences of a set")
    parser.add_argument("--threshold", type=float)
    parser.add_argument("--per-label", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    stay_offline()
    torch.set_num_threads(args.threads)
    measure(args)


if __name__ == "__main__":
    main()
