"""The trainer of upstream gliner: seconds of its steps, and what it learns."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import spacy
from data import Sentence, frequent_labels
from ner_systems import BATCH, RATES, make_examples, save_new_gliner
from timing import Clock


def make_data(sentences: Sequence[Sentence], labels: Sequence[str]) -> list[dict[str, Any]]:
    """Convert sentences to upstream's format. All of them are read with all labels."""
    return [
        {
            "tokenized_text": sentence.words,
            "ner": [[start, end - 1, label] for start, end, label in sentence.spans],
            "ner_labels": list(labels),
        }
        for sentence in sentences
    ]


def make_trainer(
    model: Any,
    data: list[dict[str, Any]],
    steps: int,
    batch: int,
    folder: Path,
    precision: str = "float32",
) -> Any:
    """Make upstream's trainer, with its own settings for everything that does not affect speed."""
    from gliner.training import Trainer, TrainingArguments

    arguments = TrainingArguments(
        output_dir=str(folder / "out"),
        max_steps=steps,
        per_device_train_batch_size=batch,
        learning_rate=RATES["learn_rate"],
        others_lr=RATES["head_learn_rate"],
        weight_decay=0.01,
        others_weight_decay=0.01,
        warmup_ratio=0.1,
        lr_scheduler_type="cosine",
        max_grad_norm=10.0,
        bf16=precision == "bfloat16",
        use_cpu=True,
        dataloader_num_workers=0,
        remove_unused_columns=False,
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
    )
    return Trainer(
        model=model,
        args=arguments,
        train_dataset=data,
        data_collator=model._create_data_collator(),
    )


def step_seconds(
    folder: Path,
    sentences: Sequence[Sentence],
    labels: Sequence[str],
    *,
    batch: int,
    precision: str,
    clock: Clock,
) -> list[float]:
    """Return the seconds from the end of each step to the end of the next one."""
    from gliner import GLiNER
    from transformers import TrainerCallback

    ends: list[float] = []

    class NoteStepEnd(TrainerCallback):
        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            ends.append(clock())

    model = GLiNER.from_pretrained(str(folder), local_files_only=True)
    data, steps = make_data(sentences, labels), len(sentences) // batch
    with tempfile.TemporaryDirectory() as name:
        trainer = make_trainer(model, data, steps, batch, Path(name), precision)
        trainer.add_callback(NoteStepEnd())
        trainer.train()
    return [end - start for start, end in pairwise(ends)]


def train_and_score(
    encoder: Path,
    train: Sequence[Sentence],
    test: Sequence[Sentence],
    steps: int,
    start: Path | None,
) -> tuple[float, float]:
    """Train upstream from the same start as ours, which reads the trained checkpoint.

    Returns:
        F1 in percent, and seconds of CPU time.
    """
    from gliner import GLiNER

    labels = frequent_labels(train, 100)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        folder = start or save_new_gliner(encoder, work / "new")
        model = GLiNER.from_pretrained(str(folder), local_files_only=True)
        model.config.max_types = len(labels)
        begin = time.process_time()
        make_trainer(model, make_data(train, labels), steps, BATCH, work).train()
        seconds = time.process_time() - begin
        model.save_pretrained(work / "trained")
        nlp = spacy.blank("en")
        checkpoint = {"name": str(work / "trained")}
        nlp.add_pipe("gliner", config={"model": checkpoint, "labels": labels, "device": "cpu"})
        scores = nlp.evaluate(make_examples(nlp, test))
    return 100 * scores["ents_f"], seconds
