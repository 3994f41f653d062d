"""Input sequences: labels in front of words, in the form the checkpoints were trained on.

A uni-encoder reads labels and text together::

    [CLS] <<ENT>> person <<ENT>> location <<SEP>> Steve Jobs was born in San Francisco [SEP]

and the vectors at ``<<ENT>>`` are those of the labels. Markers are inserted by id. Labels and words
are always tokenized as ordinary text, so neither can write a marker. A bi-encoder reads the words
alone.

Nothing is cut off here: `PromptBuilder.capacity` tells what fits, and `sequences` cuts the text
into windows and the labels into groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import Errors, shorten
from ...text.tokenizer import PieceTokenizer, WordPieces
from ..modeling.config import GlinerConfig
from ..modeling.sequence_batch import InputSequence, Ints

# Older releases added it to the vocabulary with the two markers, and never used it.
UNUSED_MARKER = "[FLERT]"


@dataclass(frozen=True)
class Markers:
    """Ids of ``<<ENT>>`` (a label follows) and ``<<SEP>>`` (the text follows)."""

    ent: int
    sep: int


@dataclass(frozen=True, eq=False)
class Prompt:
    """The beginning of a sequence, up to its first word.

    Attributes:
        ids: Piece ids, the prefix of every sequence included. *Shape:* (pieces,), int32.
        positions: Where the vector of each label will be. *Shape:* (labels,), int32.
    """

    ids: Ints
    positions: Ints

    def __len__(self) -> int:
        return len(self.ids)


def marker_names(config: GlinerConfig) -> tuple[str, ...]:
    """Return the added tokens that a text must not reach."""
    return (config.ent_token, config.sep_token, UNUSED_MARKER)


def find_markers(config: GlinerConfig, tokenizer: PieceTokenizer, *, vocabulary: int) -> Markers:
    """Find the ids of the markers in a vocabulary of that many embeddings.

    The tokenizer's own ids come first, as the weights were trained with them. Older checkpoints
    use the tokenizer of the backbone, which has no markers: their ids then are the last two that
    were added to the vocabulary, of the two or three that were.

    Raises:
        ValueError: SM107 if a marker has no embedding.
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
    """Builds input sequences.

    Args:
        tokenizer: Tokenizer of the text encoder.
        markers: Ids of the markers; None in a bi-encoder.
        embed_ent_token: Whether a label's vector is at its marker, or at the piece after it.
        max_length: Most pieces of a sequence, special ones included; None: no limit.
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
        """Build the prompt for these labels; in a bi-encoder it is the prefix of any sequence.

        Raises:
            ValueError: SM108 if a label has nothing to read.
        """
        if self.markers is None:
            return Prompt(self._prefix, np.empty(0, dtype=np.int32))
        pieces = self._label_pieces(labels)
        counts = np.bincount(pieces.words, minlength=len(labels))
        # Each label moves what follows by its own pieces and its marker.
        positions = len(self._prefix) + np.arange(len(labels)) + counts.cumsum() - counts
        ids = np.insert(pieces.ids, counts.cumsum() - counts, self.markers.ent)
        ids = np.concatenate([self._prefix, ids, [self.markers.sep]])
        positions += not self.embed_ent_token
        return Prompt(ids.astype(np.int32), positions.astype(np.int32))

    def capacity(self, prompt: Prompt) -> int | None:
        """Return how many pieces of words fit behind this prompt; None: any number."""
        if self.max_length is None:
            return None
        return self.max_length - len(prompt) - len(self._suffix)

    def leaves_room(self, prompt: Prompt, n_pieces: int) -> bool:
        """Return whether a prompt leaves room for a text, or at least for half a sequence of it."""
        capacity = self.capacity(prompt)
        if capacity is None or self.max_length is None:
            return True
        return capacity >= min(n_pieces, self.max_length // 2)

    def group(self, labels: Sequence[str], *, max_pieces: int) -> list[list[int]]:
        """Divide labels into as few groups as possible, of about the same size, in order.

        Labels that are read together compete, so scores of small and of large groups would not be
        comparable. A group's prompt has at most ``max_pieces``, the prefix included. Groups are
        indices of labels.

        Raises:
            ValueError: SM108 if a label has nothing to read, SM109 if one alone is too long.
        """
        pieces = self._label_pieces(labels)
        lengths = np.bincount(pieces.words, minlength=len(labels)) + 1
        room = max_pieces - len(self._prefix) - 1
        longest = int(lengths.argmax())
        if lengths[longest] > room:
            raise ValueError(Errors.SM109.format(label=shorten(labels[longest]), most=room))
        for n_groups in range(1, len(labels) + 1):
            groups = np.array_split(np.arange(len(labels)), n_groups)
            if all(lengths[group].sum() <= room for group in groups):
                break
        return [group.tolist() for group in groups]

    def encode(self, texts: Sequence[Sequence[str]]) -> list[WordPieces]:
        """Tokenize the words of texts, each word on its own."""
        return self.tokenizer.encode_words(texts)

    def sequence(self, prompt: Prompt, text: WordPieces, start: int, end: int) -> InputSequence:
        """Build the sequence of a prompt and the words from ``start`` to ``end`` of a text."""
        low, high = np.searchsorted(text.words, (start, end))
        return InputSequence(
            ids=np.concatenate([prompt.ids, text.ids[low:high], self._suffix]),
            label_positions=prompt.positions,
            first_piece=len(prompt),
            words=text.words[low:high] - np.int32(start),
            n_words=end - start,
        )

    def _label_pieces(self, labels: Sequence[str]) -> WordPieces:
        pieces = self.tokenizer.encode_words([labels])[0]
        readable = set(pieces.words.tolist())
        for index, label in enumerate(labels):
            # Some tokenizers have pieces for whitespace, which names nothing all the same.
            if index not in readable or not label.strip():
                raise ValueError(Errors.SM108.format(label=label))
        return pieces
