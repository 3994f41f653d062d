"""Scores of spans, in a form that never builds the vector of a span.

On paper (arXiv 2311.08526, section 2.2) a span from word i to word j has the vector
``W2 relu(W1 [relu(s_i) ; relu(e_j)] + b1) + b2``, and its score for a label is the dot product with
the label's vector p. Two identities make this 2 to 10 times cheaper, exactly:

* ``W1 [x ; y] = W1a x + W1b y``: the inner layer is computed once per *word*, and a span costs an
  addition;
* ``<W2 h + b2, p> = <h, W2' p> + <b2, p>``: the outer layer is applied once per *label*.

In inference the spans of one width of one sequence are scored at a time, so that nothing larger
than (words, 4 x width) is held besides the scores.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import Mlp
from .span_layout import count_spans, width_blocks
from .span_sums import add_bounds


class MlpMarker(nn.Module):
    """``markerV0`` and ``markerV1``: two layers make the vector of a span.

    ``markerV1`` adds the mean of the sequence's words. Upstream takes the mean over padding, too;
    here a sequence depends on nothing but itself.

    Args:
        width: Width of words and labels.
        dropout: Dropout rate in training.
        has_mean: Whether this is ``markerV1``.
    """

    def __init__(self, width: int, *, dropout: float, has_mean: bool = False) -> None:
        super().__init__()
        self.width = width
        self.project_start = Mlp(width, width, dropout=dropout)
        self.project_end = Mlp(width, width, dropout=dropout)
        if has_mean:
            # In every such checkpoint, and used by none.
            self.project_first = Mlp(width, width, dropout=dropout)
        self.has_mean = has_mean
        parts = 3 if has_mean else 2
        self.out_project = Mlp(parts * width, width, dropout=dropout)

    def project_words(self, words: Tensor, lengths: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Compute what each word adds to the spans that start, and that end, with it.

        *Shape:* (total, width) to two of (total, 4 x width).
        """
        inner = self.out_project.inner
        first, last, *mean = torch.split(inner.weight, self.width, dim=1)
        starts = F.linear(F.relu(self.project_start(words)), first, inner.bias)
        ends = F.linear(F.relu(self.project_end(words)), last)
        if self.has_mean:
            sequences = torch.split(words, list(lengths))
            means = torch.stack([part.sum(dim=0) / max(len(part), 1) for part in sequences])
            counts = torch.tensor(list(lengths), device=words.device)
            added = F.linear(F.relu(means), mean[0])
            starts = starts + added.repeat_interleave(counts, dim=0, output_size=len(words))
        return starts, ends

    def project_labels(self, labels: Tensor) -> Tensor:
        """Apply the outer layer to the labels.

        *Shape:* (labels, width) to (labels, width + 1 + 4 x width): for each label its vector, its
        share of the bias, and its vector for the inner layer.
        """
        outer = self.out_project.outer
        bias = labels @ outer.bias
        return torch.cat([labels, bias[:, None], labels @ outer.weight], dim=1)

    def score_all(self, starts: Tensor, ends: Tensor, labels: Tensor, max_width: int) -> Tensor:
        """Score all spans of one sequence; without gradients, those of one width at a time.

        *Shape:* two of (words, inner), (labels, ...) to (spans, labels).
        """
        if torch.is_grad_enabled():
            return self._score_hidden(add_bounds(starts, ends, max_width, relu=True), labels)
        scores = labels.new_empty((count_spans(len(starts), max_width), len(labels)))
        for span, start, end in width_blocks(len(starts), max_width):
            scores[span] = self._score_hidden((starts[start] + ends[end]).relu_(), labels)
        return scores

    def score_spans(
        self, starts: Tensor, ends: Tensor, first: Tensor, last: Tensor, labels: Tensor
    ) -> Tensor:
        """Score single spans of one sequence by their first and last words.

        *Shape:* two of (words, inner), two of (spans,), (labels, ...) to (spans, labels).
        """
        return self._score_hidden((starts[first] + ends[last]).relu_(), labels)

    def _score_hidden(self, hidden: Tensor, labels: Tensor) -> Tensor:
        """*Shape:* (spans, 4 x width), (labels, ...) to (spans, labels)."""
        hidden = self.out_project.dropout(hidden)
        plain, bias, inner = labels.tensor_split((self.width, self.width + 1), dim=1)
        if 3 * len(plain) > 4 * self.width:
            # With so many labels it is cheaper to apply the outer layer to the spans.
            return F.linear(self.out_project.outer(hidden), plain)
        return torch.addmm(bias.T, hidden, inner.T)


