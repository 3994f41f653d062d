"""Tasks and contestants of the few-shot benchmark: `setfit.py` runs and compares them.

A contestant loads its weights when it is made, so that `fit` is the training and nothing else.
"""

from __future__ import annotations

import gzip
import json
import random
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Row = tuple[str, tuple[str, ...]]

BATCH = 16  # pairs: setfit's default
LONG = 1000  # steps: where setfit's default takes more, the cap holds
TEXTCAT_EPOCHS = 20
TEXTCAT_BATCH = 8


@dataclass(frozen=True, eq=False)
class Task:
    """Texts to learn from, texts to be asked about, and what the labels are called."""

    train: list[Row]
    test: list[Row]
    names: list[str]
    multi_label: bool

    def matrix(self, rows: Sequence[Row]) -> Floats:
        """1 where a text has a label. *Shape:* (texts, labels)."""
        return np.array([[n in labels for n in self.names] for _, labels in rows], np.float32)

    @property
    def default_steps(self) -> int:
        """Steps that setfit takes by default: every pair, and as many of the rarer kind."""
        labels = self.matrix(self.train)
        alike = np.triu(labels @ labels.T > 0)
        total = len(labels) * (len(labels) + 1) // 2
        return -(-2 * max(int(alike.sum()), total - int(alike.sum())) // BATCH)


def read_rows(file: Path) -> list[Row]:
    with gzip.open(file, "rt", encoding="utf8") as lines:
        entries = [json.loads(line) for line in lines]
    return [(e["text"], tuple(e["labels"]) if "labels" in e else (e["label"],)) for e in entries]


def make_task(folder: Path, *, shots: int, seed: int, most: int) -> Task:
    """Draw a task.

    Args:
        folder: A folder with ``train.jsonl.gz`` and ``test.jsonl.gz``.
        shots: Texts of each label in the training part.
        seed: Of the drawing of the training part.
        most: Texts of the test part; always the same ones.
    """
    train, test = (read_rows(folder / f"{part}.jsonl.gz") for part in ("train", "test"))
    names = sorted({label for _, labels in train for label in labels})
    known = set(names)
    test = [(text, labels) for text, labels in test if known.issuperset(labels)]
    if len(test) > most:
        test = random.Random(0).sample(test, most)
    multi = any(len(labels) != 1 for _, labels in train)
    return Task(draw_shots(train, names, shots, seed), test, names, multi)


def draw_shots(rows: Sequence[Row], names: Sequence[str], shots: int, seed: int) -> list[Row]:
    """Draw texts until each label has ``shots``, and as many without any label if there are some.

    Rare labels come first, and what a text has besides counts.
    """
    generator = random.Random(seed)
    rows = generator.sample(rows, len(rows))
    frequency = Counter(label for _, labels in rows for label in labels)
    chosen: dict[Row, None] = {}
    counts: Counter[str] = Counter()
    for name in sorted(names, key=frequency.__getitem__):
        for row in rows:
            if counts[name] >= shots:
                break
            if name in row[1] and row not in chosen:
                chosen[row] = None
                counts.update(row[1])
    chosen.update(dict.fromkeys([row for row in rows if not row[1]][:shots]))
    return generator.sample([*chosen], len(chosen))


class Contestant(Protocol):
    """Something that learns from a handful of texts."""

    def fit(self, task: Task) -> None:
        """Train."""

    def probabilities(self, texts: Sequence[str]) -> Floats:
        """*Shape:* (texts, labels), in the order of the task's names."""

    @property
    def facts(self) -> dict[str, Any]:
        """What is worth noting down."""


class Ours:
    """`setfit_textcat` in a blank pipeline; with a frozen encoder it is the linear probe."""

    def __init__(self, model: Path, task: Task, **config: Any) -> None:
        import spacy

        self.nlp = spacy.blank("en")
        factory = "setfit_textcat_multilabel" if task.multi_label else "setfit_textcat"
        config = {"model": {"name": str(model)}, "device": "cpu", **config}
        self.pipe: Any = self.nlp.add_pipe(factory, config=config)
        self.pipe.model.initialize()

    def fit(self, task: Task) -> None:
        """Train."""
        answers = [labels if task.multi_label else labels[0] for _, labels in task.train]
        texts = [text for text, _ in task.train]
        self.names = task.names
        self.pipe.fit(list(zip(texts, answers, strict=True)), progress_bar=False)

    def probabilities(self, texts: Sequence[str]) -> Floats:
        """*Shape:* (texts, labels)."""
        docs = self.nlp.pipe(texts)
        return np.array([[doc.cats[name] for name in self.names] for doc in docs], np.float32)

    def abstain_scores(self, texts: Sequence[str]) -> Floats:
        """*Shape:* (texts,): how far each is from all that was shown."""
        scores: Floats = self.pipe.abstain_scores([self.nlp.make_doc(text) for text in texts])
        return scores

    @property
    def facts(self) -> dict[str, Any]:
        """What is worth noting down."""
        head = self.pipe.classifier.head
        return {"temperature": head.temperature}


class SetFit:
    """The package setfit, with its own defaults but for a cap on the steps."""

    def __init__(self, model: Path, task: Task, *, cap: int, seed: int, stop: int = 0) -> None:
        """Load it; with ``stop`` it lays out its whole default, but stops after so many steps."""
        import setfit

        strategy = "one-vs-rest" if task.multi_label else None
        self.model = setfit.SetFitModel.from_pretrained(
            str(model), multi_target_strategy=strategy, device="cpu"
        )
        self.capped = task.default_steps > LONG and not stop
        self.steps = cap if self.capped else task.default_steps
        self.seed = seed
        self.stop = stop

    def fit(self, task: Task) -> None:
        """Train."""
        import setfit
        from datasets import Dataset
        from transformers import TrainerCallback

        stop = self.stop

        class Stop(TrainerCallback):
            def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                control.should_training_stop = bool(stop) and state.global_step >= stop

        labels = task.matrix(task.train)
        answers = labels.astype(int) if task.multi_label else labels.argmax(axis=1)
        data = {"text": [text for text, _ in task.train], "label": answers.tolist()}
        with tempfile.TemporaryDirectory() as folder:
            args = setfit.TrainingArguments(
                output_dir=folder,
                max_steps=self.steps if self.capped else -1,
                seed=self.seed,
                report_to="none",
                save_strategy="no",
                show_progress_bar=False,
            )
            trainer = setfit.Trainer(
                self.model, args=args, train_dataset=Dataset.from_dict(data), callbacks=[Stop()]
            )
            trainer.train()

    def probabilities(self, texts: Sequence[str]) -> Floats:
        """*Shape:* (texts, labels)."""
        return np.asarray(self.model.predict_proba(list(texts), as_numpy=True), np.float32)

    @property
    def facts(self) -> dict[str, Any]:
        """What is worth noting down."""
        return {"steps": self.steps, "capped": self.capped}


class TextCat:
    """spaCy's own bag of words, which knows nothing beforehand."""

    def __init__(self, model: Path, task: Task, *, seed: int) -> None:
        import spacy

        del model
        spacy.util.fix_random_seed(seed)
        self.nlp = spacy.blank("en")
        network = {
            "@architectures": "spacy.TextCatBOW.v3",
            "exclusive_classes": not task.multi_label,
            "ngram_size": 1,
            "no_output_layer": False,
            "length": 8192,
        }
        factory = "textcat_multilabel" if task.multi_label else "textcat"
        self.nlp.add_pipe(factory, config={"model": network})

    def fit(self, task: Task) -> None:
        """Train."""
        from spacy.training import Example
        from spacy.util import minibatch

        self.names = task.names
        examples = [
            Example.from_dict(
                self.nlp.make_doc(text), {"cats": {n: float(n in labels) for n in self.names}}
            )
            for text, labels in task.train
        ]
        optimizer = self.nlp.initialize(lambda: examples)
        for _ in range(TEXTCAT_EPOCHS):
            random.shuffle(examples)
            for batch in minibatch(examples, TEXTCAT_BATCH):
                self.nlp.update(batch, sgd=optimizer, drop=0.2)

    def probabilities(self, texts: Sequence[str]) -> Floats:
        """*Shape:* (texts, labels)."""
        docs = self.nlp.pipe(texts)
        return np.array([[doc.cats[name] for name in self.names] for doc in docs], np.float32)

    @property
    def facts(self) -> dict[str, Any]:
        """What is worth noting down."""
        return {}


def make_contestant(
    name: str, model: Path, task: Task, *, seed: int, cap: int, stop: int, config: dict[str, Any]
) -> Contestant:
    if name == "setfit":
        return SetFit(model, task, cap=cap, seed=seed, stop=stop)
    if name == "textcat":
        return TextCat(model, task, seed=seed)
    own = {"training": {"freeze": ["encoder"]}} if name == "probe" else {}
    return Ours(model, task, seed=seed, **own, **config)
