"""The words of a Doc as a GLiNER reads them, and the mapping back from words to tokens.

A checkpoint reads words: the Doc's tokens without white space, or the matches of upstream's regex.
In "John's e-mail" the tokens are ``John 's e - mail`` and the regex words are ``John ' s e-mail``:
the word ``'`` is a part of the token ``'s``, so a span of it becomes the span of the whole token.
Tokens that punctuation glues together are cut, too: ``Systems(Rotterdam)`` is four words. The exact
characters of a span are kept.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc, Token
from torch import Tensor

from ...errors import Warnings
from ...gliner.inference.decoding import choose_spans
from ...gliner.inference.scored_spans import CandidateSpans, ScoredSpans
from ...gliner.inference.sequences import SplitText
from ...gliner.inference.words import has_unspaced_words, split_token, split_words

Ints = NDArray[np.int32]
# `tokens` are whole tokens, the others are those of the setting.
WordMode: TypeAlias = Literal["spacy", "char", "gliner", "tokens"]

# Languages whose tokenizers find words where the script has no spaces.
_SEGMENTED = frozenset({"ja", "th", "zh"})


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
    def read(cls, doc: Doc, mode: WordMode) -> DocWords:
        """Read the words of a Doc."""
        return cls.of_regex(doc) if mode == "gliner" else cls.of_tokens(doc, mode)

    @classmethod
    def of_tokens(cls, doc: Doc, mode: WordMode) -> DocWords:
        """Take the tokens that are not white space as words, cut where `mode` says so."""
        index, starts, words = [], [], []
        for token in doc:
            if token.is_space:
                continue
            for start, end in _split(token, mode):
                index.append(token.i)
                starts.append(token.idx + start)
                words.append(token.text[start:end])
        tokens, begins = _ints(index), _ints(starts)
        ends = begins + _ints([len(word) for word in words])
        return cls(words, begins, ends, tokens, tokens, _breaks(doc, tokens))

    @classmethod
    def of_regex(cls, doc: Doc) -> DocWords:
        """Split the text into words as upstream does."""
        split = split_words(doc.text)
        begins = _ints([token.idx for token in doc])
        first = _ints(np.searchsorted(begins, split.starts, side="right") - 1)
        last = _ints(np.searchsorted(begins, split.ends, side="left") - 1)
        return cls(split.words, split.starts, split.ends, first, last, _breaks(doc, first))

    def text(
        self,
        candidates: Iterable[tuple[int, int]] | None = None,
        vectors: Tensor | None = None,
        *,
        cross_sentences: bool = False,
    ) -> SplitText:
        """Return what the model reads.

        Args:
            candidates: The only spans to score, in tokens; None for all.
            vectors: Those of the words' pieces, if the shared encoder has computed them.
            cross_sentences: Whether a span may contain the start of a sentence.
        """
        spans = None if candidates is None else self._candidates(candidates)
        borders = () if cross_sentences else self.breaks
        return SplitText(self.words, self.breaks, spans, vectors, borders)

    def spans(
        self, found: ScoredSpans, labels: list[str], *, nested: bool, multi_label: bool
    ) -> DocSpans:
        """Map spans of words to spans of tokens, and choose those that are compatible.

        A part of a token becomes the whole token. So spans that don't overlap in words may do so in
        tokens, and the choice is made among spans of tokens.
        """
        last = found.ends - 1
        grown = ScoredSpans(
            self.first[found.starts], self.last[last] + np.int32(1), found.labels, found.scores
        )
        kept = choose_spans(grown, nested=nested, multi_label=multi_label)
        chars = np.stack([self.starts[found.starts], self.ends[last]], axis=1)
        names = [labels[index] for index in found.labels[kept].tolist()]
        scores = found.scores[kept]
        return DocSpans(grown.starts[kept], grown.ends[kept], _ints(chars[kept]), names, scores)

    def _candidates(self, tokens: Iterable[tuple[int, int]]) -> CandidateSpans:
        """Return the words that spans of tokens touch, without duplicates and empty spans."""
        pairs = np.array(sorted(set(tokens)), dtype=np.int32).reshape(-1, 2)
        starts = np.searchsorted(self.last, pairs[:, 0], side="left")
        ends = np.searchsorted(self.first, pairs[:, 1], side="left")
        words = np.unique(np.stack([starts, ends], axis=1)[starts < ends], axis=0)
        return CandidateSpans.of(words[:, 0], words[:, 1])


def warn_of_unspaced(docs: Iterable[Doc], mode: WordMode) -> bool:
    """Warn, with SMW103, of a token that is several words of a script without spaces.

    spaCy's tokenizers of Chinese, Japanese and Thai find words. That of any other language leaves
    what stands between two spaces or punctuation marks in one token.

    Returns:
        Whether there was such a token.
    """
    token = next(filter(None, map(_unspaced_token, docs)), None)
    if token is None:
        return False
    effect, other = "No part of it can be an entity.", ", or set `words` to 'char'"
    if mode == "char":
        effect = (
            "Its characters are read as words, but an entity in it becomes the whole token: "
            "doc.spans[key].attrs['chars'] has the exact characters."
        )
        other = ""
    message = Warnings.SMW103.format(token=token[:20], effect=effect, other=other)
    warnings.warn(message, stacklevel=2)
    return True


def _unspaced_token(doc: Doc) -> str | None:
    if doc.vocab.lang in _SEGMENTED or not has_unspaced_words(doc.text):
        return None
    return next((token.text for token in doc if has_unspaced_words(token.text)), None)


def _split(token: Token, mode: WordMode) -> list[tuple[int, int]]:
    whole = [(0, len(token))]
    if mode == "tokens":
        return whole
    words = split_token(token.text, by_character=mode == "char")
    return whole if len(words) > 1 and (token.like_url or token.like_email) else words


def _breaks(doc: Doc, first: Ints) -> Ints:
    """Return the first words of sentences, given the token that each word starts in."""
    if not doc.has_annotation("SENT_START"):
        return _ints([])
    sentences = [token.i for token in doc if token.is_sent_start]
    return _ints(np.unique(np.searchsorted(first, sentences)))


def _ints(values: object) -> Ints:
    return np.asarray(values, dtype=np.int32)
