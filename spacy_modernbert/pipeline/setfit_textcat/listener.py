"""`setfit_textcat` on the encoder of another component: vectors come with the Docs."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, List  # noqa: UP035 - the types that pydantic knows in thinc

import numpy as np
import torch
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import registry
from thinc.api import Model, Optimizer, chain, list2ragged, reduce_mean
from thinc.types import Floats2d

from ...errors import Errors
from ...setfit.head.logistic_regression import Floats
from ...setfit.training.batches import Labels
from ...setfit.training.best_checkpoint import Evaluator
from ...setfit.training.losses import LOSSES, similarities
from ...text.tokenizer import Ints
from ..checkpoint_model import CheckpointModel
from .examples import Text
from .learner import Learner, Settings, schedule_of


def make_learner(model: Model) -> Learner:
    """Give the learner that suits a model."""
    return Learner(model) if isinstance(model, CheckpointModel) else ListeningLearner(model)


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
    """Make one vector a Doc of those of its tokens: their mean.

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


class ListeningLearner(Learner):
    """Learns from the vectors that Docs bring with them.

    A text can't be encoded again, so the classifier is made of the vectors of the last time that
    each text was seen: exact where the encoder is frozen, and a little behind where it is trained.
    With ``train_encoder`` the loss of each batch goes back to the encoder, whose optimiser is that
    of ``[training]``.
    """

    is_listening = True

    @property
    def is_averaged(self) -> bool:
        """Never: the vectors are those of the training."""
        return False

    def load(self, cfg: Settings) -> None:
        """Do nothing: the encoder is not ours."""

    def prepare(self, docs: Sequence[Doc], nlp: Language | None, name: str) -> Sequence[Doc]:
        """Let copies of the Docs pass through the component that this one listens to."""
        copies: Iterable[Doc] = [doc.copy() for doc in docs]
        for _, pipe in [] if nlp is None else nlp.pipeline:
            if name in getattr(pipe, "listening_components", ()):
                copies = pipe.pipe(copies)  # type: ignore[attr-defined]
        return list(copies)

    def collect(self, given: Sequence[Text], labels: Labels, cfg: Settings) -> None:
        """Take in Docs that have their vectors.

        Raises:
            ValueError: SM232 where there are texts among them.
        """
        docs = [doc for doc in given if isinstance(doc, Doc)]
        if len(docs) < len(given):
            raise ValueError(Errors.SM232.format(name="setfit_textcat"))
        if docs:
            self._collect(docs, self.model.ops.to_numpy(self.model.predict(docs)), labels)

    def tokenize(self, texts: Sequence[str]) -> list[Ints]:
        """Refuse: there is no tokenizer.

        Raises:
            ValueError: SM232, unless there are no texts.
        """
        if texts:
            raise ValueError(Errors.SM232.format(name="setfit_textcat"))
        return []

    def encode(self, rows: Sequence[Ints]) -> Floats:
        """Give the vectors of no rows; there are no others."""
        return np.zeros((0, self.support.width), dtype=np.float32)

    def warn(self) -> None:
        """Say what is wrong with the texts that were taken in."""
        self.warn_of_conflicts()

    def tune(
        self, cfg: Settings, steps: Iterable[int], *, total: int, judge: Evaluator | None = None
    ) -> None:
        """Do nothing: the encoder learns with the rest of the pipeline."""

    def update(self, given: Sequence[Text], labels: Labels, cfg: Settings, *, drop: float) -> float:
        """Learn from a batch alone, and send the gradient to the encoder."""
        self._is_open = True
        docs = [doc for doc in given if isinstance(doc, Doc)]
        vectors, backprop = self.model.begin_update(docs)
        found = torch.from_numpy(self.model.ops.to_numpy(vectors)).clone().requires_grad_()
        loss = LOSSES[schedule_of(cfg).loss](found, similarities(torch.from_numpy(labels)))
        loss.backward()
        gradient = found.grad if found.grad is not None else torch.zeros_like(found)
        trains = cfg["train_encoder"] and self._has_started
        # The encoder waits for the last of its listeners, so that it has to be told even of zeros.
        backprop(self.model.ops.asarray2f((gradient * float(trains)).numpy()))
        self._collect(docs, found.detach().numpy(), labels)
        self.warn()
        return float(loss.detach())

    def finish(self, sgd: Optimizer | None, cfg: Settings) -> None:
        """Take note of the end of a step; layers of the model's own are updated."""
        if sgd:
            self.model.finish_update(sgd)
        super().finish(sgd, cfg)

    def _collect(self, docs: Sequence[Doc], vectors: Any, labels: Labels) -> None:
        known = np.flatnonzero(~np.isnan(labels).all(axis=1)).tolist()
        texts = [docs[i].text for i in known]
        self.support.add_vectors(texts, np.asarray(vectors, np.float32)[known], labels[known])
        self.is_stale = True
