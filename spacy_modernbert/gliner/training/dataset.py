"""Annotated texts: what a GLiNER learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..inference.sequences import SplitText

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class AnnotatedSpan:
    """One annotated span.

    Attributes:
        start: First word.
        end: End in words, exclusive.
        label: Its label.
    """

    start: int
    end: int
    label: str


@dataclass(frozen=True, eq=False)
class AnnotatedText:
    """A text with its annotation.

    Attributes:
        text: The words.
        spans: The annotated spans.
        labels: All labels that annotators looked for. Any other label may well be in the text, so
            it is no negative. None: not known; any other label may count as absent.
        unknown: Words that annotators did not look at: a span that touches one is no negative.
            *Shape:* (words,), bool; None: they looked at all.
    """

    text: SplitText
    spans: Sequence[AnnotatedSpan]
    labels: Sequence[str] | None = None
    unknown: Bools | None = None
