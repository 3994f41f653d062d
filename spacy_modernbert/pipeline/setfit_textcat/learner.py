"""The texts of a ``setfit_textcat``, their vectors, and the classifier that follows from them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Hashable, Sequence
from functools import partial

import numpy as np
from spacy.tokens import Doc
from thinc.api import Model

from ...errors import Errors, Warnings
from ...setfit.arrays import LabelMatrix
from ...setfit.head.classifier import Classifier
from ...setfit.head.head import fit_head
from ...setfit.head.prototypes import make_prototypes
from ...setfit.training.fine_tuning import Evaluation, Evaluator, evaluate_scores, fine_tune
from ...setfit.training.support_set import SupportSet
from ...setfit.training.templates import label_texts
from ..checkpoint_model import CheckpointModel
from ..checkpoint_pipe import Writers
from .config import LearningSettings
from .embedding_sources import SentenceEncoderSource
from .examples import Text, text_of
from .shared_encoder import SharedEncoderSource

HEAD = "head.safetensors"
SUPPORT = "support.safetensors"


class SetfitLearner:
    """A support set, a source of its vectors, and a classifier.

    Whether the classifier is up to date is no state of its own: it follows from the versions of
    weights and texts, and from the labels.

    Attributes:
        source: Makes vectors.
        support: The texts that the classifier learns from.
        classifier: The classifier that was fitted, or loaded, last.
    """

    def __init__(self, model: Model) -> None:
        is_own = isinstance(model, CheckpointModel)
        self.source: SentenceEncoderSource | SharedEncoderSource = (
            SentenceEncoderSource(model) if is_own else SharedEncoderSource(model)
        )
        self.support = SupportSet(0)
        self.classifier: Classifier | None = None
        self._fitted_to: Hashable = None
        # Labels of a loaded classifier whose examples were not kept.
        self._without_examples: frozenset[str] = frozenset()
        self._n_conflicts = 0
        self._warned: set[str] = set()

    def reset(self, settings: LearningSettings, classifier: Classifier | None = None) -> None:
        """Forget all texts, and take a classifier that comes without them, or none."""
        self.source.end_training()
        self.support = SupportSet(
            len(settings.labels), capacity=settings.flat.max_support, seed=settings.training.seed
        )
        self.classifier = classifier
        self._without_examples = frozenset(() if classifier is None else classifier.labels)
        self._n_conflicts = 0
        self._mark_fitted()

    def add(self, texts: Sequence[Text], labels: LabelMatrix, settings: LearningSettings) -> None:
        """Add texts to the support set. *Shape of the labels:* (texts, labels)."""
        self.source.load(settings.flat.device)
        self.source.add_to(self.support, texts, labels)

    def can_fit(self, settings: LearningSettings) -> bool:
        """Whether there are labels to choose from, and something is known of them."""
        if isinstance(self.source, SharedEncoderSource) and not len(self.support):
            return self.classifier is not None
        return len(settings.labels) >= (1 if settings.flat.multi_label else 2)

    def trains_encoder(self, settings: LearningSettings) -> bool:
        """Whether steps change the encoder; warn, once, where they should and cannot."""
        if "encoder" in settings.training.freeze:
            return False
        if isinstance(self.source, SharedEncoderSource) or self.support.can_train_encoder:
            return True
        if "SMW233" not in self._warned:
            self._warned.add("SMW233")
            warnings.warn(Warnings.SMW233, stacklevel=3)
        return False

    def update(
        self, docs: Sequence[Doc], labels: LabelMatrix, settings: LearningSettings, *, drop: float
    ) -> float:
        """Learn from a batch, and return the loss; see `SentenceEncoderSource.update`."""
        self.source.load(settings.flat.device)
        train = self.trains_encoder(settings)
        return self.source.update(self.support, docs, labels, settings, drop=drop, train=train)

    def train(
        self,
        steps: Collection[int],
        settings: LearningSettings,
        *,
        dev: tuple[Sequence[Text], LabelMatrix],
    ) -> None:
        """Train the component's own encoder on the whole support set; see `fine_tune`.

        ``dev`` are texts to evaluate with, if any, and their labels. *Shape:* (texts, labels).
        """
        if isinstance(self.source, SentenceEncoderSource):
            evaluator = self._evaluator(self.source, *dev, settings) if dev[0] else None
            fine_tune(
                self.source.start_training(settings.training.with_total_steps(len(steps))),
                self.support,
                steps,
                multi_label=settings.flat.multi_label,
                head=settings.head,
                evaluator=evaluator,
            )

    def end_training(self, settings: LearningSettings) -> None:
        """Fit the classifier, and release what only training needs."""
        self.fit_classifier(settings)
        self.source.end_training()
        self._mark_fitted()

    def current_classifier(self, settings: LearningSettings) -> Classifier:
        """Return the classifier, fitted anew if weights, texts or labels have changed."""
        if self.classifier is None or self._fitted_to != self._state(settings.labels):
            return self.fit_classifier(settings)
        return self.classifier

    def fit_classifier(self, settings: LearningSettings) -> Classifier:
        """Fit the classifier to the support set, and to the names of labels without examples.

        Raises:
            ValueError: SM210 or SM211 where no classifier can be fitted, SM231 where the examples
                of a loaded one were not kept.
        """
        self.source.load(settings.flat.device)
        names, multi_label = list(settings.labels), settings.flat.multi_label
        labels = self.support.labels(multi_label=multi_label)
        has_examples = (labels == 1).any(axis=0)
        unknown = [name for name, known in zip(names, has_examples, strict=True) if not known]
        if lost := [name for name in unknown if name in self._without_examples]:
            raise ValueError(Errors.SM231.format(labels=", ".join(lost)))
        named: list[tuple[str, str]] = []
        if isinstance(self.source, SentenceEncoderSource):
            named = label_texts(unknown)
            self._warn_of_names(unknown, len(names))
        vectors, initial = self.source.embed(self.support, [text for text, _ in named])
        columns = [names.index(label) for _, label in named]
        labels = np.concatenate([labels, np.eye(len(names), dtype=np.float32)[columns]])
        head = fit_head(
            vectors,
            labels,
            names=names,
            config=settings.head,
            multi_label=multi_label,
            seed=settings.training.seed,
            initial=initial,
        )
        self.classifier = Classifier(head, tuple(names), make_prototypes(vectors, labels))
        self._mark_fitted()
        return self.classifier

    def writers(self, settings: LearningSettings) -> Writers:
        """Return what writes classifier and support set, as far as they are to be stored.

        The weights in use are the final ones afterwards.
        """
        parts: dict[str, Callable[[], bytes]] = {}
        if self.can_fit(settings):
            parts[HEAD] = self.current_classifier(settings).to_bytes
        keep = settings.flat.keep_support
        if keep != "none" and len(self.support):
            vectors, _ = self.source.embed(self.support)
            parts[SUPPORT] = partial(self.support.to_bytes, keep, vectors)
        return parts

    def load_support(self, data: bytes, settings: LearningSettings, *, source: object) -> None:
        """Add the texts that were stored with the classifier; `source` is named in messages."""
        self.source.load(settings.flat.device)
        self.source.add_stored(self.support, data, source=source)
        self._without_examples = frozenset()
        self._mark_fitted()

    def warn_of_conflicts(self) -> None:
        """Warn of texts that came with different labels, if there are more than last time."""
        n = self.support.n_conflicts
        if n > self._n_conflicts:
            self._n_conflicts = n
            warnings.warn(Warnings.SMW232.format(n=n, total=self.support.n_seen), stacklevel=3)

    def _state(self, labels: tuple[str, ...]) -> Hashable:
        """Return all that decides whether a classifier of some labels is up to date."""
        return self.source.version, self.support.version, labels

    def _mark_fitted(self) -> None:
        if self.classifier is not None:
            self._fitted_to = self._state(self.classifier.labels)

    def _evaluator(
        self,
        source: SentenceEncoderSource,
        texts: Sequence[Text],
        labels: LabelMatrix,
        settings: LearningSettings,
    ) -> Evaluator:
        """Return what fits and evaluates the classifier under the weights of the moment."""
        sequences = source.tokenize([text_of(text) for text in texts])

        def evaluate() -> Evaluation:
            head = self.fit_classifier(settings).head
            scores = head.probabilities(source.encode(sequences))
            return evaluate_scores(scores, labels, multi_label=settings.flat.multi_label)

        return evaluate

    def _warn_of_names(self, unknown: Sequence[str], n_labels: int) -> None:
        """Warn that names stand in for examples of some labels, unless they do so for all."""
        new = sorted(set(unknown) - self._warned)
        if new and len(unknown) < n_labels:
            self._warned.update(new)
            warnings.warn(Warnings.SMW230.format(labels=", ".join(new)), stacklevel=3)
