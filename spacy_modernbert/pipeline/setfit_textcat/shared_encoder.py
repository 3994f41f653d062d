"""A ``setfit_textcat`` on the encoder of another component: the model, and its vectors."""

# No `from __future__ import annotations`: configs are validated against the types.

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import List  # noqa: UP035 - the type that pydantic knows in thinc

import torch
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import registry
from thinc.api import Model, Optimizer, chain, list2ragged, reduce_mean
from thinc.types import Floats2d

from ...errors import Errors
from ...setfit.arrays import Floats, LabelMatrix
from ...setfit.training.losses import can_contrast, loss_and_gradient, similarities
from ...setfit.training.support_set import SupportSet
from ...setfit.training.support_storage import add_stored_support
from ...text.tokenizer import Ints
from .config import LearningSettings, SetfitTextcatConfig
from .examples import Text
from .progress import Progress
from .selection import Selected, annotated_rows


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
    layers: list[Model] = [tok2vec, list2ragged(), reduce_mean()]
    if normalize:
        layers.append(Model("to_length_one", _scale))
    model: Model[list[Doc], Floats2d] = chain(*layers)
    model.set_ref("tok2vec", tok2vec)
    return model


def _scale(
    model: Model[Floats2d, Floats2d], vectors: Floats2d, is_train: bool
) -> tuple[Floats2d, Callable[[Floats2d], Floats2d]]:
    """Scale vectors to length one; zeros stay."""
    xp = model.ops.xp
    lengths = xp.maximum(xp.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    units = vectors / lengths

    def backprop(d_units: Floats2d) -> Floats2d:
        along = (d_units * units).sum(axis=1, keepdims=True)
        return (d_units - units * along) / lengths

    return units, backprop


class SharedEncoderSource:
    """The encoder of another component, whose vectors Docs bring with them.

    Texts can't be encoded again, so the classifier is made of the vectors that each text had last:
    exact where the encoder is frozen, and a little behind where it is trained. The gradient of each
    batch goes back to the encoder, whose optimizer is that of ``[training]``. For the methods, see
    `SentenceEncoderSource`.
    """

    version: Hashable = 0
    # The schedule is that of `[training]`.
    is_over = False

    def __init__(self, model: Model) -> None:
        self.model = model
        self.has_gradients = False
        self.progress = Progress()

    def load(self, settings: SetfitTextcatConfig) -> None:
        """Leave loading and placing to the component that owns the encoder."""

    def prepare(self, texts: Sequence[Text], nlp: Language | None, name: str) -> Sequence[Text]:
        """Return copies of the Docs that have passed the component with the encoder."""
        copies: Iterable[Doc] = [doc.copy() for doc in texts if isinstance(doc, Doc)]
        for _, pipe in [] if nlp is None else nlp.pipeline:
            if name in getattr(pipe, "listening_components", ()):
                copies = pipe.pipe(copies)  # type: ignore[attr-defined]
        return list(copies)

    def add_to(self, support: SupportSet, given: Selected) -> None:
        """Add Docs that have their vectors; ValueError SM232 where one of them is a text."""
        docs = [doc for doc in given.texts if isinstance(doc, Doc)]
        if len(docs) < len(given.texts):
            raise ValueError(Errors.SM232)
        if docs:
            vectors = self.model.ops.to_numpy(self.model.predict(docs))
            texts = [doc.text for doc in docs]
            support.add_vectors(texts, vectors, given.labels, given.complete)

    def add_stored(self, support: SupportSet, data: bytes, *, source: object) -> None:
        """Add vectors; see `SentenceEncoderSource.add_stored`."""
        add_stored_support(support, data, None, self.version, source=source)

    def embed(self, support: SupportSet, texts: Sequence[str] = ()) -> tuple[Floats, Floats | None]:
        """Return the vectors of a support set; ValueError SM232 where there are other texts."""
        if texts:
            raise ValueError(Errors.SM232)
        return support.vectors(_refuse, self.version), None

    def update(
        self,
        support: SupportSet,
        docs: Sequence[Doc],
        labels: LabelMatrix,
        settings: LearningSettings,
        *,
        drop: float,
        train: bool,
    ) -> float:
        """Add a batch to the support set, and send its gradient to the encoder."""
        self.has_gradients = True
        output, backprop = self.model.begin_update(list(docs))
        vectors = torch.from_numpy(self.model.ops.to_numpy(output)).clone()
        targets = similarities(torch.from_numpy(labels))
        loss, gradient = loss_and_gradient(settings.training.loss, vectors, targets)
        # The encoder waits for the last of its listeners, so it needs a gradient even of zeros.
        train = train and can_contrast(targets)
        backprop(self.model.ops.asarray2f((gradient * float(train)).numpy()))
        chosen = annotated_rows(labels)
        support.add_vectors([docs[i].text for i in chosen], vectors.numpy()[chosen], labels[chosen])
        return loss if can_contrast(targets) else 0.0

    def finish_update(self, sgd: Optimizer | None) -> None:
        """Update the layers of the model itself; the encoder belongs to another component."""
        if sgd:
            self.model.finish_update(sgd)
        self.has_gradients = False

    def end_training(self) -> None:
        """Forget an update that waits for its step."""
        self.has_gradients = False

    @contextmanager
    def unchanged_on_failure(self) -> Iterator[None]:
        """Forget an update that an exception interrupts; weights belong to other components."""
        try:
            yield
        except BaseException:
            self.has_gradients = False
            raise


def _refuse(sequences: Sequence[Ints]) -> Floats:
    raise ValueError(Errors.SM232)
