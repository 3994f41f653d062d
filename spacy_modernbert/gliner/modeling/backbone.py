"""Encoders under their published names, whatever runs them."""

from __future__ import annotations

from torch import Tensor, nn

from ...encoder.packing import PackedBatch
from ...encoder.protocol import Encoder
from .layers import LayerFuser
from .structure import Structure


class Backbone(nn.Module):
    """An encoder under its published name, with the fuser of its layers if it has one.

    Args:
        encoder: The encoder.
        fused_layers: Number of layers to fuse; 0 for none.
    """

    def __init__(self, encoder: Encoder, *, fused_layers: int = 0) -> None:
        super().__init__()
        self.model = encoder
        if fused_layers:
            self.layers_fuser = LayerFuser(fused_layers, encoder.hidden_size)

    @property
    def encoder(self) -> Encoder:
        """The encoder."""
        return self.model

    def forward(self, batch: PackedBatch, *, dropout: float = 0.0) -> Tensor:
        """*Shape:* packed sequences to (total, hidden)."""
        if not hasattr(self, "layers_fuser"):
            return self.encoder(batch, dropout=dropout)
        # As transformers 4 lists the layers: checkpoints that fuse them were trained with that.
        outputs = self.encoder.layer_outputs(batch, dropout=dropout, final_norm=False)
        return self.layers_fuser(outputs, batch.lengths)


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
