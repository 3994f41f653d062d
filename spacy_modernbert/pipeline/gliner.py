"""The ``gliner`` pipe: entities of any kind, found by the names of their kinds."""

# No `from __future__ import annotations`: spaCy validates `[initialize]` against these types.

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import srsly
from spacy import util
from spacy.errors import Errors as SpacyErrors
from spacy.language import Language
from spacy.pipeline import Pipe
from spacy.tokens import Doc, Span, SpanGroup
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import Model, NumpyOps
from torch import Tensor

from ..errors import Errors
from ..gliner.candidates import Candidates
from ..gliner.decoding import decode
from ..gliner.plan import WordText
from .fork import guard_forks
from .gliner_labels import Labels, read_labels, read_thresholds, warn_of_typos
from .gliner_model import Question
from .gliner_shared import take_vectors
from .gliner_vectors import has_vectors, load_vectors, save_vectors
from .gliner_words import DocSpans, DocWords

EXTENSION = "gliner_labels"
_LEAST = {"window": 1, "stride": 0}


def install_extensions() -> None:
    """Add ``doc._.gliner_labels``: the labels of this Doc alone; None for the component's."""
    if not Doc.has_extension(EXTENSION):
        Doc.set_extension(EXTENSION, default=None)


class GlinerPipe(Pipe):
    """Finds spans of any label with a GLiNER, and writes them to ``doc.spans`` and ``doc.ents``.

    Args:
        vocab: The shared vocabulary.
        model: Takes a `Question` and gives candidates.
        name: The component's name.
        settings: What the factory `make_gliner` calls by the same names. They are kept in ``cfg``
            and read whenever they are needed, so they may be changed at any time.
        ents_filter: Takes entities and new spans, the best first; gives entities.
        candidates: Where the only spans in question come from; None for all spans.
        scorer: Scores the predictions.
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
    ) -> None:
        guard_forks()
        install_extensions()
        self.vocab = vocab
        self.model = model
        self.name = name
        self.cfg: dict[str, Any] = copy.deepcopy(dict(settings))
        self.ents_filter = ents_filter
        self.candidates = candidates
        self.scorer = scorer
        self._configured = copy.deepcopy(self.cfg)
        self._looked_at: tuple[tuple[str, ...], ...] = ()
        self.set_labels(self.cfg["labels"])
        self._check_settings()

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
                self.model.predict(question) if mapping else [Candidates.empty()] * len(members)
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
    ) -> None:
        """Load the checkpoint that the config names, unless weights are there already.

        Args:
            get_examples: Not used: there is nothing to be learnt.
            nlp: The pipeline.
            labels: Labels in place of the configured ones.
        """
        if labels is not None:
            self.set_labels(labels)
        self.model.initialize()

    def drop_label_encoder(self) -> None:
        """Keep the vectors of the labels, and let the encoder that made them go.

        The saved pipeline is smaller by it, answers the same, and knows no other labels.

        Raises:
            ValueError: E143 where there are no labels, SM110 where this is no bi-encoder.
        """
        self._require_labels()
        self.model.initialize()
        shim = self.model.shims[0]
        if shim.label_vectors(self._words()) is None:
            raise ValueError(Errors.SM110)
        shim.drop_label_encoder()

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Give the component as bytes: ``cfg``, ``vocab``, ``model``, ``label_vectors``."""
        exclude = set(exclude)
        writers: dict[str, Callable] = {
            "cfg": lambda: srsly.json_dumps(self._changes()),
            "vocab": lambda: self.vocab.to_bytes(exclude=exclude),
            "model": lambda: self.model.to_bytes(),
        }
        if "model" not in exclude and has_vectors(self.model):
            writers["label_vectors"] = lambda: save_vectors(self.model, self._words())
        return util.to_bytes(writers, exclude)

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> "GlinerPipe":
        """Load what `to_bytes` gave, into a component of the same config."""
        exclude = set(exclude)
        readers: dict[str, Callable] = {
            "cfg": lambda data: self._change(srsly.json_loads(data)),
            "vocab": lambda data: self.vocab.from_bytes(data, exclude=exclude),
            "model": lambda data: self.model.from_bytes(data),
            "label_vectors": lambda data: load_vectors(self.model, data),
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
        if "model" not in exclude and has_vectors(self.model):
            writers["label_vectors"] = lambda file: file.write_bytes(
                save_vectors(self.model, self._words())
            )
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
            readers["label_vectors"] = lambda file: load_vectors(self.model, file.read_bytes())
        util.from_disk(path, readers, exclude)
        return self

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

    def _texts(self, docs: Sequence[Doc], words: Sequence[DocWords]) -> list[WordText]:
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
        self, texts: list[WordText], labels: dict[str, str], threshold: float | None
    ) -> Question:
        cfg = self.cfg
        least = cfg["threshold"] if threshold is None else threshold
        return Question(
            texts,
            list(labels.values()),
            read_thresholds(list(labels), least, cfg["label_thresholds"]),
            window=cfg["window"],
            stride=cfg["stride"],
            on_overflow=cfg["on_overflow"],
            device=cfg["device"],
        )

    def _decode(self, candidates: Candidates) -> Candidates:
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
