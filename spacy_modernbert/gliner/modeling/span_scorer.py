"""Scores of spans, in a form that never builds the vector of a span.

On paper (arXiv 2311.08526, section 2.2) a span from word i to word j has the vector
``W2 relu(W1 [relu(s_i) ; relu(e_j)] + b1) + b2``, and its score for a label is the dot product with
the label's vector p. Two identities make this 2 to 10 times cheaper, exactly:

* ``W1 [x ; y] = W1a x + W1b y``: the inner layer is computed once a *word*, and a span costs an
  addition;
* ``<W2 h + b2, p> = <h, W2' p> + <b2, p>``: the outer layer is applied once a *label*.

Spans of one width are scored at a time, so that nothing larger than (words, 4 x width) is held.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import Mlp
from .span_edges import add_edges, span_count


@dataclass(frozen=True, eq=False)
class Edges:
    """What each word adds to the spans that start, or end, with it.

    Attributes:
        starts: *Shape:* (words, inner), or (words, labels) once it met the labels.
        ends: In the same shape.
    """

    starts: Tensor
    ends: Tensor

    def split(self, lengths: Sequence[int]) -> list[Edges]:
        """One part a row."""
        sizes = list(lengths)
        rows = zip(torch.split(self.starts, sizes), torch.split(self.ends, sizes), strict=True)
        return [Edges(starts, ends) for starts, ends in rows]


class MlpMarker(nn.Module):
    """``markerV0`` and ``markerV1``: the vector of a span comes from two layers.

    ``markerV1`` adds the mean of the row's words. Upstream takes it over padding, too; here a row
    depends on nothing but itself.

    Args:
        width: Width of words and labels.
        dropout: Rate in training.
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

    def edges(self, words: Tensor, lengths: Sequence[int]) -> Edges:
        """*Shape:* (total, width) to two of (total, 4 x width)."""
        inner = self.out_project.inner
        first, last, *mean = torch.split(inner.weight, self.width, dim=1)
        starts = F.linear(F.relu(self.project_start(words)), first, inner.bias)
        ends = F.linear(F.relu(self.project_end(words)), last)
        if self.has_mean:
            rows = torch.split(words, list(lengths))
            means = torch.stack([row.sum(dim=0) / max(len(row), 1) for row in rows])
            counts = torch.tensor(list(lengths), device=words.device)
            added = F.linear(F.relu(means), mean[0])
            starts = starts + added.repeat_interleave(counts, dim=0, output_size=len(words))
        return Edges(starts, ends)

    def fold(self, labels: Tensor) -> Tensor:
        """The labels as the inner layer sees them.

        Args:
            labels: *Shape:* (labels, width).

        Returns:
            One row a label: its vector, then its share of the bias, then its vector for the inner
            layer. *Shape:* (labels, width + 1 + 4 x width).
        """
        outer = self.out_project.outer
        bias = labels @ outer.bias
        return torch.cat([labels, bias[:, None], labels @ outer.weight], dim=1)

    def meet(self, edges: Edges, _: Tensor) -> Edges:
        """Nothing is known about a span before its edges are added."""
        return edges

    def score(self, starts: Tensor, ends: Tensor, folded: Tensor) -> Tensor:
        """Score spans.

        Args:
            starts: Edge of each span's first word. *Shape:* (spans, 4 x width).
            ends: Edge of its last word. *Shape:* (spans, 4 x width).
            folded: What `fold` gave. *Shape:* (labels, ...).

        Returns:
            *Shape:* (spans, labels).
        """
        return self._meet_labels((starts + ends).relu_(), folded)

    def score_rows(
        self,
        edges: Edges,
        lengths: Sequence[int],
        folded: Tensor,
        slices: Sequence[slice],
        max_width: int,
    ) -> list[Tensor]:
        """Score all spans of all rows; see `SpanScorer.rows`."""
        hidden = add_edges(edges.starts, edges.ends, lengths, max_width, relu=True)
        counts = [span_count(n_words, max_width) for n_words in lengths]
        if all(which == slices[0] for which in slices):
            return list(self._meet_labels(hidden, folded[slices[0]]).split(counts))
        rows = zip(hidden.split(counts), slices, strict=True)
        return [self._meet_labels(row, folded[which]) for row, which in rows]

    def _meet_labels(self, hidden: Tensor, folded: Tensor) -> Tensor:
        """*Shape:* (spans, 4 x width), (labels, ...) to (spans, labels)."""
        hidden = self.out_project.dropout(hidden)
        labels, bias, inner = folded.tensor_split((self.width, self.width + 1), dim=1)
        if 3 * len(labels) > 4 * self.width:
            # With so many labels the outer layer is the cheaper one to apply to the spans.
            return F.linear(self.out_project.outer(hidden), labels)
        return torch.addmm(bias.T, hidden, inner.T)


