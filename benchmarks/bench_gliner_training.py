"""Our training of a GLiNER beside upstream's, and few-shot learning beside spaCy's own pipes.

    python benchmarks/bench_gliner_training.py speed ENCODER TRAIN --threads 1
    python benchmarks/bench_gliner_training.py fewshot ENCODER DATA --start MODEL --sizes 50 250
    python benchmarks/bench_gliner_training.py forgetting ENCODER DATA --start MODEL --others FOLDER

ENCODER is a checkpoint folder, such as MiniLM's. TRAIN is a file of JSON lines (``.gz``) with
``text``, ``entities`` in characters and optionally ``tokens``; DATA is a folder with
``train.jsonl.gz`` and ``test.jsonl.gz`` of that format. The benchmark requires
``pip install gliner==0.2.29``.

``speed``: both train the same new checkpoint on the same texts, in batches of the same size, every
text with the same labels, with AdamW at two rates. A step is everything from words to new weights.
The first steps are left out, and the two take turns. With one thread the clock is the CPU time of
the process.

``fewshot``: all learn from the same sentences. ``ner`` and ``spancat`` start from the encoder, with
more steps at a higher rate; ours and gliner start from the checkpoint MODEL, or without one from a
new head on the encoder. F1 is spaCy's, of entities in the test file, at the threshold 0.5. Seconds
are CPU time. ``zero-shot`` is MODEL without training.

``forgetting``: F1 on the label sets in FOLDER, which are not trained on, before and after MODEL is
trained on DATA, without and with rehearsal.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import get_args

import spacy
import torch
import upstream_training
from data import Sentence, all_labels, frequent_labels, read_sentences
from labels import COMMON_LABELS
from markdown_table import format_header, format_row
from ner_scores import CROSSNER, find_spans, micro_f1
from ner_systems import BATCH, SCORES, add_gliner, make_examples, save_new_gliner, train_and_score
from spacy.util import minibatch
from timing import Clock, choose_clock, measure_seconds, stay_offline

from spacy_modernbert.encoder.precision import Precision

WARM_UP = 3  # steps that are left out
THRESHOLD = 0.5


def speed(
    encoder: Path,
    file: Path,
    *,
    steps: int,
    threads: int,
    batch: int,
    repeats: int,
    precision: Precision,
) -> None:
    """Print the seconds per step of both trainers, and their ratio."""
    clock = choose_clock(threads)
    sentences = [sentence for sentence in read_sentences(file) if len(sentence.words) >= 8]
    random.Random(0).shuffle(sentences)
    sentences = sentences[: (steps + WARM_UP) * batch]
    labels = frequent_labels(sentences)
    theirs: list[float] = []
    ours: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folder = save_new_gliner(encoder, Path(name))
        for _ in range(repeats):
            for seconds, measure in (
                (theirs, upstream_training.step_seconds),
                (ours, our_step_seconds),
            ):
                taken = measure(
                    folder, sentences, labels, batch=batch, precision=precision, clock=clock
                )
                seconds += taken[-steps:]
    words = sum(len(sentence.words) for sentence in sentences) / len(sentences)
    print(
        f"{threads} thread(s), {precision}, batches of {batch}, {words:.0f} words a text,"
        f" {len(labels)} labels"
    )
    their_step, our_step = statistics.median(theirs), statistics.median(ours)
    ratio = f"{their_step / our_step:.2f}x"
    print(f"gliner {their_step:.3f} s a step, ours {our_step:.3f} s: {ratio}")


def our_step_seconds(
    folder: Path,
    sentences: Sequence[Sentence],
    labels: Sequence[str],
    *,
    batch: int,
    precision: Precision,
    clock: Clock,
) -> list[float]:
    """Return the seconds of each step of ours."""
    nlp = spacy.blank("en")
    add_gliner(nlp, labels, len(sentences) // batch, start=folder, precision=precision)
    examples = make_examples(nlp, sentences)
    sgd = nlp.initialize(lambda: examples)
    return [
        measure_seconds(partial(nlp.update, group, sgd=sgd), clock)
        for group in minibatch(examples, batch)
    ]


def fewshot(
    encoder: Path,
    data: Path,
    *,
    start: Path | None,
    sizes: Sequence[int],
    steps: int,
    stock_steps: int,
    test: int,
) -> None:
    """Print F1 and seconds of each system by number of sentences."""
    sentences, held_out = read_parts(data, test)
    zero_shot = [] if start is None else ["zero-shot"]
    print(format_header((data.name, *zero_shot, *SCORES, "gliner")))
    for size in sizes:
        train = sentences[:size] if size else sentences
        runs = [("ours", 0) for _ in zero_shot]
        runs += [(system, steps if system == "ours" else stock_steps) for system in SCORES]
        results = [
            train_and_score(system, encoder, train, held_out, count, start)[:2]
            for system, count in runs
        ]
        results.append(upstream_training.train_and_score(encoder, train, held_out, steps, start))
        cells = [f"{f1:.1f} in {seconds:.0f} s" for f1, seconds in results]
        print(format_row((f"{len(train)} sentences", *cells)), flush=True)


def forgetting(
    encoder: Path,
    data: Path,
    *,
    start: Path,
    others: Path,
    sizes: Sequence[int],
    steps: int,
    test: int,
) -> None:
    """Print F1 on labels that are trained and on others, before and after training."""
    sentences, held_out = read_parts(data, test)
    unseen = [read_sentences(others / name / "dev.jsonl.gz", test) for name in CROSSNER]
    untrained = {label for one in unseen for label in all_labels(one)}
    # Number of steps, and weight of the rehearsal.
    runs = {
        "before": (0, 0.0),
        "trained": (steps, 0.0),
        "with rehearsal, 0.3": (steps, 0.3),
        "with rehearsal, 1.0": (steps, 1.0),
    }
    print(format_header(("", data.name, "labels not trained", "seconds")))
    for size in sizes:
        train = sentences[:size] if size else sentences
        for name, (count, rehearse) in runs.items():
            f1, seconds, nlp = train_and_score(
                "ours", encoder, train, held_out, count, start, rehearse
            )
            scores = [micro_f1(one, find_spans(nlp, one, THRESHOLD)) for one in unseen]
            mean = statistics.mean(scores)
            print(format_row((name, f"{f1:.1f}", f"{mean:.1f}", f"{seconds:.0f}")), flush=True)
    known = untrained & set(COMMON_LABELS)
    print(f"\n{len(known)} of the {len(untrained)} labels not trained are among those rehearsed.")


def read_parts(data: Path, test: int) -> tuple[list[Sentence], list[Sentence]]:
    """Read the sentences to learn from in random order, and the first ones to be tested on."""
    sentences = read_sentences(data / "train.jsonl.gz")
    random.Random(0).shuffle(sentences)
    return sentences, read_sentences(data / "test.jsonl.gz", test)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("speed")
    one.add_argument("encoder", type=Path)
    one.add_argument("train", type=Path)
    one.add_argument("--steps", type=int, default=12)
    one.add_argument("--batch", type=int, default=BATCH)
    one.add_argument("--repeats", type=int, default=3)
    one.add_argument("--precision", choices=get_args(Precision), default="float32")
    one.add_argument("--threads", type=int, default=1)
    two = commands.add_parser("fewshot")
    two.add_argument("--stock-steps", type=int, default=600, help="of ner and spancat")
    three = commands.add_parser("forgetting")
    for part in (two, three):
        part.add_argument("encoder", type=Path)
        part.add_argument("data", type=Path)
        part.add_argument("--start", type=Path, required=part is three)
        part.add_argument("--steps", type=int, default=300)
        part.add_argument("--test", type=int, default=500, help="sentences to be tested on")
        part.add_argument("--sizes", type=int, nargs="+", default=[250], help="0: all")
        part.add_argument("--threads", type=int, default=1)
    two.set_defaults(sizes=[50, 250, 0])
    three.add_argument("--others", type=Path, required=True)
    return parser.parse_args()


def main() -> None:
    """Run one of the commands."""
    given = vars(parse())
    stay_offline()
    warnings.simplefilter("ignore")
    torch.set_num_threads(given["threads"])
    command = given.pop("command")
    if command == "speed":
        speed(given.pop("encoder"), given.pop("train"), **given)
        return
    del given["threads"]
    run = fewshot if command == "fewshot" else forgetting
    run(given.pop("encoder"), given.pop("data"), **given)


if __name__ == "__main__":
    main()
