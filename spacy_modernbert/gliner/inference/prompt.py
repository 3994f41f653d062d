"""Rows for the encoder: labels in front of words, in the form the checkpoints were trained on.

A uni-encoder reads labels and text together::

    [CLS] <<ENT>> person <<ENT>> location <<SEP>> Steve Jobs was born in San Francisco [SEP]

and the vectors at ``<<ENT>>`` are those of the labels. The markers are put in by id. Whatever
labels and words look like, they are cut as ordinary text, so neither can write a marker. A
bi-encoder reads the words alone.

Nothing is cut off here: `PromptBuilder.capacity` says what fits, and the caller makes windows of
the text (`windows.cut_word_windows`) or groups of the labels (`PromptBuilder.group`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import Errors
from ...text.tokenizer import PieceTokenizer, WordPieces
from ..modeling.config import GlinerConfig

Ints = NDArray[np.int32]
# Put into the vocabulary together with the two markers by older releases, and never used.
UNUSED_MARKER = "[FLERT]"


@dataclass(frozen=True)
class Markers:
    """Ids of ``<<ENT>>`` (a label follows) and ``<<SEP>>`` (the text follows)."""

    ent: int
    sep: int


@dataclass(frozen=True, eq=False)
class Prompt:
    """What stands before the words of a row.

    Attributes:
        ids: Piece ids, those that open any row included. *Shape:* (pieces,), int32.
        positions: Where the vector of each label will be. *Shape:* (labels,), int32.
    """

    ids: Ints
    positions: Ints

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class Row:
    """One row for the encoder, and where its labels and words are.

    Attributes:
        ids: Piece ids, special ones included. *Shape:* (pieces,), int32.
        labels: Position of each label's vector; none in a bi-encoder. *Shape:* (labels,), int32.
        first: Position of the first piece of a word.
        words: Word of each piece from there on, never falling. *Shape:* (word pieces,), int32.
        n_words: Words, those without any piece included.
    """

    ids: Ints
    labels: Ints
    first: int
    words: Ints
    n_words: int


def marker_names(config: GlinerConfig) -> tuple[str, ...]:
    """Added tokens that no text may reach."""
    return (config.ent_token, config.sep_token, UNUSED_MARKER)


def find_markers(config: GlinerConfig, tokenizer: PieceTokenizer, *, vocabulary: int) -> Markers:
    """Find the ids of the markers.

    The tokenizer's own word counts, as it wrote the rows the weights were trained on. Older
    checkpoints use the backbone's tokenizer, which knows neither: the markers then are the last
    two rows that were added to the vocabulary, or, where three were added, the last two of those.

    Args:
        config: The checkpoint's configuration.
        tokenizer: Its tokenizer.
        vocabulary: Rows of its embeddings.

    Raises:
        ValueError: SM107 where a marker has no embedding.
    """
    ent, sep = tokenizer.token_id(config.ent_token), tokenizer.token_id(config.sep_token)
    if ent is None or sep is None:
        added = vocabulary - tokenizer.vocab_size
        ent = config.class_token_index
        if ent < 0:
            ent = tokenizer.vocab_size + (0 if added == 2 else 1)
        sep = ent + 1
    if max(ent, sep) >= vocabulary:
        names = f"{config.ent_token} ({ent}) and {config.sep_token} ({sep})"
        raise ValueError(Errors.SM107.format(names=names, vocabulary=vocabulary))
    return Markers(ent, sep)


class PromptBuilder:
    """Writes rows.

    Args:
        tokenizer: Tokenizer of the text encoder.
        markers: Ids of the markers; None in a bi-encoder.
        embed_ent_token: Whether a label's vector is at its marker, or at the piece after it.
        max_length: Most pieces of a row, special ones included; None: no limit.
    """

    def __init__(
        self,
        tokenizer: PieceTokenizer,
        markers: Markers | None,
        *,
        embed_ent_token: bool = True,
        max_length: int | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.markers = markers
        self.embed_ent_token = embed_ent_token
        self.max_length = max_length
        self._prefix = np.array(tokenizer.prefix_ids, dtype=np.int32)
        self._suffix = np.array(tokenizer.suffix_ids, dtype=np.int32)

    def prompt(self, labels: Sequence[str]) -> Prompt:
        """Write the prompt for these labels; in a bi-encoder it is what opens any row.

        Raises:
            ValueError: SM108 where a label has nothing to read.
        """
        if self.markers is None:
            return Prompt(self._prefix, np.empty(0, dtype=np.int32))
        row = self._label_pieces(labels)
        counts = np.bincount(row.words, minlength=len(labels))
        # Each label moves what follows by its own pieces and its marker.
        positions = len(self._prefix) + np.arange(len(labels)) + counts.cumsum() - counts
        ids = np.insert(row.ids, counts.cumsum() - counts, self.markers.ent)
        framed = np.concatenate([self._prefix, ids, [self.markers.sep]])
        positions += not self.embed_ent_token
        return Prompt(framed.astype(np.int32), positions.astype(np.int32))

    def capacity(self, prompt: Prompt) -> int | None:
        """Pieces of words for which a row with this prompt has room; None: any number."""
        if self.max_length is None:
            return None
        return self.max_length - len(prompt) - len(self._suffix)

    def group(self, labels: Sequence[str], *, most: int) -> list[list[int]]:
        """Divide labels into as few groups as possible, of much the same size, in order.

        Labels read together compete, and groups of a few and of many would not be comparable.

        Args:
            labels: The labels.
            most: Most pieces of a group's prompt, what opens the row included.

        Returns:
            Indices of the labels of each group.

        Raises:
            ValueError: SM108 where a label has nothing to read, SM109 where one alone is too long.
        """
        row = self._label_pieces(labels)
        lengths = np.bincount(row.words, minlength=len(labels)) + 1
        room = most - len(self._prefix) - 1
        longest = int(lengths.argmax())
        if lengths[longest] > room:
            raise ValueError(Errors.SM109.format(label=labels[longest], most=room))
        for n_groups in range(1, len(labels) + 1):
            groups = np.array_split(np.arange(len(labels)), n_groups)
            if all(lengths[group].sum() <= room for group in groups):
                break
        return [group.tolist() for group in groups]

    def encode(self, texts: Sequence[Sequence[str]]) -> list[WordPieces]:
        """Cut the words of texts into pieces, each word on its own."""
        return self.tokenizer.encode_words(texts)

    def row(self, prompt: Prompt, text: WordPieces, start: int, end: int) -> Row:
        """Put a prompt and a stretch of a text together.

        Args:
            prompt: What `prompt` gave.
            text: Pieces of the text.
            start: First word.
            end: End of the stretch, exclusive.
        """
        low, high = np.searchsorted(text.words, (start, end))
        return Row(
            ids=np.concatenate([prompt.ids, text.ids[low:high], self._suffix]),
            labels=prompt.positions,
            first=len(prompt),
            words=text.words[low:high] - np.int32(start),
            n_words=end - start,
        )

    def _label_pieces(self, labels: Sequence[str]) -> WordPieces:
        row = self.tokenizer.encode_words([labels])[0]
        readable = set(row.words.tolist())
        for index, label in enumerate(labels):
            # Some tokenizers have pieces for white space; it names nothing all the same.
            if index not in readable or not label.strip():
                raise ValueError(Errors.SM108.format(label=label))
        return row