class LinearMarker(nn.Module):
    """``marker``: one linear layer makes the vector of a span, so a score is a sum of two.

    Args:
        width: Width of words and labels.
        dropout: Rate in training.
    """

    def __init__(self, width: int, *, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.project_start = Mlp(width, width, inner=2 * width, dropout=dropout)
        self.project_end = Mlp(width, width, inner=2 * width, dropout=dropout)
        self.out_project = nn.Linear(2 * width, width)

    def edges(self, words: Tensor, _: Sequence[int]) -> Edges:
        """*Shape:* (total, width) to two of (total, width)."""
        return Edges(F.relu(self.project_start(words)), F.relu(self.project_end(words)))

    def fold(self, labels: Tensor) -> Tensor:
        """*Shape:* (labels, width) to (labels, 1 + 2 x width): bias, start part, end part."""
        outer = self.out_project
        return torch.cat([(labels @ outer.bias)[:, None], labels @ outer.weight], dim=1)

    def meet(self, edges: Edges, folded: Tensor) -> Edges:
        """*Shape:* two of (words, width) to two of (words, labels)."""
        bias, first, last = folded.tensor_split((1, 1 + self.width), dim=1)
        return Edges(torch.addmm(bias.T, edges.starts, first.T), edges.ends @ last.T)

    def score(self, starts: Tensor, ends: Tensor, _: Tensor) -> Tensor:
        """*Shape:* two of (spans, labels) to (spans, labels)."""
        return starts + ends

    def score_rows(
        self,
        edges: Edges,
        lengths: Sequence[int],
        folded: Tensor,
        slices: Sequence[slice],
        max_width: int,
    ) -> list[Tensor]:
        """Score all spans of all rows; see `SpanScorer.rows`."""
        rows = zip(edges.split(lengths), slices, strict=True)
        met = [self.meet(row, folded[which]) for row, which in rows]
        return [
            add_edges(row.starts, row.ends, [n_words], max_width, relu=False)
            for row, n_words in zip(met, lengths, strict=True)
        ]


class SpanScorer(nn.Module):
    """Scores all spans of a row up to a width, or given ones.

    Args:
        marker: How edges make a span.
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
        """Score every span of every row.

        Args:
            words: Words of all rows. *Shape:* (total, width).
            lengths: Words of each row.
            labels: Labels of all rows. *Shape:* (total labels, width).
            slices: Which of the labels belong to each row.
            max_width: Most words of a span.

        Returns:
            One tensor a row: the score of the span of k + 1 words that starts at word i; -inf
            where it would leave the row. *Shape:* (words, max_width, labels).
        """
        edges = self.span_rep_layer.edges(words, lengths).split(lengths)
        folded = self.span_rep_layer.fold(labels)
        rows = zip(edges, slices, strict=True)
        return [self._score_row(row, folded[labels_of], max_width) for row, labels_of in rows]

    def rows(
        self,
        words: Tensor,
        lengths: Sequence[int],
        labels: Tensor,
        slices: Sequence[slice],
        *,
        max_width: int,
    ) -> list[Tensor]:
        """Score every span of every row, and nothing else: the form that training wants.

        Args:
            words: Words of all rows. *Shape:* (total, width).
            lengths: Words of each row.
            labels: Labels of all rows. *Shape:* (total labels, width).
            slices: Which of the labels belong to each row.
            max_width: Most words of a span.

        Returns:
            One tensor a row, the spans of one word first, then those of two ... *Shape:*
            (spans, labels).
        """
        marker = self.span_rep_layer
        edges = marker.edges(words, lengths)
        return marker.score_rows(edges, lengths, marker.fold(labels), slices, max_width)

    def at(self, words: Tensor, labels: Tensor, starts: Tensor, ends: Tensor) -> Tensor:
        """Score given spans of one row, of any width.

        Args:
            words: *Shape:* (words, width).
            labels: *Shape:* (labels, width).
            starts: First word of each span. *Shape:* (spans,), int64.
            ends: End of each span, exclusive. *Shape:* (spans,), int64.

        Returns:
            *Shape:* (spans, labels).
        """
        marker = self.span_rep_layer
        folded = marker.fold(labels)
        edges = marker.meet(marker.edges(words, [len(words)]), folded)
        return marker.score(edges.starts[starts], edges.ends[ends - 1], folded)

    def _score_row(self, edges: Edges, folded: Tensor, max_width: int) -> Tensor:
        n_words = len(edges.starts)
        edges = self.span_rep_layer.meet(edges, folded)
        scores = folded.new_full((n_words, max_width, len(folded)), -torch.inf)
        for wider in range(min(max_width, n_words)):
            starts, ends = edges.starts[: n_words - wider], edges.ends[wider:]
            scores[: n_words - wider, wider] = self.span_rep_layer.score(starts, ends, folded)
        return scores
