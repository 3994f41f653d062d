"""Zero-shot F1 of a GLiNER checkpoint on label sets that it was not trained on.

    python benchmarks/gliner_zeroshot.py MODEL DATA --split dev --per-label

MODEL is a checkpoint folder, DATA has a folder a set with `<split>.jsonl.gz`: a line is a sentence
with `text`, `tokens` and `entities` (`start` and `end` in characters, `label` in plain words).
Every sentence is asked about all labels of its set at once. A span counts if start, end and label
are right; F1 is over all spans of a set (micro), of entities that do not overlap. One threshold
holds for all sets: that of `--threshold`, or the one with the best mean, which is then tuned on
what it is measured on. `--per-label` adds F1 of each label.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# A neighbour of this file bears the name of the package that is measured.
sys.path.sort(key=str(Path(__file__).parent).__eq__)

import numpy as np
import torch
from gliner_training import Row, read

from spacy_modernbert.gliner.checkpoint.serialization import load_gliner
from spacy_modernbert.gliner.inference.decoding import decode
from spacy_modernbert.gliner.inference.model import GlinerModel
from spacy_modernbert.gliner.inference.predict import find_spans
from spacy_modernbert.gliner.inference.scored_spans import ScoredSpans
from spacy_modernbert.gliner.inference.sequences import SplitText

SETS = ["crossner_politics", "crossner_literature", "crossner_music", "crossner_science",
        "crossner_ai"]  # fmt: skip
THRESHOLDS = [0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6]
Spans = set[tuple[int, int, str]]


def answers(found: Iterable[ScoredSpans], labels: Sequence[str], threshold: float) -> list[Spans]:
    """What is above the threshold and chosen, for each sentence."""
    said = []
    for candidates in found:
        kept = candidates.scores > threshold
        parts = (candidates.starts, candidates.ends, candidates.labels, candidates.scores)
        chosen = decode(ScoredSpans(*(part[kept] for part in parts)), nested=False)
        bounds = zip(chosen.starts.tolist(), chosen.ends.tolist(), strict=True)
        names = (labels[index] for index in chosen.labels.tolist())
        said.append({(*bound, name) for bound, name in zip(bounds, names, strict=True)})
    return said


def f1(rows: Sequence[Row], said: Sequence[Spans], label: str | None = None) -> float:
    """Micro F1, of one label or of all."""
    counts: Counter[str] = Counter()
    for row, spans in zip(rows, said, strict=True):
        wanted = {span for span in row["spans"] if label in (None, span[2])}
        given = {span for span in spans if label in (None, span[2])}
        counts.update(right=len(wanted & given), all=len(wanted) + len(given))
    return 200.0 * counts["right"] / max(counts["all"], 1)


def score(model: GlinerModel, rows: Sequence[Row], threshold: float) -> float:
    """Micro F1 on one set, all of whose labels are asked at once."""
    labels = sorted({span[2] for row in rows for span in row["spans"]})
    texts = [SplitText(row["words"]) for row in rows]
    found = find_spans(model, texts, labels, thresholds=threshold)
    return f1(rows, answers(found, labels, threshold))


def measure(model: GlinerModel, args: argparse.Namespace) -> None:
    """Print the tables."""
    tables: dict[str, dict[float, list[Spans]]] = {}
    rows, labels = {}, {}
    clock = time.process_time()
    for name in args.sets:
        rows[name] = read(args.data / name / f"{args.split}.jsonl.gz", args.limit)
        labels[name] = sorted({span[2] for row in rows[name] for span in row["spans"]})
        texts = [SplitText(row["words"]) for row in rows[name]]
        found = find_spans(model, texts, labels[name], thresholds=min(THRESHOLDS))
        thresholds = THRESHOLDS if args.threshold is None else [args.threshold]
        tables[name] = {t: answers(found, labels[name], t) for t in thresholds}
    seconds = time.process_time() - clock
    means = {t: np.mean([f1(rows[n], tables[n][t]) for n in tables]) for t in thresholds}
    best = max(means, key=means.__getitem__)
    cells = [f"{f1(rows[name], tables[name][best]):.1f}" for name in tables]
    words = sum(len(row["words"]) for one in rows.values() for row in one)
    print("| threshold | " + " | ".join(tables) + " | mean |\n" + "|---" * (len(cells) + 2) + "|")
    print(f"| {best} | " + " | ".join(cells) + f" | {means[best]:.1f} |")
    print(
        f"\n{words / seconds:.0f} words a second of CPU time, {torch.get_num_threads()} thread(s)"
    )
    if args.per_label:
        for name in tables:
            found_f1 = {one: f1(rows[name], tables[name][best], one) for one in labels[name]}
            ranked = sorted(found_f1, key=found_f1.__getitem__, reverse=True)
            print(f"\n{name}: " + ", ".join(f"{one} {found_f1[one]:.0f}" for one in ranked))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--split", default="dev")
    parser.add_argument("--limit", type=int, help="sentences of a set")
    parser.add_argument("--threshold", type=float)
    parser.add_argument("--per-label", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    measure(load_gliner(args.model), args)


if __name__ == "__main__":
    main()
