"""Weights and configuration to a network, with nothing initialized at random."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...encoder.checkpoint import build_encoder
from ...encoder.precision import Precision
from ...encoder.protocol import Encoder
from ...encoder.skip_init import SkipRandomInit
from ...encoder.weights import load_weights, weights_below
from ...errors import Errors
from ..modeling.config import GlinerConfig
from ..modeling.network import Gliner
from ..modeling.structure import LABELS, TEXT, read_structure, used_weights


def build_network(
    config: GlinerConfig,
    state: Mapping[str, Tensor],
    *,
    source: Path | str,
    precision: Precision = "float32",
    device: torch.device | None = None,
) -> Gliner:
    """Build the network around the given weights, with nothing initialized at random.

    Args:
        config: The configuration, with those of the encoders.
        state: Name to weight.
        source: Where the weights come from, for messages.
        precision: Number format of the encoders' matrix products.
        device: Device of the network. Default: the CPU.

    Raises:
        ValueError: SM104 without the configuration of an encoder, SM105 if a weight is not finite,
            SM106 if a part is not supported, SM044 and SM045 if weights do not fit.
    """
    weights = used_weights(state, is_bi=config.is_bi)
    _require_finite(weights, source)
    structure = read_structure(weights, is_token=config.is_token)
    text_config = config.encoder_config
    if text_config is not None:  # it may not count the markers
        text_config = {**text_config, "vocab_size": structure.vocabulary}
    place = device or torch.device("cpu")
    text = _encoder(text_config, weights, TEXT, source, precision, place)
    labels = None
    if structure.has_labels_encoder:
        own_config = config.labels_encoder_config
        labels = _encoder(own_config, weights, LABELS, source, precision, place)
    with SkipRandomInit():
        network = Gliner(config, structure, text, labels)
    # The encoders have their weights already, the rest of the network has not.
    rest = {name: tensor for name, tensor in weights.items() if not name.startswith((TEXT, LABELS))}
    filled = {
        name: tensor
        for name, tensor in network.state_dict().items()
        if name.startswith((TEXT, LABELS))
    }
    load_weights(network, {**rest, **filled})
    return network.to(place).eval()


def incomplete(missing: str, source: Path | str) -> str:
    """Return the message that a checkpoint relies on other repositories for something."""
    return Errors.SM104.format(missing=missing, source=source)


def _encoder(
    config: Mapping[str, Any] | None,
    weights: Mapping[str, Tensor],
    prefix: str,
    source: Path | str,
    precision: Precision,
    device: torch.device,
) -> Encoder:
    if config is None:
        key = "encoder_config" if prefix == TEXT else "labels_encoder_config"
        raise ValueError(incomplete(key, source))
    own = weights_below(weights, prefix)
    return build_encoder(config, own, precision=precision, device=device)


def _require_finite(weights: Mapping[str, Tensor], source: Path | str) -> None:
    for name, tensor in weights.items():
        # One pass over the weights; those whose sum overflows are checked again.
        if not tensor.is_floating_point() or tensor.sum(dtype=torch.float32).isfinite():
            continue
        if not tensor.isfinite().all():
            raise ValueError(Errors.SM105.format(name=name, source=source))
