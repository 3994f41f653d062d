"""Time and memory of loading and saving a pipeline with a base-size encoder, beside the stock one.

    python benchmarks/loading.py

Builds a ModernBERT of base size with random weights, puts it into a pipeline three times (our
architecture under the stock `transformer` factory and under `modernbert`, and spacy-transformers'
own architecture), and loads and saves each in a process of its own. Memory is what the process's
peak rises above what it held with everything imported. Linux only, one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from memory import peak_mib

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
WORDS = "The quick brown fox doesn't jump over the lazy dog; it sleeps under the old bridge.\n"


def measure(action: Callable[[], object]) -> dict:
    import spacy_transformers  # noqa: F401 - imports are not what is measured
    import torch

    import spacy_modernbert.pipeline.transformer.model  # noqa: F401

    torch.set_num_threads(1)
    before = peak_mib(reset=True)
    start = time.perf_counter()
    action()
    return {"seconds": time.perf_counter() - start, "mib": peak_mib() - before}


def job_build(folder: Path, layers: int) -> dict:
    from spacy_modernbert.encoder.checkpoint import Checkpoint, save_encoder
    from spacy_modernbert.encoder.initialization import new_encoder
    from spacy_modernbert.encoder.modernbert_config import ModernBertConfig
    from spacy_modernbert.text.tokenizer_training import train_tokenizer

    tokenizer = train_tokenizer([WORDS], vocab_size=400, max_length=8192)
    config = ModernBertConfig.from_dict({"model_type": "modernbert", "num_hidden_layers": layers})
    save_encoder(Checkpoint(new_encoder(config, seed=0), tokenizer), folder)
    return {"mib": (folder / "model.safetensors").stat().st_size / 2**20}


def job_create(checkpoint: Path, name: str, folder: Path) -> dict:
    import spacy

    factory, model = PIPELINES[name]
    nlp = spacy.blank("en")
    config = {"model": {**model, "name": str(checkpoint)}}
    nlp.add_pipe(factory, name="transformer", config=config)
    nlp.initialize()
    nlp.to_disk(folder)
    return {}


def job_load(folder: Path) -> dict:
    import spacy

    return measure(lambda: spacy.load(folder))


def job_save(folder: Path, target: Path) -> dict:
    import spacy

    nlp = spacy.load(folder)
    nlp("Weights that were only mapped so far are in memory now.")
    return measure(lambda: nlp.to_disk(target))


def job_read(file: Path) -> dict:
    return measure(file.read_bytes)


JOBS = {
    "build": lambda a: job_build(Path(a[0]), int(a[1])),
    "create": lambda a: job_create(Path(a[0]), a[1], Path(a[2])),
    "load": lambda a: job_load(Path(a[0])),
    "save": lambda a: job_save(Path(a[0]), Path(a[1])),
    "read": lambda a: job_read(Path(a[0])),
}


def in_child(*job: str) -> dict:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--job", *map(str, job)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def median(runs: list[dict]) -> float:
    return sorted(run["seconds"] for run in runs)[len(runs) // 2]


def compare(layers: int, repeats: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        weights = in_child("build", work / "checkpoint", layers)["mib"]
        for pipeline in PIPELINES:
            in_child("create", work / "checkpoint", pipeline, work / pipeline)
        read = [in_child("read", work / "stock/transformer/model") for _ in range(repeats)]
        seconds = median(read)
        print(f"Weights: {weights:.0f} MiB. Reading a file of that size: {seconds:.2f} s.\n")
        print("| pipeline | load, s | x reading | peak, x weights | save, s | peak, x weights |")
        print("|---|---|---|---|---|---|")
        for pipeline in PIPELINES:
            loads = [in_child("load", work / pipeline) for _ in range(repeats)]
            saves = [in_child("save", work / pipeline, work / "saved") for _ in range(repeats)]
            load, save = (
                sorted(r["seconds"] for r in runs)[repeats // 2] for runs in (loads, saves)
            )
            peaks = [max(r["mib"] for r in runs) / weights for runs in (loads, saves)]
            print(
                f"| {pipeline} | {load:.2f} | {load / seconds:.2f} | {peaks[0]:.2f} "
                f"| {save:.2f} | {peaks[1]:.2f} |"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=22, help="layers of the encoder")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each; the median is shown")
    parser.add_argument("--job", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        print(json.dumps(JOBS[arguments.job[0]](arguments.job[1:])))
    else:
        compare(arguments.layers, arguments.repeats)


if __name__ == "__main__":
    main()
