"""Our ModernBERT beside transformers' on the same weights and rows, and beside the floor of both.

    python benchmarks/encoder.py --threads 1
    python benchmarks/encoder.py --threads 2 --layers 3 --cases mixed long   # quick

The weights are random, of ModernBERT-base's shape; the vocabulary is small, because looking an
embedding up costs the same in any. transformers runs as its users run it: float32, its SDPA
attention, one padded batch. The *floor* is the time of the matrix products that the real pieces
cannot do without, called bare on preallocated memory: the four linear layers, and queries x keys
and weights x values, row by row in full layers and block by block in sliding ones. No encoder of
this shape can be faster on the same products; `floor share` is how near ours comes.

All contestants take turns, repetition by repetition, and the fastest of each counts, so that a
neighbour on the machine slows all of them alike. With one thread the clock is the CPU time of the
process. With two on a busy machine, OMP_WAIT_POLICY=PASSIVE and GOMP_SPINCOUNT=0 keep threads from
spinning on a core that someone else is using. Memory is the growth of the peak resident set during
one forward pass, each in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from memory import peak_mib
from torch import Tensor

from spacy_modernbert.encoder.modernbert import ModernBert
from spacy_modernbert.encoder.modernbert_config import FULL, ModernBertConfig
from spacy_modernbert.encoder.packing import PackedBatch

VOCAB = 1000
LONG = 8192
QUERIES = 256  # of a long row, multiplied at a time


@dataclass(frozen=True)
class Case:
    """Rows of one benchmark, and the number format of our side."""

    title: str
    lengths: tuple[int, ...]
    precision: str = "float32"


@dataclass(frozen=True)
class Result:
    """Seconds of one case; MiB beyond what was resident before, where measured."""

    case: str
    pieces: int
    ours: float
    theirs: float
    floor: float
    our_memory: float | None = None
    their_memory: float | None = None

    @property
    def row(self) -> str:
        """One line of a Markdown table."""
        memory = "-"
        if self.our_memory is not None and self.their_memory is not None:
            memory = f"{self.our_memory:.0f} / {self.their_memory:.0f} MiB"
        return (
            f"| {self.case} | {self.pieces:,} | {self.theirs:.2f} s | {self.ours:.2f} s "
            f"| {self.theirs / self.ours:.2f}x | {self.floor:.2f} s "
            f"| {self.floor / self.ours:.0%} | {memory} |"
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


def make_rows(case: Case) -> list[Tensor]:
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
    batch = PackedBatch.from_sequences(make_rows(case))
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
    batch = PackedBatch.from_sequences(make_rows(case))
    ids, mask = batch.pad(batch.ids), batch.mask().long()
    return lambda: model(input_ids=ids, attention_mask=mask).last_hidden_state


def make_floor(config: ModernBertConfig, case: Case) -> Callable[[], None]:
    """Build the bare products of one forward pass; always in the case's own number format."""
    dtype = getattr(torch, case.precision)
    total, width, inner = sum(case.lengths), config.hidden_size, config.intermediate_size
    shapes = [(width, 3 * width), (width, width), (width, 2 * inner), (inner, width)]
    linear = [
        (
            torch.randn(total, n).to(dtype),
            torch.randn(m, n).to(dtype).t(),
            torch.empty(total, m, dtype=dtype),
        )
        for n, m in shapes
    ]
    heads = torch.randn(total, 3, config.num_attention_heads, config.head_dim).to(dtype)
    qkv = heads.permute(1, 2, 0, 3)
    pairs = {kind: list(blocks(config, case, kind)) for kind in set(config.layer_types)}
    scores = torch.empty(QUERIES, max(case.lengths), dtype=dtype)

    def run() -> None:
        for kind in config.layer_types:
            for left, right, out in linear:
                torch.mm(left, right, out=out)
            for queries, keys in pairs[kind]:
                attention_products(qkv, queries, keys, scores)

    return run


def blocks(config: ModernBertConfig, case: Case, kind: str) -> Iterator[tuple[slice, slice]]:
    """Queries and the keys they need: a full row cut by queries, a window by its own width."""
    size, reach = (QUERIES, LONG) if kind == FULL else (config.half_window, config.half_window)
    start = 0
    for length in case.lengths:
        for own in range(0, length, size):
            end = min(own + size, length)
            first, last = max(0, own - reach), min(length, end + reach)
            yield slice(start + own, start + end), slice(start + first, start + last)
        start += length


def attention_products(qkv: Tensor, queries: slice, keys: slice, scores: Tensor) -> None:
    """Scores, then sums of values; a head at a time where the scores of all would leave cache.

    There one piece of memory takes all scores in turn: taking new pages costs more than a product.
    """
    query, key, value = qkv[0, :, queries], qkv[1, :, keys], qkv[2, :, keys]
    if key.shape[1] <= 512:
        torch.bmm(torch.bmm(query, key.transpose(1, 2)), value)
        return
    for head in range(len(query)):
        found = scores[: query.shape[1], : key.shape[1]]
        torch.mm(torch.mm(query[head], key[head].t(), out=found), value[head])


def measure(case: Case, config: ModernBertConfig, threads: int, repeats: int) -> Result:
    clock = time.process_time if threads == 1 else time.perf_counter
    runs: dict[str, Callable[[], object]] = {
        "ours": make_ours(config, case),
        "theirs": make_theirs(config, replace(case, precision="float32")),
        "floor": make_floor(config, case),
    }
    check_same(runs, case)
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(repeats):
        for name, run in runs.items():
            start = clock()
            run()
            best[name] = min(best[name], clock() - start)
    return Result(case.title, sum(case.lengths), **best)


def check_same(runs: dict[str, Callable[[], object]], case: Case) -> None:
    """Warm both sides up, and refuse to time two networks that do not agree."""
    ours, theirs = runs["ours"](), runs["theirs"]()
    runs["floor"]()
    assert isinstance(ours, Tensor)
    assert isinstance(theirs, Tensor)
    real = torch.cat([row[:n] for row, n in zip(theirs, case.lengths, strict=True)])
    worst = F.cosine_similarity(ours, real, dim=-1).min().item()
    if worst < (0.9999 if case.precision == "float32" else 0.99):
        raise SystemExit(f"{case.title}: cosine {worst} between ours and transformers'")


def measure_memory(side: str, name: str, args: argparse.Namespace) -> float:
    """Run one forward pass in a process of its own and read how far the peak has grown."""
    command = [sys.executable, str(Path(__file__)), "--memory-of", side, "--cases", name]
    command += ["--layers", str(args.layers), "--threads", str(args.threads)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def memory_of(side: str, case: Case, config: ModernBertConfig) -> float:
    make = make_ours if side == "ours" else make_theirs
    make(config, replace(case, lengths=(64,)))()  # what is loaded at first use is no part of it
    run = make(config, case)
    before = peak_mib(reset=True)
    run()
    return peak_mib() - before


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


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
    print("| rows | pieces | transformers | ours | speed-up | floor | floor share | peak memory |")
    print("|---|---|---|---|---|---|---|---|")
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
