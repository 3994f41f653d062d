"""What a ``setfit_textcat`` knows, and how it is saved: settings, labels, texts, a classifier."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from spacy.language import Language
from spacy.vocab import Vocab
from thinc.api import Model

from ...errors import Errors
from ...setfit.head.classifier import Classifier
from ...setfit.head.config import HeadConfig
from ...setfit.training.config import SetfitTrainingConfig
from ...setfit.training.support_set import SupportSet
from ..checkpoint_model import CheckpointModel
from ..checkpoint_pipe import CheckpointPipe, Readers, Writers
from ..live_settings import ConfigEntry, LiveSettings
from .config import LearningSettings, SetfitTextcatConfig
from .learner import HEAD, SUPPORT, SetfitLearner


class SetfitState(CheckpointPipe):
    """Base class of the component: its state, how it is saved, and how it is restored.

    Attributes:
        cfg: The flat settings, which may be changed at any time, and the labels.
        learner: What was learned: texts, weights, and the classifier.
    """

    part_names = (HEAD, SUPPORT)
    no_labels, not_docs = Errors.SM205, Errors.SM216

    def __init__(
        self,
        vocab: Vocab,
        model: Model,
        name: str = "setfit_textcat",
        *,
        settings: SetfitTextcatConfig,
        training: SetfitTrainingConfig,
        head: HeadConfig,
        scorer: Callable | None = None,
        nlp: Language | None = None,
    ) -> None:
        self.vocab = vocab
        self.model = model
        self.name = name
        self.scorer = scorer
        self._training, self._head = training, head
        values = {**settings.model_dump(), "labels": [], "positive_label": None}
        entry = ConfigEntry(nlp, name, {**values, **self._blocks()})
        self.cfg = LiveSettings(values, entry)
        self._planned_steps: int | None = None
        self.learner = SetfitLearner(model)
        self.learner.reset(self.learning_settings)

    @property
    def training_config(self) -> SetfitTrainingConfig:
        """How the encoder is trained next. It may be replaced as a whole."""
        return self._training

    @training_config.setter
    def training_config(self, config: SetfitTrainingConfig) -> None:
        self._training = config
        self.cfg.entry.show("training", self._blocks()["training"])

    @property
    def head_config(self) -> HeadConfig:
        """How the next classifier is fitted. It may be replaced as a whole."""
        return self._head

    @head_config.setter
    def head_config(self, config: HeadConfig) -> None:
        self._head = config
        self.cfg.entry.show("head", self._blocks()["head"])

    @property
    def support(self) -> SupportSet:
        """The texts that the classifier learns from."""
        return self.learner.support

    @property
    def classifier(self) -> Classifier | None:
        """The classifier that was fitted, or loaded, last; see `fit_classifier`."""
        return self.learner.classifier

    @property
    def settings(self) -> SetfitTextcatConfig:
        """The flat settings as they are now.

        Raises:
            ValueError: SM065 where one is out of range, SM215 where there can't be windows.
        """
        values = {name: self.cfg[name] for name in SetfitTextcatConfig.model_fields}
        settings = SetfitTextcatConfig.read(values, path="")
        if settings.windows is not None and not isinstance(self.model, CheckpointModel):
            raise ValueError(Errors.SM215.format(windows=settings.windows, name=self.name))
        return settings

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels; the last is the one of texts that are unlike all examples, if it is set."""
        extra = self.cfg["abstain_label"]
        return (*self.label_data, *(() if extra is None else (extra,)))

    @property
    def label_data(self) -> list[str]:
        """The labels that are learned, for ``initialize``."""
        return list(self.cfg["labels"])

    def changed_settings(self) -> dict[str, Any]:
        """Return the settings that are no longer what the config says."""
        return self.cfg.entry.changes({**self.cfg, **self._blocks()})

    def change_settings(self, changes: dict[str, Any]) -> None:
        """Take in settings that were saved because they are not those of the config."""
        accepted = self.cfg.entry.accept(changes)
        if training := accepted.pop("training", None):
            self.training_config = SetfitTrainingConfig.read(training, path="training")
        if head := accepted.pop("head", None):
            self.head_config = HeadConfig.read(head, path="head")
        self.cfg.update(accepted)
        for label in self.labels:
            self.vocab.strings.add(label)
        self.learner.reset(self.learning_settings)

    def part_writers(self, excluded: set[str]) -> Writers:
        """Return what writes the classifier and the support set."""
        return self.learner.writers(self.learning_settings)

    def part_readers(self, excluded: set[str]) -> Readers:
        """Return what reads the classifier and the support set."""
        return {HEAD: self._load_head, SUPPORT: self._load_support}

    @property
    def learning_settings(self) -> LearningSettings:
        """Labels and settings as they are now; ValueError as for `settings`."""
        training = self.training_config
        if training.optimizer.total_steps is None:
            training = training.with_total_steps(self._planned_steps)
        return LearningSettings(tuple(self.label_data), self.settings, training, self.head_config)

    def _add_labels(self, labels: Iterable[str]) -> None:
        for label in labels:
            if label not in self.labels:
                self.cfg["labels"].append(label)
                self.vocab.strings.add(label)
        self.learner.support.widen(len(self.cfg["labels"]))

    @contextmanager
    def _unchanged_on_failure(self) -> Iterator[None]:
        """Return to the labels, texts, weights and classifier of now if an exception comes."""
        kept, planned_steps = {**self.cfg, "labels": self.label_data}, self._planned_steps
        with self.learner.unchanged_on_failure():
            try:
                yield
            except BaseException:
                self.cfg.update(kept)
                self._planned_steps = planned_steps
                raise

    def _blocks(self) -> dict[str, Any]:
        return {
            "training": self._training.model_dump(mode="json"),
            "head": self._head.model_dump(mode="json"),
        }

    def _load_head(self, data: bytes, source: object) -> None:
        self.learner.reset(self.learning_settings, Classifier.from_bytes(data, source))

    def _load_support(self, data: bytes, source: object) -> None:
        self.learner.load_support(data, self.learning_settings, source=source)
