"""Every benchmark on the project's own texts, and one table of what they print.

    python benchmarks/all.py metrics/benchmarks.md --quick     minutes, on small networks
    python benchmarks/all.py metrics/benchmarks.md --full      hours, on those of the README

The libraries to compare with are no dependencies: `pip install gliner==0.2.29 setfit==1.2.0`. What
is not installed is left out, and named. Each benchmark runs in processes of its own, on one thread;
its own file says what it measures and how. `--only WORD` runs those with the word in their names.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

# Neighbours of this file bear the names of packages that they measure: those come first.
sys.path.sort(key=str(Path(__file__).resolve().parent).__eq__)

import typer
from inputs import make_inputs
from tqdm import tqdm
from wasabi import msg

HERE = Path(__file__).resolve().parent
EMBEDDED = HERE.parent / "assets" / "models" / "gliner-minilm"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


@dataclass(frozen=True)
class Benchmark:
    """One call of a script.

    Attributes:
        name: What stands in the table.
        script: The file beside this one.
        arguments: Its arguments: for a quick look, and in full.
        peers: Packages that it can't do without.
    """

    name: str
    script: str
    quick: Sequence[str]
    full: Sequence[str]
    peers: tuple[str, ...] = ()


def list_benchmarks(folder: Path, encoder: Path, minilm: Path) -> list[Benchmark]:
    """List all calls, in the order of the table."""
    gliner = ["--tokenizer", str(encoder), "--texts", str(folder / "texts.txt"), "--threads", "1"]
    speed = ["speed", str(minilm), str(folder / "ner" / "sentences" / "train.jsonl.gz")]
    few_entities = ["fewshot", str(minilm), str(folder / "ner" / "sentences")]
    few_entities += ["--start", str(EMBEDDED)]
    few_texts = ["accuracy", str(folder / "textcat"), str(minilm), "--sets", "town"]
    few_texts += ["--results", str(folder / "setfit.jsonl")]
    zero_shot = [str(EMBEDDED), str(folder / "ner"), "--sets", "sentences", "--split", "test"]
    few = ["--sizes", "50", "--steps", "60", "--stock-steps", "60", "--test", "77"]
    return [
        Benchmark(
            "encoder",
            "encoder.py",
            ["--layers", "3", "--cases", "mixed", "--repeats", "2"],
            ["--threads", "1"],
        ),
        Benchmark("loading", "loading.py", ["--layers", "3", "--repeats", "1"], []),
        Benchmark(
            "gliner",
            "gliner.py",
            [*gliner, "--sizes", "6x384", "--repeats", "1", "--n-texts", "8", "--only", "5 labels"],
            [*gliner, "--n-texts", "16"],
            ("gliner",),
        ),
        Benchmark("gliner zero-shot", "gliner_zeroshot.py", zero_shot, zero_shot),
        Benchmark(
            "gliner training", "gliner_training.py", [*speed, "--steps", "5"], speed, ("gliner",)
        ),
        Benchmark(
            "gliner few-shot",
            "gliner_training.py",
            [*few_entities, *few],
            few_entities,
            ("gliner",),
        ),
        Benchmark(
            "setfit few-shot",
            "setfit.py",
            [*few_texts, "--seeds", "0", "--systems", "ours", "probe", "textcat"],
            few_texts,
            ("setfit",),
        ),
    ]


def main(
    output: Path,
    quick: Annotated[bool, typer.Option("--quick/--full", help="Minutes or hours")] = True,
    corpus: Annotated[Path, typer.Option(help="Folder of the corpus")] = Path("corpus"),
    encoder: Annotated[Path, typer.Option(help="Folder with a tokenizer")] = Path("models/encoder"),
    minilm: Annotated[Path, typer.Option(help="Folder of MiniLM")] = Path("models/minilm"),
    only: Annotated[str, typer.Option(help="Those with this word in their names")] = "",
    progress: Annotated[bool, typer.Option(help="Whether to show a bar")] = True,
) -> None:
    """Run the benchmarks and write the table OUTPUT."""
    rows: list[tuple[str, str, str]] = []
    with tempfile.TemporaryDirectory() as name:
        make_inputs(corpus, Path(name))
        wanted = [b for b in list_benchmarks(Path(name), encoder, minilm) if only in b.name]
        for one in tqdm(wanted, desc="benchmarks", disable=None if progress else True):
            missing = [package for package in one.peers if find_spec(package) is None]
            if missing:
                rows.append((one.name, "not run", f"needs {', '.join(missing)}, see the command"))
                continue
            rows += [(one.name, *row) for row in run(one, quick=quick)]
    title = "quick, on small networks: ratios only" if quick else "in full"
    text = "\n".join([f"Benchmarks, {title}\n", *to_markdown(rows)]) + "\n"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text, encoding="utf8")
    print(text)
    msg.good(f"Saved the table to {output}")


def run(one: Benchmark, *, quick: bool) -> list[tuple[str, str]]:
    """Run one benchmark. Gives its rows, or a row that says how it failed."""
    started = time.perf_counter()
    command = [sys.executable, str(HERE / one.script), *(one.quick if quick else one.full)]
    env = {**os.environ, **ONE_THREAD, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        return [("failed", f"exit status {done.returncode}; alone: {' '.join(command[1:])}")]
    took = ("(all of it)", f"{time.perf_counter() - started:.0f} s")
    return [*read_rows(done.stdout), took]


def read_rows(printed: str) -> Iterator[tuple[str, str]]:
    """Give a case and its results for each row of the tables that were printed.

    The first cell of a row is the case; each other one gets its column's name in front. Whatever is
    printed between the rows does not matter, but for a line that ends in a ratio: that is a row of
    its own.
    """
    header: list[str] = []
    lines = printed.splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|"):
            if re.search(r"\dx$", line):
                yield "", line.strip()
        elif is_rule(following):
            header = cells
        elif not is_rule(line):
            named = zip(header[1:], cells[1:], strict=False)
            results = "; ".join(f"{name} {cell}" for name, cell in named if cell)
            yield f"{header[0]}: {cells[0]}" if header[0] else cells[0], results


def is_rule(line: str) -> bool:
    """Say whether a line is the one below the header of a table."""
    return line.startswith("|") and not set(line) - set("|-: ")


def to_markdown(rows: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    """Lay the rows out."""
    yield "| benchmark | case | result |"
    yield "|---|---|---|"
    for row in rows:
        yield f"| {' | '.join(row)} |"


if __name__ == "__main__":
    typer.run(main)
