"""Scores of words: for each label, whether a span starts, ends or continues at the word.

The published form concatenates ``[t1 ; l1 ; t2 * l2]`` for every word and label and sends it
through two layers. The first of them is linear in its three parts, so the part of the word and
that of the label are computed once each; only that of the product remains for every pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import Mlp

# Pairs of a word and a label that are scored at a time: enough to keep matrix products busy, few
# enough for their inner layer to stay in the cache.
_PAIRS = 512


class TokenScorer(nn.Module):
    """Start, end and inside scores.

    Args:
        width: Width of words and labels.
        dropout: Dropout rate in training.
    """

    def __init__(self, width: int, *, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.proj_token = nn.Linear(width, 2 * width)
        self.proj_label = nn.Linear(width, 2 * width)
        self.out_mlp = Mlp(3 * width, 3, inner=4 * width, dropout=dropout)

    def forward(
        self, words: Tensor, lengths: Sequence[int], labels: Tensor, slices: Sequence[slice]
    ) -> list[Tensor]:
        """Score every word of every sequence.

        Args:
            words: Words of all sequences. *Shape:* (total, width).
            lengths: Number of words of each sequence.
            labels: Labels of all sequences. *Shape:* (total labels, width).
            slices: Which of the labels belong to each sequence.

        Returns:
            One tensor per sequence. *Shape:* (words, labels, 3): start, end, inside.
        """
        inner = self.out_mlp.inner
        of_word, of_label, of_pair = torch.split(inner.weight, self.width, dim=1)
        sizes = list(lengths)
        token, token_factor = self.proj_token(words).chunk(2, dim=-1)
        label, label_factor = self.proj_label(labels).chunk(2, dim=-1)
        token_part = torch.split(F.linear(token, of_word, inner.bias), sizes)
        label_part = F.linear(label, of_label)
        factors = torch.split(token_factor, sizes)
        return [
            self._score_sequence(part, factor, label_part[which], label_factor[which], of_pair)
            for part, factor, which in zip(token_part, factors, slices, strict=True)
        ]

    def _score_sequence(
        self, words: Tensor, factors: Tensor, labels: Tensor, label_factors: Tensor, of_pair: Tensor
    ) -> Tensor:
        """Score the words of one sequence, some labels at a time."""
        if len(words) == 0 or len(labels) == 0:
            return words.new_zeros((len(words), len(labels), 3))
        at_once = max(1, _PAIRS // len(words))
        groups = zip(labels.split(at_once), label_factors.split(at_once), strict=True)
        scores = [self._score_pairs(words, factors, *group, of_pair) for group in groups]
        return torch.cat(scores).transpose(0, 1)

    def _score_pairs(
        self, words: Tensor, factors: Tensor, labels: Tensor, label_factors: Tensor, of_pair: Tensor
    ) -> Tensor:
        """*Shape:* (labels, words, 3)."""
        hidden = F.linear(label_factors[:, None] * factors, of_pair)
        hidden += words
        hidden += labels[:, None]
        return cast(Tensor, self.out_mlp.outer(self.out_mlp.dropout(hidden.relu_())))
