"""Words as upstream GLiNER splits texts, for exact agreement with it."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Runs of word characters, joined by single hyphens or underscores; any other visible character
# is a word of its own. Published checkpoints were trained on such words.
_WORD = re.compile(r"\w+(?:[-_]\w+)*|\S")


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
