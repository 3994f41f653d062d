"""A network with its tokenizers: everything that answers for texts and labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ..errors import Errors
from ..text.pieces import Ints, Piecer
from ..text.windows import batch_by_budget
from .config import GlinerConfig
from .network import Gliner
from .prompt import Prompter, find_markers

# Pieces of labels that are encoded at a time.
_LABEL_BUDGET = 4096


@dataclass(frozen=True, eq=False)
class GlinerModel:
    """A GLiNER, ready to use.

    Attributes:
        network: The network.
        piecer: Tokenizer of the text encoder.
        labels_piecer: Tokenizer of the label encoder, where there is one.
        prompter: Writes rows.
    """

    network: Gliner
    piecer: Piecer
    labels_piecer: Piecer | None = None
    prompter: Prompter = field(init=False)

    def __post_init__(self) -> None:
        markers = None
        if not self.config.is_bi:
            vocabulary = self.network.structure.vocabulary
            markers = find_markers(self.config, self.piecer, vocabulary=vocabulary)
        limits = (self.network.encoder.max_length, self.piecer.model_max_length)
        prompter = Prompter(
            self.piecer,
            markers,
            embed_ent_token=self.config.embed_ent_token,
            max_length=min((limit for limit in limits if limit is not None), default=None),
        )
        object.__setattr__(self, "prompter", prompter)

    @property
    def config(self) -> GlinerConfig:
        """The configuration of the checkpoint."""
        return self.network.config

    def encode_labels(self, labels: Sequence[str]) -> Tensor:
        """Vectors of labels, in a bi-encoder: to be computed once, kept, and given to any text.

        Args:
            labels: What the model reads of each label.

        Returns:
            *Shape:* (labels, width), on the network's device.

        Raises:
            ValueError: SM108 where a label has nothing to read, SM109 where it is too long, SM110
                where there is no label encoder.
        """
        rows = self.label_rows(labels)
        groups = batch_by_budget([len(row) for row in rows], budget=_LABEL_BUDGET)
        parts = [self.network.encode_labels([rows[i] for i in group]) for group in groups]
        return torch.cat(parts) if parts else self.network.encode_labels([])

    def label_rows(self, labels: Sequence[str]) -> list[Ints]:
        """Write the row of each label for the label encoder.

        Args:
            labels: What the model reads of each label.

        Returns:
            Piece ids of each, special ones included. *Shape:* (pieces,), int32.

        Raises:
            ValueError: As `encode_labels`.
        """
        if self.labels_piecer is None or self.network.labels_encoder is None:
            raise ValueError(Errors.SM110)
        prefix, suffix = self.labels_piecer.prefix_ids, self.labels_piecer.suffix_ids
        limits = (self.network.labels_encoder.max_length, self.labels_piecer.model_max_length)
        most = min((limit for limit in limits if limit is not None), default=None)
        rows = []
        for label, row in zip(labels, self.labels_piecer.encode_texts(labels), strict=True):
            if len(row.ids) == 0 or not label.strip():
                raise ValueError(Errors.SM108.format(label=label))
            rows.append(np.concatenate([prefix, row.ids, suffix]).astype(np.int32))
            if most is not None and len(rows[-1]) > most:
                raise ValueError(Errors.SM109.format(label=label, most=most))
        return rows
