"""Listeners: how a component reads the vectors of the encoder before it.

A listener of spacy-transformers takes ``doc._.trf_data`` as it is, and zeros if there is none. Here
each Doc is checked: whether the component's own encoder has read it, and whether its tokens are
still those that were read.
"""

# No `from __future__ import annotations`: configs are validated against the types.

import warnings
import weakref
from collections.abc import Callable, Sequence
from typing import Any, List, Tuple  # noqa: UP035 - the types that pydantic knows in thinc

from spacy.tokens import Doc
from spacy.util import registry
from thinc.api import Model, chain
from thinc.types import Floats2d, Ragged

from ...errors import Errors, Warnings
from ..checkpoint_model import CheckpointModel
from .pooling import pool_tokens
from .stock import (
    Transformer,
    TransformerData,
    TransformerListener,
    install_stock_extensions,
    stock_forward,
)

BY_ENCODER = "trf_data_by_encoder"


def install_extensions() -> None:
    """Register ``doc._.trf_data`` and ``doc._.trf_data_by_encoder``."""
    install_stock_extensions()
    if not Doc.has_extension(BY_ENCODER):
        Doc.set_extension(BY_ENCODER, default=None)


# On import, so that a component that is unpickled, or has no encoder before it, finds them.
install_extensions()


class Upstream:
    """The encoder that a listener reads. It is the listener's ``init``, which sets the width.

    `spacy train` does not initialize frozen components, so a listener to a frozen encoder would
    never get its width. The encoder loads its checkpoint for that, unless it has weights already.

    It refers to the encoder weakly, and not at all once it is pickled: a listening component that
    is copied, saved or moved to another pipeline does not take its encoder along.

    Args:
        name: Name of the encoder that the listener asks for.
        component: Name of the component that listens; None if it is not known.
        encoder: The encoder of this name; None if the pipeline has none before the component.
        there: Name of the encoder that it has instead.
    """

    def __init__(
        self,
        name: str,
        component: str | None = None,
        encoder: Transformer | None = None,
        there: str | None = None,
    ) -> None:
        self.name = name
        self.component = "A component" if component is None else f"'{component}'"
        self.encoder = "the encoder" if name == "*" else f"the encoder '{name}'"
        self.there = "none of that name" if there is None else f"'{there}'"
        self.has_encoder = encoder is not None
        # An encoder between the two replaces `doc._.trf_data`.
        self.is_overwritten = bool(getattr(encoder, "later_encoders", None))
        self.has_warned = False
        self._sample: object = None
        self._encoder = None if encoder is None else weakref.ref(encoder)

    def __call__(self, model: Model, X: object = None, Y: object = None) -> None:  # noqa: N803
        """Set the listener's width.

        Raises:
            ValueError: SM070 if there is no encoder to take it from.
        """
        self._sample = X
        encoder = None if self._encoder is None else self._encoder()
        if encoder is not None and isinstance(encoder.model, CheckpointModel):
            encoder.model.initialize()
            model.set_dim("nO", encoder.model.get_dim("nO"), force=True)
        elif encoder is None and model.has_dim("nO") is None:
            raise ValueError(self.message(Errors.SM070))

    def find_data(self, doc: Doc) -> TransformerData | None:
        """Return the encoder's output for a Doc; None if it has none or has other tokens by now."""
        by_encoder = doc._.get(BY_ENCODER)
        if self.is_overwritten or (self.has_encoder and by_encoder is not None):
            data = (by_encoder or {}).get(self.name)
        else:
            data = doc._.trf_data
        is_current = data is not None and len(data.align.lengths) == len(doc)
        return data if is_current else None

    def warn(self, n_missing: int, docs: Sequence[Doc]) -> None:
        """Warn of Docs without vectors: once, until a whole batch has its vectors again.

        The sample that ``nlp.initialize`` finds the sizes of layers with has none.
        """
        if self._is_sample(docs):
            return
        self._sample = None
        if n_missing and not self.has_warned:
            message = self.message(Warnings.SMW041, n=n_missing, total=len(docs))
            warnings.warn(message, stacklevel=3)
        self.has_warned = n_missing > 0

    def _is_sample(self, docs: Sequence[Doc]) -> bool:
        sample = self._sample
        return (
            isinstance(sample, (list, tuple))
            and len(sample) == len(docs)
            and all(one is other for one, other in zip(sample, docs, strict=True))
        )

    def message(self, text: str, **values: object) -> str:
        """Fill in a message, with the names of component and encoder."""
        names = {"component": self.component, "encoder": self.encoder, "there": self.there}
        return text.format(**names, **values)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_encoder": None, "_sample": None}


