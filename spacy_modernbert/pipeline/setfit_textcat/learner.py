"""How a `setfit_textcat` learns: the encoder step by step, the classifier when somebody asks."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from spacy.language import Language
from spacy.tokens import Doc
from thinc.api import Model, Optimizer

from ...errors import Errors, Warnings
from ...setfit.head.classifier import Classifier
from ...setfit.head.head import fit_head
from ...setfit.head.logistic_regression import Floats, HeadSettings
from ...setfit.head.prototypes import make_prototypes
from ...setfit.training.batches import Labels
from ...setfit.training.best_checkpoint import BestCheckpoint, Evaluator
from ...setfit.training.losses import LOSSES, similarities
from ...setfit.training.schedule import Schedule
from ...setfit.training.support import Support
from ...setfit.training.templates import label_texts
from ...setfit.training.trainer import Trainer
from ...setfit.training.weight_interpolation import choose_weight_interpolation, hold_out
from ...text.tokenizer import Ints
from ..checkpoint_model import CheckpointShim
from ..devices import find_device
from .examples import Text, text_of
from .model import warn_of_truncation

Settings = Mapping[str, Any]
# How often it is judged after the start.
JUDGED = 4
# Texts that are put into rows at a time.
CHUNK = 1000


def schedule_of(cfg: Settings, *, drop: float = 0.0) -> Schedule:
    """Give the schedule of a component's settings.

    Args:
        cfg: The settings.
        drop: The dropout rate where the setting leaves it to the caller.
    """
    given = {f.name: cfg[f.name] for f in fields(Schedule) if f.name in cfg}
    if cfg["learn_rate"] is None:  # another optimiser takes the steps
        given["learn_rate"] = Schedule.learn_rate
    if cfg["blend"] is None:
        given["blend"] = Schedule.blend
    given["dropout"] = drop if cfg["dropout"] is None else cfg["dropout"]
    return Schedule(**given)


def head_settings_of(cfg: Settings) -> HeadSettings:
    """Give the head's part of a component's settings."""
    return HeadSettings(
        multi_label=cfg["multi_label"],
        C=cfg["head_C"],
        class_weight=cfg["class_weight"],
        calibrate=cfg["calibrate"],
        seed=cfg["seed"],
    )


class Learner:
    """What a component has learnt from, and what it has made of it.

    The classifier is a function of the texts and the encoder. It is made anew when one of them has
    changed and somebody wants to predict or to save, and not before.

    Args:
        model: The thinc model around the encoder.

    Attributes:
        support: The texts it learns from.
        classifier: The classifier that was made last, if any.
        is_stale: Whether texts, labels or weights have changed since.
        is_listening: Whether the encoder is another component's.
    """

    is_listening = False

    def __init__(self, model: Model) -> None:
        self.model = model
        self.support = Support(0, capacity=1, seed=0)
        self.classifier: Classifier | None = None
        self.is_stale = True
        self._trainer: Trainer | None = None
        # The first update shows what the encoder can do without training, and takes no step.
        self._has_started = False
        self._is_open = False  # between an update and its end
        self._has_gradient = False
        self._uses_averages = False
        # Labels of a loaded classifier whose texts were not kept.
        self._lost: frozenset[str] = frozenset()
        self._warned_of: frozenset[str] = frozenset()
        self._n_conflicts = 0
        self._said_frozen = False

    @property
    def shim(self) -> CheckpointShim:
        """The shim that holds the encoder."""
        return self.model.shim

    @property
    def is_averaged(self) -> bool:
        """Whether averages of an optimiser are in the place of the weights right now."""
        return self.shim.is_averaged

    def reset(self, labels: Sequence[str], cfg: Settings) -> None:
        """Forget all texts and the classifier. The encoder stays as it is."""
        self.rest(cfg)
        self._make_support(labels, cfg)
        self.classifier = None
        self.is_stale, self._lost = True, frozenset()
        self._n_conflicts = 0

    def load(self, cfg: Settings) -> None:
        """Have the encoder loaded, and where it belongs."""
        self.model.initialize()
        self.shim.place(find_device(cfg["device"]))

    def prepare(self, docs: Sequence[Doc], nlp: Language | None, name: str) -> Sequence[Doc]:
        """Give Docs with all that the model needs of the pipeline before it."""
        return docs

    def take(self, classifier: Classifier | None, labels: Sequence[str], cfg: Settings) -> None:
        """Take a classifier that was saved; its texts may follow by `load_support`."""
        self.reset(labels, cfg)
        self.classifier, self.is_stale = classifier, classifier is None
        self._lost = frozenset(() if classifier is None else classifier.labels)

    def load_support(self, data: bytes, cfg: Settings) -> None:
        """Take the texts that were saved with the classifier."""
        self.load(cfg)
        self.support.load(data, self.tokenize)
        self._lost = frozenset()

    def save_support(self, cfg: Settings) -> bytes:
        """Give the texts as a component's settings want them kept."""
        return self.support.to_bytes(cfg["keep_support"], self.encode)

    def widen(self, labels: Sequence[str]) -> None:
        """Take note of labels that came later."""
        self.support.widen(len(labels))
        self.is_stale = True

    def collect(self, given: Sequence[Text], labels: Labels, cfg: Settings) -> None:
        """Take in texts to learn from.

        Args:
            given: The texts.
            labels: *Shape:* (texts, labels).
            cfg: The component's settings.
        """
        self.load(cfg)
        texts = [text_of(text) for text in given]
        for start in range(0, len(texts), CHUNK):
            part = texts[start : start + CHUNK]
            self.support.add(part, self.tokenize(part), labels[start : start + CHUNK])
        self.is_stale = True

    def warn(self) -> None:
        """Say what is wrong with the texts that were taken in."""
        self.warn_of_conflicts()

    def warn_of_conflicts(self) -> None:
        """Say how many texts came with different labels, if there are more than last time."""
        n = self.support.texts.n_conflicts
        if n > self._n_conflicts:
            self._n_conflicts = n
            total = self.support.texts.n_seen
            warnings.warn(Warnings.SMW232.format(n=n, total=total), stacklevel=2)

    def tune(
        self, cfg: Settings, steps: Iterable[int], *, total: int, judge: Evaluator | None = None
    ) -> None:
        """Train the encoder on the texts it has, all at once.

        Args:
            cfg: The component's settings.
            steps: Yields the numbers of the steps, from 0.
            total: How many there are.
            judge: Says how good the state of the training is. It is asked at the start, after each
                quarter and at the end, and the best state is kept, the later one of equals.
        """
        self.load(cfg)
        if not self._can_train(cfg):
            return
        self._trainer = Trainer(self.model.checkpoint, replace(schedule_of(cfg), total_steps=total))
        best = BestCheckpoint(self.model.checkpoint, judge)
        labels, size = self._labels(cfg), cfg["batch_texts"] or len(self.support)
        held = np.zeros(len(labels), dtype=np.bool_)
        if cfg["blend"] is None and judge is None:
            held = hold_out(labels, seed=cfg["seed"])
        for step in steps:
            if step * JUDGED % total < JUDGED:
                best.offer()
            self._trainer.step(*self.support.draw(size, labels, without=held))
            self._weights_changed()
        if held.any():
            self._choose_blend(self._trainer, labels, held, cfg)
        best.offer()
        if best.restore():
            self._trainer = None  # without settling: that would blend the best state, too
            self._weights_changed()

    def _choose_blend(
        self, trainer: Trainer, labels: Labels, held: NDArray[np.bool_], cfg: Settings
    ) -> None:
        def encode(share: float) -> Floats:
            trainer.blend(share)
            return self.encode(self.support.texts.rows)

        trainer.blend(choose_weight_interpolation(encode, labels, held, head_settings_of(cfg)))

    def update(self, given: Sequence[Text], labels: Labels, cfg: Settings, *, drop: float) -> float:
        """Learn from a batch, and from texts that were there before.

        Args:
            given: The texts.
            labels: *Shape:* (texts, labels).
            cfg: The component's settings.
            drop: Dropout rate.

        Returns:
            The loss.
        """
        self._is_open = True
        self.collect(given, labels, cfg)
        self.warn()
        schedule = schedule_of(cfg, drop=drop)
        taken = 0 if self._trainer is None else self._trainer.steps
        is_over = cfg["learn_rate"] is not None and schedule.rate(taken) == 0.0
        if is_over or not self._can_train(cfg):
            return 0.0
        batch = self._batch([text_of(text) for text in given], labels, cfg)
        if not self._has_started:
            return self._loss(*batch, schedule)
        if self._trainer is None:
            self._trainer = Trainer(self.model.checkpoint, schedule)
        self._trainer.schedule = schedule
        self._has_gradient = True
        return self._trainer.accumulate(*batch)

    def finish(self, sgd: Optimizer | None, cfg: Settings) -> None:
        """Take the step that the updates since the last one have prepared.

        Args:
            sgd: The optimiser, used where the settings name no learning rate.
            cfg: The component's settings.
        """
        if self._has_gradient and self._trainer is not None:
            if cfg["learn_rate"] is not None:
                self._trainer.update()
            elif sgd:
                self.model.finish_update(sgd)
                self._trainer.steps += 1
            self._weights_changed()
        self._has_started = self._has_started or self._is_open
        self._is_open = self._has_gradient = False

    def refresh(self, labels: Sequence[str], cfg: Settings, *, patient: bool = False) -> Classifier:
        """Give the classifier, made anew if something has changed.

        Args:
            labels: The labels.
            cfg: The component's settings.
            patient: Whether the last one will do within an update, when other components want to
                see predictions.

        Raises:
            ValueError: SM210-SM212 where no classifier can be made, SM231 where the texts of the
                last one were not kept.
        """
        averaged = self.is_averaged
        is_current = not self.is_stale and averaged == self._uses_averages
        if self.classifier is not None and (is_current or (patient and self._is_open)):
            return self.classifier
        self.load(cfg)
        if averaged != self._uses_averages:
            self.support.weights_changed()
            self._uses_averages = averaged
        self._settle(cfg)
        self.classifier = self._make(list(labels), cfg)
        self.is_stale = False
        return self.classifier

    def rest(self, cfg: Settings) -> None:
        """Let go of what only a training in progress needs."""
        self._settle(cfg)
        self._trainer = None
        self._has_started = self._is_open = self._has_gradient = False

    def _settle(self, cfg: Settings) -> None:
        """Put the weights to use; those that another optimiser averages are used as they are."""
        if self._trainer is not None and cfg["learn_rate"] is not None:
            self._trainer.settle()

    def _make(self, labels: list[str], cfg: Settings) -> Classifier:
        known = self._labels(cfg)
        without = [label for j, label in enumerate(labels) if not (known[:, j] == 1).any()]
        lost = [label for label in without if label in self._lost]
        if lost:
            raise ValueError(Errors.SM231.format(labels=", ".join(lost)))
        named = [] if self.is_listening else label_texts(without)
        self._warn_of_names(without, len(labels))
        rows = self.tokenize([text for text, _ in named])
        vectors = _joined(self.support.vectors(self.encode), self.encode(rows))
        frozen = None
        if self.support.has_frozen or (self._trainer is not None and self._trainer.steps):
            with self._at_start():
                frozen = _joined(self.support.frozen(self.encode), self.encode(rows))
        templates = np.zeros((len(named), len(labels)), np.float32)
        templates[np.arange(len(named)), [labels.index(label) for _, label in named]] = 1.0
        known = np.concatenate([known, templates])
        head = fit_head(vectors, known, names=labels, settings=head_settings_of(cfg), frozen=frozen)
        return Classifier(head, tuple(labels), make_prototypes(vectors, known))

    def _warn_of_names(self, without: list[str], n_labels: int) -> None:
        """Say that some labels are known by their names only, unless all are."""
        new = frozenset(without) - self._warned_of
        if self.is_listening:
            return
        if new and len(without) < n_labels:
            self._warned_of |= new
            message = Warnings.SMW230.format(labels=", ".join(sorted(new)))
            warnings.warn(message, stacklevel=2)

    def _make_support(self, labels: Sequence[str], cfg: Settings) -> None:
        self.support = Support(len(labels), capacity=cfg["max_support"], seed=cfg["seed"])

    def _labels(self, cfg: Settings) -> Labels:
        return self.support.labels(multi_label=cfg["multi_label"])

    def _can_train(self, cfg: Settings) -> bool:
        if cfg["train_encoder"] and not self.support.has_rows:
            if not self._said_frozen:
                warnings.warn(Warnings.SMW233, stacklevel=2)
            self._said_frozen = True
            return False
        return bool(cfg["train_encoder"])

    def _batch(
        self, texts: Sequence[str], labels: Labels, cfg: Settings
    ) -> tuple[list[Ints], Labels]:
        """The batch as it came, or as much as is wanted, balanced around it."""
        rows = self.tokenize(texts)
        if not cfg["batch_texts"]:
            return rows, labels
        return self.support.draw(cfg["batch_texts"], self._labels(cfg), (texts, rows, labels))

    def _loss(self, rows: Sequence[Ints], labels: Labels, schedule: Schedule) -> float:
        alike = similarities(torch.from_numpy(labels))
        return float(LOSSES[schedule.loss](torch.from_numpy(self.encode(rows)), alike))

    def _weights_changed(self) -> None:
        self.support.weights_changed()
        self.is_stale = True

    def _at_start(self) -> AbstractContextManager:
        """The weights before the training, where there is one."""
        return contextlib.nullcontext() if self._trainer is None else self._trainer.at_start()

    def tokenize(self, texts: Sequence[str]) -> list[Ints]:
        """Put texts into rows."""
        encoder = self.model.checkpoint
        tokenized = encoder.tokenize(texts)
        warn_of_truncation(encoder, len(tokenized.cut), len(texts))
        return tokenized.rows

    def encode(self, rows: Sequence[Ints]) -> Floats:
        """Give the vectors of rows, with the weights in use. *Shape:* (rows, width)."""
        return self.model.checkpoint.encode(rows)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        state["_trainer"] = None
        return state


def _joined(vectors: Floats, more: Floats) -> Floats:
    return np.concatenate([vectors, more]) if len(vectors) else more
