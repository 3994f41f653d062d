"""Networks with random weights, to be trained from scratch."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from .modernbert import ModernBert
from .modernbert_config import ModernBertConfig

# Standard deviation of the published models, and the cut-off as a multiple of it.
STD, CUTOFF = 0.02, 2.0


def new_encoder(config: ModernBertConfig, *, seed: int) -> ModernBert:
    """Build an encoder with random weights.

    Layers are initialized as the published models were ("Megatron", appendix A of the
    ModernBERT paper): a truncated normal distribution, narrower by the square root of twice the
    number of layers for weights whose output enters the residual stream.

    Args:
        config: Sizes and switches.
        seed: Seed of a separate generator; the global one of torch is not used.
    """
    generator = torch.Generator().manual_seed(seed)
    encoder = ModernBert(config)
    for name, module in encoder.named_modules():
        if isinstance(module, (nn.Linear, nn.Embedding)):
            is_output = name.endswith(".Wo")
            std = STD / math.sqrt(2 * config.num_hidden_layers) if is_output else STD
            limit = CUTOFF * std
            nn.init.trunc_normal_(module.weight, 0.0, std, -limit, limit, generator=generator)
            if getattr(module, "bias", None) is not None:
                nn.init.zeros_(cast(Tensor, module.bias))
    return encoder.eval()
