"""Which weights learn, and at which of the rates."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

from torch import nn

from ..modeling.network import Gliner
from ..modeling.structure import EMBEDDINGS, LABELS, TEXT
from .schedule import Schedule

Freezable: TypeAlias = Literal["embeddings", "encoder", "labels_encoder"]


def parameter_groups(
    network: Gliner, schedule: Schedule, freeze: Iterable[Freezable] = ()
) -> list[dict[str, Any]]:
    """Divide the weights of a network for an optimiser, and freeze some of them.

    What only sits between an encoder and the head (projections, the fuser of layers) learns with
    the head: on a new model it starts from nothing, as the head does.

    Args:
        network: The network.
        schedule: Gives the rates.
        freeze: Parts that stay as they are. ``embeddings`` are the text encoder's, of pieces.

    Returns:
        Groups as torch's optimisers take them; none is empty.
    """
    frozen = _frozen(set(freeze))
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not name.startswith(frozen) and not _is_table(name, freeze))
        if parameter.requires_grad:
            key = name.startswith((TEXT, LABELS)), parameter.dim() > 1
            groups.setdefault(key, []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": schedule.encoder_rate if in_encoder else schedule.head_rate,
            "weight_decay": (schedule.encoder_decay if in_encoder else schedule.head_decay)
            * is_matrix,
        }
        for (in_encoder, is_matrix), parameters in groups.items()
    ]


def _frozen(parts: set[Freezable]) -> tuple[str, ...]:
    prefixes: dict[Freezable, str] = {"encoder": TEXT, "labels_encoder": LABELS}
    return tuple(prefix for part, prefix in prefixes.items() if part in parts)


def _is_table(name: str, freeze: Iterable[Freezable]) -> bool:
    return "embeddings" in freeze and EMBEDDINGS.match(name) is not None
