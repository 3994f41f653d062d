"""Alignment of tokens and pieces: nobody's space, everybody's piece."""

from __future__ import annotations

import time

import numpy as np
import pytest
import spacy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spacy_modernbert.text.alignment import Alignment, align_tokens
from spacy_modernbert.text.tokenizer import PieceTokenizer, TextPieces

from .conftest import hard_texts

SPACY_TOKENIZER = spacy.blank("en").tokenizer


def make_row(*spans: tuple[int, int]) -> TextPieces:
    starts, ends = np.array(spans, dtype=np.int32).reshape(-1, 2).T
    return TextPieces(np.arange(len(spans), dtype=np.int32), starts, ends)


def ragged(alignment: Alignment) -> list[list[int]]:
    assert alignment.pieces.dtype == alignment.lengths.dtype == np.int32
    assert alignment.lengths.sum() == len(alignment.pieces)
    bounds = np.cumsum(alignment.lengths)[:-1]
    return [part.tolist() for part in np.split(alignment.pieces, bounds)][: len(alignment.lengths)]


def align(text: str, tokens: list[tuple[int, int]], *pieces: tuple[int, int]) -> list[list[int]]:
    starts, ends = [start for start, _ in tokens], [end for _, end in tokens]
    return ragged(align_tokens(text, starts, ends, make_row(*pieces)))


def spacy_spans(text: str) -> list[tuple[int, int]]:
    return [(token.idx, token.idx + len(token)) for token in SPACY_TOKENIZER(text)]


def brute_force(text: str, tokens: list[tuple[int, int]], row: TextPieces) -> list[list[int]]:
    """The rules, character by character."""
    characters = []
    for start, end in zip(row.starts.tolist(), row.ends.tolist(), strict=True):
        piece = text[start:end]
        space = len(piece) - len(piece.lstrip())
        characters.append(set(range(start + (space if space < len(piece) else 0), end)))
    owned = []
    for start, end in tokens:
        own = [i for i, piece in enumerate(characters) if piece & set(range(start, end))]
        if not own and text[start:end].strip() and characters:
            before = [i for i, piece_start in enumerate(row.starts) if piece_start <= start]
            own = [max(before, default=0)]
        owned.append(own)
    return owned


# The rules, one by one


def test_worked_example(real_tokenizer):
    text = "Apple buys U.K. startup"
    row = real_tokenizer.encode_texts([text])[0]
    assert real_tokenizer.strings(row.ids) == ["Apple", "Ġbuys", "ĠU", ".", "K", ".", "Ġstartup"]
    tokens = spacy_spans(text)
    starts, ends = zip(*tokens, strict=True)
    assert ragged(align_tokens(text, starts, ends, row)) == [[0], [1], [2, 3, 4, 5], [6]]


def test_a_leading_space_belongs_to_nobody():
    # The white-space token 2..3 sits inside the offsets of the piece, and still has none of it.
    assert align("a  b", [(0, 1), (2, 3), (3, 4)], (0, 1), (1, 4)) == [[0], [], [1]]


def test_a_piece_of_white_space_can_belong_to_a_white_space_token():
    assert align("a   b", [(0, 1), (2, 4), (4, 5)], (0, 1), (1, 4), (4, 5)) == [[0], [1], [2]]
    assert align("a b", [(0, 1), (2, 3)], (0, 1), (1, 2), (2, 3)) == [[0], [2]]


@pytest.mark.parametrize("space", ["\n", "\u00a0", "\u3000", "\x85", "\u2028"])
def test_any_white_space_is_stripped(space):
    assert align(f"a{space}b", [(0, 1), (1, 2), (2, 3)], (0, 1), (1, 3)) == [[0], [], [1]]


def test_parts_of_a_character_go_to_its_token():
    assert align("x 🤗y", [(0, 1), (2, 3), (3, 4)], (0, 1), (1, 3), (2, 3), (2, 3), (3, 4)) == [
        [0],
        [1, 2, 3],
        [4],
    ]


def test_tokens_share_a_piece_that_the_tokenizer_joined():
    assert align("don't", [(0, 2), (2, 5)], (0, 4), (4, 5)) == [[0], [0, 1]]
    assert align("abc", [(0, 1), (1, 2), (2, 3)], (0, 3)) == [[0], [0], [0]]


def test_a_token_without_its_own_piece_takes_the_one_before_else_the_first():
    zero = "\u200b"
    assert align(f"a {zero} b", [(0, 1), (2, 3), (4, 5)], (0, 1), (4, 5)) == [[0], [0], [1]]
    assert align(f"{zero} b", [(0, 1), (2, 3)], (2, 3)) == [[0], [0]]
    assert align(zero, [(0, 1)]) == [[]]


