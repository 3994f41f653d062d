"""Several annotated corpora as one, each with its own labels."""

# No `from __future__ import annotations`: the types are what configs are validated against.

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Corpus, Example
from spacy.util import registry

from ...errors import Errors
from ...gliner.inference.label_texts import readable_label_texts
from .annotations import annotated_spans
from .extensions import EXTENSION, install_extension


@dataclass(frozen=True)
class Source:
    """One corpus of a mix.

    Attributes:
        path: A ``.spacy`` file, or a folder of them.
        weight: How often examples are drawn from it, relative to the others. None: its number of
            Docs.
        labels: The labels that its annotators looked for, or label -> label text.
            None: those of its annotation.
        limit: Most Docs that are read; 0: all.
    """

    path: str
    weight: float | None = None
    labels: list[str] | dict[str, str] | None = None
    limit: int = 0


@dataclass
class MixedCorpus:
    """Draws examples from several corpora. Labels of one are not negatives in another.

    Every Doc gets the labels of its own corpus as ``doc._.gliner_labels``, unless it was saved with
    labels of its own (``DocBin(store_user_data=True)``). The reader is called once per epoch, and
    continues in each corpus where it stopped.

    Attributes:
        sources: The corpora, by name.
        size: Examples of an epoch; 0: as many as there are Docs.
        spans_key: Group of ``doc.spans`` with the annotation, if it is not in ``doc.ents``.
        lower: Share of the Docs that are lowercased.
        shuffle: Whether Docs are drawn at random. If not, each comes once, in order, as for a
            development set.
        seed: Seed of everything that is drawn.
    """

    sources: Mapping[str, Source]
    size: int = 0
    spans_key: str = "sc"
    lower: float = 0.0
    shuffle: bool = True
    seed: int = 0
    _readers: dict[str, "_SourceReader"] = field(default_factory=dict, repr=False)
    _epoch: int = field(default=0, repr=False)

    def __call__(self, nlp: Language) -> Iterator[Example]:
        """Yield the examples of one epoch.

        Args:
            nlp: The pipeline, whose vocabulary the Docs share.
        """
        install_extension()
        for name, source in self.sources.items():
            if name not in self._readers or self._readers[name].vocab is not nlp.vocab:
                self._readers[name] = _SourceReader(nlp, name, source, self.spans_key)
        readers = list(self._readers.values())
        if not self.shuffle:
            for reader in readers:
                yield from (reader.example(doc) for doc in reader.docs)
            return
        rng = np.random.default_rng((self.seed, self._epoch))
        self._epoch += 1
        weights = np.array([reader.weight for reader in readers], dtype=np.float64)
        size = self.size or sum(len(reader.docs) for reader in readers)
        for index in rng.choice(len(readers), size=size, p=weights / weights.sum()).tolist():
            reader = readers[index]
            example = reader.example(reader.draw(rng))
            yield _lowered(example) if rng.random() < self.lower else example


class _SourceReader:
    """The Docs of one source, drawn without replacement until none is left, then again."""

    def __init__(self, nlp: Language, name: str, source: Source, spans_key: str) -> None:
        self.vocab = nlp.vocab
        corpus = Corpus(Path(source.path), limit=source.limit)
        self.docs = [example.reference for example in corpus(nlp)]
        if not self.docs:
            raise ValueError(Errors.SM152.format(name=name, path=source.path))
        self.weight = len(self.docs) if source.weight is None else source.weight
        labels = source.labels
        if labels is None:
            spans = (span for doc in self.docs for span in annotated_spans(doc, spans_key) or ())
            labels = sorted({span.label_ for span in spans})
        self.labels = dict(labels) if isinstance(labels, Mapping) else readable_label_texts(labels)
        self._left: list[int] = []

    def draw(self, rng: np.random.Generator) -> Doc:
        if not self._left:
            self._left = rng.permutation(len(self.docs)).tolist()
        return self.docs[self._left.pop()]

    def example(self, doc: Doc) -> Example:
        predicted = _blank(doc)
        own = getattr(doc._, EXTENSION)
        for one in (predicted, doc):
            setattr(one._, EXTENSION, self.labels if own is None else own)
        return Example(predicted, doc)


@registry.readers("spacy_modernbert.MixedCorpus.v1")
def make_mixed_corpus(
    sources: dict[str, dict[str, Any]],
    size: int = 0,
    spans_key: str = "sc",
    lower: float = 0.0,
    shuffle: bool = True,
    seed: int = 0,
) -> Callable[[Language], Iterator[Example]]:
    """Make a reader that draws from several corpora; `MixedCorpus` describes the settings.

    For each name ``sources`` has the settings of a `Source`.

    Raises:
        ValueError: SM151 if a source can't be used.
    """
    known = set(Source.__dataclass_fields__)
    for name, given in sources.items():
        unknown = sorted(set(given) - known)
        weight = given.get("weight")
        if unknown or "path" not in given or (weight is not None and not weight > 0):
            raise ValueError(Errors.SM151.format(name=name, given=given, known=sorted(known)))
    made = {name: Source(**given) for name, given in sources.items()}
    return MixedCorpus(made, size, spans_key, lower, shuffle, seed)


def _lowered(example: Example) -> Example:
    """Return the example in lower case, except where that would change the length of the text."""
    reference = example.reference
    predicted, lowered = docs = [_blank(reference, lower=True) for _ in range(2)]
    for key, group in reference.spans.items():
        lowered.spans[key] = [_same(lowered, span) for span in group]
    if reference.has_annotation("ENT_IOB"):
        ents = [_same(lowered, span) for span in reference.ents]
        unknown = [lowered[t.i : t.i + 1] for t in reference if not t.ent_iob]
        lowered.set_ents(ents, missing=unknown, default="outside")
    for doc in docs:
        setattr(doc._, EXTENSION, getattr(reference._, EXTENSION))
    return Example(predicted, lowered)


def _same(doc: Doc, span: Span) -> Span:
    return Span(doc, span.start, span.end, label=span.label)


def _blank(doc: Doc, *, lower: bool = False) -> Doc:
    """Return a Doc of the same words without annotation."""
    words = [t.lower_ if lower and len(t.lower_) == len(t) else t.text for t in doc]
    return Doc(doc.vocab, words=words, spaces=[bool(t.whitespace_) for t in doc])
