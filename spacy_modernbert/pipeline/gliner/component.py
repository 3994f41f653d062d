"""The ``gliner`` component: entities of any type, found by the names of their types."""

# No `from __future__ import annotations`: spaCy validates `[initialize]` against these types.

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from spacy import util
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example, validate_examples
from thinc.api import Optimizer
from torch import Tensor

from ...errors import Errors
from ...gliner.inference.sequences import SplitText
from .annotations import find_labels, group_by_labels, read_examples
from .candidates import candidate_spans
from .config import GlinerPipeConfig, NewHeadConfig
from .doc_words import DocSpans, DocWords, warn_of_unspaced
from .initialization import check_labels, put_new_head, warn_of_lost_spans
from .labels import Labels, all_label_texts, read_labels
from .model import GlinerInput
from .span_groups import (
    keep_scores,
    spans_of,
    warn_of_hidden_entity,
    warn_of_replaced_group,
    write_entities,
    write_group,
)
from .state import GlinerState

# Examples that are read at a time at the start of a training.
_EXAMPLES = 1000


class GlinerPipe(GlinerState):
    """Finds spans of any label with a GLiNER, and writes them to ``doc.spans`` and ``doc.ents``.

    See `make_gliner` for the arguments, and `GlinerState` for the attributes.
    """

    def predict(
        self,
        docs: Sequence[Doc],
        *,
        labels: Labels | None = None,
        threshold: float | None = None,
        label_thresholds: Mapping[str, float] | None = None,
    ) -> list[DocSpans]:
        """Find the spans of Docs, and leave the Docs as they are.

        Settings of this call replace those of the component; a label with a threshold of its own
        keeps it. The labels of a single Doc, in ``doc._.gliner_labels``, come before both.

        Raises:
            ValueError: SM162 without labels, SM165 for what is no Doc, SM065 if a setting is wrong.
        """
        docs = self.read_docs(docs)
        threshold = self.threshold if threshold is None else threshold
        config = self._config(threshold=threshold, label_thresholds=label_thresholds)
        words = [DocWords.read(doc, config.word_mode) for doc in docs]
        if not self._has_warned["unspaced"]:
            self._has_warned["unspaced"] = warn_of_unspaced(docs, config.word_mode)
        texts = self._texts(docs, words, config)
        choice = {"nested": config.decoding == "nested", "multi_label": config.multi_label}
        found: dict[int, DocSpans] = {}
        for own, members in group_by_labels(docs).items():
            label_texts = self._read_labels(labels) if own is None else dict(own)
            inputs = GlinerInput.from_config([texts[i] for i in members], label_texts, config)
            for i, spans in zip(members, self.model.predict(inputs), strict=True):
                found[i] = words[i].spans(spans, list(label_texts), **choice)
        return [found[i] for i in range(len(docs))]

    def set_annotations(self, docs: Sequence[Doc], predictions: Sequence[DocSpans]) -> None:
        """Write the spans that `predict` found.

        Raises:
            ValueError: E854 if ``ents_filter`` leaves spans that overlap.
        """
        key, overwrite, warned = self.cfg["spans_key"], self.cfg["overwrite"], self._has_warned
        for doc, found in zip(docs, predictions, strict=True):
            spans = spans_of(doc, found)
            if key is not None:
                # Candidates are read from a group, to be replaced by those that are found.
                if not warned["replaced"] and key != self.candidates:
                    warned["replaced"] = warn_of_replaced_group(doc, key, component=self.name)
                write_group(doc, key, spans, found, component=self.name)
            if not self.cfg["annotate_ents"]:
                continue
            entities = write_entities(doc, spans, found, self.ents_filter, overwrite=overwrite)
            if key is None:
                keep_scores(entities, spans, found)
            if not overwrite and not warned["hidden"]:
                warned["hidden"] = warn_of_hidden_entity(doc, spans, component=self.name)

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: dict[str, str] | list[str] | None = None,
        new_head: dict[str, Any] | None = None,
        phrases: dict[str, list[str]] | None = None,
    ) -> None:
        """Load the checkpoint that the config names, or make a new one, and set the labels.

        Without annotated examples only the weights are loaded.

        Args:
            get_examples: Returns the examples, each time it is called.
            nlp: The pipeline.
            labels: Labels in place of the configured ones. Without either, those of the examples.
            new_head: Settings of a new, untrained head: see `NewHeadConfig`.
            phrases: Label to phrasings, of which one is drawn each time, besides those of
                ``training.sampling``; not saved with the pipeline.

        Raises:
            FileNotFoundError: SM040, SM041 or SM100 if there is no such checkpoint or encoder.
            ValueError: SM065 if a setting of the head can't be used, SM154 if the head can't
                start from similarity, SM155 if no annotation has any of the labels.
        """
        key, path = self.cfg["spans_key"], f"initialize.components.{self.name}.new_head"
        head = NewHeadConfig.read(new_head or {}, path=path)
        if labels is None and not self.cfg["labels"]:
            table = self.trainer.config.label_texts
            labels = find_labels(get_examples(), spans_key=key, table=table)
        if head.encoder is None:
            self.model.initialize()
        else:
            texts = all_label_texts(read_labels(labels or self.cfg["labels"]), phrases or {})
            put_new_head(self.model, head.encoder, head, texts)
        if labels is not None:
            self.set_labels(labels)
        if self.cfg["labels"]:
            check_labels(get_examples(), self.labels, spans_key=key)
        self.trainer.reset(nlp, phrases)
        batches = util.minibatch(get_examples(), _EXAMPLES)
        config = self._config()
        warn_of_lost_spans(self.model, (read_examples(batch, config) for batch in batches))

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from a batch. Docs without annotation teach nothing.

        Raises:
            ValueError: SM153 if the text encoder is the shared one and not frozen.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, "GlinerPipe.update")
        config = self._config()
        texts = read_examples(examples, config).texts
        if texts:
            losses[self.name] += self.trainer.accumulate(texts, config, drop=drop)
        if sgd:
            self.finish_update(sgd)
        return losses

    def rehearse(
        self,
        examples: Iterable[Example],
        *,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
        **config: Any,
    ) -> dict[str, float]:
        """Hold the model to its predictions from before the training.

        The labels are those of ``training.rehearsal``, or else the component's own.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        docs = [example.predicted for example in examples]
        current = self._config()
        words = [DocWords.read(doc, current.word_mode) for doc in docs]
        texts = [own.text(cross_sentences=current.cross_sentences) for own in words]
        losses[self.name] += self.trainer.rehearse(texts, current, drop=0.0)
        if sgd:
            self.finish_update(sgd)
        return losses

    def finish_update(self, sgd: Optimizer) -> None:
        """Take a step: with the component's own AdamW, or with ``sgd`` if ``training`` says so."""
        self.trainer.step(sgd)

    def use_params(self, params: dict) -> Iterator[None]:
        """Put averages of the weights in place for a while. spaCy evaluates and saves with them.

        Like spaCy's own it is a generator, not a context manager: spaCy advances it by itself.
        """
        with self.model.use_params(params):
            self._forget_label_vectors()
            yield
        self._forget_label_vectors()

    def drop_label_encoder(self) -> None:
        """Keep the vectors of the labels, and remove the encoder that computed them.

        The saved pipeline is smaller, predicts the same, and takes no other labels.

        Raises:
            ValueError: SM162 without labels, SM110 if this is no bi-encoder.
        """
        checkpoint = self.model.checkpoint
        if checkpoint.vectors_of(list(self._read_labels(None).values())) is None:
            raise ValueError(Errors.SM110)
        self.model.shim.set(checkpoint.without_label_encoder())

    def _texts(
        self, docs: Sequence[Doc], words: Sequence[DocWords], config: GlinerPipeConfig
    ) -> list[SplitText]:
        """Return what the model reads of each Doc."""
        candidates = candidate_spans(docs, self.candidates, name=self.name)
        vectors: Sequence[Tensor | None] = [None] * len(docs)
        if config.features == "doc":
            if config.words != "spacy":
                reason = "the transformer reads tokens, and `words` is not 'spacy'"
                raise ValueError(Errors.SM135.format(reason=reason))
            vectors = self._shared_vectors.take(self.model, docs, words)
        parts = zip(words, candidates, vectors, strict=True)
        crossing = config.cross_sentences
        return [own.text(spans, known, cross_sentences=crossing) for own, spans, known in parts]

    def _forget_label_vectors(self) -> None:
        if self.model.shim.is_loaded:
            self.model.checkpoint.label_vectors.clear()
