"""Our ModernBERT beside transformers' on the same weights and sequences, and their lower bound.

    python benchmarks/bench_encoder.py --threads 1
    python benchmarks/bench_encoder.py --threads 2 --layers 3 --cases mixed long   # quick

The weights are random, of ModernBERT-base's shape. The vocabulary is small, because the cost of
looking up an embedding does not depend on it. transformers runs as its users run it: float32, its
SDPA attention, one padded batch. The *floor* is the time of the bare matrix products that the
pieces require (see `matrix_products.py`). No encoder of this shape can be faster with the same
products; `floor share` says how close ours is.

All contestants take turns, and the fastest repetition of each counts. With one thread the clock is
the CPU time of the process. With two on a busy machine, OMP_WAIT_POLICY=PASSIVE and
GOMP_SPINCOUNT=0 keep threads from spinning on a core that another process needs. Memory is the
growth of the peak resident set during one forward pass, each in a process of its own.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from markdown_table import format_header, format_row
from matrix_products import make_products
from memory import peak_mib
from timing import choose_clock, cpu_name, fastest, run_script
from torch import Tensor

from spacy_modernbert.encoder.modernbert import ModernBert
from spacy_modernbert.encoder.modernbert_config import ModernBertConfig
from spacy_modernbert.encoder.packing import PackedBatch

COLUMNS = (
    "rows", "pieces", "transformers", "ours", "speed-up", "floor", "floor share", "peak memory",
)  # fmt: skip
VOCAB = 1000
LONG = 8192


@dataclass(frozen=True)
class Case:
    """The sequences of one case, and the number format of our side."""

    title: str
    lengths: tuple[int, ...]
    precision: str = "float32"


@dataclass(frozen=True)
class Result:
    """Seconds of one case, and where measured, the growth of the memory in MiB."""

    case: str
    pieces: int
    ours: float
    theirs: float
    floor: float
    our_memory: float | None = None
    their_memory: float | None = None

    @property
    def row(self) -> str:
        """The result as a row of the table."""
        memory = "-"
        if self.our_memory is not None and self.their_memory is not None:
            memory = f"{self.our_memory:.0f} / {self.their_memory:.0f} MiB"
        return format_row(
            (
                self.case,
                f"{self.pieces:,}",
                f"{self.theirs:.2f} s",
                f"{self.ours:.2f} s",
                f"{self.theirs / self.ours:.2f}x",
                f"{self.floor:.2f} s",
                f"{self.floor / self.ours:.0%}",
                memory,
            )
        )


def make_cases() -> dict[str, Case]:
    order = torch.randperm(32, generator=torch.Generator().manual_seed(0))
    mixed = tuple(torch.linspace(20, 200, 32).round().int()[order].tolist())
    return {
        "mixed": Case("32 rows of 20-200", mixed),
        "mixed-bf16": Case("32 rows of 20-200, bfloat16", mixed, "bfloat16"),
        "128": Case("32 rows of 128", (128,) * 32),
        "512": Case("8 rows of 512", (512,) * 8),
        "long": Case(f"1 row of {LONG:,}", (LONG,)),
        "long-bf16": Case(f"1 row of {LONG:,}, bfloat16", (LONG,), "bfloat16"),
    }


def make_config(layers: int) -> ModernBertConfig:
    return ModernBertConfig(vocab_size=VOCAB, num_hidden_layers=layers)


def make_sequences(case: Case) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(VOCAB, (n,), generator=generator) for n in case.lengths]


def make_weights(config: ModernBertConfig) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(2)
    with torch.device("meta"):
        shapes = {name: empty.shape for name, empty in ModernBert(config).state_dict().items()}
    return {
        name: torch.ones(shape)
        if len(shape) == 1
        else torch.empty(shape).normal_(std=0.02, generator=generator)
        for name, shape in shapes.items()
    }


def make_ours(config: ModernBertConfig, case: Case) -> Callable[[], Tensor]:
    with torch.device("meta"):
        model = ModernBert(config, precision=case.precision)
    model.load_state_dict(make_weights(config), assign=True)
    model.eval().prepare_inference_()
    batch = PackedBatch.from_sequences(make_sequences(case))
    return lambda: model(batch)


def make_theirs(config: ModernBertConfig, case: Case) -> Callable[[], Tensor]:
    from transformers import ModernBertConfig as TheirConfig
    from transformers import ModernBertModel

    keys = ("vocab_size", "num_hidden_layers")
    sizes = {key: getattr(config, key) for key in keys}
    their = TheirConfig(
        **sizes, pad_token_id=0, reference_compile=False, attn_implementation="sdpa"
    )
    model = ModernBertModel(their).eval()
    model.load_state_dict(make_weights(config))
    batch = PackedBatch.from_sequences(make_sequences(case))
    ids, mask = batch.pad(batch.ids), batch.mask().long()
    return lambda: model(input_ids=ids, attention_mask=mask).last_hidden_state


def measure(case: Case, config: ModernBertConfig, threads: int, repeats: int) -> Result:
    """Time all contestants; the floor is in the case's own number format."""
    runs: dict[str, Callable[[], object]] = {
        "ours": make_ours(config, case),
        "theirs": make_theirs(config, replace(case, precision="float32")),
        "floor": make_products(config, case.lengths, getattr(torch, case.precision)),
    }
    check_same(runs, case)
    return Result(case.title, sum(case.lengths), **fastest(runs, repeats, choose_clock(threads)))