@pytest.mark.parametrize("dropped", ["\u200b", "\x00", "\ufeff", "\u00ad"])
def test_bert_drops_characters_but_no_token(tokenizers, dropped):
    text = f"the {dropped} piece"
    row = tokenizers["bert"].encode_texts([text])[0]
    tokens = [(0, 3), (4, 5), (6, 11)]
    assert all(ragged(align_tokens(text, *zip(*tokens, strict=True), row)))


def test_a_melted_accent_has_the_piece_of_its_letter(real_tokenizer):
    row = real_tokenizer.encode_texts(["e\u0301a"])[0]
    assert row.ends.tolist() == [1, 3]
    assert ragged(align_tokens("e\u0301a", [0, 1, 2], [1, 2, 3], row)) == [[0], [0], [1]]


def test_empty_tokens_and_pieces_touch_nothing():
    assert align("abc", [(0, 1), (1, 1), (1, 3)], (0, 3)) == [[0], [], [0]]
    assert align("abc", [(0, 3)], (0, 1), (1, 1), (1, 3)) == [[0, 2]]


def test_nothing_at_all():
    assert align("", []) == []
    assert align("  ", [(0, 2)]) == [[]]
    assert align("ab", [], (0, 2)) == []


def test_unordered_pieces_are_no_trouble():
    assert align("abc", [(0, 1), (1, 2), (2, 3)], (2, 3), (1, 2), (0, 1)) == [[2], [1], [0]]


# The rules, all together


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=hard_texts)
def test_rules_hold_for_spacy_tokens(tokenizer, text):
    check(tokenizer, text, spacy_spans(text))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=hard_texts)
def test_rules_hold_for_spacy_tokens_and_the_real_tokenizer(real_tokenizer, text):
    check(real_tokenizer, text, spacy_spans(text))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), text=hard_texts)
def test_rules_hold_for_any_tokens(tokenizer, data, text):
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=20).map(sorted))
    kept = data.draw(st.lists(st.booleans(), min_size=len(cuts), max_size=len(cuts)))
    spans = zip(cuts, cuts[1:], kept, strict=False)
    check(tokenizer, text, [(start, end) for start, end, keep in spans if keep])


def check(tokenizer: PieceTokenizer, text: str, tokens: list[tuple[int, int]]) -> None:
    row = tokenizer.encode_texts([text])[0]
    starts, ends = [start for start, _ in tokens], [end for _, end in tokens]
    owned = ragged(align_tokens(text, starts, ends, row))
    assert owned == brute_force(text, tokens, row)
    for (start, end), pieces in zip(tokens, owned, strict=True):
        assert pieces == sorted(set(pieces))
        assert pieces or not text[start:end].strip() or not len(row.ids)


@pytest.mark.parametrize("word", ["a", "🦜", "e\u0301", "日本", "-", "1", "\u200b"])
def test_one_token_of_ten_thousand_characters(real_tokenizer, word):
    text = f"see {word * (10_000 // len(word))} here"
    row = real_tokenizer.encode_texts([text])[0]
    owned = ragged(align_tokens(text, [0, 4, len(text) - 4], [3, len(text) - 5, len(text)], row))
    # The space before the word may be a piece of its own, which nobody has.
    alone = text[row.starts[1] : row.ends[1]] == " "
    assert owned == [[0], list(range(1 + alone, len(row.ids) - 1)), [len(row.ids) - 1]]


def test_a_long_text_takes_linear_time():
    n = 300_000
    text = "ab cd " * (n // 6)
    tokens = np.arange(0, n, 3)
    starts = np.maximum(np.arange(0, n, 3) - 1, 0)
    row = TextPieces(
        tokens.astype(np.int32), starts.astype(np.int32), (tokens + 2).astype(np.int32)
    )
    begun = time.perf_counter()
    alignment = align_tokens(text, tokens, tokens + 2, row)
    assert time.perf_counter() - begun < 1.0
    assert (alignment.lengths == 1).all()


def test_real_texts(real_tokenizer, text_sample):
    """Of real texts with the published tokenizer: no leak, and no visible token left out."""
    leaks = bare = tokens_seen = 0
    for text, row in zip(text_sample, real_tokenizer.encode_texts(text_sample), strict=True):
        tokens = spacy_spans(text)
        owned = ragged(align_tokens(text, *zip(*tokens, strict=True), row))
        for (start, end), pieces in zip(tokens, owned, strict=True):
            bare += bool(text[start:end].strip()) and not pieces
            for piece in pieces:
                first, last = int(row.starts[piece]), int(row.ends[piece])
                first = last - len(text[first:last].lstrip() or text[first:last])
                leaks += max(first, start) >= min(last, end)
        tokens_seen += len(tokens)
    assert tokens_seen > 50_000
    assert (leaks, bare) == (0, 0)
