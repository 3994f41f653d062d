"""Our ``gliner`` beside upstream gliner and gliner-spacy, on the same weights and texts.

    python benchmarks/bench_gliner.py --tokenizer FOLDER --texts FILE --threads 1
    python benchmarks/bench_gliner.py --tokenizer FOLDER --texts FILE --sizes 6x384 --repeats 3

``--tokenizer`` is a folder with the published ModernBERT ``tokenizer.json``. ``--texts`` is a file
with a text a line, or of JSON lines with the key ``text`` (``.gz`` or not). The benchmark requires
``pip install gliner==0.2.29``, and for the column of gliner-spacy ``pip install --no-deps --target
DIR gliner-spacy==0.0.11`` and ``--gliner-spacy DIR``.

The weights are random, in the shapes of published checkpoints: ModernBERT with 6 layers of 384, and
base with 22 of 768. The threshold is set so that a text has about ten candidates. The time of ours
is that from texts to annotated Docs; upstream makes no Docs. Each system runs in a process of its
own. All run once before the clock starts, then they take turns, and the median counts. With one
thread the clock is the CPU time of the process, so that its neighbors weigh less. Peak memory is
the resident set of the process while it runs, libraries and weights included.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from data import read_lines
from gliner_systems import (
    Entities,
    Task,
    count_words,
    decoding_share,
    find_threshold,
    make_system,
)
from labels import COMMON_LABELS
from markdown_table import format_header, format_row
from memory import peak_mib
from random_gliner import SIZES, build_checkpoint
from timing import choose_clock, cpu_name, stay_offline

CANDIDATES = 10
PEERS = {
    "uni_span": ("gliner", "gliner, sdpa", "gliner-spacy"),
    "uni_token": ("gliner", "gliner, sdpa"),
    "bi_span": ("gliner", "gliner, sdpa", "gliner, kept labels"),
}

COLUMNS = [
    "kind and labels",
    "ours, a text",
    "gliner",
    "gliner, sdpa",
    "gliner, kept labels",
    "gliner-spacy",
    "peak, ours / gliner",
    "same entities",
]


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    kind: str
    title: str
    n_labels: int
    mixed: bool = False


CASES = [
    *(
        Case(kind, f"{n} labels", n)
        for kind in ("uni_span", "uni_token", "bi_span")
        for n in (5, 25, 100)
    ),
    Case("uni_span", "10 labels, mixed lengths", 10, mixed=True),
    Case("bi_span", "10 labels, mixed lengths", 10, mixed=True),
]


def read_words(path: Path) -> Iterator[str]:
    """Read the words of a file of texts, as white space separates them."""
    for line in read_lines(path):
        yield from (json.loads(line)["text"] if line.startswith("{") else line).split()


def make_texts(path: Path, n: int, *, mixed: bool) -> tuple[str, ...]:
    """Make texts of about 100 words, as the models count them, or of 8 to 380 in mixed order."""
    lengths = [8 + 372 * (i * 13 % n) // (n - 1) for i in range(n)] if mixed else [100] * n
    words, texts = read_words(path), []
    for length in lengths:
        text: list[str] = []
        count = 0
        while count < length:
            text.append(next(words))
            count += count_words(text[-1])
        texts.append(" ".join(text))
    return tuple(texts)


def work(name: str, folder: Path, args: argparse.Namespace, pipe: Connection) -> None:
    """Run tasks in a process of its own. Send seconds, peak memory in MiB, and entities."""
    import torch

    torch.set_num_threads(args.threads)
    system = make_system(name, folder, args.gliner_spacy)
    clock = choose_clock(args.threads)
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        peak_mib(reset=True)
        start = clock()
        found = system(task)
        pipe.send((clock() - start, peak_mib(), found))


class Worker:
    """A system in a process of its own."""

    def __init__(self, name: str, folder: Path, args: argparse.Namespace) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(name, folder, args, theirs))
        self.process.start()
        theirs.close()  # a `recv` then ends when the process does
        self.seconds: list[float] = []
        self.peak = 0.0
        self.found: Entities = []

    def run(self, task: Task, *, counts: bool) -> None:
        """Run a task. Its time and memory count unless it is a warm-up."""
        self.pipe.send(task)
        seconds, peak, self.found = self.pipe.recv()
        if counts:
            self.seconds.append(seconds)
            self.peak = max(self.peak, peak)

    def reset(self) -> None:
        """Drop the results of the last case."""
        self.seconds, self.peak = [], 0.0

    def stop(self) -> None:
        """End the process."""
        self.pipe.close()
        self.process.join()


@contextmanager
def workers(
    names: list[str], folder: Path, args: argparse.Namespace
) -> Iterator[dict[str, Worker]]:
    made = {name: Worker(name, folder, args) for name in names}
    try:
        yield made
    finally:
        for worker in made.values():
            worker.stop()


def measure(case: Case, task: Task, made: dict[str, Worker], repeats: int) -> dict[str, Any]:
    for worker in made.values():
        worker.reset()
    for turn in range(repeats + 1):
        for worker in made.values():
            worker.run(task, counts=turn > 0)
    mine = made["ours"]
    seconds = {name: statistics.median(worker.seconds) for name, worker in made.items()}
    return {
        "case": f"{case.kind}, {case.title}",
        "texts": len(task.texts),
        "seconds": seconds,
        "spread": (max(mine.seconds) - min(mine.seconds)) / seconds["ours"],
        "peak": {name: worker.peak for name, worker in made.items()},
        "entities": sum(map(len, mine.found)),
        "agreement": agreement(mine.found, made["gliner"].found),
    }


def agreement(one: Entities, other: Entities) -> float:
    """Return the share of all entities that both systems found."""
    sets = [{(i, *e) for i, text in enumerate(found) for e in text} for found in (one, other)]
    return len(sets[0] & sets[1]) / max(len(sets[0] | sets[1]), 1)


def result_row(result: dict[str, Any]) -> str:
    seconds, peak = result["seconds"], result["peak"]
    mine = seconds["ours"]

    def ratio(name: str) -> str:
        return f"{seconds[name] / mine:.2f}x" if name in seconds else ""

    names = ("gliner", "gliner, sdpa", "gliner, kept labels", "gliner-spacy")
    cells = [
        result["case"],
        f"{mine / result['texts'] * 1000:.0f} ms",
        *(ratio(name) for name in names),
        f"{peak['ours']:.0f} / {peak['gliner']:.0f} MiB",
        f"{result['agreement']:.1%} of {result['entities']}",
    ]
    return format_row(cells)


def describe(args: argparse.Namespace) -> str:
    import torch

    return (
        f"{cpu_name()}, torch {torch.__version__}, {args.threads} thread(s), {args.n_texts} texts, "
        f"median of {args.repeats}"
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--n-texts", type=int, default=32, help="not a multiple of 13")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sizes", nargs="+", choices=[*SIZES], default=[*SIZES])
    parser.add_argument("--kinds", nargs="+", choices=[*PEERS], default=[*PEERS])
    parser.add_argument("--only", default="", help="cases with these words in their titles")
    parser.add_argument("--gliner-spacy", type=Path, help="the folder it is installed in")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    return parser.parse_args()


def measure_kind(
    kind: str, size: str, texts: dict[bool, tuple[str, ...]], args: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Measure and print all cases of a kind of model."""
    with tempfile.TemporaryDirectory() as name:
        build_checkpoint(kind, size, args.tokenizer, Path(name))
        folder = Path(name) / "model"
        names = ["ours", *PEERS[kind]]
        if args.gliner_spacy is None:
            names = [name for name in names if name != "gliner-spacy"]
        with workers(names, folder, args) as made:
            for case in [c for c in CASES if c.kind == kind and args.only in c.title]:
                task = make_task(folder, texts[case.mixed], case.n_labels, CANDIDATES)
                result = {"size": size, **measure(case, task, made, args.repeats)}
                print(result_row(result), flush=True)
                yield result
        if kind != "bi_span":
            task = make_task(folder, texts[False], 5, 1000)
            decoding, after = decoding_share(folder, task)
            print(
                f"<!-- {kind}, 5 labels, 1,000 candidates a text: decoding {decoding:.1%} "
                f"of the time, with annotation {after:.1%} -->"
            )


def make_task(folder: Path, texts: tuple[str, ...], n_labels: int, candidates: int) -> Task:
    labels = COMMON_LABELS[:n_labels]
    return Task(texts, tuple(labels), find_threshold(folder, texts[:4], labels, candidates))


def main() -> None:
    stay_offline()
    args = parse()
    # Threads that wait for work must not occupy a core that another process needs.
    os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    texts = {mixed: make_texts(args.texts, args.n_texts, mixed=mixed) for mixed in (False, True)}
    print(describe(args))
    results = []
    for size in args.sizes:
        print(f"\nModernBERT {size}\n")
        print(format_header(COLUMNS))
        for kind in args.kinds:
            results += measure_kind(kind, size, texts, args)
    if args.json:
        record = {"setting": describe(args), "results": results}
        args.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
