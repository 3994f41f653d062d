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
    """An encoder under its published name, and the fuser of its layers where there is one."""

    def __init__(self, encoder: Encoder, *, fused_layers: int = 0) -> None:
        super().__init__()
        # Registered is what the checkpoint knows; the wrapper that runs it shares its weights.
        self.model = encoder if isinstance(encoder, ModernBert) else encoder.network
        self._runner = (encoder,)
        if fused_layers:
            self.layers_fuser = LayerFuser(fused_layers, encoder.hidden_size)

    @property
    def encoder(self) -> Encoder:
        """The encoder, behind the interface that takes packed rows."""
        return self._runner[0]

    def forward(self, batch: PackedBatch, *, dropout: float = 0.0) -> Tensor:
        """*Shape:* packed rows to (total, hidden)."""
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
    """Each layer's output, that of a ModernBERT's last layer as it is before the final norm.

    transformers 4 lists them like this, and checkpoints that fuse layers were trained with it.
    """
    if isinstance(encoder, ModernBert):
        # In inference one tensor is updated over and over.
        return [state.clone() for state in encoder.states(batch, dropout=dropout)]
    return encoder.layer_outputs(batch, dropout=dropout)
