"""Time and memory of loading and saving a pipeline with a base-size encoder, beside the stock one.

    python benchmarks/bench_loading.py

Builds a ModernBERT of base size with random weights and three pipelines around it: our architecture
in the stock `transformer` factory, our architecture in `modernbert`, and spacy-transformers' own
architecture. Each pipeline is loaded and saved in a process of its own, on one thread. Memory is
the growth of the peak beyond the memory of the process with all libraries imported. Linux only.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from markdown_table import format_header, format_row
from memory import peak_mib
from timing import measure_seconds, run_script

OURS = {"@architectures": "spacy_modernbert.ModernBertModel.v1"}
STOCK = {
    "@architectures": "spacy-transformers.TransformerModel.v3",
    "get_spans": {"@span_getters": "spacy-transformers.doc_spans.v1"},
    "transformer_config": {"reference_compile": False},
}
PIPELINES = {
    "ours (transformer)": ("transformer", OURS),
    "ours (modernbert)": ("modernbert", OURS),
    "stock": ("transformer", STOCK),
}
TEXT = "The quick brown fox doesn't jump over the lazy dog; it sleeps under the old bridge.\n"


def measure(action: Callable[[], object]) -> dict[str, Any]:
    import spacy_transformers  # noqa: F401 - imports are not measured
    import torch

    import spacy_modernbert.pipeline.transformer.model  # noqa: F401

    torch.set_num_threads(1)
    before = peak_mib(reset=True)
    seconds = measure_seconds(action, time.perf_counter)
    return {"seconds": seconds, "mib": peak_mib() - before}


def job_build(folder: str, layers: str) -> dict[str, Any]:
    from spacy_modernbert.encoder.checkpoint import Checkpoint, save_encoder
    from spacy_modernbert.encoder.initialization import new_encoder
    from spacy_modernbert.encoder.modernbert_config import ModernBertConfig
    from spacy_modernbert.text.tokenizer_training import train_tokenizer

    tokenizer = train_tokenizer([TEXT], vocab_size=400, max_length=8192)
    config = ModernBertConfig.from_dict(
        {"model_type": "modernbert", "num_hidden_layers": int(layers)}
    )
    save_encoder(Checkpoint(new_encoder(config, seed=0), tokenizer), Path(folder))
    return {"mib": (Path(folder) / "model.safetensors").stat().st_size / 2**20}


def job_create(checkpoint: str, name: str, folder: str) -> dict[str, Any]:
    import spacy

    factory, model = PIPELINES[name]
    nlp = spacy.blank("en")
    config = {"model": {**model, "name": checkpoint}}
    nlp.add_pipe(factory, name="transformer", config=config)
    nlp.initialize()
    nlp.to_disk(folder)
    return {}


def job_load(folder: str) -> dict[str, Any]:
    import spacy

    return measure(partial(spacy.load, folder))


def job_save(folder: str, target: str) -> dict[str, Any]:
    import spacy

    nlp = spacy.load(folder)
    nlp("Weights that are loaded at first use are in memory now.")
    return measure(partial(nlp.to_disk, target))


def job_read(file: str) -> dict[str, Any]:
    return measure(Path(file).read_bytes)


JOBS: dict[str, Callable[..., dict[str, Any]]] = {
    "build": job_build,
    "create": job_create,
    "load": job_load,
    "save": job_save,
    "read": job_read,
}


def run_job(*job: object) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(run_script(__file__, "--job", *job))
    return result


def median_seconds(runs: list[dict[str, Any]]) -> float:
    return statistics.median_high(run["seconds"] for run in runs)


def compare(layers: int, repeats: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        weights = run_job("build", work / "checkpoint", layers)["mib"]
        for pipeline in PIPELINES:
            run_job("create", work / "checkpoint", pipeline, work / pipeline)
        reads = [run_job("read", work / "stock/transformer/model") for _ in range(repeats)]
        read = median_seconds(reads)
        print(f"Weights: {weights:.0f} MiB. Reading a file of that size: {read:.2f} s.\n")
        columns = ("load, s", "x reading", "peak, x weights", "save, s", "peak, x weights")
        print(format_header(("pipeline", *columns)))
        for pipeline in PIPELINES:
            loads = [run_job("load", work / pipeline) for _ in range(repeats)]
            saves = [run_job("save", work / pipeline, work / "saved") for _ in range(repeats)]
            load, save = median_seconds(loads), median_seconds(saves)
            numbers = (load, load / read, peak(loads) / weights, save, peak(saves) / weights)
            print(format_row((pipeline, *(f"{number:.2f}" for number in numbers))))


def peak(runs: list[dict[str, Any]]) -> float:
    return max(run["mib"] for run in runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=22, help="layers of the encoder")
    parser.add_argument(
        "--repeats", type=int, default=3, help="number of runs; their median counts"
    )
    parser.add_argument("--job", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        print(json.dumps(JOBS[arguments.job[0]](*arguments.job[1:])))
    else:
        compare(arguments.layers, arguments.repeats)


if __name__ == "__main__":
    main()
