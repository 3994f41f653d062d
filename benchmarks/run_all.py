"""Every benchmark on the project's own texts, and one table of their results.

    python benchmarks/run_all.py metrics/benchmarks.md --quick     minutes, on small networks
    python benchmarks/run_all.py metrics/benchmarks.md --full      hours, on those of the README

The libraries to compare with are not dependencies: `pip install gliner==0.2.29 setfit==1.2.0`. The
table names the benchmarks that need a library that is not installed. Each benchmark runs in
processes of its own, on one thread; its file says what it measures and how. `--only WORD` selects
the benchmarks that have the word in their names.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from inputs import make_inputs
from markdown_table import format_header, format_row, read_tables
from timing import ONE_THREAD
from tqdm import tqdm
from wasabi import msg

from spacy_modernbert.encoder.hub import resolve

HERE = Path(__file__).resolve().parent
BUNDLED = str(resolve("bundled"))


@dataclass(frozen=True)
class Benchmark:
    """One call of a script.

    Attributes:
        name: Its name in the table.
        script: The file in this folder.
        quick: Arguments for a quick look.
        full: Arguments for the full benchmark.
        peers: Packages that it requires.
    """

    name: str
    script: str
    quick: Sequence[str]
    full: Sequence[str]
    peers: tuple[str, ...] = ()


def list_benchmarks(folder: Path, encoder: Path, minilm: Path) -> list[Benchmark]:
    """List all calls in the order of the table."""
    gliner = ["--tokenizer", str(encoder), "--texts", str(folder / "texts.txt"), "--threads", "1"]
    one_case = ["--sizes", "6x384", "--repeats", "1", "--n-texts", "8", "--only", "5 labels"]
    speed = ["speed", str(minilm), str(folder / "ner" / "sentences" / "train.jsonl.gz")]
    few_entities = ["fewshot", str(minilm), str(folder / "ner" / "sentences")]
    few_entities += ["--start", BUNDLED]
    few_steps = ["--sizes", "50", "--steps", "60", "--stock-steps", "60", "--test", "77"]
    few_texts = ["accuracy", str(folder / "textcat"), str(minilm), "--sets", "town"]
    few_texts += ["--results", str(folder / "setfit.jsonl")]
    one_seed = ["--seeds", "0", "--systems", "ours", "probe", "textcat"]
    zero_shot = [BUNDLED, str(folder / "ner"), "--sets", "sentences", "--split", "test"]
    long_docs = [*zero_shot[:2], "--sets", "sentences/test"]
    peer = ("gliner",)
    training = "bench_gliner_training.py"
    return [
        Benchmark(
            "encoder",
            "bench_encoder.py",
            ["--layers", "3", "--cases", "mixed", "--repeats", "2"],
            ["--threads", "1"],
        ),
        Benchmark("loading", "bench_loading.py", ["--layers", "3", "--repeats", "1"], []),
        Benchmark(
            "gliner", "bench_gliner.py", [*gliner, *one_case], [*gliner, "--n-texts", "16"], peer
        ),
        Benchmark("gliner zero-shot", "bench_zeroshot.py", zero_shot, zero_shot),
        Benchmark("gliner long Docs", "bench_long_docs.py", long_docs, long_docs),
        Benchmark("gliner training", training, [*speed, "--steps", "5"], speed, peer),
        Benchmark("gliner few-shot", training, [*few_entities, *few_steps], few_entities, peer),
        Benchmark(
            "setfit few-shot", "bench_setfit.py", [*few_texts, *one_seed], few_texts, ("setfit",)
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
        for benchmark in tqdm(wanted, desc="benchmarks", disable=None if progress else True):
            missing = [package for package in benchmark.peers if find_spec(package) is None]
            if missing:
                reason = f"needs {', '.join(missing)}, see the command"
                rows.append((benchmark.name, "not run", reason))
                continue
            rows += [(benchmark.name, *row) for row in run(benchmark, quick=quick)]
    title = "quick, on small networks: ratios only" if quick else "in full"
    table = [format_header(("benchmark", "case", "result")), *map(format_row, rows)]
    text = "\n".join([f"Benchmarks, {title}\n", *table]) + "\n"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text, encoding="utf8")
    print(text)
    msg.good(f"Saved the table to {output}")


def run(benchmark: Benchmark, *, quick: bool) -> list[tuple[str, str]]:
    """Run one benchmark. Return its cases and results, or how it failed."""
    started = time.perf_counter()
    arguments = benchmark.quick if quick else benchmark.full
    command = [sys.executable, str(HERE / benchmark.script), *arguments]
    done = subprocess.run(
        command, env={**os.environ, **ONE_THREAD}, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        return [("failed", f"exit status {done.returncode}; alone: {' '.join(command[1:])}")]
    total = ("(all of it)", f"{time.perf_counter() - started:.0f} s")
    return [*read_tables(done.stdout), total]


if __name__ == "__main__":
    typer.run(main)
