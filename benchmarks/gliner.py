"""Our ``gliner`` beside upstream gliner and gliner-spacy, on the same weights and texts.

    python benchmarks/gliner.py --tokenizer FOLDER --texts FILE --threads 1
    python benchmarks/gliner.py --tokenizer FOLDER --texts FILE --sizes 6x384 --repeats 3   # quick

``--tokenizer`` is a folder with the published ModernBERT ``tokenizer.json``, ``--texts`` a file
with a text a line, or of JSON lines with the key ``text`` (``.gz`` or not). Needed are ``pip
install gliner==0.2.29`` and, for its column, ``pip install --no-deps --target DIR
gliner-spacy==0.0.11`` with ``--gliner-spacy DIR``.

The weights are random, in the shape of published checkpoints: ModernBERT of 6 layers of 384, and
base with 22 of 768. The threshold is set so that a text has about ten candidates. Ours is timed as
a whole, from texts to annotated Docs; upstream makes no Docs. All systems answer once before the
clock runs, then take turns, each in a process of its own, and the median counts. With one
thread the clock is the CPU time of the process, so that neighbours on the machine weigh less. Peak
memory is the resident set of the process while it answers, libraries and weights included.
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

# This file bears the name of the package that it measures, and must not stand in its way.
sys.path.sort(key=str(Path(__file__).parent).__eq__)

from gliner_systems import (
    LABELS,
    SIZES,
    Entities,
    Task,
    build,
    find_threshold,
    make_system,
    ours,
)
from memory import peak_mib

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
    """The words of a file of texts, white space between them."""
    data = path.read_bytes()
    for line in (gzip.decompress(data) if path.suffix == ".gz" else data).decode().splitlines():
        yield from (json.loads(line)["text"] if line.startswith("{") else line).split()


def make_texts(path: Path, n: int, *, mixed: bool) -> tuple[str, ...]:
    """Texts of about 100 words, as the models count them, or of 8 to 380 in a wild order."""
    from spacy_modernbert.gliner.inference.words import split_words

    lengths = [8 + 372 * (i * 13 % n) // (n - 1) for i in range(n)] if mixed else [100] * n
    words, texts = read_words(path), []
    for length in lengths:
        text: list[str] = []
        count = 0
        while count < length:
            text.append(next(words))
            count += len(split_words(text[-1]).words)
        texts.append(" ".join(text))
    return tuple(texts)


def work(name: str, folder: Path, args: argparse.Namespace, pipe: Connection) -> None:
    """Answer tasks in a process of its own: seconds, peak memory in MiB, entities."""
    import torch

    torch.set_num_threads(args.threads)
    answer = make_system(name, folder, args.gliner_spacy)
    clock = time.process_time if args.threads == 1 else time.perf_counter
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        peak_mib(reset=True)
        start = clock()
        found = answer(task)
        pipe.send((clock() - start, peak_mib(), found))


class Worker:
    """A system in a process of its own."""

    def __init__(self, name: str, folder: Path, args: argparse.Namespace) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(name, folder, args, theirs))
        self.process.start()
        theirs.close()  # so that waiting for an answer ends when the process does
        self.seconds: list[float] = []
        self.peak = 0.0
        self.found: Entities = []

    def ask(self, task: Task, *, counts: bool) -> None:
        """Let it answer; the clock counts unless it is a warm-up."""
        self.pipe.send(task)
        seconds, peak, self.found = self.pipe.recv()
        if counts:
            self.seconds.append(seconds)
            self.peak = max(self.peak, peak)

    def forget(self) -> None:
        """Begin another case."""
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


def measure(case: Case, task: Task, made: dict[str, Worker], repeats: int) -> dict:
    for worker in made.values():
        worker.forget()
    for turn in range(repeats + 1):
        for worker in made.values():
            worker.ask(task, counts=turn > 0)
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
    """Share of the entities of either that both have."""
    sets = [{(i, *e) for i, text in enumerate(found) for e in text} for found in (one, other)]
    return len(sets[0] & sets[1]) / max(len(sets[0] | sets[1]), 1)


def row(result: dict) -> str:
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
    return "| " + " | ".join(cells) + " |"


def decoding_share(folder: Path, task: Task) -> tuple[float, float]:
    """Share of the whole time that goes into choosing spans, and into all behind the network."""
    from spacy_modernbert.pipeline.gliner.component import component as module

    pipe, answer = ours(folder)
    spent = {"decode": 0.0, "set_annotations": 0.0}

    def timed(function: Callable, name: str) -> Callable:
        def call(*args: Any, **kwargs: Any) -> Any:
            start = time.process_time()
            result = function(*args, **kwargs)
            spent[name] += time.process_time() - start
            return result

        return call

    answer(task)
    module.decode = timed(module.decode, "decode")
    pipe.set_annotations = timed(pipe.set_annotations, "set_annotations")
    start = time.process_time()
    answer(task)
    whole = time.process_time() - start
    return spent["decode"] / whole, sum(spent.values()) / whole


def describe(args: argparse.Namespace) -> str:
    import torch

    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    cpu = next((line.split(":")[1].strip() for line in lines if "model name" in line), "unknown")
    return (
        f"{cpu}, torch {torch.__version__}, {args.threads} thread(s), {args.n_texts} texts, "
        f"median of {args.repeats}"
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--n-texts", type=int, default=32, help="of no multiple of 13")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sizes", nargs="+", choices=[*SIZES], default=[*SIZES])
    parser.add_argument("--kinds", nargs="+", choices=[*PEERS], default=[*PEERS])
    parser.add_argument("--only", default="", help="cases with these words in their titles")
    parser.add_argument("--gliner-spacy", type=Path, help="the folder it is installed in")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    return parser.parse_args()


def main() -> None:
    args = parse()
    # Threads that wait for work shall not burn the core that somebody else computes on.
    os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    texts = {mixed: make_texts(args.texts, args.n_texts, mixed=mixed) for mixed in (False, True)}
    print(describe(args))
    results = []
    for size in args.sizes:
        print(f"\nModernBERT {size}\n")
        print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|")
        for kind in args.kinds:
            with tempfile.TemporaryDirectory() as name:
                build(kind, size, args.tokenizer, Path(name))
                folder = Path(name) / "model"
                names = ["ours", *PEERS[kind]]
                if args.gliner_spacy is None:
                    names = [name for name in names if name != "gliner-spacy"]
                cases = [c for c in CASES if c.kind == kind and args.only in c.title]
                with workers(names, folder, args) as made:
                    for case in cases:
                        labels = LABELS[: case.n_labels]
                        some = texts[case.mixed]
                        least = find_threshold(folder, some[:4], labels, CANDIDATES)
                        task = Task(some, tuple(labels), least)
                        results.append({"size": size, **measure(case, task, made, args.repeats)})
                        print(row(results[-1]), flush=True)
                if kind != "bi_span":
                    least = find_threshold(folder, texts[False][:4], LABELS[:5], 1000)
                    task = Task(texts[False], tuple(LABELS[:5]), least)
                    decoding, behind = decoding_share(folder, task)
                    print(
                        f"<!-- {kind}, 5 labels, 1,000 candidates a text: decoding {decoding:.1%} "
                        f"of the time, with annotation {behind:.1%} -->"
                    )
    if args.json:
        record = {"setting": describe(args), "results": results}
        args.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
