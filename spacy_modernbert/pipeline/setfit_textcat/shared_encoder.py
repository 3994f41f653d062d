"""The model of a ``setfit_textcat`` that uses the encoder of another component."""

# No `from __future__ import annotations`: configs are validated against the types.

from collections.abc import Callable
from typing import List  # noqa: UP035 - the type that pydantic knows in thinc

from spacy.tokens import Doc
from spacy.util import registry
from thinc.api import Model, chain, list2ragged, reduce_mean
from thinc.types import Floats2d


@registry.architectures("spacy_modernbert.SentenceEncoderListener.v1")
def sentence_encoder_listener_v1(
    tok2vec: Model[List[Doc], List[Floats2d]],  # noqa: UP006
    normalize: bool = True,
) -> Model[List[Doc], Floats2d]:  # noqa: UP006
    """Make the model of a ``setfit_textcat`` pipe that uses the encoder of another component.

    Args:
        tok2vec: Docs to one array each, such as ``spacy-transformers.TransformerListener.v1``.
        normalize: Whether vectors have length one.

    Returns:
        The model: the mean of the vectors of a Doc's tokens. *Shape of its output:* (docs, width).
    """
    return pool_docs(tok2vec, normalize=normalize)


def pool_docs(tok2vec: Model, *, normalize: bool) -> Model[list[Doc], Floats2d]:
    """Make the model that averages the token vectors of each Doc.

    Args:
        tok2vec: Docs to one array each, such as a listener.
        normalize: Whether the vectors have length one.
    """
    layers = [tok2vec, list2ragged(), reduce_mean()]
    model: Model[list[Doc], Floats2d] = chain(*layers, *([to_length_one()] * normalize))
    model.set_ref("tok2vec", tok2vec)
    return model


def to_length_one() -> Model[Floats2d, Floats2d]:
    """Make the layer that scales vectors to length one; zeros stay."""
    return Model("to_length_one", _scale)


def _scale(
    model: Model[Floats2d, Floats2d], vectors: Floats2d, is_train: bool
) -> tuple[Floats2d, Callable[[Floats2d], Floats2d]]:
    xp = model.ops.xp
    lengths = xp.maximum(xp.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    units = vectors / lengths

    def backprop(d_units: Floats2d) -> Floats2d:
        along = (d_units * units).sum(axis=1, keepdims=True)
        return (d_units - units * along) / lengths

    return units, backprop