@registry.architectures("spacy_modernbert.TransformerListener.v1")
def transformer_listener_v1(
    pooling: Model[Ragged, Floats2d], grad_factor: float = 1.0, upstream: str = "*"
) -> Model[List[Doc], List[Floats2d]]:  # noqa: UP006
    """Make the ``tok2vec`` of a component that reads the vectors of the encoder before it.

    The same as ``spacy-transformers.TransformerListener.v1``, which works as well behind a
    ``modernbert``. This one warns of missing vectors in a pipeline without its encoder, too.

    Args:
        pooling: Makes one vector of a token's pieces, such as ``reduce_mean.v1``.
        grad_factor: Factor on the gradient that reaches the encoder. 0 holds it back.
        upstream: Name of the encoder; ``*`` for the nearest one before the component.

    Returns:
        The model. Its output is one array per Doc. *Shape:* (tokens, hidden), float32.
    """
    listener = TransformerListener(upstream)
    connect(listener, Upstream(upstream))
    model: Model[List[Doc], List[Floats2d]] = chain(listener, pool_tokens(pooling, grad_factor))  # noqa: UP006
    model.set_ref("listener", listener)
    return model


def connect(listener: TransformerListener, upstream: Upstream) -> None:
    """Let a listener read an encoder, with every Doc checked."""
    listener.init = upstream
    listener._func = forward


def forward(
    model: TransformerListener,
    docs: List[Doc],  # noqa: UP006
    is_train: bool,
) -> Tuple[List[TransformerData], Callable]:  # noqa: UP006
    """Return what the encoder has made of Docs. Without it, their vectors are zeros.

    Raises:
        ValueError: SM071 if vectors are missing in training, SM072 if they have another width than
            the component was trained with.
    """
    upstream: Upstream = model.init
    if getattr(model, "_batch_id", None) is not None:
        if is_train:
            return stock_forward(model, docs, is_train)
        # A frozen component has not taken what the encoder left for it: the vectors of a batch, and
        # a callback that holds the network.
        model.receive(None, None, None)
    found = [upstream.find_data(doc) for doc in docs]
    n_missing = sum(data is None and len(doc) > 0 for data, doc in zip(found, docs, strict=True))
    if is_train and n_missing:
        raise ValueError(upstream.message(Errors.SM071, n=n_missing, total=len(docs)))
    upstream.warn(n_missing, docs)
    _check_width(model, upstream, [data for data in found if data is not None])
    if is_train:  # in the form that spacy-transformers' pooling has a gradient for
        return [
            data if data is not None and len(doc) else TransformerData.empty()
            for data, doc in zip(found, docs, strict=True)
        ], _nothing
    width, xp = model.get_dim("nO"), model.ops.xp
    return [
        TransformerData.zeros(len(doc), width, xp=xp) if data is None else data
        for data, doc in zip(found, docs, strict=True)
    ], _nothing


def _check_width(model: Model, upstream: Upstream, found: Sequence[TransformerData]) -> None:
    expected = model.maybe_get_dim("nO")
    widths = {data.width for data in found if "last_hidden_state" in data.model_output}
    for width in widths - {expected} if expected is not None else ():
        raise ValueError(upstream.message(Errors.SM072, expected=expected, found=width))


def _nothing(d_data: List[TransformerData]) -> List[Doc]:  # noqa: UP006
    return []
