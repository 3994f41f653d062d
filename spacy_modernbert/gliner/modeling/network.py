"""The network: rows to vectors of words and labels, and those to scores.

Parameters carry the names of published checkpoints, whatever their kind::

    token_rep_layer.bert_layer.model.*        text encoder (uni-encoders: labels, too)
    token_rep_layer.labels_encoder.model.*    label encoder (bi-encoders)
    rnn.lstm.*                                LSTM over words (uni-encoders)
    cross_fuser.*                             labels look at words and back (poly-encoders)
    span_rep_layer.*, prompt_rep_layer.*      scores of spans
    scorer.*                                  scores of words
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from ...encoder.packing import PackedBatch
from ...encoder.protocol import Encoder
from ...errors import Errors
from ..inference.prompt import Row
from .backbone import Backbone, TokenRep
from .config import GlinerConfig
from .layers import CrossFuser, Mlp, WordLstm
from .sequence_batch import SequenceBatch, choose_pieces, pool_words
from .span_scorer import LinearMarker, MlpMarker, SpanScorer
from .structure import Structure
from .token_scorer import TokenScorer


@dataclass(frozen=True, eq=False)
class Features:
    """Vectors of the words and labels of a batch.

    Attributes:
        words: Words of all rows. *Shape:* (total, width).
        word_counts: Words of each row.
        labels: Labels of all rows, or those that all rows share. *Shape:* (labels, width).
        label_slices: Which of the labels belong to each row.
    """

    words: Tensor
    word_counts: tuple[int, ...]
    labels: Tensor
    label_slices: tuple[slice, ...]

    def split(self) -> list[tuple[Tensor, Tensor]]:
        """Words and labels of each row."""
        words = torch.split(self.words, list(self.word_counts))
        pairs = zip(words, self.label_slices, strict=True)
        return [(row, self.labels[which]) for row, which in pairs]


class Gliner(nn.Module):
    """A GLiNER of any of the main kinds.

    Args:
        config: What the configuration says.
        structure: What the weights say.
        text: The text encoder.
        labels: The label encoder; None in uni-encoders, and in bi-encoders that were saved with
            the vectors of their labels only.
    """

    def __init__(
        self,
        config: GlinerConfig,
        structure: Structure,
        text: Encoder,
        labels: Encoder | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.structure = structure
        label_side = (
            None if labels is None else Backbone(labels, fused_layers=structure.labels_fuser)
        )
        text_side = Backbone(text, fused_layers=structure.fuser)
        self.token_rep_layer = TokenRep(text_side, label_side, structure)
        width, dropout = structure.width, config.dropout
        if structure.rnn_layers:
            self.rnn = WordLstm(width, structure.rnn_layers)
        if structure.cross_layers:
            self.cross_fuser = CrossFuser(
                width,
                heads=text.config.num_attention_heads,
                layers=structure.cross_layers,
                schema=config.post_fusion_schema,
                dropout=dropout,
            )
        if config.is_token:
            self.scorer = TokenScorer(width, dropout=dropout)
        else:
            self.prompt_rep_layer = Mlp(width, width, dropout=dropout)
        if structure.marker is not None:
            self.span_rep_layer = SpanScorer(_marker(structure, dropout))

    @property
    def device(self) -> torch.device:
        """Where the weights live."""
        return next(self.parameters()).device

    @property
    def is_chained(self) -> bool:
        """Whether a span is known by its words alone, and not scored as a span."""
        return self.structure.marker is None

    @property
    def encoder(self) -> Encoder:
        """The text encoder."""
        return self.token_rep_layer.bert_layer.encoder

    @property
    def labels_encoder(self) -> Encoder | None:
        """The label encoder, where there is one."""
        backbone = getattr(self.token_rep_layer, "labels_encoder", None)
        return None if backbone is None else cast(Backbone, backbone).encoder

    def encode_labels(self, rows: Sequence[ArrayLike], *, dropout: float = 0.0) -> Tensor:
        """Vectors of labels, in a bi-encoder. They hold for any text.

        Args:
            rows: Piece ids of each label, special ones included.
            dropout: Least dropout rate of the encoder in training.

        Returns:
            *Shape:* (labels, width).

        Raises:
            ValueError: SM110 where there is no label encoder.
        """
        if self.labels_encoder is None:
            raise ValueError(Errors.SM110)
        if not rows:
            return torch.zeros((0, self.structure.width), device=self.device)
        return self.project_labels(self.pool_labels(rows, dropout=dropout))

    def pool_labels(self, rows: Sequence[ArrayLike], *, dropout: float = 0.0) -> Tensor:
        """Vectors of labels as the label encoder gives them, in its own width.

        Args:
            rows: Piece ids of each label, special ones included; at least one label.
            dropout: Least dropout rate of the encoder in training.

        Returns:
            *Shape:* (labels, width of the label encoder).
        """
        batch = PackedBatch.from_sequences(rows, device=self.device)
        hidden = self.token_rep_layer.labels_encoder(batch, dropout=dropout)
        return torch.stack([row.mean(dim=0) for row in batch.split(hidden)])

    def project_labels(self, pooled: Tensor) -> Tensor:
        """Bring what `pool_labels` gave to the width of the words. *Shape:* (labels, width)."""
        has_projection = hasattr(self.token_rep_layer, "labels_projection")
        return self.token_rep_layer.labels_projection(pooled) if has_projection else pooled

    def encode(
        self, rows: Sequence[Row], labels: Tensor | None = None, *, dropout: float = 0.0
    ) -> Features:
        """Vectors of the words and labels of rows.

        Args:
            rows: At least one.
            labels: Bi-encoders: what `encode_labels` gave, for all rows. *Shape:* (labels, width).
            dropout: Least dropout rate of the encoder in training.
        """
        batch = SequenceBatch.of(rows, pooling=self.config.subtoken_pooling, device=self.device)
        hidden = self.token_rep_layer.bert_layer(batch.packed, dropout=dropout)
        words = pool_words(
            self._project(hidden[batch.pieces]),
            batch.words,
            sum(batch.word_counts),
            pooling=self.config.subtoken_pooling,
        )
        if labels is None:
            slices = tuple(batch.label_slices)
            features = Features(
                words, batch.word_counts, self._project(hidden[batch.labels]), slices
            )
        else:
            shared = (slice(0, len(labels)),) * len(rows)
            features = Features(words, batch.word_counts, labels.to(words), shared)
        return self._enhance(features)

    def take(self, rows: Sequence[Row], pieces: Sequence[Tensor], labels: Tensor) -> Features:
        """As `encode` in a bi-encoder, where the text encoder was run by somebody else.

        Args:
            rows: At least one.
            pieces: What it made of the pieces of each row's words. *Shape:* (pieces, width of the
                encoder).
            labels: What `encode_labels` gave, for all rows. *Shape:* (labels, width).
        """
        pooling = self.config.subtoken_pooling
        words = []
        for row, vectors in zip(rows, pieces, strict=True):
            chosen = choose_pieces(row.words, pooling)
            index = torch.from_numpy(row.words[chosen].astype(np.int64)).to(self.device)
            taken = self._project(vectors[torch.from_numpy(chosen)].to(self.device))
            words.append(pool_words(taken, index, row.n_words, pooling=pooling))
        counts = tuple(row.n_words for row in rows)
        shared = (slice(0, len(labels)),) * len(rows)
        return self._enhance(Features(torch.cat(words), counts, labels.to(words[0]), shared))

    def forward(self, features: Features) -> list[Tensor]:
        """Score the spans, or the words, of rows.

        Args:
            features: What `encode` gave.

        Returns:
            One tensor a row. Span models: *Shape:* (words, max_width, labels), -inf where a span
            would leave the row. Token models: *Shape:* (words, labels, 3): start, end, inside.
        """
        row_args = (features.words, features.word_counts)
        if self.config.is_token:
            return self.scorer(*row_args, features.labels, features.label_slices)
        labels = self.prompt_rep_layer(features.labels)
        width = self.config.max_width
        return self.span_rep_layer(*row_args, labels, features.label_slices, max_width=width)

    def score_rows(self, features: Features) -> list[Tensor]:
        """Score the spans, or the words, of rows, in the form that training wants.

        Args:
            features: What `encode` gave.

        Returns:
            One tensor a row. Span models: *Shape:* (spans, labels), no span that would leave the
            row, the narrow ones first. Token models: *Shape:* (words, labels, 3).
        """
        if self.config.is_token:
            return self(features)
        return self.span_rep_layer.rows(
            features.words,
            features.word_counts,
            self.prompt_rep_layer(features.labels),
            features.label_slices,
            max_width=self.config.max_width,
        )

    def score_spans(self, words: Tensor, labels: Tensor, starts: Tensor, ends: Tensor) -> Tensor:
        """Score given spans of one row, of any width; not in token models without spans.

        Args:
            words: One row of `Features.split`. *Shape:* (words, width).
            labels: *Shape:* (labels, width).
            starts: First word of each span. *Shape:* (spans,), int64.
            ends: End of each span, exclusive. *Shape:* (spans,), int64.

        Returns:
            Logits. *Shape:* (spans, labels).
        """
        if not self.config.is_token:
            labels = self.prompt_rep_layer(labels)
        return self.span_rep_layer.at(words, labels, starts, ends)

    def _project(self, vectors: Tensor) -> Tensor:
        has_projection = hasattr(self.token_rep_layer, "projection")
        return self.token_rep_layer.projection(vectors) if has_projection else vectors

    def _enhance(self, features: Features) -> Features:
        """LSTM in uni-encoders, fuser in poly-encoders: both only ever see one row."""
        if hasattr(self, "rnn"):
            words = self.rnn(features.words, features.word_counts)
            return Features(words, features.word_counts, features.labels, features.label_slices)
        if not hasattr(self, "cross_fuser"):
            return features
        fused = [
            self.cross_fuser(words, labels) if len(words) and len(labels) else (words, labels)
            for words, labels in features.split()
        ]
        words, labels = (torch.cat(parts) for parts in zip(*fused, strict=True))
        ends = torch.tensor([len(part) for _, part in fused]).cumsum(0).tolist()
        slices = tuple(
            slice(end - len(part), end) for end, (_, part) in zip(ends, fused, strict=True)
        )
        return Features(words, features.word_counts, labels, slices)


def _marker(structure: Structure, dropout: float) -> MlpMarker | LinearMarker:
    if structure.marker == "marker":
        return LinearMarker(structure.width, dropout=dropout)
    return MlpMarker(structure.width, dropout=dropout, has_mean=structure.marker == "markerV1")
