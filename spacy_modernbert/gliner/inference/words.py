"""Words as upstream GLiNER splits texts, and parts of tokens that should be words of their own."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

# Runs of word characters, joined by single hyphens or underscores; any other visible character
# is a word of its own. Published checkpoints were trained on such words.
_WORD = re.compile(r"\w+(?:[-_]\w+)*|\S")

# Punctuation that is a part of words, numbers and addresses: "don't", "3.5", "AT&T", "and/or".
_JOINERS = frozenset(".,'\u2019:/@&#+%_-\u2010\u2011\u2013\u00b7")

# Scripts without spaces between words: Chinese characters; Thai, Lao, Tibetan, Burmese, Khmer and
# Japanese syllables.
_CHINESE = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_SYLLABLES = "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u31f0-\u31ff\uff66-\uff9f"
_UNSPACED = re.compile(f"[{_CHINESE}{_SYLLABLES}]")
# Longer than most words.
_SEVERAL_WORDS = re.compile(f"[{_CHINESE}]{{4}}|[{_SYLLABLES}]{{16}}")


@dataclass(frozen=True, eq=False)
class WordSpans:
    """The words of one text.

    Attributes:
        words: The words themselves.
        starts: Where each word starts in the text, in characters. *Shape:* (words,), int32.
        ends: Where each word ends, exclusive. *Shape:* (words,), int32.
    """

    words: list[str]
    starts: NDArray[np.int32]
    ends: NDArray[np.int32]


def split_words(text: str) -> WordSpans:
    """Split a text: ``"state-of-the-art (2021)"`` has four words, one of them hyphenated."""
    matches = list(_WORD.finditer(text))
    return WordSpans(
        words=[match.group() for match in matches],
        starts=np.array([match.start() for match in matches], dtype=np.int32),
        ends=np.array([match.end() for match in matches], dtype=np.int32),
    )


def split_token(token: str, *, by_character: bool = False) -> list[tuple[int, int]]:
    """Split a token where punctuation glues words together; most tokens are one word.

    ``"Systems(Rotterdam)."`` has the words ``Systems ( Rotterdam ) .`` Marks that belong to a word
    or a number, as in ``"don't"`` and ``"3.5"``, don't split it, nor does punctuation at its ends.

    Args:
        token: The token.
        by_character: Whether each character of a script without spaces is a word, as well.

    Returns:
        Start and end of each word in the token, in characters. They cover the token.
    """
    cuts = _cuts_at_punctuation(token)
    if by_character:
        cuts.update(_cuts_at_characters(token))
    edges = sorted({0, *cuts, len(token)})
    return list(pairwise(edges))


def has_unspaced_words(text: str) -> bool:
    """Whether there is a run of several words, probably, of a script without spaces."""
    return _SEVERAL_WORDS.search(text) is not None


def _cuts_at_punctuation(token: str) -> set[int]:
    if token.isalnum():
        return set()
    inside = [i for i, character in enumerate(token) if character.isalnum() or _is_mark(character)]
    if not inside or not any(map(_separates, token[inside[0] : inside[-1]])):
        return set()
    glue = (i for i, character in enumerate(token) if _separates(character))
    # A full stop or comma behind the last word is a word, too.
    return {inside[-1] + 1, *(cut for i in glue for cut in (i, i + 1))}


def _cuts_at_characters(token: str) -> Iterator[int]:
    for match in _UNSPACED.finditer(token):
        if not _is_mark(match.group()):
            yield match.start()
        if match.end() == len(token) or not _is_mark(token[match.end()]):
            yield match.end()


def _separates(character: str) -> bool:
    """Whether this is punctuation or a symbol that is no part of ordinary words."""
    return unicodedata.category(character)[0] in "PS" and character not in _JOINERS


def _is_mark(character: str) -> bool:
    return unicodedata.category(character)[0] == "M"
