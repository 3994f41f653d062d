"""Few-shot classification: our `setfit_textcat` beside setfit, its own probe and spaCy's textcat.

    python benchmarks/bench_setfit.py accuracy DATA MODEL --results runs.jsonl
    python benchmarks/bench_setfit.py multilabel DATA MODEL --results runs.jsonl
    python benchmarks/bench_setfit.py scope DATA MODEL --results runs.jsonl
    python benchmarks/bench_setfit.py memory DATA MODEL --results runs.jsonl
    python benchmarks/bench_setfit.py speed DATA MODEL

DATA has one folder per set, with `train.jsonl.gz` and `test.jsonl.gz` (lines with `text` and
`label`, or `labels`). MODEL is a folder of sentence-transformers, the same for all. `setfit` runs
with its own defaults. They take 23,408 steps on 77 classes: where they exceed 1,000, setfit runs
`--cap` steps (80: they encode 2,560 texts, at least as many as ours), and the seconds of its
default are extrapolated from those of a step. `probe` is ours with a frozen encoder, `textcat`
spaCy's bag of words.

Each run is a process of its own on one thread, and a line of `--results`. Runs that have a line are
not repeated, so that the benchmark can be interrupted and systems can be added. All systems see the
same texts: `--shots` of each label drawn by the seed, and at most `--most` test texts. Memory is
the peak resident set during the training, beyond the memory when it began; for `memory`, setfit
makes all its default pairs, but stops after three steps.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from data import read_json_lines
from memory import peak_mib
from textcat_tables import Record, mean_std, print_cost, print_scores, print_table, select
from textcat_tasks import make_task, read_texts
from timing import fastest, run_script

SETS = ["trec", "cr", "banking77", "hwu64", "clinc150"]
MULTI = ["nlupp_intents", "code_comments_python"]
SYSTEMS = ["ours", "setfit", "probe", "textcat"]
CAP = 80
STOP = 3
BINS = 10


def run_one(args: argparse.Namespace) -> Record:
    """Train and test one system on one task in this process."""
    import torch
    from textcat_systems import make_system

    torch.set_num_threads(1)
    name, seed = args.systems[0], args.seeds[0]
    most = args.most if args.part != "memory" else 1
    task = make_task(args.data / args.sets[0], shots=args.shots, seed=seed, most=most)
    config = json.loads(args.config)
    stop = STOP if args.part == "memory" else 0
    system = make_system(name, args.model, task, seed=seed, cap=args.cap, stop=stop, config=config)
    before = peak_mib(reset=True)
    training = timed(lambda: system.fit(task))
    peak = peak_mib()
    record: Record = {
        **key_of(args.part, name, args.sets[0], seed, args.shots),
        "texts": len(task.train),
        "tested": len(task.test),
        "train": training,
        "mib": peak - before,
        "peak_mib": peak,
        "default_steps": task.default_steps,
        **system.facts,
    }
    found: list[np.ndarray] = []
    texts = [text for text, _ in task.test]
    record["predict"] = timed(lambda: found.append(system.probabilities(texts)))
    record |= measure_scores(found[0], task.matrix(task.test), multi=task.multi_label)
    if args.part == "scope":
        record |= measure_scope(system, args, found[0])
    return record


def key_of(part: str, system: str, name: str, seed: int, shots: int) -> Record:
    """Return the entries of a record that say which run it is."""
    return {"part": part, "system": system, "set": name, "seed": seed, "shots": shots}


def timed(action: Callable[[], object]) -> dict[str, float]:
    """Return the seconds of CPU time and of wall time."""
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}


def measure_scores(probabilities: np.ndarray, gold: np.ndarray, *, multi: bool) -> Record:
    """Return accuracy and expected calibration error, or micro and macro F1 at 0.5."""
    if multi:
        predicted = probabilities > 0.5
        correct = (predicted & (gold == 1)).sum(axis=0)
        total = predicted.sum(axis=0) + gold.sum(axis=0)
        present = gold.any(axis=0)  # a label without a test text has no F1
        macro = np.mean(2 * correct[present] / np.maximum(total[present], 1))
        return {"micro_f1": float(2 * correct.sum() / total.sum()), "macro_f1": float(macro)}
    correct = probabilities.argmax(axis=1) == gold.argmax(axis=1)
    return {"accuracy": float(correct.mean()), "ece": calibration_error(probabilities, correct)}


def calibration_error(probabilities: np.ndarray, correct: np.ndarray) -> float:
    """Return the mean distance of confidence and accuracy over equally wide bins of confidence."""
    confidence = probabilities.max(axis=1)
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [abs(float((correct[bins == b] - confidence[bins == b]).sum())) for b in range(BINS)]
    return sum(gaps) / len(correct)


def measure_scope(system: Any, args: argparse.Namespace, inside: np.ndarray) -> Record:
    """Return how well two scores tell texts out of scope: abstain score and highest probability."""
    from sklearn.metrics import roc_auc_score

    folder = args.data / args.sets[0]
    texts = [text for text, _ in make_task(folder, shots=1, seed=0, most=args.most).test]
    others = [text for text, _ in read_texts(folder / "oos_test.jsonl.gz")]
    is_outside = [0] * len(texts) + [1] * len(others)
    outside = system.probabilities(others)
    record = {
        "auroc_probability": roc_auc_score(
            is_outside, -np.concatenate([inside.max(axis=1), outside.max(axis=1)])
        )
    }
    if args.systems[0] in ("ours", "probe"):
        scores = system.abstain_scores([*texts, *others])
        record["auroc_abstain"] = roc_auc_score(is_outside, scores)
    return record


def run_all(args: argparse.Namespace) -> list[Record]:
    """Run what has no record yet, each in a process of its own. Return all records."""
    args.results.touch()
    for name in args.sets:
        for seed in args.seeds:
            for system in args.systems:
                key = key_of(args.part, system, name, seed, args.shots)
                if any(key.items() <= record.items() for record in read_json_lines(args.results)):
                    continue
                print("...", *key.values(), file=sys.stderr, flush=True)
                record = in_process(args, system, name, seed)
                with args.results.open("a", encoding="utf8") as file:
                    file.write(json.dumps(record) + "\n")
    return [
        r
        for r in read_json_lines(args.results)
        if r["part"] == args.part and r["shots"] == args.shots
    ]


def in_process(args: argparse.Namespace, system: str, name: str, seed: int) -> Record:
    """Run one system on one task in a process of its own."""
    command = [args.part, args.data, args.model, "--one"]
    command += ["--systems", system, "--sets", name, "--seeds", seed]
    for option in ("shots", "most", "cap", "config"):
        command += [f"--{option}", getattr(args, option)]
    record: Record = json.loads(run_script(__file__, *command))
    return record


def part_accuracy(args: argparse.Namespace) -> None:
    print_results(args, ("accuracy", "ece"))


def part_multilabel(args: argparse.Namespace) -> None:
    print_results(args, ("micro_f1", "macro_f1"))


def print_results(args: argparse.Namespace, scores: tuple[str, ...]) -> None:
    records = run_all(args)
    for score in scores:
        print_scores(records, args.sets, args.systems, score)
    print_cost(records, args.sets)


def part_scope(args: argparse.Namespace) -> None:
    records = run_all(args)
    rows = []
    for system in args.systems:
        found = [r for r in records if r["system"] == system]
        if found:
            scores = [r["auroc_abstain"] for r in found if "auroc_abstain" in r]
            own = mean_std(scores, 3) if scores else "-"
            rows.append([system, own, mean_std([r["auroc_probability"] for r in found], 3)])
    print_table(["AUROC, out of scope", "abstain score", "highest probability"], rows)


def part_memory(args: argparse.Namespace) -> None:
    rows = []
    for shots in (args.shots, 26):  # of 77 labels: 2,002 texts
        args.shots = shots
        records = run_all(args)
        found = [select(records, system, args.sets[0])[0] for system in args.systems]
        cells = [f"{r['mib']:.0f} MiB" for r in found]
        rows.append([args.sets[0], f"{found[0]['texts']:,}", *cells])
    print_table(["peak of the training", "texts", *args.systems], rows)


def part_speed(args: argparse.Namespace) -> None:
    """Compare the whole pipeline with bare encoding on texts of mixed lengths."""
    import torch
    from sentence_transformers import SentenceTransformer
    from textcat_systems import PROBE, Ours

    torch.set_num_threads(1)
    tasks = [make_task(args.data / name, shots=8, seed=0, most=args.most) for name in args.sets]
    mixed = zip(*(task.test for task in tasks), strict=False)
    texts = [text for some in mixed for text, _ in some]
    texts = texts[: args.most]
    ours = Ours(args.model, tasks[0], **PROBE)
    ours.fit(tasks[0])
    theirs = SentenceTransformer(str(args.model), device="cpu")
    runs: dict[str, Callable[[], object]] = {
        "ours, whole nlp.pipe": lambda: ours.probabilities(texts),
        "SentenceTransformer.encode": lambda: theirs.encode(texts),
    }
    best = fastest(runs, 3, time.process_time)
    slow = best["SentenceTransformer.encode"]
    header = [f"{len(texts)} texts of {', '.join(args.sets)}", "texts / CPU s", "ratio"]
    rows = [
        [name, f"{len(texts) / seconds:.0f}", f"{slow / seconds:.2f}x"]
        for name, seconds in best.items()
    ]
    print_table(header, rows)


PARTS: dict[str, tuple[Callable[[argparse.Namespace], None], list[str]]] = {
    "accuracy": (part_accuracy, SETS),
    "multilabel": (part_multilabel, MULTI),
    "scope": (part_scope, ["clinc150"]),
    "memory": (part_memory, ["banking77"]),
    "speed": (part_speed, ["trec", "cr", "scicite", "docs_issues"]),
}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", choices=[*PARTS])
    parser.add_argument("data", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--results", type=Path, default=Path("runs.jsonl"))
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=SYSTEMS)
    parser.add_argument("--sets", nargs="+")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--shots", type=int, default=8)
    parser.add_argument("--most", type=int, default=1000, help="test texts of a set")
    parser.add_argument("--cap", type=int, default=CAP, help="most steps of setfit")
    parser.add_argument("--config", default="{}", help="of our component, as JSON")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.sets = args.sets or PARTS[args.part][1]
    if args.part == "memory":
        args.seeds = args.seeds[:1]
        args.systems = args.systems if args.one else ["ours", "setfit"]
    return args


def main() -> None:
    args = parse()
    if args.one:
        print("\n" + json.dumps(run_one(args)))
        return
    PARTS[args.part][0](args)


if __name__ == "__main__":
    main()
