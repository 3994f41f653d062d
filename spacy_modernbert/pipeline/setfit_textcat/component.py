"""The ``setfit_textcat`` component: categories from a handful of texts each."""

# No `from __future__ import annotations`: spaCy validates `[initialize]` against these types.

from collections.abc import Callable, Iterable, Sequence
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
from thinc.api import Optimizer

from ...encoder.hub import resolve
from ...errors import Errors
from ...setfit.arrays import Floats
from ...setfit.checkpoint.import_setfit import HEAD as PICKLED_HEAD
from ...setfit.checkpoint.import_setfit import load_setfit
from ...setfit.head.classifier import Classifier
from ...setfit.training.losses import loss_and_gradient, similarities
from ..checkpoint_model import CheckpointModel
from ..training_steps import planned_steps
from .checks import (
    check_cats,
    check_label,
    check_positive_label,
    of_setfit,
    read_steps,
)
from .examples import EXAMPLE_BATCH, AnnotatedText, read_given
from .prediction import classify, distances, sentence_vectors
from .selection import (
    UselessExamples,
    label_matrix,
    select_annotated,
    select_for_evaluation,
)
from .state import SetfitState


class SetfitTextcat(SetfitState):
    """Predicts the category of a Doc from a few texts of each, and writes it to ``doc.cats``.

    See `make_setfit_textcat` for the arguments, and `SetfitState` for the attributes.
    """

    def add_label(self, label: str) -> int:
        """Add a label, and return 1, or 0 if it is there already.

        Until a label has examples, its name stands in for them; with a shared encoder, its
        probability is 0.

        Raises:
            ValueError: SM212 where it is blank, SM231 where the examples of the other labels were
                not kept.
        """
        if not isinstance(label, str):
            raise ValueError(SpacyErrors.E187)
        label = check_label(label)
        if label in self.labels:
            return 0
        self.learner.check_examples(self.learning_settings)
        self._add_labels([label])
        return 1

    def remove_label(self, label: str) -> int:
        """Remove a label, and return 1, or 0 if there is no such label.

        Texts that can have one label only go with theirs. If it is added again later, give its
        texts again, too.

        Raises:
            ValueError: SM218 where fewer labels would be left than are needed.
        """
        if label not in self.label_data:
            return 0
        rest = [name for name in self.label_data if name != label]
        if len(rest) < (1 if self.cfg["multi_label"] else 2):
            raise ValueError(Errors.SM218.format(label=label, rest=", ".join(rest) or "none"))
        self.learner.remove_label(label, self.learning_settings)
        self.cfg["labels"] = rest
        if self.cfg["positive_label"] is not None and len(rest) != 2:
            self.cfg["positive_label"] = None
        return 1

    def fit(
        self,
        examples: Iterable[Any],
        labels: Iterable[Any] | None = None,
        *,
        steps: int | None = None,
        dev: Iterable[Any] = (),
        progress_bar: bool = True,
    ) -> "SetfitTextcat":
        """Learn from texts, without a config and without a training loop.

        What was learned before stays, and so do the texts: a second call adds to them, and a text
        that comes again takes its new labels. So several calls teach the classifier what one call
        with all texts does. If the call fails or is interrupted, the component stays as it was.

        Args:
            examples: Pairs of a text and its label, its list of labels, or a mapping of labels to
                0 or 1; or any other form that `read_given` takes.
            labels: The labels of the texts, if ``examples`` are texts alone.
            steps: Steps that the encoder is trained. With 0 it stays as it is, and only the
                classifier learns. None: the setting ``total_steps``.
            dev: Other examples. If there are any, the training is evaluated with them at its start,
                after each quarter and at its end, and its best weights are kept, which may be those
                from before.
            progress_bar: Whether to show bars of what takes long.

        Returns:
            The component itself.

        Raises:
            ValueError: SM233, SM217, SM212, E851 or E895 where the examples can't be used, SM236
                where those of ``dev`` can't, SM214 where ``steps`` can't, SM210, SM211 or SM231
                where no classifier can be fitted to them.
        """
        steps = read_steps(steps, self.training_config)
        given, given_dev = read_given(examples, labels), read_given(dev)
        with self._unchanged_on_failure(), self.learner.progress(self.name, is_shown=progress_bar):
            self._add_examples(given)
            self._require_labels()
            self._check_classes()
            settings = self.learning_settings
            self.learner.check_examples(settings)
            selected = select_for_evaluation(given_dev, settings)
            if steps and self.learner.trains_encoder(settings):
                self.learner.train(steps, settings, dev=selected)
            self.learner.end_training(settings)
        return self

    def set_support(
        self,
        examples: Iterable[Any],
        labels: Iterable[Any] | None = None,
        *,
        clear: bool = True,
    ) -> None:
        """Set the texts to learn from, given as for `fit`, and learn nothing yet but the labels.

        They replace the texts that are there, or join them if not ``clear``.
        """
        given = read_given(examples, labels)
        with self._unchanged_on_failure():
            if clear:
                self.learner.reset(self.learning_settings)
            self._add_examples(given)
            self.learner.check_examples(self.learning_settings)

    def fit_classifier(self) -> Classifier:
        """Fit the classifier; see `SetfitLearner.fit_classifier`.

        `predict`, `fit`, `to_disk` and `to_bytes` do so whenever weights, texts or labels have
        changed since the last time.
        """
        return self.learner.fit_classifier(self.learning_settings)

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
        with self._unchanged_on_failure():
            if labels is None:
                given = (read_given([example])[0].cats for example in get_examples())
                labels = list(dict.fromkeys(label for cats in given for label in cats))
            cats = (example.reference.cats for example in get_examples())
            check_cats(cats, multi_label=self.cfg["multi_label"])
            self._add_labels([check_label(label) for label in labels])
            self._check_classes()
            check_positive_label(positive_label, self.label_data)
            self.cfg["positive_label"] = positive_label
            self.model.initialize(X=[eg.predicted for eg in islice(get_examples(), 10)])
            self._planned_steps = planned_steps(nlp)
            settings = self.learning_settings
            self.learner.reset(settings)
            useless = UselessExamples(settings)
            for examples in util.minibatch(get_examples(), EXAMPLE_BATCH):
                found = select_annotated(useless.count(read_given(examples)), settings)
                texts = self.learner.source.prepare(found.texts, nlp, self.name)
                self.learner.add(found._replace(texts=list(texts)), settings)
            if useless.n_annotated:  # there may be labels alone
                useless.warn()
            self.learner.notices.texts(self.learner.support)

    def predict(self, docs: Iterable[Doc]) -> Floats:
        """Return the probabilities of the labels, zeros for a Doc without text.

        *Shape:* (docs, labels).

        Raises:
            ValueError: SM205 where there are no labels.
        """
        docs = self.read_docs(docs)
        self._require_labels()
        settings, classifier = self.learning_settings, self.classifier
        # Between an update and its step, the last classifier serves other components.
        if classifier is None or not self.learner.source.has_gradients:
            classifier = self.learner.current_classifier(settings)
        scores = np.zeros((len(docs), len(self.labels)), dtype=np.float32)
        full = [i for i, doc in enumerate(docs) if doc.text.strip()]
        if not full:
            return scores
        source, texts = self.learner.source, [docs[i] for i in full]
        found, names = classify(
            self.model, source, texts, classifier, settings.flat, name=self.name
        )
        scores[np.ix_(full, [self.labels.index(name) for name in names])] = found
        return scores

    def abstain_scores(self, docs: Iterable[Doc]) -> Floats:
        """Return the distances of Docs to the nearest prototype of a class. *Shape:* (docs,).

        0 is on the prototype, 1 at a right angle.

        Raises:
            ValueError: SM235 where the classifier came without prototypes.
        """
        settings, docs = self.learning_settings, self.read_docs(docs)
        classifier = self.learner.current_classifier(settings)
        vectors = sentence_vectors(self.model, self.learner.source, docs, settings.flat)
        return distances(vectors, classifier, name=self.name)

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
        given, settings = read_given(examples), self.learning_settings
        check_cats((item.cats for item in given), multi_label=settings.flat.multi_label)
        labels = label_matrix(given, settings)
        self.learner.notices.useless(given, settings)
        if np.isnan(labels).all():
            return losses
        self.learner.check_examples(settings, labels)
        docs = [example.predicted for example in examples]
        with self._unchanged_on_failure():
            losses[self.name] += self.learner.update(docs, labels, settings, drop=drop)
        self.learner.notices.texts(self.learner.support)
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
        labels = label_matrix(read_given(examples), self.learning_settings)
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

    def from_setfit(self, name: str | Path) -> "SetfitTextcat":
        """Take encoder, classifier and labels from a checkpoint that setfit saved.

        ``name`` is its folder, or its name on the hub. Nothing in it is run: the pickled classifier
        is read as arrays, or refused. The checkpoint holds neither the examples nor the prototypes,
        which abstaining needs. Return the component itself.

        Raises:
            FileNotFoundError: SM040 where there is no checkpoint, SM041 where a file is missing.
            ValueError: SM220 or SM221 where the classifier is of another kind, SM232 where the
                encoder is that of another component.
        """
        if not isinstance(self.model, CheckpointModel):
            raise ValueError(Errors.SM232)
        shim = self.model.shim
        found = load_setfit(resolve(str(name), extra=[PICKLED_HEAD]), precision=shim.precision)
        self.learner.reset(self.learning_settings)
        shim.set(found.encoder)
        self.cfg["labels"], self.cfg["multi_label"] = [], found.head.multi_label
        self._add_labels(found.labels)
        prototypes = np.zeros((0, found.encoder.width), dtype=np.float32)
        classifier = Classifier(found.head, tuple(found.labels), prototypes)
        self.learner.reset(self.learning_settings, classifier)
        return self

    def _add_examples(self, given: Sequence[AnnotatedText]) -> None:
        """Add texts to those that are there, and their labels."""
        check_cats((item.cats for item in given), multi_label=self.cfg["multi_label"])
        self._add_labels(label for item in given for label in item.cats)
        settings = self.learning_settings
        useless = UselessExamples(settings)
        self.learner.add(select_annotated(useless.count(given), settings), settings)
        useless.warn()
        self.learner.notices.texts(self.learner.support)

    def _check_classes(self) -> None:
        if len(self.label_data) == 1 and not self.cfg["multi_label"]:
            raise ValueError(of_setfit(SpacyErrors.E867))
