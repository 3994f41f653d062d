"""Our training of a GLiNER beside upstream's, and few-shot learning beside spaCy's own pipes.

    python benchmarks/gliner_training.py speed ENCODER TRAIN --threads 1
    python benchmarks/gliner_training.py fewshot ENCODER DATA --start MODEL --sizes 50 250
    python benchmarks/gliner_training.py forgetting ENCODER DATA --start MODEL --others FOLDER

ENCODER is a checkpoint folder, such as MiniLM's. TRAIN is a file of JSON lines (``.gz``) with
``text``, ``entities`` in characters and, if need be, ``tokens``; DATA a folder with
``train.jsonl.gz`` and ``test.jsonl.gz`` of that form. Needed is ``pip install gliner==0.2.29``.

``speed``: the same new checkpoint, the same texts in batches of the same size, every text asked
about the same labels, both with AdamW at two rates. A step is all of it, from words to new weights;
the first ones are left out, and the two take turns. With one thread the clock is the CPU time of
the process.

``fewshot``: all learn from the same sentences. ``ner`` and ``spancat`` start from the encoder, with
more steps at a higher rate; ours and gliner from the checkpoint MODEL, or from a new head on the
encoder if there is none. F1 is spaCy's, of entities in the test file, at the threshold 0.5; seconds
are CPU time. ``zero-shot`` is MODEL as it is.

``forgetting``: F1 on the label sets in FOLDER, which are not trained on, before and after MODEL is
trained on DATA, without and with rehearsal.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# A neighbour of this file bears the name of the package that is measured.
sys.path.sort(key=str(Path(__file__).parent).__eq__)

import spacy
import torch
from gliner_systems import LABELS as REHEARSED
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import minibatch
from transformers import TrainerCallback

from spacy_modernbert.encoder.checkpoint import load_folder as load_encoder
from spacy_modernbert.encoder.precision import Precision
from spacy_modernbert.gliner.checkpoint.serialization import load_gliner, save_gliner
from spacy_modernbert.gliner.inference.sequences import SplitText
from spacy_modernbert.gliner.training.config import LabelSamplingConfig, TrainingConfig
from spacy_modernbert.gliner.training.dataset import AnnotatedSpan, AnnotatedText
from spacy_modernbert.gliner.training.new_model import new_gliner
from spacy_modernbert.gliner.training.trainer import GlinerTrainer

Row = dict[str, Any]
WARM_UP = 3
BATCH = 8
RATES = {"encoder_rate": 5e-5, "head_rate": 5e-4}
STOCK_RATE = 2e-4


def read(path: Path, limit: int | None = None) -> list[Row]:
    """Words and spans of words of each line; spaCy's words where the line has none."""
    tokenizer = spacy.blank("en").tokenizer
    rows = []
    with gzip.open(path, "rt") as lines:
        for line in lines:
            row = json.loads(line)
            words, starts, ends = row.get("tokens"), {}, {}
            if words is None:
                words = [token.text for token in tokenizer(row["text"]) if not token.is_space]
            at = 0
            for i, word in enumerate(words):
                at = row["text"].index(word, at)
                starts[at], ends[at + len(word)] = i, i + 1
                at += len(word)
            spans = [
                (starts.get(e["start"]), ends.get(e["end"]), e["label"]) for e in row["entities"]
            ]
            rows.append({"words": words, "spans": [s for s in spans if None not in s]})
            if limit is not None and len(rows) == limit:
                break
    return rows


