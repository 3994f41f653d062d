"""An encoder inside one component, as its ``tok2vec``: Docs in, one array per Doc out."""

# No `from __future__ import annotations`: configs are validated against the types.

from typing import List  # noqa: UP035 - the types that pydantic knows in thinc

from spacy.tokens import Doc
from spacy.util import registry
from thinc.api import Model, chain
from thinc.types import Floats2d, Ragged

from ...encoder.precision import Precision
from ..versions import check_transformers_versions
from .model import TOK2VEC, WindowSettings, encoder_model
from .pooling import pool_tokens
from .sequences import Mode
from .stock import split_trf_batch


@registry.architectures(TOK2VEC)
def modernbert_tok2vec_v1(
    name: str,
    pooling: Model[Ragged, Floats2d],
    grad_factor: float = 1.0,
    max_length: int | None = None,
    overlap: int | None = None,
    precision: Precision = "float32",
    mode: Mode = "text",
) -> Model[List[Doc], List[Floats2d]]:  # noqa: UP006
    """Make an encoder that lives inside one component, as its ``tok2vec``.

    Args:
        name: As in ``ModernBertModel.v1``.
        pooling: Makes one vector of a token's pieces, such as ``reduce_mean.v1``.
        grad_factor: Factor on the gradient that reaches the encoder. 0 freezes it.
        max_length: As in ``ModernBertModel.v1``.
        overlap: As in ``ModernBertModel.v1``.
        precision: As in ``ModernBertModel.v1``.
        mode: As in ``ModernBertModel.v1``.

    Returns:
        The model. Its output is one array per Doc. *Shape:* (tokens, hidden), float32.
    """
    check_transformers_versions()
    encoder = encoder_model(name, WindowSettings(max_length, overlap, mode), precision)
    # Nested as by nlp.replace_listeners, so that a pipeline that it changed can be loaded.
    return chain(chain(encoder, split_trf_batch()), pool_tokens(pooling, grad_factor))
