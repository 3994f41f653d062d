"""Few-shot classification: our `setfit_textcat` beside setfit, its own probe and spaCy's textcat.

    python benchmarks/setfit.py accuracy DATA MODEL --results runs.jsonl
    python benchmarks/setfit.py multilabel DATA MODEL --results runs.jsonl
    python benchmarks/setfit.py scope DATA MODEL --results runs.jsonl
    python benchmarks/setfit.py memory DATA MODEL --results runs.jsonl
    python benchmarks/setfit.py speed DATA MODEL

DATA has a folder a set, with `train.jsonl.gz` and `test.jsonl.gz` (lines with `text` and `label`,
or `labels`); MODEL is a folder of sentence-transformers, the same for all. `setfit` runs with its
own defaults. They take 23,408 steps on 77 classes: where it would be more than 1,000, it gets
`--cap` steps (80: they encode 2,560 texts, at least as many as ours), and the seconds of its
default are those of a step times its steps. `probe` is ours with a frozen encoder, `textcat`
spaCy's bag of words.

Each run is a process of its own, on one thread, and a line of `--results`; runs that are there
already are not repeated, so that a run can be interrupted and contestants added. All contestants
see the same texts: `--shots` of each label drawn by the seed, and at most `--most` test texts.
Memory is the peak resident set during the training, beyond what was resident when it began; for
`memory`, setfit lays its default out as always, but stops after three steps.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

SETS = ["trec", "cr", "banking77", "hwu64", "clinc150"]
MULTI = ["nlupp_intents", "code_comments_python"]
SYSTEMS = ["ours", "setfit", "probe", "textcat"]
CAP = 80
STOP = 3
BINS = 10
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
Record = dict[str, Any]


def run_one(args: argparse.Namespace) -> Record:
    """Train and test one contestant on one task, in this process."""
    import torch
    from fewshot import make_contestant, make_task
    from memory import peak_mib

    torch.set_num_threads(1)
    name, seed = args.systems[0], args.seeds[0]
    most = args.most if args.part != "memory" else 1
    task = make_task(args.data / args.sets[0], shots=args.shots, seed=seed, most=most)
    config = json.loads(args.config)
    stop = STOP if args.part == "memory" else 0
    contestant = make_contestant(
        name, args.model, task, seed=seed, cap=args.cap, stop=stop, config=config
    )
    before = peak_mib(reset=True)
    training = clocked(lambda: contestant.fit(task))
    peak = peak_mib()
    record: Record = {
        **key_of(args.part, name, args.sets[0], seed, args.shots),
        "texts": len(task.train),
        "tested": len(task.test),
        "train": training,
        "mib": peak - before,
        "peak_mib": peak,
        "default_steps": task.default_steps,
        **contestant.facts,
    }
    found: list[np.ndarray] = []
    texts = [text for text, _ in task.test]
    record["predict"] = clocked(lambda: found.append(contestant.probabilities(texts)))
    record |= measures(found[0], task.matrix(task.test), multi=task.multi_label)
    if args.part == "scope":
        record |= scope(contestant, args, found[0])
    return record


def key_of(part: str, system: str, name: str, seed: int, shots: int) -> Record:
    return {"part": part, "system": system, "set": name, "seed": seed, "shots": shots}


def clocked(action: Callable[[], object]) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}


def measures(probabilities: np.ndarray, answers: np.ndarray, *, multi: bool) -> Record:
    """Accuracy and expected calibration error, or micro and macro F1 at a threshold of a half."""
    if multi:
        said = probabilities > 0.5
        right = (said & (answers == 1)).sum(axis=0)
        total = said.sum(axis=0) + answers.sum(axis=0)
        present = answers.any(axis=0)  # a label without a test text has no F1
        macro = np.mean(2 * right[present] / np.maximum(total[present], 1))
        return {"micro_f1": float(2 * right.sum() / total.sum()), "macro_f1": float(macro)}
    right = probabilities.argmax(axis=1) == answers.argmax(axis=1)
    return {"accuracy": float(right.mean()), "ece": calibration_error(probabilities, right)}


def calibration_error(probabilities: np.ndarray, right: np.ndarray) -> float:
    """Mean distance of confidence and accuracy over equally wide bins of confidence."""
    confidence = probabilities.max(axis=1)
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [abs(float((right[bins == b] - confidence[bins == b]).sum())) for b in range(BINS)]
    return sum(gaps) / len(right)


def scope(contestant: Any, args: argparse.Namespace, inside: np.ndarray) -> Record:
    """Tell texts of none of the labels by the abstain score, and by the highest probability."""
    from fewshot import Ours, make_task, read_rows
    from sklearn.metrics import roc_auc_score

    folder = args.data / args.sets[0]
    texts = [text for text, _ in make_task(folder, shots=1, seed=0, most=args.most).test]
    others = [text for text, _ in read_rows(folder / "oos_test.jsonl.gz")]
    answers = [0] * len(texts) + [1] * len(others)
    outside = contestant.probabilities(others)
    record = {
        "auroc_probability": roc_auc_score(
            answers, -np.concatenate([inside.max(axis=1), outside.max(axis=1)])
        )
    }
    if isinstance(contestant, Ours):
        scores = contestant.abstain_scores([*texts, *others])
        record["auroc_abstain"] = roc_auc_score(answers, scores)
    return record


def run_all(args: argparse.Namespace) -> list[Record]:
    """Run what is missing, each in a process of its own, and give all there is."""
    args.results.touch()
    for name in args.sets:
        for seed in args.seeds:
            for system in args.systems:
                key = key_of(args.part, system, name, seed, args.shots)
                if any(key.items() <= record.items() for record in read(args.results)):
                    continue
                print("...", *key.values(), file=sys.stderr, flush=True)
                record = in_process(args, system, name, seed)
                with args.results.open("a", encoding="utf8") as file:
                    file.write(json.dumps(record) + "\n")
    return [r for r in read(args.results) if r["part"] == args.part and r["shots"] == args.shots]


def read(file: Path) -> list[Record]:
    return [json.loads(line) for line in file.read_text(encoding="utf8").splitlines()]


def in_process(args: argparse.Namespace, system: str, name: str, seed: int) -> Record:
    command = [sys.executable, str(Path(__file__)), args.part, str(args.data), str(args.model)]
    command += ["--systems", system, "--sets", name, "--seeds", str(seed), "--one"]
    for option in ("shots", "most", "cap", "config"):
        command += [f"--{option}", str(getattr(args, option))]
    environment = {**os.environ, **ONE_THREAD}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{system} on {name} ended with {done.returncode}")
    answer: Record = json.loads(done.stdout.splitlines()[-1])
    return answer


def mean_std(values: Iterable[float], digits: int = 1, scale: float = 1.0) -> str:
    numbers = [value * scale for value in values]
    spread = f" ± {statistics.stdev(numbers):.{digits}f}" if len(numbers) > 1 else ""
    return f"{statistics.mean(numbers):.{digits}f}{spread}"


def pick(records: list[Record], system: str, name: str) -> list[Record]:
    return [r for r in records if r["system"] == system and r["set"] == name]


def default_seconds(record: Record, clock: str) -> float:
    """What setfit would take by default: steps cost the same, whatever their number."""
    return record["train"][clock] * record["default_steps"] / record["steps"]


def table(rows: list[list[str]]) -> None:
    print("|".join(["", *(f" {cell} " for cell in rows[0]), ""]))
    print("|" + "---|" * len(rows[0]))
    for row in rows[1:]:
        print("|".join(["", *(f" {cell} " for cell in row), ""]))
    print()


def present(records: list[Record], args: argparse.Namespace) -> tuple[list[str], list[str]]:
    names = [name for name in args.sets if any(r["set"] == name for r in records)]
    return names, [s for s in args.systems if any(r["system"] == s for r in records)]


def show_measures(records: list[Record], args: argparse.Namespace, measure: str) -> None:
    names, systems = present(records, args)
    rows = [[measure.replace("_", " "), *systems]]
    for name in names:
        cells = [[r[measure] for r in pick(records, system, name)] for system in systems]
        rows.append([name, *(mean_std(c, scale=100.0) if c else "-" for c in cells)])
    means = [
        [statistics.mean(r[measure] for r in pick(records, s, n)) for n in names]
        for s in systems
        if all(pick(records, s, n) for n in names)
    ]
    if len(means) == len(systems):
        rows.append(["mean", *(f"{100 * statistics.mean(m):.1f}" for m in means)])
    table(rows)


def show_cost(records: list[Record], args: argparse.Namespace) -> None:
    """Training seconds of ours beside those of setfit, as run and by default; memory of both."""
    names, _ = present(records, args)
    rows = [
        [
            "training",
            "ours, CPU s (wall)",
            "setfit as run, CPU s (wall)",
            "its steps",
            "by default",
            "default / ours",
            "MiB, ours / setfit",
        ]
    ]
    for name in names:
        ours, theirs = pick(records, "ours", name), pick(records, "setfit", name)
        if not ours or not theirs:
            continue
        cpu, full = mean_of(ours, "cpu"), statistics.mean(default_seconds(r, "cpu") for r in theirs)
        run = theirs[0]
        rows.append(
            [
                name,
                f"{cpu:.1f} ({mean_of(ours, 'wall'):.1f})",
                f"{mean_of(theirs, 'cpu'):.0f} ({mean_of(theirs, 'wall'):.0f})",
                f"{run['steps']} of {run['default_steps']:,}",
                f"{full:,.0f} s" + " (extrapolated)" * run["capped"],
                f"{full / cpu:.1f}x",
                f"{median(ours, 'mib'):.0f} / {median(theirs, 'mib'):.0f}",
            ]
        )
    table(rows)


def mean_of(records: list[Record], clock: str, part: str = "train") -> float:
    return statistics.mean(r[part][clock] for r in records)


def median(records: list[Record], key: str) -> float:
    return statistics.median(r[key] for r in records)


def part_accuracy(args: argparse.Namespace) -> None:
    records = run_all(args)
    for measure in ("accuracy", "ece"):
        show_measures(records, args, measure)
    show_cost(records, args)


def part_multilabel(args: argparse.Namespace) -> None:
    records = run_all(args)
    for measure in ("micro_f1", "macro_f1"):
        show_measures(records, args, measure)
    show_cost(records, args)


def part_scope(args: argparse.Namespace) -> None:
    records = run_all(args)
    rows = [["AUROC, out of scope", "abstain score", "highest probability"]]
    for system in args.systems:
        found = [r for r in records if r["system"] == system]
        if found:
            scores = [r["auroc_abstain"] for r in found if "auroc_abstain" in r]
            own = mean_std(scores, 3) if scores else "-"
            rows.append([system, own, mean_std([r["auroc_probability"] for r in found], 3)])
    table(rows)


def part_memory(args: argparse.Namespace) -> None:
    rows = [["peak of the training", "texts", *args.systems]]
    for shots in (args.shots, 26):  # of 77 labels: 2,002 texts
        args.shots = shots
        records = run_all(args)
        found = [pick(records, system, args.sets[0])[0] for system in args.systems]
        cells = [f"{r['mib']:.0f} MiB" for r in found]
        rows.append([args.sets[0], f"{found[0]['texts']:,}", *cells])
    table(rows)


def part_speed(args: argparse.Namespace) -> None:
    """Texts of mixed lengths: the whole pipeline beside bare encoding, turn by turn."""
    import torch
    from fewshot import Ours, make_task
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(1)
    tasks = [make_task(args.data / name, shots=8, seed=0, most=args.most) for name in args.sets]
    texts = [row[0] for rows in zip(*(task.test for task in tasks), strict=False) for row in rows]
    texts = texts[: args.most]
    ours = Ours(args.model, tasks[0], training={"freeze": ["encoder"]})
    ours.fit(tasks[0])
    theirs = SentenceTransformer(str(args.model), device="cpu")
    runs: dict[str, Callable[[], object]] = {
        "ours, whole nlp.pipe": lambda: ours.probabilities(texts),
        "SentenceTransformer.encode": lambda: theirs.encode(texts),
    }
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(3):
        for name, run in runs.items():
            best[name] = min(best[name], clocked(run)["cpu"])
    slow = best["SentenceTransformer.encode"]
    rows = [[f"{len(texts)} texts of {', '.join(args.sets)}", "texts / CPU s", "ratio"]]
    for name, seconds in best.items():
        rows.append([name, f"{len(texts) / seconds:.0f}", f"{slow / seconds:.2f}x"])
    table(rows)


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
    # This file has the name of the package that it measures: look for that elsewhere first.
    sys.path.append(sys.path.pop(0))
    args = parse()
    if args.one:
        print("\n" + json.dumps(run_one(args)))
        return
    PARTS[args.part][0](args)


if __name__ == "__main__":
    main()
