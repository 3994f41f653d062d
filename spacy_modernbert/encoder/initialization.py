"""A network with random weights, to be trained from scratch."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from .modernbert import ModernBert
from .modernbert_config import ModernBertConfig

# The published models' own: standard deviation, and where the bell is cut off.
STD, CUTOFF = 0.02, 2.0


def new_encoder(config: ModernBertConfig, *, seed: int) -> ModernBert:
    """Build an encoder with random weights.

    The layers are initialised as the published models were ("Megatron", appendix A of the
    ModernBERT paper): normal with a cut-off, and narrower by the square root of twice the number
    of layers where a block's result enters the residual stream.

    Args:
        config: Sizes and switches.
        seed: Of a generator of its own; torch's global one is left alone.
    """
    generator = torch.Generator().manual_seed(seed)
    encoder = ModernBert(config)
    for name, module in encoder.named_modules():
        if isinstance(module, (nn.Linear, nn.Embedding)):
            into_stream = name.endswith(".Wo")
            std = STD / math.sqrt(2 * config.num_hidden_layers) if into_stream else STD
            limit = CUTOFF * std
            nn.init.trunc_normal_(module.weight, 0.0, std, -limit, limit, generator=generator)
            if getattr(module, "bias", None) is not None:
                nn.init.zeros_(cast(Tensor, module.bias))
    return encoder.eval()
