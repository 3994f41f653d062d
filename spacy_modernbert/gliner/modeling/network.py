"""The network: sequences to vectors of words and labels, and vectors to scores.

Parameters have the names of published checkpoints, whatever their kind::

    token_rep_layer.bert_layer.model.*        text encoder (uni-encoders: labels, too)
    token_rep_layer.labels_encoder.model.*    label encoder (bi-encoders)
    rnn.lstm.*                                LSTM over words (uni-encoders)
    cross_fuser.*                             attention between labels and words (poly-encoders)
    span_rep_layer.*, prompt_rep_layer.*      scores of spans
    scorer.*                                  scores of words
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from ...encoder.packing import PackedBatch
from ...encoder.protocol import Encoder
from ...errors import Errors
from .backbone import Backbone, TokenRep
from .config import GlinerConfig
from .layers import CrossFuser, Mlp, WordLstm
from .sequence_batch import (
    InputSequence,
    SequenceBatch,
    choose_pieces,
    consecutive_slices,
    pool_words,
)
from .span_scorer import LinearMarker, MlpMarker, SpanScorer
from .structure import Structure
from .token_scorer import TokenScorer


@dataclass(frozen=True, eq=False)
class Features:
    """Vectors of the words and labels of a batch.

    Attributes:
        words: Words of all sequences. *Shape:* (total, width).
        word_counts: Number of words of each sequence.
        labels: Labels of all sequences, or those that all of them share. *Shape:* (labels, width).
        label_slices: Which of the labels belong to each sequence.
    """

    words: Tensor
    word_counts: tuple[int, ...]
    labels: Tensor
    label_slices: tuple[slice, ...]

    @classmethod
    def with_shared_labels(
        cls, words: Tensor, word_counts: tuple[int, ...], labels: Tensor
    ) -> Features:
        """Make the features of a batch whose sequences all have the same labels."""
        slices = (slice(0, len(labels)),) * len(word_counts)
        return cls(words, word_counts, labels.to(words), slices)

    def split(self) -> list[tuple[Tensor, Tensor]]:
        """Return the words and the labels of each sequence."""
        words = torch.split(self.words, list(self.word_counts))
        pairs = zip(words, self.label_slices, strict=True)
        return [(part, self.labels[which]) for part, which in pairs]


class Gliner(nn.Module):
    """A GLiNER of any of the main kinds.

    Args:
        config: The configuration of the checkpoint.
        structure: The parts that the checkpoint has weights for.
        text: The text encoder.
        labels: The label encoder. None in uni-encoders, and in bi-encoders that were saved with
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
        text_side, label_side = Backbone(text, fused_layers=structure.fuser), None
        if labels is not None:
            label_side = Backbone(labels, fused_layers=structure.labels_fuser)
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
        """The device of the weights."""
        return next(self.parameters()).device

    @property
    def has_span_scorer(self) -> bool:
        """Whether the model can score a span as such, and not by its words alone."""
        return self.structure.marker is not None

    @property
    def encoder(self) -> Encoder:
        """The text encoder."""
        return self.token_rep_layer.bert_layer.encoder

    @property
    def labels_encoder(self) -> Encoder | None:
        """The label encoder, if the model has one."""
        backbone = getattr(self.token_rep_layer, "labels_encoder", None)
        return None if backbone is None else cast(Backbone, backbone).encoder

    def encode_labels(self, sequences: Sequence[ArrayLike], *, dropout: float = 0.0) -> Tensor:
        """Compute the vectors of labels, in a bi-encoder. They hold for any text.

        *Shape:* piece ids of each label, special ones included, to (labels, width).

        Raises:
            ValueError: SM110 without a label encoder.
        """
        if self.labels_encoder is None:
            raise ValueError(Errors.SM110)
        if not sequences:
            return torch.zeros((0, self.structure.width), device=self.device)
        return self.project_labels(self.pool_labels(sequences, dropout=dropout))

    def pool_labels(self, sequences: Sequence[ArrayLike], *, dropout: float = 0.0) -> Tensor:
        """Compute the vectors of at least one label in the width of the label encoder.

        *Shape:* as `encode_labels`, to (labels, width of the label encoder).
        """
        batch = PackedBatch.from_sequences(sequences, device=self.device)
        hidden = self.token_rep_layer.labels_encoder(batch, dropout=dropout)
        return torch.stack([part.mean(dim=0) for part in batch.split(hidden)])

    def project_labels(self, pooled: Tensor) -> Tensor:
        """Project the output of `pool_labels` to the width of words. *Shape:* (labels, width)."""
        has_projection = hasattr(self.token_rep_layer, "labels_projection")
        return self.token_rep_layer.labels_projection(pooled) if has_projection else pooled

    def encode(
        self,
        sequences: Sequence[InputSequence],
        labels: Tensor | None = None,
        *,
        dropout: float = 0.0,
    ) -> Features:
        """Compute the vectors of the words and labels of sequences.

        Args:
            sequences: At least one.
            labels: Bi-encoders: the output of `encode_labels`, for all sequences. *Shape:*
                (labels, width).
            dropout: Least dropout rate of the encoder in training.
        """
        pooling = self.config.subtoken_pooling
        batch = SequenceBatch.of(sequences, pooling=pooling, device=self.device)
        hidden = self.token_rep_layer.bert_layer(batch.packed, dropout=dropout)
        pieces, counts = self._project(hidden[batch.pieces]), batch.word_counts
        words = pool_words(pieces, batch.words, sum(counts), pooling=pooling)
        if labels is not None:
            return self._enhance(Features.with_shared_labels(words, counts, labels))
        own_labels = self._project(hidden[batch.labels])
        return self._enhance(Features(words, counts, own_labels, batch.label_slices))

    def encode_from_vectors(
        self, sequences: Sequence[InputSequence], pieces: Sequence[Tensor], labels: Tensor
    ) -> Features:
        """Do as `encode` in a bi-encoder whose text encoder has been run elsewhere.

        ``pieces`` is its output for the pieces of each sequence's words, *Shape:* (pieces, width of
        the encoder), and ``labels`` that of `encode_labels`, *Shape:* (labels, width).
        """
        pooling = self.config.subtoken_pooling
        words = []
        for sequence, vectors in zip(sequences, pieces, strict=True):
            chosen = choose_pieces(sequence.words, pooling)
            index = torch.from_numpy(sequence.words[chosen].astype(np.int64)).to(self.device)
            projected = self._project(vectors[torch.from_numpy(chosen)].to(self.device))
            words.append(pool_words(projected, index, sequence.n_words, pooling=pooling))
        counts = tuple(sequence.n_words for sequence in sequences)
        return self._enhance(Features.with_shared_labels(torch.cat(words), counts, labels))

    def forward(self, features: Features) -> list[Tensor]:
        """Score the spans, or the words, of sequences: logits, one tensor per sequence.

        Span models score all spans up to the greatest width, in the order of `span_layout`,
        *Shape:* (spans, labels); token models start, end and inside, *Shape:* (words, labels, 3).
        """
        words, counts, slices = features.words, features.word_counts, features.label_slices
        if self.config.is_token:
            return self.scorer(words, counts, features.labels, slices)
        labels = self.prompt_rep_layer(features.labels)
        return self.span_rep_layer(words, counts, labels, slices, max_width=self.config.max_width)

    def score_spans(self, words: Tensor, labels: Tensor, starts: Tensor, ends: Tensor) -> Tensor:
        """Score single spans of one sequence, of any width; needs a span scorer.

        *Shape:* a pair of `Features.split`, first words and exclusive ends, two of (spans,), int64,
        to logits, (spans, labels).
        """
        if not self.config.is_token:
            labels = self.prompt_rep_layer(labels)
        return self.span_rep_layer.score_spans(words, labels, starts, ends)

    def _project(self, vectors: Tensor) -> Tensor:
        has_projection = hasattr(self.token_rep_layer, "projection")
        return self.token_rep_layer.projection(vectors) if has_projection else vectors

    def _enhance(self, features: Features) -> Features:
        """Apply the LSTM of uni-encoders or the fuser of poly-encoders, sequence by sequence."""
        if hasattr(self, "rnn"):
            return replace(features, words=self.rnn(features.words, features.word_counts))
        if not hasattr(self, "cross_fuser"):
            return features
        fused = [
            self.cross_fuser(words, labels) if len(words) and len(labels) else (words, labels)
            for words, labels in features.split()
        ]
        words, labels = (torch.cat(parts) for parts in zip(*fused, strict=True))
        slices = consecutive_slices([len(part) for _, part in fused])
        return Features(words, features.word_counts, labels, slices)


def _marker(structure: Structure, dropout: float) -> MlpMarker | LinearMarker:
    if structure.marker == "marker":
        return LinearMarker(structure.width, dropout=dropout)
    return MlpMarker(structure.width, dropout=dropout, has_mean=structure.marker == "markerV1")
