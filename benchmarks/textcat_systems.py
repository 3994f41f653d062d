"""Classifiers that learn from a few texts: ours, setfit, and spaCy's `textcat`.

A system loads its weights when it is made, so that `fit` is the training and nothing else.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from textcat_tasks import Floats, Task

LONG = 1000  # steps: where setfit's default takes more, the cap holds
TEXTCAT_EPOCHS = 20
TEXTCAT_BATCH = 8
PROBE = {"training": {"freeze": ["encoder"]}}


class System(Protocol):
    """A classifier that learns from a few texts."""

    def fit(self, task: Task) -> None:
        """Train."""

    def probabilities(self, texts: Sequence[str]) -> Floats:
        """Return probabilities in the order of the task's names. *Shape:* (texts, labels)."""

    @property
    def facts(self) -> dict[str, Any]:
        """Entries of the record of a run."""


class Ours:
    """`setfit_textcat` in a blank pipeline. With a frozen encoder it is the linear probe."""

    def __init__(self, model: Path, task: Task, **config: Any) -> None:
        import spacy

        self.nlp = spacy.blank("en")
        factory = "setfit_textcat_multilabel" if task.multi_label else "setfit_textcat"
        config = {"model": {"name": str(model)}, "device": "cpu", **config}
        self.pipe: Any = self.nlp.add_pipe(factory, config=config)
        self.pipe.model.initialize()

    def fit(self, task: Task) -> None:
        """Train."""
        self.names = task.names
        pairs = [(text, ls if task.multi_label else ls[0]) for text, ls in task.train]
        self.pipe.fit(pairs, progress_bar=False)

    def probabilities(self, texts: Sequence[str]) -> Floats:
        """Return the categories of the Docs. *Shape:* (texts, labels)."""
        return read_cats(self.nlp, texts, self.names)

    def abstain_scores(self, texts: Sequence[str]) -> Floats:
        """Return how far each text is from all training texts. *Shape:* (texts,)."""
        scores: Floats = self.pipe.abstain_scores([self.nlp.make_doc(text) for text in texts])
        return scores

    @property
    def facts(self) -> dict[str, Any]:
        """Entries of the record of a run."""
        return {"temperature": self.pipe.classifier.head.temperature}


class SetFit:
    """The package setfit with its own defaults, except for a cap on the steps."""

    def __init__(self, model: Path, task: Task, *, cap: int, seed: int, stop: int = 0) -> None:
        """Load the encoder. With ``stop`` training makes all default pairs, but stops early."""
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
        targets = labels.astype(int) if task.multi_label else labels.argmax(axis=1)
        data = {"text": [text for text, _ in task.train], "label": targets.tolist()}
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
        """Return the model's probabilities. *Shape:* (texts, labels)."""
        return np.asarray(self.model.predict_proba(list(texts), as_numpy=True), np.float32)

    @property
    def facts(self) -> dict[str, Any]:
        """Entries of the record of a run."""
        return {"steps": self.steps, "capped": self.capped}


class TextCat:
    """spaCy's own bag of words, which has no pretrained weights."""

    def __init__(self, task: Task, *, seed: int) -> None:
        import spacy

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
        """Return the categories of the Docs. *Shape:* (texts, labels)."""
        return read_cats(self.nlp, texts, self.names)

    @property
    def facts(self) -> dict[str, Any]:
        """Entries of the record of a run."""
        return {}


def read_cats(nlp: Any, texts: Sequence[str], names: Sequence[str]) -> Floats:
    """Run a pipeline and return the scores of its categories. *Shape:* (texts, labels)."""
    docs = nlp.pipe(texts)
    return np.array([[doc.cats[name] for name in names] for doc in docs], np.float32)


def make_system(
    name: str, model: Path, task: Task, *, seed: int, cap: int, stop: int, config: dict[str, Any]
) -> System:
    """Make a system by its name in the tables."""
    if name == "setfit":
        return SetFit(model, task, cap=cap, seed=seed, stop=stop)
    if name == "textcat":
        return TextCat(task, seed=seed)
    probe = PROBE["training"] if name == "probe" else {}
    training = {"seed": seed, **probe, **config.get("training", {})}
    return Ours(model, task, **{**config, "training": training})
