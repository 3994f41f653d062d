"""Docs to sequences of pieces, and vectors to a batch for listeners: spaCy meets the encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from spacy.tokens import Doc, Span
from thinc.api import get_current_ops, torch2xp
from thinc.types import Ragged
from torch import Tensor

from ...text.alignment import Alignment, align_tokens
from ...text.tokenizer import PieceTokenizer
from ...text.windows import Windows, cut_windows
from .stock import FullTransformerBatch, ModelOutput, TransformerData, WordpieceBatch

Ints = NDArray[np.int32]
Mode = Literal["text", "words"]


@dataclass(frozen=True)
class DocSequences:
    """A batch of Docs as sequences of piece ids, with the positions of each token's pieces.

    A Doc that fits the window becomes one sequence, a longer one several overlapping sequences. A
    Doc without tokens becomes none.

    Attributes:
        spans: For each Doc one span per sequence, always of the whole Doc.
        ids: Piece ids of each sequence, special pieces included. *Shape:* (pieces,)
        owners: For each entry of ``columns``, the sequence that holds it. *Shape:* (aligned,)
        columns: Pieces of the first token, then of the second, and so on through the batch, as
            positions in their sequences. *Shape:* (aligned,)
        lengths: Number of pieces of each token of the batch. *Shape:* (tokens,)
    """

    spans: list[list[Span]]
    ids: list[Ints]
    owners: Ints
    columns: Ints
    lengths: Ints

    @property
    def width(self) -> int:
        """Pieces of the longest sequence."""
        return max(len(ids) for ids in self.ids)

    @property
    def align(self) -> Ragged:
        """For each token, the positions of its pieces in the flattened padded batch."""
        return Ragged(self.owners * np.int32(self.width) + self.columns, self.lengths)


@dataclass(frozen=True)
class _OneDoc:
    spans: list[Span]
    ids: list[Ints]
    owners: Ints
    columns: Ints
    lengths: Ints


def docs_to_sequences(
    docs: Sequence[Doc],
    tokenizer: PieceTokenizer,
    *,
    max_length: int | None,
    overlap: int | None,
    mode: Mode = "text",
) -> DocSequences:
    """Turn Docs into sequences for an encoder.

    Args:
        docs: The Docs. Their texts are read whole, whatever their lengths.
        tokenizer: The tokenizer.
        max_length: Most pieces of a sequence, special pieces included. None: no limit.
        overlap: Pieces that neighboring windows of a Doc share. None: an eighth of the window.
        mode: Whether the text is split into pieces as a whole, or token by token.

    Raises:
        ValueError: SM003 or SM004 if `max_length` and `overlap` leave no room for a window.
    """
    cut = _cut_words if mode == "words" else _cut_texts
    encoded = iter(cut([doc for doc in docs if len(doc)], tokenizer))
    parts: list[_OneDoc] = []
    spans: list[list[Span]] = []
    n_rows = 0
    for doc in docs:
        if len(doc) == 0:
            spans.append([])
            continue
        part = _one_doc(doc, *next(encoded), tokenizer, max_length, overlap, first_row=n_rows)
        n_rows += len(part.ids)
        spans.append(part.spans)
        parts.append(part)
    return DocSequences(
        spans=spans,
        ids=[ids for part in parts for ids in part.ids],
        owners=_joined([part.owners for part in parts]),
        columns=_joined([part.columns for part in parts]),
        lengths=_joined([part.lengths for part in parts]),
    )


def _cut_texts(docs: list[Doc], tokenizer: PieceTokenizer) -> list[tuple[Ints, Alignment]]:
    """Split whole texts into pieces: a piece may include the space before a word."""
    texts = [doc.text for doc in docs]
    found = []
    for doc, text, pieces in zip(docs, texts, tokenizer.encode_texts(texts), strict=True):
        starts = doc.to_array("IDX").astype(np.int64).reshape(-1)
        ends = starts + doc.to_array("LENGTH").astype(np.int64).reshape(-1)
        found.append((pieces.ids, align_tokens(text, starts, ends, pieces)))
    return found


def _cut_words(docs: list[Doc], tokenizer: PieceTokenizer) -> list[tuple[Ints, Alignment]]:
    """Split each token that is not white space into pieces by itself."""
    tokens = [[token for token in doc if not token.is_space] for doc in docs]
    encoded = tokenizer.encode_words([[token.text for token in words] for words in tokens])
    found = []
    for doc, words, pieces in zip(docs, tokens, encoded, strict=True):
        lengths = np.zeros(len(doc), dtype=np.int32)
        counts = np.bincount(pieces.words, minlength=len(words))
        lengths[[token.i for token in words]] = counts
        found.append((pieces.ids, Alignment(np.arange(len(pieces.ids), dtype=np.int32), lengths)))
    return found


def _one_doc(
    doc: Doc,
    pieces: Ints,
    alignment: Alignment,
    tokenizer: PieceTokenizer,
    max_length: int | None,
    overlap: int | None,
    *,
    first_row: int,
) -> _OneDoc:
    windows = _windows(len(pieces), _first_pieces(alignment), tokenizer, max_length, overlap)
    prefix = np.asarray(tokenizer.prefix_ids, dtype=np.int32)
    suffix = np.asarray(tokenizer.suffix_ids, dtype=np.int32)
    ids = [
        np.concatenate([prefix, pieces[start:end], suffix])
        for start, end in zip(windows.starts, windows.ends, strict=True)
    ]
    owners = windows.window_of_piece[alignment.pieces]
    return _OneDoc(
        # spacy-transformers takes the first token of a Doc's first span and the last of its last.
        spans=[doc[:]] * len(ids),
        ids=ids,
        owners=owners + np.int32(first_row),
        columns=alignment.pieces - windows.starts[owners] + np.int32(len(prefix)),
        lengths=alignment.lengths,
    )


def _first_pieces(alignment: Alignment) -> Ints:
    """Return the positions where tokens start: windows may be cut there."""
    starts = np.cumsum(alignment.lengths) - alignment.lengths
    return np.unique(alignment.pieces[starts[alignment.lengths > 0]])


def _windows(
    n_pieces: int,
    breaks: Ints,
    tokenizer: PieceTokenizer,
    max_length: int | None,
    overlap: int | None,
) -> Windows:
    if n_pieces == 0:
        # Tokens without any piece (a tokenizer may drop white space): a sequence of special pieces.
        nothing, one = np.zeros(0, np.int32), np.zeros(1, np.int32)
        return Windows(starts=one, ends=one, window_of_piece=nothing)
    capacity = n_pieces
    if max_length is not None:
        capacity = max_length - len(tokenizer.prefix_ids) - len(tokenizer.suffix_ids)
    overlap = capacity // 8 if overlap is None else overlap
    return cut_windows(n_pieces, capacity=capacity, overlap=overlap, breaks=breaks)


def sequences_to_batch(
    sequences: DocSequences, hidden: Tensor, tokenizer: PieceTokenizer, *, split: bool
) -> FullTransformerBatch:
    """Lay packed vectors out as the batch that listeners read.

    Args:
        sequences: What ``docs_to_sequences`` returned.
        hidden: Vectors of all pieces. *Shape:* (total, hidden), float32.
        tokenizer: The tokenizer.
        split: Whether each Doc gets its own arrays, without the padding of its neighbors. In
            training spacy-transformers splits the batch itself, and joins the gradients again.

    Returns:
        The batch, with ``last_hidden_state`` padded. *Shape:* (sequences, width, hidden)
    """
    strings = [tokenizer.strings(ids) for ids in sequences.ids]
    return FullTransformerBatch(
        spans=sequences.spans,
        wordpieces=_wordpieces(sequences.ids, strings, tokenizer),
        model_output=ModelOutput(last_hidden_state=_padded(sequences.ids, hidden)),
        align=sequences.align,
        cached_doc_data=_split(sequences, hidden, strings, tokenizer) if split else None,
    )


def _split(
    sequences: DocSequences, hidden: Tensor, strings: list[list[str]], tokenizer: PieceTokenizer
) -> list[TransformerData]:
    """Return the data of each Doc, as wide as its own longest sequence."""
    data = []
    row = piece = token = aligned = 0
    for spans in sequences.spans:
        if not spans:
            data.append(empty_data(hidden.shape[-1]))
            continue
        rows = slice(row, row + len(spans))
        ids = sequences.ids[rows]
        n_pieces = sum(len(row_ids) for row_ids in ids)
        lengths = sequences.lengths[token : token + len(spans[0])].copy()
        own = slice(aligned, aligned + int(lengths.sum()))
        width = np.int32(max(len(row_ids) for row_ids in ids))
        positions = (sequences.owners[own] - np.int32(row)) * width + sequences.columns[own]
        vectors = _padded(ids, hidden[piece : piece + n_pieces].clone())
        data.append(
            TransformerData(
                wordpieces=_wordpieces(ids, strings[rows], tokenizer),
                model_output=ModelOutput(last_hidden_state=torch2xp(vectors)),
                align=Ragged(positions, lengths),
            )
        )
        row, token = rows.stop, token + len(lengths)
        piece, aligned = piece + n_pieces, own.stop
    return data


def empty_data(width: int) -> TransformerData:
    """Return the data of a Doc without tokens. *Shape of its vectors:* (0, 0, width)."""
    data = TransformerData.empty()
    data.model_output["last_hidden_state"] = get_current_ops().alloc3f(0, 0, width)
    return data


def empty_batch(n_docs: int, width: int) -> FullTransformerBatch:
    """Return the batch of Docs without tokens, with the width that their vectors would have."""
    batch = FullTransformerBatch.empty(n_docs)
    batch.cached_doc_data = [empty_data(width) for _ in range(n_docs)]
    return batch


def padding_mask(ids: Sequence[Ints]) -> Tensor:
    """Return True for pieces, False for padding. *Shape:* (sequences, width), bool."""
    lengths = torch.tensor([len(row) for row in ids])
    return torch.arange(int(lengths.max())) < lengths[:, None]


def _padded(ids: Sequence[Ints], hidden: Tensor) -> Tensor:
    """Pad the vectors of sequences. *Shape:* (total, hidden) to (sequences, width, hidden)."""
    mask = padding_mask(ids)
    shape = (*mask.shape, hidden.shape[-1])
    if mask.all():
        return hidden.reshape(shape)
    padded = hidden.new_zeros(shape)
    padded[mask.to(hidden.device)] = hidden
    return padded


def _wordpieces(
    ids: Sequence[Ints], strings: Sequence[list[str]], tokenizer: PieceTokenizer
) -> WordpieceBatch:
    mask = padding_mask(ids).numpy()
    padded = np.full(mask.shape, tokenizer.pad_id, dtype=np.int32)
    padded[mask] = np.concatenate(ids)
    (pad,) = tokenizer.strings([tokenizer.pad_id])
    return WordpieceBatch(
        strings=[row + [pad] * (mask.shape[1] - len(row)) for row in strings],
        input_ids=padded,
        attention_mask=mask.astype(np.float32),
        lengths=[len(row) for row in ids],
        token_type_ids=None,
    )


def _joined(arrays: list[Ints]) -> Ints:
    return np.concatenate(arrays) if arrays else np.zeros(0, dtype=np.int32)