def labels_of(rows: Sequence[Row], most: int = 25) -> list[str]:
    """The labels of rows, those that are most frequent."""
    counts: dict[str, int] = {}
    for row in rows:
        for span in row["spans"]:
            counts[span[2]] = counts.get(span[2], 0) + 1
    return sorted(counts, key=lambda label: (-counts[label], label))[:most]


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
    """Print seconds a step of both trainers, and the ratio."""
    torch.set_num_threads(threads)
    clock = time.process_time if threads == 1 else time.perf_counter
    rows = [row for row in read(file) if len(row["words"]) >= 8]
    random.Random(0).shuffle(rows)
    rows = rows[: (steps + WARM_UP) * batch]
    labels = labels_of(rows)
    took: dict[str, list[float]] = {"gliner": [], "ours": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "model"
        save_gliner(new_gliner(load_encoder(encoder), names=(str(encoder), "")), folder)
        for _ in range(repeats):
            took["gliner"] += upstream_seconds(
                folder, rows, labels, clock, batch, Path(name), precision
            )
            took["ours"] += our_seconds(folder, rows, labels, clock, batch, precision)
    words = sum(len(row["words"]) for row in rows) / len(rows)
    theirs, ours = (statistics.median(took[who]) for who in ("gliner", "ours"))
    print(
        f"{threads} thread(s), {precision}, batches of {batch}, {words:.0f} words a text,"
        f" {len(labels)} labels"
    )
    print(f"gliner {theirs:.3f} s a step, ours {ours:.3f} s: {theirs / ours:.2f}x")


def our_seconds(
    folder: Path,
    rows: Sequence[Row],
    labels: list[str],
    clock: Callable,
    batch: int,
    precision: Precision,
) -> list[float]:
    """Seconds of each step of ours."""
    sampling = LabelSamplingConfig(negative_ratio=None, drop_types=0.0, max_types=len(labels))
    trainer = GlinerTrainer(
        load_gliner(folder, precision=precision), TrainingConfig(sampling=sampling)
    )
    texts = [
        AnnotatedText(
            SplitText(row["words"]), [AnnotatedSpan(*span) for span in row["spans"]], labels
        )
        for row in rows
    ]
    seconds = []
    for group in minibatch(texts, batch):
        start = clock()
        trainer.step(group)
        seconds.append(clock() - start)
    return seconds[WARM_UP:]


class Clock(TrainerCallback):
    """Notes when the steps of upstream's trainer end."""

    def __init__(self, clock: Callable) -> None:
        self.clock, self.ends = clock, []

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """Note it."""
        self.ends.append(self.clock())


def upstream_data(rows: Sequence[Row], labels: list[str]) -> list[Row]:
    """The same texts in upstream's form, each with all labels."""
    return [
        {
            "tokenized_text": row["words"],
            "ner": [[start, end - 1, label] for start, end, label in row["spans"]],
            "ner_labels": labels,
        }
        for row in rows
    ]


def upstream_trainer(
    model: Any,
    data: Sequence[Row],
    steps: int,
    batch: int,
    folder: Path,
    precision: Precision = "float32",
) -> Any:
    """Upstream's trainer, with its own settings for what is not about speed."""
    from gliner.training import Trainer as Theirs
    from gliner.training import TrainingArguments

    arguments = TrainingArguments(
        output_dir=str(folder / "out"), max_steps=steps, per_device_train_batch_size=batch,
        learning_rate=RATES["encoder_rate"], others_lr=RATES["head_rate"], weight_decay=0.01,
        others_weight_decay=0.01, warmup_ratio=0.1, lr_scheduler_type="cosine", use_cpu=True,
        report_to="none", save_strategy="no", logging_strategy="no", disable_tqdm=True,
        dataloader_num_workers=0, remove_unused_columns=False, max_grad_norm=10.0,
        bf16=precision == "bfloat16",
    )  # fmt: skip
    return Theirs(
        model=model, args=arguments, train_dataset=list(data),
        data_collator=model._create_data_collator(),
    )  # fmt: skip


def upstream_seconds(
    folder: Path,
    rows: Sequence[Row],
    labels: list[str],
    clock: Callable,
    batch: int,
    work: Path,
    precision: Precision,
) -> list[float]:
    """Seconds from the end of a step of upstream's to the end of the next."""
    from gliner import GLiNER

    model = GLiNER.from_pretrained(str(folder), local_files_only=True)
    steps, data = len(rows) // batch, upstream_data(rows, labels)
    trainer = upstream_trainer(model, data, steps, batch, work, precision)
    watch = Clock(clock)
    trainer.add_callback(watch)
    trainer.train()
    seconds = [end - start for start, end in pairwise(watch.ends)]
    return seconds[WARM_UP - 1 :]


def make_examples(nlp: spacy.Language, rows: Sequence[Row]) -> list[Example]:
    """Rows as spaCy's examples, with entities and the same as a group of spans."""
    made = []
    for row in rows:
        gold = Doc(nlp.vocab, words=row["words"])
        spans = [spacy.tokens.Span(gold, *span) for span in row["spans"]]
        gold.set_ents(spacy.util.filter_spans(spans), default="outside")
        gold.spans["sc"] = list(gold.ents)
        made.append(Example(Doc(nlp.vocab, words=row["words"]), gold))
    return made


def add_gliner(
    nlp: spacy.Language,
    encoder: Path,
    labels: list[str],
    steps: int,
    start: Path | None,
    **more: Any,
) -> None:
    """Ours, from a checkpoint, or with a new head on the encoder."""
    training = {
        **RATES, "negative_ratio": None, "drop_types": 0.0, "max_types": len(labels),
        "total_steps": max(steps, 1), "dropout": 0.1, **more,
    }  # fmt: skip
    config = {"training": training, "labels": labels, "device": "cpu"}
    if start is not None:
        config["model"] = {"name": str(start)}
    else:
        nlp.config["initialize"]["components"]["gliner"] = {"encoder": str(encoder)}
    nlp.add_pipe("gliner", config=config)


def tok2vec(encoder: Path) -> dict[str, Any]:
    """The encoder inside one of spaCy's own pipes."""
    return {
        "@architectures": "spacy_modernbert.ModernBertTok2Vec.v1",
        "name": str(encoder),
        "pooling": {"@layers": "reduce_mean.v1"},
    }


def add_ner(nlp: spacy.Language, encoder: Path, *_: Any) -> None:
    """The transition-based parser of spaCy."""
    model = {
        "@architectures": "spacy.TransitionBasedParser.v2", "state_type": "ner",
        "extra_state_tokens": False, "hidden_width": 64, "maxout_pieces": 2, "use_upper": False,
        "tok2vec": tok2vec(encoder),
    }  # fmt: skip
    nlp.add_pipe("ner", config={"model": model})


def add_spancat(nlp: spacy.Language, encoder: Path, *_: Any) -> None:
    """The classifier of spans of spaCy, with all spans of up to 12 tokens."""
    model = {
        "@architectures": "spacy.SpanCategorizer.v1",
        "reducer": {"@layers": "spacy.mean_max_reducer.v1", "hidden_size": 128},
        "scorer": {"@layers": "spacy.LinearLogistic.v1", "nO": None, "nI": None},
        "tok2vec": tok2vec(encoder),
    }
    suggester = {"@misc": "spacy.ngram_range_suggester.v1", "min_size": 1, "max_size": 12}
    nlp.add_pipe("spancat", config={"model": model, "suggester": suggester})


SYSTEMS = {"ours": add_gliner, "ner": add_ner, "spancat": add_spancat}
SCORES = {"ours": "ents_f", "ner": "ents_f", "spancat": "spans_sc_f"}


def learn(
    system: str,
    encoder: Path,
    train: Sequence[Row],
    test: Sequence[Row],
    steps: int,
    start: Path | None,
    **more: Any,
) -> tuple[float, float, spacy.Language]:
    """F1 and seconds of one of the pipes, all with the same batches, and the pipeline."""
    from thinc.api import Adam, warmup_linear

    nlp = spacy.blank("en")
    SYSTEMS[system](nlp, encoder, labels_of(train, 100), steps, start, **more)
    examples = make_examples(nlp, train)
    clock = time.process_time()
    nlp.initialize(lambda: examples)
    sgd = Adam(warmup_linear(STOCK_RATE, steps // 10, max(steps, 1)), L2=0.01)
    rng = random.Random(0)
    for _ in range(steps):
        batch = [examples[i] for i in rng.sample(range(len(examples)), min(BATCH, len(examples)))]
        nlp.update(batch, sgd=sgd, drop=0.1)
        sgd.step_schedules()
    seconds = time.process_time() - clock
    scores = nlp.evaluate(make_examples(nlp, test))
    return 100 * scores[SCORES[system]], seconds, nlp


def upstream_learn(
    encoder: Path, train: Sequence[Row], test: Sequence[Row], steps: int, start: Path | None
) -> tuple[float, float]:
    """F1 and seconds of upstream's trainer, from the same start; ours reads its checkpoint."""
    from gliner import GLiNER

    labels = labels_of(train, 100)
    with tempfile.TemporaryDirectory() as name:
        folder = start or Path(name) / "model"
        if start is None:
            save_gliner(new_gliner(load_encoder(encoder), names=(str(encoder), "")), folder)
        model = GLiNER.from_pretrained(str(folder), local_files_only=True)
        model.config.max_types = len(labels)
        clock = time.process_time()
        upstream_trainer(model, upstream_data(train, labels), steps, BATCH, Path(name)).train()
        seconds = time.process_time() - clock
        model.save_pretrained(Path(name) / "learnt")
        nlp = spacy.blank("en")
        made = {"name": str(Path(name) / "learnt")}
        nlp.add_pipe("gliner", config={"model": made, "labels": labels, "device": "cpu"})
        scores = nlp.evaluate(make_examples(nlp, test))
    return 100 * scores["ents_f"], seconds


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
    """Print F1 and seconds of each system, by number of sentences."""
    rows, held_out = splits(data, test)
    first = [] if start is None else ["zero-shot"]
    print(f"| {data.name} | " + " | ".join((*first, *SYSTEMS, "gliner")) + " |")
    print("|---" * (len(SYSTEMS) + len(first) + 2) + "|")
    for size in sizes:
        train = rows[:size] if size else rows
        results = [learn("ours", encoder, train, held_out, 0, start)[:2] for _ in first]
        for system in SYSTEMS:
            count = steps if system == "ours" else stock_steps
            results.append(learn(system, encoder, train, held_out, count, start)[:2])
        results.append(upstream_learn(encoder, train, held_out, steps, start))
        cells = " | ".join(f"{f:.1f} in {seconds:.0f} s" for f, seconds in results)
        print(f"| {len(train)} sentences | {cells} |", flush=True)


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
    """Print F1 on labels that are trained, and on others, before and after, with and without."""
    import gliner_zeroshot as zeroshot

    rows, held_out = splits(data, test)
    unseen = {name: read(others / name / "dev.jsonl.gz", test) for name in zeroshot.SETS}
    asked = sorted({span[2] for some in unseen.values() for row in some for span in row["spans"]})
    ways = {"before": (0, {}), "trained": (steps, {})}
    for weight in (0.3, 1.0):
        rehearsal = {"rehearse": weight, "rehearse_labels": REHEARSED}
        ways[f"with rehearsal, {weight}"] = (steps, rehearsal)
    print(f"| | {data.name} | labels not trained | seconds |\n|---|---|---|---|")
    known = set(asked) & set(REHEARSED)
    for size in sizes:
        for name, (count, more) in ways.items():
            found, seconds, nlp = learn(
                "ours", encoder, rows[:size] if size else rows, held_out, count, start, **more
            )
            model = nlp.get_pipe("gliner").model.shim.checkpoint
            mean = statistics.mean(zeroshot.score(model, some, 0.5) for some in unseen.values())
            print(f"| {name} | {found:.1f} | {mean:.1f} | {seconds:.0f} |", flush=True)
    print(f"\n{len(known)} of the {len(asked)} labels not trained are among those rehearsed.")


def splits(data: Path, test: int) -> tuple[list[Row], list[Row]]:
    """Shuffled sentences to learn from, and the first ones to be asked about."""
    rows = read(data / "train.jsonl.gz")
    random.Random(0).shuffle(rows)
    return rows, read(data / "test.jsonl.gz", test)


def main() -> None:
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
        part.add_argument("--test", type=int, default=500, help="sentences to be asked about")
        part.add_argument("--sizes", type=int, nargs="+", default=[250], help="0: all")
        part.add_argument("--threads", type=int, default=1)
    two.set_defaults(sizes=[50, 250, 0])
    three.add_argument("--others", type=Path, required=True)
    given = vars(parser.parse_args())
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
