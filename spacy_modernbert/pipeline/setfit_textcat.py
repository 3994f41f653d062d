"""The ``setfit_textcat`` pipe: categories from a handful of texts each."""

# No `from __future__ import annotations`: spaCy validates `[initialize]` against these types.

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from spacy import util
from spacy.errors import Errors as SpacyErrors
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.vocab import Vocab
from thinc.api import Model, Optimizer

from ..setfit.batches import Labels
from ..setfit.classifier import Classifier
from ..setfit.loss import LOSSES, similarities
from ..setfit.prototypes import abstain_scores
from ..setfit.regression import Floats
from .fork import guard_forks
from .setfit_abstain import with_abstention
from .setfit_examples import Cats, check_cats, is_usable, label_matrix, read_given, text_of
from .setfit_learner import Learner, schedule_of

# Examples that are looked at at a time.
CHUNK = 1000


class SetfitTextcat(TrainablePipe):
    """Tells the category of a Doc, having seen a few texts of each, and writes it to ``doc.cats``.

    Args:
        vocab: The shared vocabulary.
        model: Docs to one vector each, such as ``spacy_modernbert.SentenceEncoder.v1``.
        name: The component's name.
        settings: What the factory `make_setfit_textcat` calls by the same names. They are kept in
            ``cfg`` and read whenever they are needed, so they may be changed at any time.
        scorer: Scores the predictions.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model,
        name: str = "setfit_textcat",
        *,
        settings: Mapping[str, Any],
        scorer: Callable | None = None,
    ) -> None:
        guard_forks()
        self.vocab = vocab
        self.model = model
        self.name = name
        self.cfg: dict[str, Any] = {
            **copy.deepcopy(dict(settings)),
            "labels": [],
            "positive_label": None,
        }
        self.scorer = scorer
        self._configured = copy.deepcopy(self.cfg)
        self._learner = Learner(model)
        self._learner.reset((), self.cfg)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, the one of texts that none of the others fits included, as the last."""
        extra = self.cfg["abstain_label"]
        return (*self._classes, *(() if extra is None else (extra,)))

    @property
    def label_data(self) -> list[str]:
        """The labels, for ``initialize``."""
        return list(self._classes)

    @property
    def classifier(self) -> Classifier:
        """The classifier, up to date: its head, labels and prototypes."""
        return self._refresh()

    @property
    def _classes(self) -> list[str]:
        classes: list[str] = self.cfg["labels"]
        return classes

    def add_label(self, label: str) -> int:
        """Add a label. The classifier knows it by its name until there are examples.

        Args:
            label: The label.

        Returns:
            1 if it is new, 0 if it is there already.
        """
        if not isinstance(label, str):
            raise ValueError(SpacyErrors.E187)
        if label in self.labels:
            return 0
        self._classes.append(label)
        self.vocab.strings.add(label)
        self._learner.widen(self._classes)
        return 1

    def fit(
        self, examples: Iterable[Any], *, steps: int | None = None, progress_bar: bool = True
    ) -> "SetfitTextcat":
        """Learn from texts, without a config and without a training loop.

        What was learnt before stays, and so do the texts: a second call adds to them.

        Args:
            examples: Pairs of a text and its label, its list of labels, or a mapping of labels to
                0 or 1. The text may be a Doc.
            steps: Steps that the encoder is trained. With 0 it stays as it is, and only the
                classifier learns. None: the setting ``total_steps``.
            progress_bar: Whether to show one.

        Returns:
            The component itself.

        Raises:
            ValueError: SM233, E851 or E895 where the examples can't be used, SM210-SM212 where no
                classifier can be made of them.
        """
        self.set_support(examples, clear=False)
        n_steps = self._n_steps() if steps is None else steps
        if not self.cfg["train_encoder"]:
            n_steps = 0
        self._check_classes()
        if n_steps:
            from tqdm import tqdm  # type: ignore[import-untyped]

            bar = tqdm(range(n_steps), desc=self.name, unit="step", disable=not progress_bar)
            self._learner.tune(self.cfg, bar, total=n_steps)
        self._refresh()
        self._learner.rest()
        return self

    def set_support(self, examples: Iterable[Any], *, clear: bool = True) -> None:
        """Give texts to learn from, and learn nothing yet but the labels.

        Args:
            examples: As for `fit`.
            clear: Whether they take the place of those that are there, or join them.
        """
        given = read_given(examples)
        for _, cats in given:
            check_cats(cats, multi_label=self.cfg["multi_label"])
        for label in dict.fromkeys(label for _, cats in given for label in cats):
            self.add_label(label)
        if clear:
            self._learner.reset(self._classes, self.cfg)
        self._learner.collect(*self._annotated(given), self.cfg)
        self._learner.warn()

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: list[str] | None = None,
        positive_label: str | None = None,
    ) -> None:
        """Load the encoder, and take in the texts to learn from. Nothing is trained yet.

        Without annotated examples the labels are known by their names.

        Args:
            get_examples: Gives the examples, each time it is called.
            nlp: The pipeline.
            labels: The labels, in place of those of the examples.
            positive_label: The label whose scores are reported, if there are two.

        Raises:
            ValueError: E867 where there is only one label and a text can't have several, E851 or
                E895 where the annotation can't be used, E919 or E920 where ``positive_label`` is
                none of two labels.
        """
        validate_get_examples(get_examples, "SetfitTextcat.initialize")
        for label in self._labels_of(get_examples) if labels is None else labels:
            self.add_label(label)
        self._check_classes()
        self._set_positive(positive_label)
        self.model.initialize(X=[eg.predicted for eg in islice(get_examples(), 10)])
        self._learner.reset(self._classes, self.cfg)
        for examples in util.minibatch(get_examples(), CHUNK):
            given = [(eg.predicted, eg.reference.cats) for eg in examples]
            self._learner.collect(*self._annotated(given), self.cfg)
        self._learner.warn()

    def predict(self, docs: Iterable[Doc]) -> Floats:
        """Give the probabilities of the labels, and leave the Docs as they are.

        Returns:
            Zeros for a Doc without text. *Shape:* (docs, labels).

        Raises:
            ValueError: E143 where there are no labels.
        """
        docs = list(docs)
        self._require_labels()
        classifier = self._refresh()
        scores = np.zeros((len(docs), len(self.labels)), dtype=np.float32)
        full = [i for i, doc in enumerate(docs) if doc.text.strip()]
        if not full:
            return scores
        vectors = self._vectors([docs[i] for i in full])
        found = classifier.head.probabilities(vectors)
        label = self.cfg["abstain_label"]
        names = list(classifier.labels)
        if label is not None:
            distances = abstain_scores(vectors, classifier.prototypes)
            threshold, is_multi = self.cfg["abstain_threshold"], self.cfg["multi_label"]
            found = with_abstention(found, distances, threshold, multi_label=is_multi)
            names.append(label)
        columns = [self.labels.index(name) for name in names]
        scores[np.ix_(full, columns)] = found
        return scores

    def abstain_scores(self, docs: Iterable[Doc]) -> Floats:
        """Tell how far Docs are from everything the classifier was shown.

        Returns:
            Distance to the nearest prototype of a class: 0 is on it, 1 at a right angle.
            *Shape:* (docs,).
        """
        classifier = self._refresh()
        return abstain_scores(self._vectors(list(docs)), classifier.prototypes)

    def set_annotations(self, docs: Iterable[Doc], scores: Floats) -> None:
        """Write what `predict` found. Categories of other components stay.

        Args:
            docs: The Docs.
            scores: *Shape:* (docs, labels).
        """
        for doc, row in zip(docs, scores.tolist(), strict=True):
            doc.cats.update(zip(self.labels, row, strict=True))

    def __call__(self, doc: Doc) -> Doc:
        """Annotate one Doc."""
        try:
            self.set_annotations([doc], self.predict([doc]))
        except Exception as error:
            self.get_error_handler()(self.name, self, [doc], error)
        return doc

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Annotate a stream of Docs.

        Args:
            stream: The Docs.
            batch_size: How many to gather before they are grouped by length.

        Yields:
            The Docs in their order, without those that the error handler has taken.
        """
        for docs in util.minibatch(stream, batch_size):
            try:
                self.set_annotations(docs, self.predict(docs))
            except Exception:  # one Doc must not take its neighbours down with it
                docs = [doc for doc in docs if self._annotate_alone(doc)]
            yield from docs

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from a batch, and from texts that came before.

        The first update after ``initialize``, or after loading, takes no step, so that the first
        scores of ``spacy train`` are those of the encoder as it is.

        Args:
            examples: The batch.
            drop: Dropout rate, if the setting ``dropout`` is null.
            sgd: If given, the step is taken at once; see `finish_update` for how.
            losses: Losses by component, to be added to.

        Returns:
            The losses.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, "SetfitTextcat.update")
        given = [(eg.predicted, eg.reference.cats) for eg in examples]
        for _, cats in given:
            check_cats(cats, multi_label=self.cfg["multi_label"])
        texts, labels = self._annotated(given)
        if texts:
            losses[self.name] += self._learner.update(texts, labels, self.cfg, drop=drop)
            if sgd:
                self.finish_update(sgd)
        return losses

    def finish_update(self, sgd: Optimizer) -> None:
        """Take a step: with AdamW at ``learn_rate``, or with ``sgd`` if that is null."""
        self._learner.finish(sgd, self.cfg)

    def get_loss(self, examples: Iterable[Example], scores: Floats) -> tuple[float, Floats]:
        """Compute the loss of sentence vectors.

        Args:
            examples: The examples.
            scores: Their vectors, as ``model`` gives them. *Shape:* (examples, width).

        Returns:
            The loss and its gradient. *Shape:* (examples, width).
        """
        examples = list(examples)
        validate_examples(examples, "SetfitTextcat.get_loss")
        cats = [eg.reference.cats for eg in examples]
        is_multi = self.cfg["multi_label"]
        labels = label_matrix(cats, self._classes, multi_label=is_multi)
        vectors = torch.from_numpy(np.array(scores, dtype=np.float32)).requires_grad_()
        loss = LOSSES[schedule_of(self.cfg).loss](vectors, similarities(torch.from_numpy(labels)))
        loss.backward()
        assert vectors.grad is not None
        return float(loss.detach()), vectors.grad.numpy()

    def score(self, examples: Iterable[Example], **settings: Any) -> dict[str, Any]:
        """Score what the component has written.

        Args:
            examples: Gold Docs beside predicted ones.
            settings: For the scorer.
        """
        if self.scorer is None:
            return {}
        own = {
            "labels": self.labels,
            "threshold": self.cfg["threshold"],
            "positive_label": self.cfg["positive_label"],
            "exclusive_classes": not self.cfg["multi_label"],
        }
        scores: dict[str, Any] = self.scorer(examples, **{**own, **settings})
        return scores

    def _refresh(self) -> Classifier:
        return self._learner.refresh(self._classes, self.cfg)

    def _vectors(self, docs: list[Doc]) -> Floats:
        self._learner.shim.place(self.cfg["device"])
        vectors: Floats = self.model.ops.to_numpy(self.model.predict(docs))
        return vectors

    def _annotate_alone(self, doc: Doc) -> bool:
        """Annotate one Doc and say whether that worked; if not, the error handler has been told."""
        try:
            self.set_annotations([doc], self.predict([doc]))
        except Exception as error:
            self.get_error_handler()(self.name, self, [doc], error)
            return False
        return True

    def _annotated(self, given: Sequence[tuple[str | Doc, Cats]]) -> tuple[list[str], Labels]:
        """Give the texts that something can be learnt from, and their labels."""
        is_multi = self.cfg["multi_label"]
        labels = label_matrix([c for _, c in given], self._classes, multi_label=is_multi)
        texts = [text_of(item) for item, _ in given]
        keep = [
            i
            for i, text in enumerate(texts)
            if text.strip() and is_usable(labels[i], multi_label=is_multi)
        ]
        return [texts[i] for i in keep], labels[keep]

    def _labels_of(self, get_examples: Callable[[], Iterable[Example]]) -> list[str]:
        labels: dict[str, None] = {}
        for example in get_examples():
            check_cats(example.reference.cats, multi_label=self.cfg["multi_label"])
            labels.update(dict.fromkeys(example.reference.cats))
        return list(labels)

    def _check_classes(self) -> None:
        """Refuse a single label where a text has exactly one."""
        if len(self._classes) == 1 and not self.cfg["multi_label"]:
            raise ValueError(SpacyErrors.E867)

    def _set_positive(self, label: str | None) -> None:
        labels = self._classes
        if label is not None and label not in labels:
            raise ValueError(SpacyErrors.E920.format(pos_label=label, labels=labels))
        if label is not None and len(labels) != 2:
            raise ValueError(SpacyErrors.E919.format(pos_label=label, labels=labels))
        self.cfg["positive_label"] = label

    def _n_steps(self) -> int:
        from ..setfit.schedule import Schedule

        steps: int | None = self.cfg["total_steps"]
        return (Schedule.total_steps or 0) if steps is None else steps