def check_same(runs: dict[str, Callable[[], object]], case: Case) -> None:
    """Warm all contestants up, and stop if the two networks do not agree."""
    ours, theirs = runs["ours"](), runs["theirs"]()
    runs["floor"]()
    assert isinstance(ours, Tensor)
    assert isinstance(theirs, Tensor)
    real = torch.cat([vectors[:n] for vectors, n in zip(theirs, case.lengths, strict=True)])
    worst = F.cosine_similarity(ours, real, dim=-1).min().item()
    if worst < (0.9999 if case.precision == "float32" else 0.99):
        raise SystemExit(f"{case.title}: cosine {worst} between ours and transformers'")


def measure_memory(side: str, name: str, args: argparse.Namespace) -> float:
    """Return the growth of the peak in MiB during one forward pass, in a process of its own."""
    options = ["--layers", args.layers, "--threads", args.threads]
    return float(run_script(__file__, "--memory-of", side, "--cases", name, *options))


def memory_of(side: str, case: Case, config: ModernBertConfig) -> float:
    make = make_ours if side == "ours" else make_theirs
    make(config, replace(case, lengths=(64,)))()  # loads everything that is loaded at first use
    run = make(config, case)
    before = peak_mib(reset=True)
    run()
    return peak_mib() - before


def describe(args: argparse.Namespace) -> str:
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    units = [flag for flag in ("avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    return (
        f"{cpu_name()} ({', '.join(units)}), torch {torch.__version__}, "
        f"{args.threads} thread(s), {args.layers} layers, best of {args.repeats}"
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--layers", type=int, default=22)
    parser.add_argument("--cases", nargs="+", choices=[*make_cases()], default=[*make_cases()])
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    parser.add_argument("--memory-of", choices=["ours", "theirs"], help=argparse.SUPPRESS)
    return parser.parse_args()


@torch.inference_mode()
def main() -> None:
    args = parse()
    torch.set_num_threads(args.threads)
    cases, config = make_cases(), make_config(args.layers)
    if args.memory_of:
        print(memory_of(args.memory_of, cases[args.cases[0]], config))
        return
    print(describe(args), "\n")
    print(format_header(COLUMNS))
    results = []
    for name in args.cases:
        result = measure(cases[name], config, args.threads, args.repeats)
        if len(cases[name].lengths) == 1:
            ours, theirs = (measure_memory(side, name, args) for side in ("ours", "theirs"))
            result = replace(result, our_memory=ours, their_memory=theirs)
        results.append(result)
        print(result.row, flush=True)
    if args.json:
        record = {"setting": describe(args), "results": [asdict(result) for result in results]}
        args.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
