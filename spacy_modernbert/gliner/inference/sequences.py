"""Which rows a text needs: windows where it is long, groups of labels where they are many."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from ...errors import Errors, Warnings
from ...text.tokenizer import WordPieces
from .model import GlinerModel
from .prompt import Prompt
from .scoring import CandidateSpans
from .windows import WordWindows, clip_words, cut_word_windows

Overflow = Literal["warn", "error"]


@dataclass(frozen=True, eq=False)
class SplitText:
    """A text, cut into words.

    Attributes:
        words: The words.
        breaks: First words of sentences, rising: where a long text is best cut.
        given: The only spans in question; None for all.
        vectors: What the text encoder of a bi-encoder makes of the pieces of all words, where
            somebody has run it already; None to run it. *Shape:* (pieces, width of the encoder).
    """

    words: Sequence[str]
    breaks: ArrayLike = ()
    given: CandidateSpans | None = None
    vectors: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Group:
    """Labels that are read together, in one prompt. Labels are indices into all of them."""

    labels: list[int]
    prompt: Prompt


@dataclass(frozen=True, eq=False)
class Plan:
    """The rows of one text: every window with every group."""

    pieces: WordPieces
    groups: list[Group]
    windows: WordWindows


class Planner:
    """Decides on windows and groups, text by text, as if each were the only one.

    Args:
        model: The model.
        labels: What it reads of each label, no two of them the same.
        max_words: Most words of a window; by default as many as in the checkpoint's training.
        overlap: Fewest words that neighbouring windows share, an eighth of them by default; never
            less than the widest span.
        on_overflow: Whether labels that do not fit beside a text are read in several groups, with
            a warning, or are an error.
    """

    def __init__(
        self,
        model: GlinerModel,
        labels: list[str],
        *,
        max_words: int | None,
        overlap: int | None,
        on_overflow: Overflow,
    ) -> None:
        self.prompt_builder = model.prompt_builder
        self.labels = labels
        self.on_overflow = on_overflow
        self.max_words = max_words or model.config.max_len
        # A span of the greatest width that starts anywhere must lie in some window.
        wanted = self.max_words // 8 if overlap is None else overlap
        self.overlap = max(wanted, model.config.max_width)
        self.whole = [Group(list(range(len(labels))), self.prompt_builder.prompt(labels))]
        self.parts: list[Group] | None = None

    def plan(self, texts: Sequence[SplitText]) -> list[Plan]:
        """One plan a text."""
        rows = self.prompt_builder.encode([text.words for text in texts])
        return [self._plan(text, row) for text, row in zip(texts, rows, strict=True)]

    def _plan(self, text: SplitText, row: WordPieces) -> Plan:
        groups = self._groups(len(row.ids))
        capacity = min((self._capacity(group, len(row.ids)) for group in groups), default=0)
        if text.vectors is None:
            row = self._clip(text, row, capacity)
        else:  # no row of it will be encoded, so all fits
            capacity = max(len(row.ids), 1)
        windows = cut_word_windows(
            np.bincount(row.words, minlength=len(text.words)),
            capacity=capacity,
            max_words=self.max_words,
            overlap=self.overlap,
            breaks=text.breaks,
        )
        return Plan(row, groups, windows)

    def _groups(self, n_pieces: int) -> list[Group]:
        """All labels at once where that leaves room for the text, or for half a row of it."""
        limit = self.prompt_builder.max_length
        if limit is None or self._capacity(self.whole[0], n_pieces) >= min(n_pieces, limit // 2):
            return self.whole
        if self.parts is None:
            self.parts = self._split(limit)
        return self.parts

    def _split(self, limit: int) -> list[Group]:
        found = len(self.whole[0].prompt)
        if self.on_overflow == "error":
            raise ValueError(Errors.SM114.format(found=found, limit=limit))
        groups = self.prompt_builder.group(self.labels, most=limit // 2)
        message = Warnings.SMW100.format(
            n_labels=len(self.labels), found=found, limit=limit, n_groups=len(groups)
        )
        warnings.warn(message, stacklevel=2)
        return [
            Group(group, self.prompt_builder.prompt([self.labels[i] for i in group]))
            for group in groups
        ]

    def _capacity(self, group: Group, n_pieces: int) -> int:
        capacity = self.prompt_builder.capacity(group.prompt)
        return max(n_pieces, 1) if capacity is None else capacity

    def _clip(self, text: SplitText, row: WordPieces, capacity: int) -> WordPieces:
        fits, clipped = clip_words(row.words, capacity=capacity)
        for word in clipped.tolist():
            found = int((row.words == word).sum())
            start = text.words[word][:20]
            message = Warnings.SMW101.format(found=found, word=start, limit=capacity)
            warnings.warn(message, stacklevel=2)
        return WordPieces(row.ids[fits], row.words[fits]) if len(clipped) else row
