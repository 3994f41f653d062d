"""Texts and labels to input sequences, for prediction and for training.

A long text is cut into overlapping windows. Labels that do not fit beside a text are read in
several groups in prediction (`make_sequences`); training leaves out the last of them
(`fit_labels`). Everything else is the same for both (`cut_text`).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from ...errors import Errors, Warnings
from ...text.tokenizer import WordPieces
from .model import GlinerModel
from .prompt import Prompt, PromptBuilder
from .scored_spans import CandidateSpans
from .windows import WordWindows, clip_words, cut_word_windows

Overflow = Literal["warn", "error"]


@dataclass(frozen=True, eq=False)
class SplitText:
    """A text, split into words.

    Attributes:
        words: The words.
        breaks: First words of sentences, rising: where a long text is best cut.
        candidates: The only spans to score; None for all.
        vectors: Output of a bi-encoder's text encoder for the pieces of all words, if it has been
            run already; None to run it. *Shape:* (pieces, width of the encoder).
        borders: Words that no span contains unless it starts with them, rising.
    """

    words: Sequence[str]
    breaks: ArrayLike = ()
    candidates: CandidateSpans | None = None
    vectors: Tensor | None = None
    borders: ArrayLike = ()


@dataclass(frozen=True, eq=False)
class LabelGroup:
    """Labels that are read together, as indices into all labels, and their prompt."""

    labels: list[int]
    prompt: Prompt


@dataclass(frozen=True, eq=False)
class TextSequences:
    """The sequences of one text: every window with every group of labels.

    Attributes:
        pieces: The pieces that are read.
        windows: The windows.
        groups: The groups of labels.
    """

    pieces: WordPieces
    windows: WordWindows
    groups: list[LabelGroup]

    def bounds(self) -> Iterator[tuple[int, int]]:
        """Iterate over the first word and the exclusive end of each window."""
        return zip(self.windows.starts.tolist(), self.windows.ends.tolist(), strict=True)


def make_sequences(
    model: GlinerModel,
    texts: Sequence[SplitText],
    label_texts: list[str],
    *,
    max_words: int | None = None,
    overlap: int | None = None,
    on_overflow: Overflow = "warn",
) -> list[TextSequences]:
    """Make the sequences that find all labels in all texts, each text as if it were the only one.

    No two label texts are the same. Labels that do not fit beside a text are read in several
    groups, with a warning, or are an error, as ``on_overflow`` says. For windows see `cut_text`.

    Raises:
        ValueError: SM108, SM109, SM114 if labels are empty, too long, or too many.
    """
    builder = model.prompt_builder
    whole = [LabelGroup(list(range(len(label_texts))), builder.prompt(label_texts))]
    parts: list[LabelGroup] = []
    made = []
    encoded = builder.encode([text.words for text in texts])
    for text, pieces in zip(texts, encoded, strict=True):
        fits = builder.leaves_room(whole[0].prompt, len(pieces.ids))
        if not fits and not parts:
            parts = _split_labels(builder, label_texts, whole[0].prompt, on_overflow)
        groups = whole if fits else parts
        one = cut_text(model, text, pieces, groups, max_words=max_words, overlap=overlap)
        if len(one.pieces.ids) < len(pieces.ids):
            _warn_of_clipped(text, pieces, one.pieces)
        made.append(one)
    return made


def cut_text(
    model: GlinerModel,
    text: SplitText,
    pieces: WordPieces,
    groups: list[LabelGroup],
    *,
    max_words: int | None = None,
    overlap: int | None = None,
) -> TextSequences:
    """Cut a text into windows that fit beside each of the groups of labels.

    Pieces of a word that fits no sequence are left out beyond what fits. A window has at most
    ``max_words`` words, by default as many as suit the checkpoint, or as in its training;
    neighboring ones share at least ``overlap``, by default an eighth of that, or nothing where they
    meet at a border, and never less than the widest span otherwise.
    """
    builder = model.prompt_builder
    limit = max_words or model.config.inference_window or model.config.max_len
    rooms = [builder.capacity(group.prompt) for group in groups]
    capacity = min((room for room in rooms if room is not None), default=len(pieces.ids))
    if text.vectors is not None:  # no sequence of it will be encoded, so all of it fits
        capacity = len(pieces.ids)
    capacity = max(capacity, 1)
    fits = clip_words(pieces.words, capacity=capacity)
    pieces = WordPieces(pieces.ids[fits], pieces.words[fits])
    windows = cut_word_windows(
        np.bincount(pieces.words, minlength=len(text.words)),
        capacity=capacity,
        max_words=limit,
        # A span of the greatest width that starts anywhere must lie in some window.
        overlap=max(limit // 8 if overlap is None else overlap, model.config.max_width),
        breaks=text.breaks,
        borders=text.borders if overlap is None else (),
    )
    return TextSequences(pieces, windows, groups)


def fit_labels(builder: PromptBuilder, label_texts: Sequence[str], n_pieces: int) -> LabelGroup:
    """Take as many of the first labels as leave room for a text of so many pieces.

    Raises:
        ValueError: SM108 if a label has nothing to read.
    """
    count = len(label_texts)
    prompt = builder.prompt(label_texts)
    while count > 1 and not builder.leaves_room(prompt, n_pieces):
        count = max(1, count * 3 // 4)
        prompt = builder.prompt(label_texts[:count])
    return LabelGroup(list(range(count)), prompt)


def _split_labels(
    builder: PromptBuilder, label_texts: list[str], whole: Prompt, on_overflow: Overflow
) -> list[LabelGroup]:
    found, limit = len(whole), builder.max_length or len(whole)
    if on_overflow == "error":
        raise ValueError(Errors.SM114.format(found=found, limit=limit))
    groups = builder.group(label_texts, max_pieces=limit // 2)
    message = Warnings.SMW100.format(
        n_labels=len(label_texts), found=found, limit=limit, n_groups=len(groups)
    )
    warnings.warn(message, stacklevel=3)
    return [LabelGroup(group, builder.prompt([label_texts[i] for i in group])) for group in groups]


def _warn_of_clipped(text: SplitText, pieces: WordPieces, read: WordPieces) -> None:
    n_words = len(text.words)
    found = np.bincount(pieces.words, minlength=n_words)
    kept = np.bincount(read.words, minlength=n_words)
    for word in np.flatnonzero(found > kept).tolist():
        start = text.words[word][:20]
        message = Warnings.SMW101.format(found=found[word], word=start, limit=kept[word])
        warnings.warn(message, stacklevel=3)
