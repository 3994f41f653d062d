"""The ``gliner`` pipe: entities of any kind, found by the names of their kinds."""

# No `from __future__ import annotations`: spaCy validates `[initialize]` against these types.

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import srsly
from spacy import util
from spacy.errors import Errors as SpacyErrors
from spacy.language import Language
from spacy.pipeline import Pipe
from spacy.tokens import Doc, Span, SpanGroup
from spacy.training import Example, validate_examples
from spacy.vocab import Vocab
from thinc.api import Model, NumpyOps, Optimizer
from torch import Tensor

from ...errors import Errors
from ...gliner.checkpoint.label_vectors import label_vectors_to_bytes, load_label_vectors
from ...gliner.inference.decoding import decode
from ...gliner.inference.scored_spans import ScoredSpans
from ...gliner.inference.sequences import SplitText
from .annotations import EXTENSION, Gold, find_labels, install_extension, read_gold, read_plain
from .doc_words import DocSpans, DocWords
from .initialization import NewHead, check_labels, new_head, warn_of_lost
from .labels import Labels, all_label_texts, read_labels, read_thresholds, warn_of_typos
from .model import GlinerInput
from .shared_vectors import take_vectors
from .training import GlinerTrainingSettings, Teacher

# Examples that are looked at at a time when a training begins.
CHUNK = 1000
_LEAST = {"window": 1, "overlap": 0}


