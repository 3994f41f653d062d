"""Encoders under their published names, whatever runs them."""

from __future__ import annotations

from typing import TypeAlias

from torch import Tensor, nn

from ...encoder.hf_encoder import HFEncoder
from ...encoder.modernbert import ModernBert
from ...encoder.packing import PackedBatch
from .layers import LayerFuser
from .structure import Structure

Encoder: TypeAlias = "ModernBert | HFEncoder"


class Backbone(nn.Module):
    """An encoder under its published name, with the fuser of its layers if it has one.

    Args:
        encoder: The encoder.
        fused_layers: Number of layers to fuse; 0 for none.
    """

    def __init__(self, encoder: Encoder, *, fused_layers: int = 0) -> None:
        super().__init__()
        # The checkpoint names the network; the encoder around it shares its weights.
        self.model = encoder if isinstance(encoder, ModernBert) else encoder.network
        self._encoder = (encoder,)
        if fused_layers:
            self.layers_fuser = LayerFuser(fused_layers, encoder.hidden_size)

    @property
    def encoder(self) -> Encoder:
        """The encoder, which takes packed sequences."""
        return self._encoder[0]

    def forward(self, batch: PackedBatch, *, dropout: float = 0.0) -> Tensor:
        """*Shape:* packed sequences to (total, hidden)."""
        if not hasattr(self, "layers_fuser"):
            return self.encoder(batch, dropout=dropout)
        return self.layers_fuser(_layer_outputs(self.encoder, batch, dropout), batch.lengths)


class TokenRep(nn.Module):
    """The encoders of a checkpoint and their projections to a common width."""

    def __init__(self, text: Backbone, labels: Backbone | None, structure: Structure) -> None:
        super().__init__()
        self.bert_layer = text
        if structure.projection is not None:
            self.projection = nn.Linear(structure.projection, structure.width)
        if labels is not None:
            self.labels_encoder = labels
        if structure.labels_projection is not None:
            self.labels_projection = nn.Linear(structure.labels_projection, structure.width)


def _layer_outputs(encoder: Encoder, batch: PackedBatch, dropout: float) -> list[Tensor]:
    """Return each layer's output, for the last layer of a ModernBERT before its final norm.

    transformers 4 returns the outputs like this, and checkpoints that fuse layers were trained so.
    """
    if isinstance(encoder, ModernBert):
        # In inference one tensor is updated in place by all layers.
        return [state.clone() for state in encoder.states(batch, dropout=dropout)]
    return encoder.layer_outputs(batch, dropout=dropout)
