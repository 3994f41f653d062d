"""Which weights are trained, and at which learning rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from ...encoder.optimizer import decay_groups
from ..modeling.network import Gliner
from ..modeling.structure import EMBEDDINGS, LABELS, TEXT
from .config import Freezable, GlinerOptimizerConfig

_ENCODERS: dict[Freezable, str] = {"encoder": TEXT, "labels_encoder": LABELS}


def parameter_groups(
    network: Gliner, config: GlinerOptimizerConfig, freeze: Sequence[Freezable] = ()
) -> list[dict[str, Any]]:
    """Divide the weights of a network for an optimizer, and freeze some of them.

    Layers between an encoder and the head (projections, the fuser of layers) are trained with the
    head: in a new model they start at random, as the head does.

    Args:
        network: The network.
        config: Learning rates and weight decay.
        freeze: Parts that stay as they are. ``embeddings`` are those of the text encoder's pieces.

    Returns:
        Groups as torch's optimizers take them; none is empty.
    """
    frozen = tuple(prefix for part, prefix in _ENCODERS.items() if part in freeze)
    encoders: list[nn.Parameter] = []
    head: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        is_embedding = "embeddings" in freeze and EMBEDDINGS.match(name) is not None
        parameter.requires_grad_(not is_embedding and not name.startswith(frozen))
        (encoders if name.startswith((TEXT, LABELS)) else head).append(parameter)
    return [
        *decay_groups(encoders, learn_rate=config.learn_rate, weight_decay=config.weight_decay),
        *decay_groups(
            head, learn_rate=config.head_learn_rate, weight_decay=config.head_weight_decay
        ),
    ]
