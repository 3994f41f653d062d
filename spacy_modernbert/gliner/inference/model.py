"""A network with its tokenizers: all that prediction needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ...encoder.protocol import Encoder
from ...encoder.vocabulary import check_vocabulary
from ...errors import Errors, shorten
from ...text.batching import batch_by_budget
from ...text.tokenizer import Ints, PieceTokenizer
from ..modeling.config import GlinerConfig
from ..modeling.network import Gliner
from .label_vectors import LabelVectorCache
from .prompt import PromptBuilder, find_markers

# Pieces of labels that are encoded at a time.
LABEL_BATCH_PIECES = 4096


@dataclass(frozen=True, eq=False)
class GlinerModel:
    """A GLiNER, ready to use.

    Attributes:
        network: The network.
        tokenizer: Tokenizer of the text encoder.
        labels_tokenizer: Tokenizer of the label encoder, if the model has one.
        prompt_builder: Builds input sequences.
        label_vectors: Vectors of labels that were read so far, in a bi-encoder.
    """

    network: Gliner
    tokenizer: PieceTokenizer
    labels_tokenizer: PieceTokenizer | None = None
    prompt_builder: PromptBuilder = field(init=False)
    label_vectors: LabelVectorCache = field(default_factory=LabelVectorCache)

    def __post_init__(self) -> None:
        check_vocabulary(self.tokenizer, self.network.encoder)
        if self.labels_tokenizer is not None and self.network.labels_encoder is not None:
            check_vocabulary(self.labels_tokenizer, self.network.labels_encoder)
        markers = None
        if not self.config.is_bi:
            vocabulary = self.network.structure.vocabulary
            markers = find_markers(self.config, self.tokenizer, vocabulary=vocabulary)
        prompt_builder = PromptBuilder(
            self.tokenizer,
            markers,
            embed_ent_token=self.config.embed_ent_token,
            max_length=_max_length(self.network.encoder, self.tokenizer),
        )
        object.__setattr__(self, "prompt_builder", prompt_builder)

    @property
    def config(self) -> GlinerConfig:
        """The configuration of the checkpoint."""
        return self.network.config

    def encode_labels(self, labels: Sequence[str]) -> Tensor:
        """Compute the vectors of label texts, in a bi-encoder. They hold for any text.

        *Shape:* (labels, width), on the network's device.

        Raises:
            ValueError: SM108 if a label has nothing to read, SM109 if it is too long, SM110
                without a label encoder.
        """
        sequences = self.label_sequences(labels)
        lengths = [len(sequence) for sequence in sequences]
        groups = batch_by_budget(lengths, budget=LABEL_BATCH_PIECES)
        parts = [self.network.encode_labels([sequences[i] for i in group]) for group in groups]
        return torch.cat(parts) if parts else self.network.encode_labels([])

    def vectors_of(self, labels: Sequence[str]) -> Tensor | None:
        """Return the vectors of label texts; only those that are not kept are computed.

        *Shape:* (labels, width), on the network's device. None in a uni-encoder and without labels.
        """
        if not self.config.is_bi or not labels:
            return None
        with torch.inference_mode():
            vectors = self.label_vectors.get(labels, self.encode_labels)
        return vectors.to(self.network.device)

    def without_label_encoder(self) -> GlinerModel:
        """Return the model without its label encoder. Labels whose vectors are kept still work."""
        del self.network.token_rep_layer.labels_encoder
        return GlinerModel(self.network, self.tokenizer, label_vectors=self.label_vectors)

    def label_sequences(self, labels: Sequence[str]) -> list[Ints]:
        """Build the sequence of each label text: its piece ids, *Shape:* (pieces,), int32.

        Raises:
            ValueError: As `encode_labels`.
        """
        tokenizer, encoder = self.labels_tokenizer, self.network.labels_encoder
        if tokenizer is None or encoder is None:
            raise ValueError(Errors.SM110)
        prefix, suffix = tokenizer.prefix_ids, tokenizer.suffix_ids
        most = _max_length(encoder, tokenizer)
        sequences = []
        for label, pieces in zip(labels, tokenizer.encode_texts(labels), strict=True):
            if len(pieces.ids) == 0 or not label.strip():
                raise ValueError(Errors.SM108.format(label=label))
            sequences.append(np.concatenate([prefix, pieces.ids, suffix]).astype(np.int32))
            if most is not None and len(sequences[-1]) > most:
                raise ValueError(Errors.SM109.format(label=shorten(label), most=most))
        return sequences


def _max_length(encoder: Encoder, tokenizer: PieceTokenizer) -> int | None:
    limits = (encoder.max_length, tokenizer.model_max_length)
    return min((limit for limit in limits if limit is not None), default=None)
