"""A new bi-encoder that begins with what its encoders know of likeness.

A head with random weights has to learn from examples that *band* and *musical group* are close,
and for labels it was never trained on it learns nothing. A sentence encoder knows that already: the
vector of a word lies near those of labels that describe it. So the layers are written such that
the score of a span begins as the likeness of its words to the label, and learning goes on from
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

# Share of the random weights that stays behind the identities, so that all units learn.
NOISE = 0.1
_GROUP = 512  # labels that are read at a time


@torch.no_grad()
def init_by_similarity(
    model: GlinerModel, words: Sequence[str], *, strength: float = 0.5, offset: float = -4.0
) -> None:
    """Write the head of a new span bi-encoder so that scores begin as likeness.

    Where the head is narrower than the encoders, both projections begin as the directions in which
    labels and words differ most.

    Args:
        model: A bi-encoder of `new.new_gliner` whose two encoders share a space, such as twice the
            same one.
        words: What the model will read of labels, many of them.
        strength: Factor on the dot product of word and label.
        offset: What is added to the score of a label, on average: most spans are nothing.

    Raises:
        TypeError: Where the model is none of that kind.
    """
    network = model.network
    marker = getattr(getattr(network, "span_rep_layer", None), "span_rep_layer", None)
    if not model.config.is_bi or not isinstance(marker, MlpMarker) or marker.has_mean:
        raise TypeError("A start by likeness needs a new bi-encoder that scores spans")
    if network.structure.projection is not None:
        _project_alike(model, words)
    _be_identity(marker.project_start)
    _be_identity(marker.project_end, sign=-1.0)
    _be_identity(network.prompt_rep_layer)
    _be_difference(marker.out_project, strength)
    mean = torch.cat([model.encode_labels(group) for group in _grouped(words)]).mean(dim=0)
    marker.out_project.outer.bias.copy_(offset * mean / mean.square().sum())


def _project_alike(model: GlinerModel, words: Sequence[str]) -> None:
    """Both projections become the first principal directions of what they will get."""
    network = model.network
    width = network.structure.width
    moments = []
    for group in _grouped(words):
        pooled = network.pool_labels(model.label_rows(group))
        rows = [row.ids for row in model.prompt_builder.encode([word.split() for word in group])]
        read = network.token_rep_layer.bert_layer(
            PackedBatch.from_sequences([row for row in rows if len(row)], device=network.device)
        )
        moments.append(pooled.T @ pooled / len(pooled) + read.T @ read / len(read))
    _, directions = torch.linalg.eigh(torch.stack(moments).mean(dim=0).double())
    basis = directions[:, -width:].T.float()
    for name in ("projection", "labels_projection"):
        layer = cast(nn.Linear, getattr(network.token_rep_layer, name))
        layer.weight.copy_(basis)
        layer.bias.zero_()


def _be_identity(mlp: Mlp, *, sign: float = 1.0) -> None:
    """Begin as x -> x, or x -> -x. *Shape:* (..., width) to the same."""
    width = mlp.inner.in_features
    eye = torch.eye(width)
    mlp.inner.weight[: 2 * width] = torch.cat([eye, -eye])
    _write_outer(mlp, sign * torch.cat([eye, -eye], dim=1))


def _be_difference(mlp: Mlp, strength: float) -> None:
    """Begin as [x, y] -> strength * (x - y), for x and y of at least 0."""
    inputs = mlp.inner.in_features
    half = torch.eye(inputs // 2)
    mlp.inner.weight[:inputs] = torch.eye(inputs)
    _write_outer(mlp, strength * torch.cat([half, -half], dim=1))


def _write_outer(mlp: Mlp, values: Tensor) -> None:
    """The inner units that matter, without constants, and those that are left to learn."""
    units = values.shape[1]
    mlp.inner.bias[:units] = 0.0
    mlp.outer.weight.mul_(NOISE)
    mlp.outer.weight[:, :units] = values
    mlp.outer.bias.zero_()


def _grouped(words: Sequence[str]) -> list[Sequence[str]]:
    return [words[start : start + _GROUP] for start in range(0, len(words), _GROUP)]
