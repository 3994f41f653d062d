"""The ``setfit_textcat`` component: categories from a handful of texts each."""

# No `from __future__ import annotations`: spaCy validates `[initialize]` against these types.

import copy
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from spacy import util
from spacy.errors import Errors as SpacyErrors
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Model, Optimizer

from ...errors import Errors
from ...setfit.arrays import Floats
from ...setfit.checkpoint.import_setfit import load_setfit
from ...setfit.head.abstention import with_abstention
from ...setfit.head.classifier import Classifier
from ...setfit.head.config import HeadConfig
from ...setfit.head.prototypes import abstain_scores
from ...setfit.training.config import SetfitOptimizerConfig, SetfitTrainingConfig
from ...setfit.training.losses import loss_and_gradient, similarities
from ...setfit.training.support_set import SupportSet
from ..checkpoint_model import CheckpointModel
from ..checkpoint_pipe import CheckpointPipe, Readers, Writers
from ..training_steps import planned_steps
from .config import LearningSettings, SetfitTextcatConfig
from .examples import (
    EXAMPLE_BATCH,
    check_cats,
    check_positive_label,
    label_matrix,
    read_given,
    select_annotated,
)
from .learner import HEAD, SUPPORT, SetfitLearner


class SetfitTextcat(CheckpointPipe):
    """Predicts the category of a Doc from a few texts of each, and writes it to ``doc.cats``.

    See `make_setfit_textcat` for the arguments.

    Attributes:
        cfg: The flat settings, which may be changed at any time, and the labels.
        training_config: How the encoder is trained next. It may be replaced as a whole.
        head_config: How the next classifier is fitted. It may be replaced as a whole.
        learner: What was learned: texts, weights, and the classifier.
    """

    part_names = (HEAD, SUPPORT)

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
    ) -> None:
        self.vocab = vocab
        self.model = model
        self.name = name
        self.scorer = scorer
        self.training_config = training
        self.head_config = head
        self.cfg: dict[str, Any] = {**settings.model_dump(), "labels": [], "positive_label": None}
        self._configured = copy.deepcopy(self._stored_settings())
        self._planned_steps: int | None = None
        self.learner = SetfitLearner(model)
        self.learner.reset(self._learning())

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
        """The flat settings as they are now; ValueError SM065 where one is out of range."""
        values = {name: self.cfg[name] for name in SetfitTextcatConfig.model_fields}
        return SetfitTextcatConfig.read(values, path="")

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels; the last is the one of texts that are unlike all examples, if it is set."""
        extra = self.cfg["abstain_label"]
        return (*self.label_data, *(() if extra is None else (extra,)))

    @property
    def label_data(self) -> list[str]:
        """The labels that are learned, for ``initialize``."""
        return list(self.cfg["labels"])

    def add_label(self, label: str) -> int:
        """Add a label, and return 1, or 0 if it is there already.

        Until a label has examples, its name stands in for them.
        """
        if not isinstance(label, str):
            raise ValueError(SpacyErrors.E187)
        if label in self.labels:
            return 0
        self.cfg["labels"].append(label)
        self.vocab.strings.add(label)
        self.support.widen(len(self.cfg["labels"]))
        return 1

    def fit(
        self,
        examples: Iterable[Any],
        *,
        steps: int | None = None,
        dev: Iterable[Any] = (),
        progress_bar: bool = True,
    ) -> "SetfitTextcat":
        """Learn from texts, without a config and without a training loop.

        What was learned before stays, and so do the texts: a second call adds to them.

        Args:
            examples: Pairs of a text and its label, its list of labels, or a mapping of labels to
                0 or 1. The text may be a Doc.
            steps: Steps that the encoder is trained. With 0 it stays as it is, and only the
                classifier learns. None: the setting ``total_steps``.
            dev: Other examples. If there are any, the training is evaluated with them at its start,
                after each quarter and at its end, and its best weights are kept, which may be those
                from before.
            progress_bar: Whether to show one.

        Returns:
            The component itself.

        Raises:
            ValueError: SM233, E851 or E895 where the examples can't be used, SM210 or SM211 where
                no classifier can be fitted to them.
        """
        self.set_support(examples, clear=False)
        self._require_labels()
        self._check_classes()
        settings = self._learning()
        if steps is None:
            configured = self.training_config.optimizer.total_steps
            steps = configured or SetfitOptimizerConfig().total_steps or 0
        if steps and self.learner.trains_encoder(settings):
            from tqdm import tqdm  # type: ignore[import-untyped]

            bar = tqdm(range(steps), desc=self.name, unit="step", disable=not progress_bar)
            self.learner.train(bar, settings, dev=select_annotated(read_given(dev), settings))
        self.learner.end_training(settings)
        return self

    def set_support(self, examples: Iterable[Any], *, clear: bool = True) -> None:
        """Set the texts to learn from, given as for `fit`, and learn nothing yet but the labels.

        They replace the texts that are there, or join them if not ``clear``.
        """
        given = read_given(examples)
        check_cats((cats for _, cats in given), multi_label=self.cfg["multi_label"])
        for label in dict.fromkeys(label for _, cats in given for label in cats):
            self.add_label(label)
        settings = self._learning()
        if clear:
            self.learner.reset(settings)
        self.learner.add(*select_annotated(given, settings), settings)
        self.learner.warn_of_conflicts()

    def fit_classifier(self) -> Classifier:
        """Fit the classifier; see `SetfitLearner.fit_classifier`.

        `predict`, `fit`, `to_disk` and `to_bytes` do so whenever weights, texts or labels have
        changed since the last time.
        """
        return self.learner.fit_classifier(self._learning())

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: list[str] | None = None,
        positive_label: str | None = None,
    ) -> None:
        """Load the encoder, and collect the texts to learn from. Nothing is trained yet.

        ``labels`` replace those of the examples; ``positive_label`` is the one of two labels whose
        scores are reported.

        Raises:
            ValueError: E867 where there is only one label and a text can't have several, E851 or
                E895 where the annotation can't be used, E919 or E920 where ``positive_label`` is
                none of two labels.
        """
        validate_get_examples(get_examples, "SetfitTextcat.initialize")
        if labels is None:
            cats = (example.reference.cats for example in get_examples())
            check_cats(cats, multi_label=self.cfg["multi_label"])
            found = (label for example in get_examples() for label in example.reference.cats)
            labels = list(dict.fromkeys(found))
        for label in labels:
            self.add_label(label)
        self._check_classes()
        check_positive_label(positive_label, self.label_data)
        self.cfg["positive_label"] = positive_label
        self.model.initialize(X=[eg.predicted for eg in islice(get_examples(), 10)])
        self._planned_steps = planned_steps(nlp)
        settings = self._learning()
        self.learner.reset(settings)
        for examples in util.minibatch(get_examples(), EXAMPLE_BATCH):
            docs, known = select_annotated(read_given(examples), settings)
            prepared = self.learner.source.prepare(docs, nlp, self.name)
            self.learner.add(prepared, known, settings)
        self.learner.warn_of_conflicts()

    def predict(self, docs: Iterable[Doc]) -> Floats:
        """Return the probabilities of the labels, zeros for a Doc without text.

        *Shape:* (docs, labels).

        Raises:
            ValueError: E143 where there are no labels.
        """
        docs = list(docs)
        self._require_labels()
        settings, classifier = self._learning(), self.classifier
        # Between an update and its step, the last classifier serves other components.
        if classifier is None or not self.learner.source.has_gradients:
            classifier = self.learner.current_classifier(settings)
        scores = np.zeros((len(docs), len(self.labels)), dtype=np.float32)
        full = [i for i, doc in enumerate(docs) if doc.text.strip()]
        if not full:
            return scores
        vectors = self._vectors([docs[i] for i in full])
        found, names = classifier.head.probabilities(vectors), list(classifier.labels)
        if settings.flat.abstain_label is not None:
            names.append(settings.flat.abstain_label)
            distances = self._distances(vectors, classifier)
            threshold, multi_label = settings.flat.abstain_threshold, settings.flat.multi_label
            found = with_abstention(found, distances, threshold, multi_label=multi_label)
        scores[np.ix_(full, [self.labels.index(name) for name in names])] = found
        return scores

    def abstain_scores(self, docs: Iterable[Doc]) -> Floats:
        """Return the distances of Docs to the nearest prototype of a class. *Shape:* (docs,).

        0 is on the prototype, 1 at a right angle.

        Raises:
            ValueError: SM235 where the classifier came without prototypes.
        """
        classifier = self.learner.current_classifier(self._learning())
        return self._distances(self._vectors(list(docs)), classifier)

    def set_annotations(self, docs: Iterable[Doc], scores: Floats) -> None:
        """Write scores, *shape* (docs, labels). Categories of other components stay."""
        for doc, row in zip(docs, scores.tolist(), strict=True):
            doc.cats.update(zip(self.labels, row, strict=True))

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from a batch, and from texts that came before. Return the losses."""
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, "SetfitTextcat.update")
        cats = (example.reference.cats for example in examples)
        check_cats(cats, multi_label=self.cfg["multi_label"])
        settings = self._learning()
        labels = label_matrix(read_given(examples), settings)
        if np.isnan(labels).all():
            return losses
        docs = [example.predicted for example in examples]
        losses[self.name] += self.learner.update(docs, labels, settings, drop=drop)
        self.learner.warn_of_conflicts()
        if sgd:
            self.finish_update(sgd)
        return losses

    def finish_update(self, sgd: Optimizer) -> None:
        """Take a step: with an AdamW of its own, or with ``sgd`` if `use_training_optimizer`."""
        self.learner.source.finish_update(sgd)

    def get_loss(self, examples: Iterable[Example], scores: Floats) -> tuple[float, Floats]:
        """Return the loss of sentence vectors and its gradient. *Shapes:* (examples, width)."""
        examples = list(examples)
        validate_examples(examples, "SetfitTextcat.get_loss")
        labels = label_matrix(read_given(examples), self._learning())
        vectors = torch.from_numpy(np.array(scores, dtype=np.float32))
        targets = similarities(torch.from_numpy(labels))
        loss, gradient = loss_and_gradient(self.training_config.loss, vectors, targets)
        return loss, gradient.numpy()

    def score(self, examples: Iterable[Example], **settings: Any) -> dict[str, Any]:
        """Score the predictions."""
        if self.scorer is None:
            return {}
        own = {name: self.cfg[name] for name in ("threshold", "positive_label")}
        own.update(labels=self.labels, exclusive_classes=not self.cfg["multi_label"])
        scores: dict[str, Any] = self.scorer(examples, **{**own, **settings})
        return scores

    def from_setfit(self, folder: str | Path) -> "SetfitTextcat":
        """Take encoder, classifier and labels from a checkpoint that setfit saved.

        Nothing in it is run: the pickled classifier is read as arrays, or refused. The checkpoint
        holds neither the examples nor the prototypes, which abstaining needs. Return the component
        itself.

        Raises:
            FileNotFoundError: SM041 where a file is missing.
            ValueError: SM220 or SM221 where the classifier is of another kind, SM232 where the
                encoder is that of another component.
        """
        if not isinstance(self.model, CheckpointModel):
            raise ValueError(Errors.SM232.format(name=self.name))
        shim = self.model.shim
        found = load_setfit(Path(folder), precision=shim.precision)
        shim.set(found.encoder)
        self.cfg["labels"], self.cfg["multi_label"] = [], found.head.multi_label
        for label in found.labels:
            self.add_label(label)
        prototypes = np.zeros((0, found.encoder.width), dtype=np.float32)
        classifier = Classifier(found.head, tuple(found.labels), prototypes)
        self.learner.reset(self._learning(), classifier)
        return self

    def changed_settings(self) -> dict[str, Any]:
        """Return the settings that are no longer what the config says."""
        stored = self._stored_settings()
        return {name: v for name, v in stored.items() if v != self._configured.get(name)}

    def change_settings(self, changes: dict[str, Any]) -> None:
        """Take in settings that were saved because they are not those of the config."""
        training = changes.pop("training", self.training_config)
        self.training_config = SetfitTrainingConfig.read(training, path="training")
        self.head_config = HeadConfig.read(changes.pop("head", self.head_config), path="head")
        self.cfg.update(changes)
        for label in self.labels:
            self.vocab.strings.add(label)
        self.learner.reset(self._learning())

    def part_writers(self, excluded: set[str]) -> Writers:
        """Return what writes the classifier and the support set."""
        return self.learner.writers(self._learning())

    def part_readers(self, excluded: set[str]) -> Readers:
        """Return what reads the classifier and the support set."""
        return {HEAD: self._load_head, SUPPORT: self._load_support}

    def _learning(self) -> LearningSettings:
        training = self.training_config
        if training.optimizer.total_steps is None:
            training = training.with_total_steps(self._planned_steps)
        return LearningSettings(tuple(self.label_data), self.settings, training, self.head_config)

    def _vectors(self, docs: list[Doc]) -> Floats:
        self.learner.source.load(self.cfg["device"])
        vectors: Floats = self.model.ops.to_numpy(self.model.predict(docs))
        return vectors

    def _distances(self, vectors: Floats, classifier: Classifier) -> Floats:
        if not len(classifier.prototypes):
            raise ValueError(Errors.SM235.format(name=self.name))
        return abstain_scores(vectors, classifier.prototypes)

    def _stored_settings(self) -> dict[str, Any]:
        training = self.training_config.model_dump(mode="json")
        return {**self.cfg, "training": training, "head": self.head_config.model_dump(mode="json")}

    def _load_head(self, data: bytes, source: object) -> None:
        self.learner.reset(self._learning(), Classifier.from_bytes(data, source))

    def _load_support(self, data: bytes, source: object) -> None:
        self.learner.load_support(data, self._learning(), source=source)

    def _check_classes(self) -> None:
        if len(self.label_data) == 1 and not self.cfg["multi_label"]:
            raise ValueError(SpacyErrors.E867)
