"""What the packed networks of our own have in common: the number formats of their weights."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import Self

from .precision import cast_parameters, resolve_precision
from .protocol import Encoder
from .weights import compact_weights


class PackedEncoder(Encoder):
    """A network that computes in `precision`, with weights that are stored in it for inference."""

    pads_sequences = False

    def prepare_inference_(self, device: torch.device | str | None = None) -> Self:
        """Store the weights in the format of the products, for inference; norms stay float32.

        Args:
            device: Device that the network will run on. Default: that of its weights.
        """
        cast_parameters(self, resolve_precision(self.precision, device or self.device))
        return self

    def prepare_training_(self) -> Self:
        """Store the weights in float32, for training: small updates would round away."""
        cast_parameters(self, torch.float32)
        return self

    def stored_weights(self) -> dict[str, Tensor]:
        """Return the weights by name, in the number formats in which a checkpoint stores them.

        A network that computes in bfloat16 has float32 weights in training. Its output depends
        only on the rounded ones, so these are stored, at half the size.
        """
        dtype = resolve_precision(self.precision, self.device)
        return compact_weights(
            {
                name: tensor.to(dtype) if tensor.dim() == 2 else tensor
                for name, tensor in self.state_dict().items()
            }
        )