class LinearMarker(nn.Module):
    """``marker``: one linear layer makes the vector of a span, so a score is a sum of two.

    Args:
        width: Width of words and labels.
        dropout: Dropout rate in training.
    """

    def __init__(self, width: int, *, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.project_start = Mlp(width, width, inner=2 * width, dropout=dropout)
        self.project_end = Mlp(width, width, inner=2 * width, dropout=dropout)
        self.out_project = nn.Linear(2 * width, width)

    def project_words(self, words: Tensor, _: Sequence[int]) -> tuple[Tensor, Tensor]:
        """*Shape:* (total, width) to two of (total, width)."""
        return F.relu(self.project_start(words)), F.relu(self.project_end(words))

    def project_labels(self, labels: Tensor) -> Tensor:
        """*Shape:* (labels, width) to (labels, 1 + 2 x width): bias, start part, end part."""
        outer = self.out_project
        return torch.cat([(labels @ outer.bias)[:, None], labels @ outer.weight], dim=1)

    def score_all(self, starts: Tensor, ends: Tensor, labels: Tensor, max_width: int) -> Tensor:
        """Score all spans of one sequence; see `MlpMarker.score_all`."""
        return add_bounds(*self._score_words(starts, ends, labels), max_width, relu=False)

    def score_spans(
        self, starts: Tensor, ends: Tensor, first: Tensor, last: Tensor, labels: Tensor
    ) -> Tensor:
        """Score single spans of one sequence; see `MlpMarker.score_spans`."""
        start_scores, end_scores = self._score_words(starts, ends, labels)
        return start_scores[first] + end_scores[last]

    def _score_words(self, starts: Tensor, ends: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """*Shape:* two of (words, width) to two of (words, labels)."""
        bias, first, last = labels.tensor_split((1, 1 + self.width), dim=1)
        return torch.addmm(bias.T, starts, first.T), ends @ last.T


class SpanScorer(nn.Module):
    """Scores all spans of a sequence up to a width, or single ones.

    Args:
        marker: Computes the scores of spans from their first and last words.
    """

    def __init__(self, marker: MlpMarker | LinearMarker) -> None:
        super().__init__()
        self.span_rep_layer = marker

    def forward(
        self,
        words: Tensor,
        lengths: Sequence[int],
        labels: Tensor,
        slices: Sequence[slice],
        *,
        max_width: int,
    ) -> list[Tensor]:
        """Score every span of every sequence.

        Args:
            words: Words of all sequences. *Shape:* (total, width).
            lengths: Number of words of each sequence.
            labels: Labels of all sequences. *Shape:* (total labels, width).
            slices: Which of the labels belong to each sequence.
            max_width: Most words of a span.

        Returns:
            One tensor per sequence, in the order of `span_layout`. *Shape:* (spans, labels).
        """
        marker, sizes = self.span_rep_layer, list(lengths)
        starts, ends = marker.project_words(words, lengths)
        projected = marker.project_labels(labels)
        sequences = zip(starts.split(sizes), ends.split(sizes), slices, strict=True)
        return [
            marker.score_all(first, last, projected[which], max_width)
            for first, last, which in sequences
        ]

    def score_spans(self, words: Tensor, labels: Tensor, starts: Tensor, ends: Tensor) -> Tensor:
        """Score single spans of one sequence, of any width, by their exclusive ends.

        *Shape:* (words, width), (labels, width), two of (spans,), int64, to (spans, labels).
        """
        marker = self.span_rep_layer
        projected = marker.project_words(words, [len(words)])
        return marker.score_spans(*projected, starts, ends - 1, marker.project_labels(labels))
