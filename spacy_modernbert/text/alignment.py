"""Alignment of tokens and pieces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .tokenizer import Ints, TextPieces

# ``str.isspace`` as a table: no character after U+3000 is white space.
_IS_SPACE = np.array([chr(code).isspace() for code in range(0x3002)])


@dataclass(frozen=True, eq=False)
class Alignment:
    """The pieces of each token, ragged.

    Attributes:
        pieces: Indices of pieces in their text, token after token, rising within a token.
            *Shape:* (sum of lengths,), int32.
        lengths: Number of pieces of each token. *Shape:* (tokens,), int32.
    """

    pieces: Ints
    lengths: Ints


def align_tokens(
    text: str, token_starts: npt.ArrayLike, token_ends: npt.ArrayLike, text_pieces: TextPieces
) -> Alignment:
    """Find the pieces of every token, in time linear in the length of the text.

    We want to align the tokens of "Apple buys U.K. startup" against its pieces::

        token   Apple       buys           U.K.                           startup
        span    0..5        6..10          11..15                         16..23
        piece   Apple       Ġbuys          ĠU      .       K       .      Ġstartup
        offsets 0..5        5..10          10..12  12..13  13..14  14..15 15..23

    The offsets of ``Ġbuys`` begin at the space. That space belongs to no token: without its leading
    white space, ``Ġbuys`` has 6..10, and no token overlaps a piece of its neighbor.
    The result is ``pieces = [0, 1, 2, 3, 4, 5, 6]``, ``lengths = [1, 1, 4, 1]``.

    - A token has every piece whose span overlaps its own. A piece that holds a part of a character
      spans the whole of it, so all the bytes of an emoji go to the emoji's token.
    - A piece of only white space keeps its span: it can belong to a white-space token.
    - Two tokens share a piece only where the tokenizer put characters of both into it.
    - Every visible token has a piece. Visible characters are those for which `str.isspace` is
      false, control and zero-width characters included, as in spaCy's ``is_space``. If the
      tokenizer dropped all characters of a token (BERT drops zero-width ones, NFC composes an
      accent with the letter before it), the token takes the nearest piece: the one before it if
      there is one, else the first of the text. Only in a text without pieces it has none.

    Args:
        text: The text that was cut into pieces.
        token_starts: First character of each token, in text order. *Shape:* (tokens,)
        token_ends: End of each token, exclusive; tokens do not overlap. *Shape:* (tokens,)
        text_pieces: The pieces of the text.

    Returns:
        The alignment. White-space tokens may have no piece.
    """
    starts = np.asarray(token_starts, dtype=np.int32)
    ends = np.asarray(token_ends, dtype=np.int32)
    visible = _visible_characters(text)
    piece_starts = _without_leading_space(text_pieces, visible)
    tokens, pieces = _overlaps(starts, ends, piece_starts, text_pieces.ends)

    lengths = np.bincount(tokens, minlength=len(starts))
    without = np.flatnonzero((lengths == 0) & (_next(visible, starts) < ends))
    if len(without) and len(text_pieces.ids):
        # Normalizers may swap combining marks, so the starts are made to rise first.
        rising = np.maximum.accumulate(text_pieces.starts)
        nearest = np.searchsorted(rising, starts[without], "right") - 1
        tokens = np.concatenate([tokens, without])
        pieces = np.concatenate([pieces, np.maximum(nearest, 0)])
        lengths[without] = 1
    order = np.argsort(tokens, kind="stable")
    return Alignment(pieces[order].astype(np.int32), lengths.astype(np.int32))


def _visible_characters(text: str) -> npt.NDArray[np.intp]:
    """Return the positions of all characters but white space, in order."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    return np.flatnonzero(~_IS_SPACE[np.minimum(codes, len(_IS_SPACE) - 1)])


def _next(visible: npt.NDArray[np.intp], positions: Ints) -> npt.NDArray[np.intp]:
    """Return the first visible character at or after each position, a huge number if none."""
    never = np.iinfo(visible.dtype).max
    return np.append(visible, never)[np.searchsorted(visible, positions)]


def _without_leading_space(pieces: TextPieces, visible: npt.NDArray[np.intp]) -> Ints:
    """Return the starts of the pieces after their leading white space."""
    first = _next(visible, pieces.starts)
    return np.where(first < pieces.ends, first, pieces.starts).astype(np.int32)


def _overlaps(
    token_starts: Ints, token_ends: Ints, piece_starts: Ints, piece_ends: Ints
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return all pairs of token and piece that have characters in common, piece by piece.

    Tokens are in order and do not overlap, so a piece overlaps a run of them, which two binary
    searches find. The pieces may be in any order.
    """
    first = np.searchsorted(token_ends, piece_starts, side="right")
    last = np.searchsorted(token_starts, piece_ends, side="left")
    counts = np.maximum(last - first, 0)
    pieces = np.repeat(np.arange(len(piece_starts)), counts)
    within_run = np.arange(len(pieces)) - np.repeat(np.cumsum(counts) - counts, counts)
    tokens = np.repeat(first, counts) + within_run
    # An empty token or piece inside another one shares no character with it.
    real = (token_starts < token_ends)[tokens] & (piece_starts < piece_ends)[pieces]
    return tokens[real], pieces[real]
