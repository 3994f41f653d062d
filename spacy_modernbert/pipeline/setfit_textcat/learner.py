"""The texts of a ``setfit_textcat``, their vectors, and the classifier that follows from them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
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
from ...setfit.training.losses import labels_differ
from ...setfit.training.support_set import SupportSet
from ...setfit.training.support_storage import support_to_bytes
from ...setfit.training.templates import label_texts
from ..checkpoint_model import CheckpointModel
from ..checkpoint_pipe import Writers
from .config import LearningSettings
from .embedding_sources import SentenceEncoderSource
from .examples import text_of
from .notices import Notices
from .progress import Progress
from .selection import Selected
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
        notices: Gives warnings.
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
        self.notices = Notices()

    def reset(self, settings: LearningSettings, classifier: Classifier | None = None) -> None:
        """Forget all texts, and take a classifier that comes without them, or none."""
        self.source.end_training()
        self.support = SupportSet(
            len(settings.labels), capacity=settings.flat.max_support, seed=settings.training.seed
        )
        self.classifier = classifier
        self._without_examples = frozenset(() if classifier is None else classifier.labels)
        self.notices.forget_texts()
        self._mark_fitted(settings.labels)

    def add(self, given: Selected, settings: LearningSettings) -> None:
        """Add texts to the support set."""
        self.source.load(settings.flat)
        self.source.add_to(self.support, given)

    def remove_label(self, label: str, settings: LearningSettings) -> None:
        """Forget one of the labels, which the settings still have."""
        column = settings.labels.index(label)
        rest = settings.labels[:column] + settings.labels[column + 1 :]
        multi_label = settings.flat.multi_label
        self.support = self.support.without_label(column, multi_label=multi_label)
        self._without_examples -= {label}
        classifier = self.classifier
        if classifier is not None and self._without_examples and label in classifier.labels:
            # The rest of it need not be fitted again, and perhaps can't be.
            self.classifier = classifier.without_label(label)
            self._mark_fitted(rest)

    def check_examples(self, settings: LearningSettings, given: LabelMatrix | None = None) -> None:
        """Check that a classifier can be fitted, if texts of these labels are added.

        *Shape of the labels:* (texts, labels).

        Raises:
            ValueError: SM231 where the examples of a loaded one were not kept.
        """
        if not self._without_examples:
            return
        labels = self.support.labels(multi_label=settings.flat.multi_label)
        if given is not None:
            labels = np.concatenate([labels, given])
        self._check_lost(self._without_positives(labels, settings))

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
        self.notices.frozen_encoder()
        return False

    def update(
        self, docs: Sequence[Doc], labels: LabelMatrix, settings: LearningSettings, *, drop: float
    ) -> float:
        """Learn from a batch, and return the loss; see `SentenceEncoderSource.update`."""
        self.source.load(settings.flat)
        train = self.trains_encoder(settings)
        loss = self.source.update(self.support, docs, labels, settings, drop=drop, train=train)
        if train and loss == 0.0 and not self.source.is_over:
            self.notices.no_contrast(self.support.labels(multi_label=settings.flat.multi_label))
        return loss

    def train(self, steps: int, settings: LearningSettings, *, dev: Selected) -> None:
        """Train the component's own encoder on the whole support set; see `fine_tune`.

        ``dev`` are texts to evaluate with, if any. Warn where nothing can be learned, or where the
        training made the encoder worse.
        """
        multi_label = settings.flat.multi_label
        if not isinstance(self.source, SentenceEncoderSource):
            return
        if not labels_differ(self.support.labels(multi_label=multi_label)):
            warnings.warn(Warnings.SMW236, stacklevel=3)
            return
        evaluator = self._evaluator(self.source, dev, settings) if dev.texts else None
        found = fine_tune(
            self.source.start_training(settings.training.with_total_steps(steps)),
            self.support,
            self.source.progress.steps(steps),
            multi_label=multi_label,
            head=settings.head,
            evaluator=evaluator,
            encode=self.source.encode,
            regressions=self.source.progress.regressions,
        )
        if found.has_diverged:
            rate = settings.training.optimizer.learn_rate
            losses = {"before": found.loss_before, "after": found.loss_after}
            warnings.warn(Warnings.SMW237.format(**losses, learn_rate=rate), stacklevel=3)
        elif found.vectors is not None:
            vectors, initial = found.vectors
            self.support.keep_vectors(vectors, self.source.version, initial=initial)

    def end_training(self, settings: LearningSettings) -> None:
        """Fit the classifier, and release what only training needs."""
        self.fit_classifier(settings)
        self.source.end_training()
        self._mark_fitted(settings.labels)

    @contextmanager
    def unchanged_on_failure(self) -> Iterator[None]:
        """Return to the texts, weights and classifier of now if an exception comes."""
        kept = {**self.__dict__, "support": self.support.copy(), "notices": self.notices.copy()}
        with self.source.unchanged_on_failure():
            try:
                yield
            except BaseException:
                self.__dict__.update(kept)
                raise

    @contextmanager
    def progress(self, name: str, *, is_shown: bool) -> Iterator[None]:
        """Show progress bars for a while, if wanted."""
        self.source.progress = Progress(name, is_shown)
        try:
            yield
        finally:
            self.source.progress = Progress()

    def current_classifier(self, settings: LearningSettings) -> Classifier:
        """Return the classifier, fitted anew if weights, texts or labels have changed."""
        if self.classifier is None or self._fitted_to != self._state(settings.labels):
            return self.fit_classifier(settings)
        return self.classifier

    def fit_classifier(self, settings: LearningSettings) -> Classifier:
        """Fit the classifier to the support set, and to the names of labels without examples.

        With a shared encoder, which can't encode names, such labels have no part in it.

        Raises:
            ValueError: SM210 or SM211 where no classifier can be fitted, SM231 where the examples
                of a loaded one were not kept.
        """
        self.source.load(settings.flat)
        names, multi_label = list(settings.labels), settings.flat.multi_label
        labels = self.support.labels(multi_label=multi_label)
        unknown = self._without_positives(labels, settings)
        self._check_lost(unknown)
        named: list[tuple[str, str]] = []
        if isinstance(self.source, SentenceEncoderSource):
            named = label_texts(unknown)
            self.notices.labels(Warnings.SMW230, unknown, len(names))
        elif len(names) - len(unknown) >= (1 if multi_label else 2):
            self.notices.labels(Warnings.SMW241, unknown, len(names))
            labels = labels[:, [names.index(name) for name in names if name not in unknown]]
            names = [name for name in names if name not in unknown]
        vectors, initial = self.source.embed(self.support, [text for text, _ in named])
        if initial is not None:
            rate = settings.training.optimizer.learn_rate
            self.notices.collapse(vectors[: len(labels)], labels, rate)
        columns = [names.index(label) for _, label in named]
        labels = np.concatenate([labels, np.eye(len(names), dtype=np.float32)[columns]])
        with self.source.progress.regressions() as progress:
            head = fit_head(
                vectors,
                labels,
                names=names,
                config=settings.head,
                multi_label=multi_label,
                seed=settings.training.seed,
                initial=initial,
                progress=progress,
            )
        self.classifier = Classifier(head, tuple(names), make_prototypes(vectors, labels))
        self._mark_fitted(settings.labels)
        return self.classifier

    def writers(self, settings: LearningSettings) -> Writers:
        """Return what writes classifier and support set, as far as they are to be stored.

        The weights in use are the final ones afterwards.
        """
        parts: dict[str, Callable[[], bytes]] = {}
        if self.can_fit(settings):
            parts[HEAD] = self.current_classifier(settings).to_bytes
        keep = settings.flat.keep_support
        # Where names stand in for all examples, an empty set says that none are lacking.
        is_of_names = not len(self.support) and not self._without_examples
        if HEAD in parts and (is_of_names or (keep != "none" and len(self.support))):
            vectors, _ = self.source.embed(self.support)
            parts[SUPPORT] = partial(support_to_bytes, self.support, keep, vectors)
        return parts

    def load_support(self, data: bytes, settings: LearningSettings, *, source: object) -> None:
        """Add the texts that were stored with the classifier; `source` is named in messages."""
        self.source.load(settings.flat)
        self.source.add_stored(self.support, data, source=source)
        self._without_examples = frozenset()
        self._mark_fitted(settings.labels)

    def _state(self, labels: tuple[str, ...]) -> Hashable:
        """Return all that decides whether a classifier of some labels is up to date."""
        return self.source.version, self.support.version, labels

    def _mark_fitted(self, labels: tuple[str, ...]) -> None:
        if self.classifier is not None:
            self._fitted_to = self._state(labels)

    def _without_positives(self, labels: LabelMatrix, settings: LearningSettings) -> list[str]:
        has_examples = (labels == 1).any(axis=0)
        return [n for n, known in zip(settings.labels, has_examples, strict=True) if not known]

    def _check_lost(self, unknown: Sequence[str]) -> None:
        if lost := [name for name in unknown if name in self._without_examples]:
            raise ValueError(Errors.SM231.format(labels=", ".join(lost)))

    def _evaluator(
        self, source: SentenceEncoderSource, dev: Selected, settings: LearningSettings
    ) -> Evaluator:
        """Return what fits and evaluates the classifier under the weights of the moment."""
        sequences = source.tokenize([text_of(text) for text in dev.texts])

        def evaluate() -> Evaluation:
            head = self.fit_classifier(settings).head
            scores = head.probabilities(source.encode(sequences))
            return evaluate_scores(scores, dev.labels, multi_label=settings.flat.multi_label)

        return evaluate
