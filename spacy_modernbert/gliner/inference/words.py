"""Words as upstream GLiNER cuts them, for exact agreement with it on any text."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Runs of word characters, joined by single hyphens or underscores; any other visible character
# is a word of its own. The checkpoints were trained on words cut like this.
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
