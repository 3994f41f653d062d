"""A new bi-encoder that begins with the similarity of its encoders' vectors.

A head with random weights has to learn from examples that *band* and *musical group* are close,
and learns nothing about labels without examples. A sentence encoder knows that already: the vector
of a word is near those of labels that describe it. So the layers are initialized such that the
score of a span begins as the similarity of its words to the label, and training continues from
there. With relu(x) - relu(-x) = x, each of the head's layers can begin as the identity:

    start layer   s -> s            inner layer   relu(s), relu(-e)
    end layer     e -> -e           outer layer   relu(s) - relu(-e)
    label layer   p -> p

That is s where both are positive and e where both are negative: for a span of one word its vector,
for others something between the first and the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ...encoder.packing import PackedBatch
from ..inference.model import GlinerModel
from ..modeling.layers import Mlp
from ..modeling.span_scorer import MlpMarker

# Factor on the random weights besides the identities, so that all units are trained.
NOISE = 0.1
_LABEL_BATCH = 512  # labels that are read at a time


@torch.no_grad()
def init_by_similarity(
    model: GlinerModel, label_texts: Sequence[str], *, strength: float = 0.5, offset: float = -4.0
) -> None:
    """Initialize the head of a new span bi-encoder so that scores begin as similarity.

    Where the head is narrower than the encoders, both projections begin as the directions in which
    labels and words differ most.

    Args:
        model: A bi-encoder of `new_model.new_gliner` whose two encoders share a vector space, such
            as twice the same one.
        label_texts: Label texts that the model will read, many of them.
        strength: Factor on the dot product of word and label.
        offset: Mean of the offsets of the labels' scores: most spans are no entities.

    Raises:
        TypeError: If the model is not of that kind.
    """
    network = model.network
    marker = getattr(getattr(network, "span_rep_layer", None), "span_rep_layer", None)
    if not model.config.is_bi or not isinstance(marker, MlpMarker) or marker.has_mean:
        raise TypeError("Initialization by similarity needs a new bi-encoder that scores spans")
    if network.structure.projection is not None:
        _project_to_principal_directions(model, label_texts)
    _set_identity(marker.project_start)
    _set_identity(marker.project_end, sign=-1.0)
    _set_identity(network.prompt_rep_layer)
    _set_difference(marker.out_project, strength)
    mean = torch.cat([model.encode_labels(group) for group in _batches(label_texts)]).mean(dim=0)
    marker.out_project.outer.bias.copy_(offset * mean / mean.square().sum())


def _project_to_principal_directions(model: GlinerModel, label_texts: Sequence[str]) -> None:
    """Set both projections to the first principal directions of their inputs."""
    network = model.network
    width = network.structure.width
    moments = []
    for group in _batches(label_texts):
        pooled = network.pool_labels(model.label_sequences(group))
        encoded = model.prompt_builder.encode([text.split() for text in group])
        ids = [pieces.ids for pieces in encoded if len(pieces.ids)]
        batch = PackedBatch.from_sequences(ids, device=network.device)
        hidden = network.token_rep_layer.bert_layer(batch)
        moments.append(pooled.T @ pooled / len(pooled) + hidden.T @ hidden / len(hidden))
    _, directions = torch.linalg.eigh(torch.stack(moments).mean(dim=0).double())
    basis = directions[:, -width:].T.float()
    for name in ("projection", "labels_projection"):
        layer = cast(nn.Linear, getattr(network.token_rep_layer, name))
        layer.weight.copy_(basis)
        layer.bias.zero_()


def _set_identity(mlp: Mlp, *, sign: float = 1.0) -> None:
    """Make a layer compute x -> x, or x -> -x. *Shape:* (..., width) to the same."""
    width = mlp.inner.in_features
    eye = torch.eye(width)
    mlp.inner.weight[: 2 * width] = torch.cat([eye, -eye])
    _set_outer(mlp, sign * torch.cat([eye, -eye], dim=1))


def _set_difference(mlp: Mlp, strength: float) -> None:
    """Make a layer compute [x, y] -> strength * (x - y), for x and y of at least 0."""
    inputs = mlp.inner.in_features
    half = torch.eye(inputs // 2)
    mlp.inner.weight[:inputs] = torch.eye(inputs)
    _set_outer(mlp, strength * torch.cat([half, -half], dim=1))


def _set_outer(mlp: Mlp, values: Tensor) -> None:
    """Set the outer weights of the first units, and shrink those of the others."""
    units = values.shape[1]
    mlp.inner.bias[:units] = 0.0
    mlp.outer.weight.mul_(NOISE)
    mlp.outer.weight[:, :units] = values
    mlp.outer.bias.zero_()


def _batches(label_texts: Sequence[str]) -> list[Sequence[str]]:
    return [
        label_texts[start : start + _LABEL_BATCH]
        for start in range(0, len(label_texts), _LABEL_BATCH)
    ]
