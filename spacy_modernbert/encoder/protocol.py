"""The interface of every encoder. Callers never ask for its class."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn
from typing_extensions import Self

from .packing import PackedBatch
from .precision import Precision
from .weights import compact_weights


class EncoderConfig(Protocol):
    """The part of a ``config.json`` that every encoder has."""

    @property
    def model_type(self) -> str:
        """Name of the architecture, as transformers spells it."""
        ...

    @property
    def hidden_size(self) -> int:
        """Width of the output vectors."""
        ...

    @property
    def num_attention_heads(self) -> int:
        """Attention heads of each layer."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Return the content of the ``config.json`` that describes the network."""
        ...


class Encoder(nn.Module, ABC):
    """A network that turns packed sequences of pieces into one vector a piece.

    Parameters, and hence the state dict, carry the names of the published checkpoints.

    Attributes:
        config: Sizes and switches of the network.
        precision: Number format of the matrix products, where the device has it.
        pads_sequences: Whether sequences of unequal length cost padding in one batch, so that
            callers do well to batch sequences of similar length.
    """

    config: EncoderConfig
    precision: Precision
    pads_sequences: ClassVar[bool]

    @property
    def hidden_size(self) -> int:
        """Width of the output vectors."""
        return self.config.hidden_size

    @property
    def num_attention_heads(self) -> int:
        """Attention heads of each layer."""
        return self.config.num_attention_heads

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.parameters()).device

    @property
    @abstractmethod
    def max_length(self) -> int | None:
        """Most pieces of a sequence, special tokens included; None for no limit."""

    @property
    @abstractmethod
    def input_embeddings(self) -> nn.Embedding:
        """Table of piece embeddings."""

    @abstractmethod
    def forward(self, batch: PackedBatch, *, dropout: float = 0.0) -> Tensor:
        """Encode sequences.

        Args:
            batch: Sequences of pieces, on the device of the weights.
            dropout: Lowest dropout rate in training mode; higher rates of the checkpoint stay.

        Returns:
            *Shape:* (total, hidden), float32.
        """

    @abstractmethod
    def layer_outputs(
        self, batch: PackedBatch, *, dropout: float = 0.0, final_norm: bool = True
    ) -> list[Tensor]:
        """Encode sequences and return the output of every layer, the last one last.

        Args:
            batch: As in `forward`.
            dropout: As in `forward`.
            final_norm: Whether the last output is normalized, in a network that has a norm after
                its last layer. transformers 4 leaves it out of the layers that it lists.

        Returns:
            One tensor a layer. *Shape:* (total, hidden), float32.
        """

    @abstractmethod
    def prepare_training_(self) -> Self:
        """Store the weights in float32, for training: small updates would round away."""

    def stored_weights(self) -> dict[str, Tensor]:
        """Return the weights by name, in the number formats in which a checkpoint stores them."""
        return compact_weights(self.state_dict())
