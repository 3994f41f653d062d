"""The ``setfit_textcat`` pipe: categories from a handful of texts each."""

# No `from __future__ import annotations`: spaCy validates `[initialize]` against these types.

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
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

from ...errors import Errors
from ...setfit.checkpoint.import_setfit import load_setfit
from ...setfit.head.abstention import with_abstention
from ...setfit.head.classifier import Classifier
from ...setfit.head.logistic_regression import Floats
from ...setfit.head.prototypes import abstain_scores
from ...setfit.training.batches import Labels
from ...setfit.training.best_checkpoint import Evaluator, evaluate_scores
from ...setfit.training.losses import LOSSES, similarities
from ..checkpoint_model import CheckpointModel
from .examples import (
    Cats,
    Text,
    check_cats,
    only_usable,
    read_given,
    text_of,
    usable,
)
from .learner import schedule_of
from .listener import make_learner
from .storage import byte_readers, byte_writers, disk_readers, disk_writers

# Least and greatest value of settings.
_RANGES = {
    "threshold": (0, 1),
    "batch_texts": (0, np.inf),
    "learn_rate": (0, np.inf),
    "weight_decay": (0, np.inf),
    "warmup_steps": (0, np.inf),
    "total_steps": (1, np.inf),
    "dropout": (0, 1),
    "blend": (0, 1),
    "abstain_threshold": (0, 2),
    "max_support": (1, np.inf),
    "seed": (0, np.inf),
}
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
        self._check_settings()
        self.learner = make_learner(model)
        self.learner.reset((), self.cfg)

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
        self.learner.widen(self._classes)
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

        What was learnt before stays, and so do the texts: a second call adds to them.

        Args:
            examples: Pairs of a text and its label, its list of labels, or a mapping of labels to
                0 or 1. The text may be a Doc.
            steps: Steps that the encoder is trained. With 0 it stays as it is, and only the
                classifier learns. None: the setting ``total_steps``.
            dev: Other examples. If there are any, the training is judged by them at its start,
                after each quarter and at its end, and its best state is kept, which may be the
                encoder as it was.
            progress_bar: Whether to show one.

        Returns:
            The component itself.

        Raises:
            ValueError: SM233, E851 or E895 where the examples can't be used, SM210-SM212 where no
                classifier can be made of them.
        """
        self.set_support(examples, clear=False)
        self._require_labels()
        self._check_classes()
        total = self._n_steps() if steps is None else steps
        if total and self.cfg["train_encoder"] and not self.learner.is_listening:
            from tqdm import tqdm  # type: ignore[import-untyped]

            bar = tqdm(range(total), desc=self.name, unit="step", disable=not progress_bar)
            self.learner.tune(self.cfg, bar, total=total, judge=self._judge(read_given(dev)))
        self._refresh()
        self.learner.rest(self.cfg)
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
            self.learner.reset(self._classes, self.cfg)
        self.learner.collect(*self._usable(given), self.cfg)
        self.learner.warn()

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
        self.learner.reset(self._classes, self.cfg)
        for examples in util.minibatch(get_examples(), CHUNK):
            given = [(eg.predicted, eg.reference.cats) for eg in examples]
            texts, answers = self._usable(given)
            docs = [text for text in texts if isinstance(text, Doc)]
            self.learner.collect(self.learner.prepare(docs, nlp, self.name), answers, self.cfg)
        self.learner.warn()

    def predict(self, docs: Iterable[Doc]) -> Floats:
        """Give the probabilities of the labels, and leave the Docs as they are.

        Returns:
            Zeros for a Doc without text. *Shape:* (docs, labels).

        Raises:
            ValueError: E143 where there are no labels.
        """
        docs = list(docs)
        self._require_labels()
        classifier = self._refresh(patient=True)
        scores = np.zeros((len(docs), len(self.labels)), dtype=np.float32)
        full = [i for i, doc in enumerate(docs) if doc.text.strip()]
        if not full:
            return scores
        vectors = self._vectors([docs[i] for i in full])
        found = classifier.head.probabilities(vectors)
        label = self.cfg["abstain_label"]
        names = list(classifier.labels)
        if label is not None:
            distances = self._distances(vectors, classifier)
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

        Raises:
            ValueError: SM235 where the classifier came without the prototypes.
        """
        return self._distances(self._vectors(list(docs)), self._refresh())

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
        docs, labels = self._usable(given)
        if docs and self.learner.is_listening:  # to the whole batch or not at all
            docs = [doc for doc, _ in given]
            labels = usable(given, self._classes, multi_label=self.cfg["multi_label"])
        if docs:
            losses[self.name] += self.learner.update(docs, labels, self.cfg, drop=drop)
            if sgd:
                self.finish_update(sgd)
        return losses

    def finish_update(self, sgd: Optimizer) -> None:
        """Take a step: with AdamW at ``learn_rate``, or with ``sgd`` if that is null."""
        self.learner.finish(sgd, self.cfg)

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
        given = [(eg.predicted, eg.reference.cats) for eg in examples]
        labels = usable(given, self._classes, multi_label=self.cfg["multi_label"])
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

    def from_setfit(self, folder: str | Path) -> "SetfitTextcat":
        """Take encoder, classifier and labels of a checkpoint that setfit saved.

        Nothing in it is run: the pickled classifier is read as arrays, or refused. The examples are
        not in such a checkpoint, and neither is what abstaining needs.

        Args:
            folder: The folder.

        Returns:
            The component itself.

        Raises:
            FileNotFoundError: SM041 where a file is missing.
            ValueError: SM220 or SM221 where the classifier is of another kind, SM232 where the
                encoder is another component's.
        """
        if not isinstance(self.model, CheckpointModel):
            raise ValueError(Errors.SM232.format(name=self.name))
        shim = self.learner.shim
        found = load_setfit(Path(folder), precision=shim.precision)
        shim.set(found.encoder)
        self.cfg["labels"], self.cfg["multi_label"] = [], found.head.multi_label
        for label in found.labels:
            self.add_label(label)
        prototypes = np.zeros((0, found.encoder.width), dtype=np.float32)
        self.take(Classifier(found.head, tuple(found.labels), prototypes))
        return self

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Give the component as bytes: ``cfg``, ``vocab``, ``model``, ``head``, ``support``."""
        excluded = set(exclude)
        return util.to_bytes(byte_writers(self, excluded), excluded)

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> "SetfitTextcat":
        """Load what `to_bytes` gave, into a component of the same config."""
        excluded = set(exclude)
        util.from_bytes(bytes_data, byte_readers(self, excluded), excluded)
        return self

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Write a folder; its ``model`` is one that sentence-transformers loads, too."""
        excluded = set(exclude)
        util.to_disk(path, disk_writers(self, excluded), excluded)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> "SetfitTextcat":
        """Load the folder that `to_disk` wrote, into a component of the same config."""
        excluded = set(exclude)
        util.from_disk(path, disk_readers(self, Path(path), excluded), excluded)
        return self

    @property
    def can_classify(self) -> bool:
        """Whether there are labels to choose from, and something is known of them."""
        if self.learner.is_listening and not len(self.learner.support):
            return self.learner.classifier is not None
        return len(self._classes) >= (1 if self.cfg["multi_label"] else 2)

    def changes(self) -> dict[str, Any]:
        """Give the settings that are no longer what the config says; the rest is in the config."""
        return {k: v for k, v in self.cfg.items() if v != self._configured.get(k)}

    def change(self, changes: dict[str, Any]) -> None:
        """Take settings that were saved because they were not in the config."""
        self.cfg.update(changes)
        for label in self.labels:
            self.vocab.strings.add(label)
        self.take(None)

    def take(self, classifier: Classifier | None) -> None:
        """Take a classifier; what was learnt from before is forgotten."""
        self.learner.take(classifier, self._classes, self.cfg)

    def _refresh(self, *, patient: bool = False) -> Classifier:
        return self.learner.refresh(self._classes, self.cfg, patient=patient)

    def _distances(self, vectors: Floats, classifier: Classifier) -> Floats:
        if not len(classifier.prototypes):
            raise ValueError(Errors.SM235.format(name=self.name))
        return abstain_scores(vectors, classifier.prototypes)

    def _vectors(self, docs: list[Doc]) -> Floats:
        self.learner.load(self.cfg)
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

    def _usable(self, given: Sequence[tuple[Text, Cats]]) -> tuple[list[Text], Labels]:
        """Give the texts that something can be learnt from, and their labels."""
        return only_usable(
            given,
            self._classes,
            multi_label=self.cfg["multi_label"],
            outside=self.cfg["abstain_label"],
        )

    def _judge(self, given: Sequence[tuple[Text, Cats]]) -> Evaluator | None:
        """Give what tells how well texts are classified, if there are any."""
        texts, labels = self._usable(given)
        if not texts:
            return None
        rows = self.learner.tokenize([text_of(text) for text in texts])

        def judge() -> tuple[float, float]:
            head = self._refresh().head
            scores = head.probabilities(self.learner.encode(rows))
            return evaluate_scores(scores, labels, multi_label=self.cfg["multi_label"])

        return judge

    def _labels_of(self, get_examples: Callable[[], Iterable[Example]]) -> list[str]:
        labels: dict[str, None] = {}
        for example in get_examples():
            check_cats(example.reference.cats, multi_label=self.cfg["multi_label"])
            labels.update(dict.fromkeys(example.reference.cats))
        return list(labels)

    def _check_settings(self) -> None:
        """Refuse settings that the types of the factory let through."""
        for setting, (least, most) in _RANGES.items():
            value = self.cfg[setting]
            if value is not None and not least <= value <= most:
                need = f"at least {least}" if most == np.inf else f"from {least} to {most}"
                message = Errors.SM234.format(setting=setting, value=value, need=need)
                raise ValueError(message)

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
        from ...setfit.training.schedule import Schedule

        steps: int | None = self.cfg["total_steps"]
        return (Schedule.total_steps or 0) if steps is None else steps
