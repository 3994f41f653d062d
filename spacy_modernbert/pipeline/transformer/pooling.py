"""From the vectors of pieces to one vector per token."""

# No `from __future__ import annotations`: configs are validated against the types.

from collections.abc import Callable
from typing import List, Literal, Tuple  # noqa: UP035 - the types that pydantic knows in thinc

from spacy.util import registry
from thinc.api import Model, reduce_first, reduce_last, reduce_max, reduce_mean
from thinc.types import Floats2d, Ragged

from .stock import TransformerData, trfs2arrays

_REDUCTIONS = {
    "mean": reduce_mean,
    "first": reduce_first,
    "last": reduce_last,
    "max": reduce_max,
}


@registry.layers("spacy_modernbert.reduce_pieces.v1")
def reduce_pieces(mode: Literal["mean", "first", "last", "max"]) -> Model[Ragged, Floats2d]:
    """Make the layer that pools a token's pieces into one vector: zeros for a token without pieces.

    White space can be a token without a piece of its own. thinc's ``reduce_first``, ``reduce_last``
    and ``reduce_max`` stop with an error at such a token.

    Args:
        mode: The vector of a token: the mean or maximum of its pieces, or its first or last piece.

    Returns:
        The layer. *Shape:* (pieces, hidden) ragged by token, to (tokens, hidden).
    """
    return Model("reduce_pieces", _reduce, layers=[_REDUCTIONS[mode]()])


def _reduce(
    model: Model[Ragged, Floats2d], pieces: Ragged, is_train: bool
) -> Tuple[Floats2d, Callable[[Floats2d], Ragged]]:  # noqa: UP006
    lengths = model.ops.asarray1i(pieces.lengths)
    filled = lengths > 0
    tokens = model.ops.alloc2f(len(lengths), pieces.dataXd.shape[1])
    if not filled.any():
        return tokens, _only_zeros(pieces)
    reduced, finish = model.layers[0](Ragged(pieces.dataXd, lengths[filled]), is_train)
    tokens[filled] = reduced

    def backprop(d_tokens: Floats2d) -> Ragged:
        return Ragged(finish(d_tokens[filled]).dataXd, lengths)

    return tokens, backprop


def _only_zeros(pieces: Ragged) -> Callable[[Floats2d], Ragged]:
    def backprop(d_tokens: Floats2d) -> Ragged:
        return Ragged(pieces.dataXd * 0, pieces.lengths)

    return backprop


def pool_tokens(
    pooling: Model[Ragged, Floats2d], grad_factor: float
) -> Model[List[TransformerData], List[Floats2d]]:  # noqa: UP006
    """Make spacy-transformers' pooling layer, extended to batches of empty Docs only.

    Args:
        pooling: Makes one vector of a token's pieces.
        grad_factor: Factor on the gradient.
    """
    stock = trfs2arrays(pooling, grad_factor)
    return Model(stock.name, _pool, layers=stock.layers, attrs=stock.attrs)


def _pool(
    model: Model[List[TransformerData], List[Floats2d]],  # noqa: UP006
    docs: List[TransformerData],  # noqa: UP006
    is_train: bool,
) -> Tuple[List[Floats2d], Callable]:  # noqa: UP006
    if any(len(doc.align.lengths) for doc in docs):
        stock = trfs2arrays(model.layers[0], model.attrs["grad_factor"])
        return stock(docs, is_train)
    return [model.ops.alloc2f(0, doc.width) for doc in docs], _nothing


def _nothing(d_arrays: List[Floats2d]) -> List[TransformerData]:  # noqa: UP006
    return []