class GlinerPipe(Pipe):
    """Finds spans of any label with a GLiNER, and writes them to ``doc.spans`` and ``doc.ents``.

    Args:
        vocab: The shared vocabulary.
        model: Takes a `GlinerInput` and gives candidates.
        name: The component's name.
        settings: What the factory `make_gliner` calls by the same names. They are kept in ``cfg``
            and read whenever they are needed, so they may be changed at any time.
        ents_filter: Takes entities and new spans, the best first; gives entities.
        candidates: Where the only spans in question come from; None for all spans.
        scorer: Scores the predictions.
        training: How the component learns.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model,
        name: str = "gliner",
        *,
        settings: Mapping[str, Any],
        ents_filter: Callable[[Iterable[Span], Iterable[Span]], Iterable[Span]],
        candidates: str | Callable | None = None,
        scorer: Callable | None = None,
        training: GlinerTrainingSettings | None = None,
    ) -> None:
        install_extension()
        self.vocab = vocab
        self.model = model
        self.name = name
        self.cfg: dict[str, Any] = copy.deepcopy(dict(settings))
        self.ents_filter = ents_filter
        self.candidates = candidates
        self.scorer = scorer
        self.teacher = Teacher(model, training or GlinerTrainingSettings())
        self._configured = copy.deepcopy(self.cfg)
        self._looked_at: tuple[tuple[str, ...], ...] = ()
        self.set_labels(self.cfg["labels"])
        self._check_settings()

    @property
    def is_trainable(self) -> bool:
        """Whether there is something to be learnt: yes."""
        return True

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, as they are written on spans."""
        return tuple(self.cfg["labels"])

    @property
    def label_data(self) -> Labels:
        """The labels with what the model reads of them, for ``initialize``."""
        labels: Labels = self.cfg["labels"]
        return labels

    def set_labels(self, labels: Labels) -> None:
        """Replace all labels.

        Args:
            labels: A list, or label -> the words that the model reads.

        Raises:
            ValueError: E187, SM108, SM130, SM131 where they can't be used.
        """
        for label in read_labels(labels):
            self.vocab.strings.add(label)
        self.cfg["labels"] = dict(labels) if isinstance(labels, Mapping) else list(labels)

    def add_label(self, label: str, words: str | None = None) -> int:
        """Add a label.

        Args:
            label: The label, as it is written on spans.
            words: What the model reads. Default: the label itself.

        Returns:
            1 if it is new, 0 if it is there already.
        """
        if not isinstance(label, str):
            raise ValueError(SpacyErrors.E187)
        if label in self.labels:
            return 0
        labels = self.cfg["labels"]
        if words is None and not isinstance(labels, Mapping):
            self.set_labels([*labels, label])
        else:
            self.set_labels({**read_labels(labels), label: words or label})
        return 1

    def __call__(
        self, doc: Doc, *, labels: Labels | None = None, threshold: float | None = None
    ) -> Doc:
        """Annotate one Doc.

        Args:
            doc: The Doc.
            labels: Labels of this call, in place of the component's.
            threshold: Threshold of this call; labels with one of their own keep it.
        """
        try:
            self._annotate([doc], labels, threshold)
        except Exception as error:
            self.get_error_handler()(self.name, self, [doc], error)
        return doc

    def pipe(
        self,
        stream: Iterable[Doc],
        *,
        batch_size: int = 128,
        labels: Labels | None = None,
        threshold: float | None = None,
    ) -> Iterator[Doc]:
        """Annotate a stream of Docs.

        Args:
            stream: The Docs.
            batch_size: How many to gather before they are grouped by length.
            labels: Labels of this call, in place of the component's.
            threshold: Threshold of this call; labels with one of their own keep it.

        Yields:
            The Docs in their order, without those that the error handler has taken.
        """
        for docs in util.minibatch(stream, batch_size):
            try:
                self._annotate(docs, labels, threshold)
            except Exception:  # one Doc must not take its neighbours down with it
                docs = [doc for doc in docs if self._annotate_alone(doc, labels, threshold)]
            yield from docs

    def predict(
        self,
        docs: Sequence[Doc],
        *,
        labels: Labels | None = None,
        threshold: float | None = None,
    ) -> list[DocSpans]:
        """Find the spans of Docs, and leave the Docs as they are.

        Raises:
            ValueError: E143 where there are no labels.
        """
        self._check_settings()
        wanted = [self._labels_of(doc, labels) for doc in docs]
        cut = DocWords.of_regex if self.cfg["words"] == "gliner" else DocWords.of_tokens
        words = [cut(doc) for doc in docs]
        texts = self._texts(docs, words)
        found: dict[int, DocSpans] = {}
        groups: dict[tuple, list[int]] = {}
        for index, mapping in enumerate(wanted):
            groups.setdefault(tuple(mapping.items()), []).append(index)
        for pairs, members in groups.items():
            mapping = dict(pairs)
            question = self._question([texts[i] for i in members], mapping, threshold)
            answers = (
                self.model.predict(question) if mapping else [ScoredSpans.empty()] * len(members)
            )
            for i, answer in zip(members, answers, strict=True):
                found[i] = words[i].spans(self._decode(answer), list(mapping))
        return [found[i] for i in range(len(docs))]

    def set_annotations(self, docs: Sequence[Doc], predictions: Sequence[DocSpans]) -> None:
        """Write what `predict` found.

        Raises:
            ValueError: E854 where ``ents_filter`` leaves spans that overlap.
        """
        key = self.cfg["spans_key"]
        for doc, found in zip(docs, predictions, strict=True):
            bounds = zip(found.starts.tolist(), found.ends.tolist(), found.labels, strict=True)
            spans = [Span(doc, start, end, label=label) for start, end, label in bounds]
            group = SpanGroup(doc, name=key, spans=spans)
            group.attrs["scores"], group.attrs["chars"] = found.scores, found.chars
            doc.spans[key] = group
            if self.cfg["annotate_ents"]:
                best_first = (-found.scores).argsort(kind="stable").tolist()
                self._set_ents(doc, [spans[i] for i in best_first])

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: dict[str, str] | list[str] | None = None,
        encoder: str | None = None,
        labels_encoder: str | None = None,
        kind: Literal["span", "token"] = "span",
        max_width: int = 12,
        max_len: int = 384,
        hidden_size: int | None = None,
        head_dropout: float = 0.4,
        head_init: Literal["random", "similar"] = "random",
        phrases: dict[str, list[str]] | None = None,
    ) -> None:
        """Load the checkpoint that the config names, or make a new one, and take in the labels.

        Without annotated examples nothing but the weights is looked for.

        Args:
            get_examples: Gives the examples, each time it is called.
            nlp: The pipeline.
            labels: Labels in place of the configured ones. If there are neither, those of the
                examples, in plain words.
            encoder: Folder or hub name of an encoder: a new head is put on it, which knows nothing
                yet. None: the checkpoint is kept that is there, or that the config names.
            labels_encoder: A second encoder, for the labels of a new bi-encoder.
            kind: Whether the new head scores spans, or words.
            max_width: Most words of a span, in a new head.
            max_len: Most words that a new head reads at once.
            hidden_size: Width of the new head; None: that of the encoder.
            head_dropout: Dropout rate in the new head.
            head_init: Whether a new head starts from random weights, or, in a bi-encoder that
                scores spans, from how like each other its encoders find words and labels.
            phrases: Label -> phrasings, of which one is drawn each time, besides those of the
                ``training`` settings; not saved with the pipeline.

        Raises:
            FileNotFoundError: SM040, SM041, SM100 where there is no such checkpoint or encoder.
            ValueError: SM154 where this head can't start from likeness, SM155 where nothing is
                annotated with any of the labels.
        """
        key, settings = self.cfg["spans_key"], self.teacher.settings
        if labels is None and not self.cfg["labels"]:
            labels = find_labels(get_examples(), spans_key=key, table=settings.label_texts)
        if encoder is None:
            self.model.initialize()
        else:
            head = NewHead(kind, max_width, max_len, hidden_size, head_dropout, head_init)
            words = all_label_texts(read_labels(labels or self.cfg["labels"]), phrases or {})
            new_head(self.model, encoder, labels_encoder, head, words)
        if labels is not None:
            self.set_labels(labels)
        if self.cfg["labels"]:
            check_labels(get_examples(), self.labels, spans_key=key)
        self.teacher.prepare(nlp, phrases)
        batches = util.minibatch(get_examples(), CHUNK)
        warn_of_lost(self.model, (self._gold(batch) for batch in batches))

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from a batch. Docs without annotation teach nothing.

        Args:
            examples: The batch.
            drop: Dropout rate of the encoder, unless ``training`` has one.
            sgd: If given, the step is taken at once; see `finish_update` for how.
            losses: Losses by component, to be added to.

        Returns:
            The losses.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, "GlinerPipe.update")
        self._check_trainable()
        gold = self._gold(examples)
        if gold.texts:
            labels, device = read_labels(self.cfg["labels"]), self.cfg["device"]
            losses[self.name] += self.teacher.learn(gold.texts, labels, drop=drop, device=device)
        if sgd:
            self.finish_update(sgd)
        return losses

    def rehearse(
        self,
        examples: Iterable[Example],
        *,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Hold the model to what it said of any texts before it was trained.

        It is asked about ``rehearse_labels`` of ``training``, or else about its own labels.

        Args:
            examples: The texts; their annotation plays no part.
            sgd: If given, the step is taken at once.
            losses: Losses by component, to be added to.

        Returns:
            The losses.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        self._check_trainable()
        labels, device = read_labels(self.cfg["labels"]), self.cfg["device"]
        asked = self.teacher.settings.rehearse_labels or tuple(labels.values())
        texts = read_plain((eg.predicted for eg in examples), words=self.cfg["words"])
        losses[self.name] += self.teacher.rehearse(texts, asked, labels, drop=0.0, device=device)
        if sgd:
            self.finish_update(sgd)
        return losses

    def finish_update(self, sgd: Optimizer) -> None:
        """Take a step: with an AdamW of its own, or with ``sgd`` if ``training`` says so."""
        self.teacher.step(sgd)

    def drop_label_encoder(self) -> None:
        """Keep the vectors of the labels, and let the encoder that made them go.

        The saved pipeline is smaller by it, answers the same, and knows no other labels.

        Raises:
            ValueError: E143 where there are no labels, SM110 where this is no bi-encoder.
        """
        self._require_labels()
        self.model.initialize()
        checkpoint = self.model.checkpoint
        if checkpoint.vectors_of(self._words()) is None:
            raise ValueError(Errors.SM110)
        self.model.shim.set(checkpoint.without_label_encoder())

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Give the component as bytes: ``cfg``, ``vocab``, ``model``, ``label_vectors``."""
        exclude = set(exclude)
        writers: dict[str, Callable] = {
            "cfg": lambda: srsly.json_dumps(self._changes()),
            "vocab": lambda: self.vocab.to_bytes(exclude=exclude),
            "model": lambda: self.model.to_bytes(),
        }
        if "model" not in exclude and self.model.checkpoint.config.is_bi:
            writers["label_vectors"] = lambda: label_vectors_to_bytes(
                self.model.checkpoint, self._words()
            )
        return util.to_bytes(writers, exclude)

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> "GlinerPipe":
        """Load what `to_bytes` gave, into a component of the same config."""
        exclude = set(exclude)
        readers: dict[str, Callable] = {
            "cfg": lambda data: self._change(srsly.json_loads(data)),
            "vocab": lambda data: self.vocab.from_bytes(data, exclude=exclude),
            "model": lambda data: self.model.from_bytes(data),
            "label_vectors": self._load_label_vectors,
        }
        util.from_bytes(bytes_data, readers, exclude)
        return self

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Write a folder; its ``model`` is a GLiNER checkpoint like any other."""
        exclude = set(exclude)
        writers: dict[str, Callable] = {
            "cfg": lambda file: srsly.write_json(file, self._changes()),
            "vocab": lambda file: self.vocab.to_disk(file, exclude=exclude),
            "model": lambda file: self.model.to_disk(file),
        }
        if "model" not in exclude and self.model.checkpoint.config.is_bi:
            writers["label_vectors"] = lambda file: file.write_bytes(self._label_vectors())
        util.to_disk(path, writers, exclude)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> "GlinerPipe":
        """Load the folder that `to_disk` wrote, into a component of the same config."""
        exclude = set(exclude)
        readers: dict[str, Callable] = {
            "cfg": lambda file: self._change(srsly.read_json(file)),
            "vocab": lambda file: self.vocab.from_disk(file, exclude=exclude),
            "model": lambda file: self.model.from_disk(file),
        }
        vectors = Path(path) / "label_vectors"
        if "model" not in exclude and vectors.exists():
            readers["label_vectors"] = lambda file: self._load_label_vectors(file.read_bytes())
        util.from_disk(path, readers, exclude)
        return self

    def _gold(self, examples: Iterable[Example]) -> Gold:
        cfg = self.cfg
        return read_gold(examples, cfg["labels"], spans_key=cfg["spans_key"], words=cfg["words"])

    def _check_trainable(self) -> None:
        course = self.teacher.settings.course
        if self.cfg["features"] == "doc" and "encoder" not in course.freeze:
            raise ValueError(Errors.SM153)

    def _annotate(
        self, docs: Sequence[Doc], labels: Labels | None, threshold: float | None
    ) -> None:
        self.set_annotations(docs, self.predict(docs, labels=labels, threshold=threshold))

    def _annotate_alone(self, doc: Doc, labels: Labels | None, threshold: float | None) -> bool:
        """Annotate one Doc and say whether that worked; if not, the error handler has been told."""
        try:
            self._annotate([doc], labels, threshold)
        except Exception as error:
            self.get_error_handler()(self.name, self, [doc], error)
            return False
        return True

    def _labels_of(self, doc: Doc, labels: Labels | None) -> dict[str, str]:
        """The Doc's own labels, or else those of the call, or else the component's."""
        own = getattr(doc._, EXTENSION)
        chosen = labels if own is None else own
        if chosen is None:
            self._require_labels()
            self._look_for_typos()
            chosen = self.cfg["labels"]
        return read_labels(chosen)

    def _candidates_of(self, docs: Sequence[Doc]) -> list[list[tuple[int, int]] | None]:
        """The only spans in question of each Doc, in tokens."""
        source = self.candidates
        if source is None:
            return [None] * len(docs)
        if callable(source):
            ragged = source(docs, ops=NumpyOps())
            rows = ragged.dataXd.reshape(-1, 2).tolist()
            ends = ragged.lengths.cumsum().tolist()
            begins = [0, *ends[:-1]]
            return [
                [(start, end) for start, end in rows[begin:stop]]
                for begin, stop in zip(begins, ends, strict=True)
            ]
        return [[(span.start, span.end) for span in self._spans_of(doc, source)] for doc in docs]

    def _texts(self, docs: Sequence[Doc], words: Sequence[DocWords]) -> list[SplitText]:
        """What the model reads of each Doc, with its vectors where the transformer made them."""
        vectors: Sequence[Tensor | None] = [None] * len(docs)
        if self.cfg["features"] == "doc":
            if self.cfg["words"] != "spacy":
                reason = "the transformer reads tokens, and `words` is not 'spacy'"
                raise ValueError(Errors.SM135.format(reason=reason))
            vectors = take_vectors(self.model, docs, words)
        parts = zip(words, self._candidates_of(docs), vectors, strict=True)
        return [own.text(given, known) for own, given, known in parts]

    def _spans_of(self, doc: Doc, source: str) -> Iterable[Span]:
        if source == "ents":
            return doc.ents
        if source not in doc.spans and len(doc):
            raise ValueError(Errors.SM134.format(key=source, name=self.name))
        return doc.spans.get(source, ())

    def _question(
        self, texts: list[SplitText], labels: dict[str, str], threshold: float | None
    ) -> GlinerInput:
        cfg = self.cfg
        least = cfg["threshold"] if threshold is None else threshold
        return GlinerInput(
            texts,
            list(labels.values()),
            read_thresholds(list(labels), least, cfg["label_thresholds"]),
            window=cfg["window"],
            overlap=cfg["overlap"],
            on_overflow=cfg["on_overflow"],
            device=cfg["device"],
        )

    def _decode(self, candidates: ScoredSpans) -> ScoredSpans:
        nested = self.cfg["decoding"] == "nested"
        return decode(candidates, nested=nested, multi_label=self.cfg["multi_label"])

    def _set_ents(self, doc: Doc, spans: list[Span]) -> None:
        entities = [] if self.cfg["overwrite"] else list(doc.ents)
        kept = self.ents_filter(entities, spans)
        try:
            doc.ents = sorted(kept)
        except ValueError as error:
            raise ValueError(SpacyErrors.E854) from error

    def _check_settings(self) -> None:
        """Refuse settings that the types of the factory let through."""
        read_thresholds([], self.cfg["threshold"], self.cfg["label_thresholds"])
        for setting, least in _LEAST.items():
            value = self.cfg[setting]
            if value is not None and value < least:
                message = Errors.SM133.format(setting=setting, value=value, least=least)
                raise ValueError(message)

    def _look_for_typos(self) -> None:
        """Compare the names in ``label_thresholds`` with the labels, once until one changes."""
        names = (self.labels, tuple(self.cfg["label_thresholds"]))
        if names != self._looked_at:
            self._looked_at = names
            warn_of_typos(*names)

    def _label_vectors(self) -> bytes:
        return label_vectors_to_bytes(self.model.checkpoint, self._words())

    def _load_label_vectors(self, data: bytes) -> None:
        load_label_vectors(self.model.checkpoint, data)

    def _words(self) -> list[str]:
        return list(read_labels(self.cfg["labels"]).values())

    def _changes(self) -> dict[str, Any]:
        """Settings that are no longer what the config says.

        The rest is in the config and nowhere else: whoever loads the pipeline with another
        ``threshold`` in it gets that one.
        """
        return {k: v for k, v in self.cfg.items() if v != self._configured.get(k)}

    def _change(self, changes: dict[str, Any]) -> None:
        self.cfg.update(changes)
        self.set_labels(self.cfg["labels"])
