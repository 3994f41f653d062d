"""The words of a Doc as a GLiNER reads them, and the mapping back from words to tokens.

A checkpoint reads words: the Doc's tokens without white space, or the matches of upstream's regex.
In "John's e-mail" the tokens are ``John 's e - mail`` and the regex words are ``John ' s e-mail``:
the word ``'`` is a part of the token ``'s``, so a span of it becomes the span of the whole token.
The exact characters are kept, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc
from torch import Tensor

from ...gliner.inference.scored_spans import CandidateSpans, ScoredSpans
from ...gliner.inference.sequences import SplitText
from ...gliner.inference.words import split_words

Ints = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class DocSpans:
    """Labeled spans of one Doc, sorted by start, and by falling score where starts are equal.

    Attributes:
        starts: First token of each. *Shape:* (spans,), int32.
        ends: End of each in tokens, exclusive. *Shape:* (spans,), int32.
        chars: Start and end of each in characters, as the model saw them. *Shape:* (spans, 2).
        labels: Label of each.
        scores: Probability of each label. *Shape:* (spans,), float32.
    """

    starts: Ints
    ends: Ints
    chars: Ints
    labels: list[str]
    scores: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class DocWords:
    """The words of one Doc.

    Attributes:
        words: The words.
        starts: Where each starts in the text, in characters. *Shape:* (words,), int32.
        ends: Where each ends, exclusive. *Shape:* (words,), int32.
        first: The token each word starts in. *Shape:* (words,), int32.
        last: The token each word ends in. *Shape:* (words,), int32.
        breaks: First words of sentences, if the Doc has sentences. *Shape:* (sentences,), int32.
    """

    words: list[str]
    starts: Ints
    ends: Ints
    first: Ints
    last: Ints
    breaks: Ints

    @classmethod
    def read(cls, doc: Doc, words: str) -> DocWords:
        """Read the words of a Doc: its tokens (``spacy``), or those of upstream's regex."""
        return cls.of_regex(doc) if words == "gliner" else cls.of_tokens(doc)

    @classmethod
    def of_tokens(cls, doc: Doc) -> DocWords:
        """Take the tokens that are not white space as words."""
        tokens = [token for token in doc if not token.is_space]
        index = _ints([token.i for token in tokens])
        starts = _ints([token.idx for token in tokens])
        words = [token.text for token in tokens]
        ends = starts + _ints([len(word) for word in words])
        return cls(words, starts, ends, index, index, _breaks(doc, index))

    @classmethod
    def of_regex(cls, doc: Doc) -> DocWords:
        """Split the text into words as upstream does."""
        split = split_words(doc.text)
        begins = _ints([token.idx for token in doc])
        first = _ints(np.searchsorted(begins, split.starts, side="right") - 1)
        last = _ints(np.searchsorted(begins, split.ends, side="left") - 1)
        return cls(split.words, split.starts, split.ends, first, last, _breaks(doc, first))

    def text(
        self, candidates: Iterable[tuple[int, int]] | None = None, vectors: Tensor | None = None
    ) -> SplitText:
        """Return what the model reads, given the only spans to score, in tokens, if not all.

        ``vectors`` are those of the words' pieces, if the shared encoder has computed them.
        """
        spans = None if candidates is None else self._candidates(candidates)
        return SplitText(self.words, self.breaks, spans, vectors)

    def spans(self, found: ScoredSpans, labels: list[str]) -> DocSpans:
        """Map spans of words to spans of tokens. A part of a token maps to the whole token."""
        last = found.ends - 1
        chars = np.stack([self.starts[found.starts], self.ends[last]], axis=1)
        names = [labels[index] for index in found.labels.tolist()]
        starts, ends = self.first[found.starts], self.last[last] + np.int32(1)
        return DocSpans(starts, ends, _ints(chars), names, found.scores)

    def _candidates(self, tokens: Iterable[tuple[int, int]]) -> CandidateSpans:
        """Return the words that spans of tokens touch, without duplicates and empty spans."""
        pairs = np.array(sorted(set(tokens)), dtype=np.int32).reshape(-1, 2)
        starts = np.searchsorted(self.last, pairs[:, 0], side="left")
        ends = np.searchsorted(self.first, pairs[:, 1], side="left")
        words = np.unique(np.stack([starts, ends], axis=1)[starts < ends], axis=0)
        return CandidateSpans.of(words[:, 0], words[:, 1])


def _breaks(doc: Doc, first: Ints) -> Ints:
    """Return the first words of sentences, given the token that each word starts in."""
    if not doc.has_annotation("SENT_START"):
        return _ints([])
    sentences = [token.i for token in doc if token.is_sent_start]
    return _ints(np.unique(np.searchsorted(first, sentences)))


def _ints(values: object) -> Ints:
    return np.asarray(values, dtype=np.int32)
