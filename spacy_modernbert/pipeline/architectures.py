"""The registered architectures. spaCy imports this file only when a config names one of them."""

# No `from __future__ import annotations`: the types are what configs are validated against.

from typing import List  # noqa: UP035 - the types that pydantic knows in thinc

from spacy.tokens import Doc
from spacy.util import registry
from spacy_transformers.data_classes import FullTransformerBatch
from spacy_transformers.layers import split_trf_batch
from thinc.api import Model, chain
from thinc.types import Floats2d, Ragged

from ..encoder.precision import Precision
from .encoder_model import TOK2VEC, EncoderModel, EncoderSettings
from .fork import guard_forks
from .pooling import pool_tokens
from .rows import Mode
from .versions import check_versions

guard_forks()


@registry.architectures("spacy_modernbert.ModernBertModel.v1")
def modernbert_model_v1(
    name: str,
    max_length: int | None = None,
    stride: int | None = None,
    precision: Precision = "float32",
    mode: Mode = "text",
) -> Model[List[Doc], FullTransformerBatch]:  # noqa: UP006
    """Make the model of a ``transformer`` pipe: one encoder that any number of pipes listen to.

    Weights are not loaded here but in ``nlp.initialize``, from the saved pipeline, or at first use.

    Args:
        name: A checkpoint folder, or a name on the Hugging Face hub. Meant for ModernBERT; any
            encoder that transformers knows works too, without the packed network's speed.
        max_length: Most pieces of a window, special pieces included. None: as the checkpoint says.
            A Doc with more pieces is read in overlapping windows, never cut off.
        stride: Pieces by which neighbouring windows of one Doc overlap. None: an eighth of the
            window. Each token takes its vector from the window that shows most of its context.
        precision: ``float32``, or ``bfloat16`` for weights and matrix products in half the bits,
            on processors that have the instructions.
        mode: ``text`` cuts the text into pieces, as encoders are trained; ``words`` cuts each
            token for itself, without the space before it, as the encoders of GLiNERs are trained.

    Returns:
        The model. Its output holds one row a window, and for each token the places of its pieces.
    """
    check_versions()
    return EncoderModel(EncoderSettings(name, max_length, stride, precision, mode))


@registry.architectures(TOK2VEC)
def modernbert_tok2vec_v1(
    name: str,
    pooling: Model[Ragged, Floats2d],
    grad_factor: float = 1.0,
    max_length: int | None = None,
    stride: int | None = None,
    precision: Precision = "float32",
    mode: Mode = "text",
) -> Model[List[Doc], List[Floats2d]]:  # noqa: UP006
    """Make an encoder that lives inside one component, as its ``tok2vec``.

    Args:
        name: As in ``ModernBertModel.v1``.
        pooling: Makes one vector of a token's pieces, such as ``reduce_mean.v1``.
        grad_factor: Factor on the gradient that reaches the encoder. 0 freezes it.
        max_length: As in ``ModernBertModel.v1``.
        stride: As in ``ModernBertModel.v1``.
        precision: As in ``ModernBertModel.v1``.
        mode: As in ``ModernBertModel.v1``.

    Returns:
        The model. For each Doc one array. *Shape:* (tokens, hidden), float32.
    """
    check_versions()
    encoder = EncoderModel(EncoderSettings(name, max_length, stride, precision, mode))
    # Nested as nlp.replace_listeners nests it, so that what that leaves behind can be loaded.
    return chain(chain(encoder, split_trf_batch()), pool_tokens(pooling, grad_factor))


@registry.architectures("spacy_modernbert.Gliner.v1")
def gliner_v1(name: str, precision: Precision = "float32") -> Model:
    """Make the model of a ``gliner`` pipe.

    Weights are not loaded here but in ``nlp.initialize``, from the saved pipeline, or at first use.

    Args:
        name: A GLiNER checkpoint folder, or a name on the Hugging Face hub.
        precision: Number format of the encoders' matrix products.

    Returns:
        The model. It takes one question about many texts and gives candidates of each.
    """
    from .gliner_model import GlinerLayer

    return GlinerLayer(name, precision=precision)


@registry.architectures("spacy_modernbert.SentenceEncoder.v1")
def sentence_encoder_v1(
    name: str,
    pooling: str | None = None,
    normalize: bool | None = None,
    prompt: str | None = None,
    max_length: int | None = None,
    precision: Precision = "float32",
) -> Model[List[Doc], Floats2d]:  # noqa: UP006
    """Make the model of a ``setfit_textcat`` pipe: Docs to one vector each.

    Weights are not loaded here but in ``nlp.initialize``, from the saved pipeline, or at first use.

    Args:
        name: A folder of sentence-transformers or a plain checkpoint, or a name on the hub.
        pooling: How a text's pieces become its vector. None: as the checkpoint says, which is the
            mean if it says nothing.
        normalize: Whether vectors have length one. None: as the checkpoint says.
        prompt: What to put before every text, "" for nothing. None: as the checkpoint says.
        max_length: Most pieces of a text, special pieces included; longer texts lose their end,
            with a warning. None: as the checkpoint says.
        precision: Number format of weights and matrix products.

    Returns:
        The model. *Shape of its output:* (docs, width), float32.
    """
    from ..setfit.checkpoint import Overrides
    from .setfit_model import SentenceModel, SentenceSettings

    overrides = Overrides(pooling, normalize, prompt, max_length)
    return SentenceModel(SentenceSettings(name, overrides, precision))


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
    from .setfit_listener import pool_docs

    return pool_docs(tok2vec, normalize=normalize)
