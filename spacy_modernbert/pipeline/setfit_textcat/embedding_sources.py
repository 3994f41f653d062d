"""Where the sentence vectors of a ``setfit_textcat`` come from, and how training changes them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc
from thinc.api import Optimizer

from ...setfit.arrays import Floats, LabelMatrix
from ...setfit.training.config import SetfitTrainingConfig
from ...setfit.training.support_set import LabeledTexts, SupportSet
from ...setfit.training.trainer import SentenceEncoderTrainer
from ...text.tokenizer import Ints
from ..checkpoint_model import CheckpointModel
from ..devices import find_device
from .config import LearningSettings
from .examples import EXAMPLE_BATCH, Text, annotated_rows, text_of
from .model import warn_of_truncation


class SentenceEncoderSource:
    """The component's own sentence encoder, which can encode texts again after each step."""

    def __init__(self, model: CheckpointModel) -> None:
        self.model = model
        self._trainer: SentenceEncoderTrainer | None = None
        # Changes of the weights by trainings that have ended.
        self._n_updates = 0

    @property
    def version(self) -> tuple[int, bool, bool]:
        """Changes of the weights, whether averages replace them, and whether they are final."""
        trainer = self._trainer
        raw = trainer is not None and trainer.needs_interpolation
        n_updates = self._n_updates + (0 if trainer is None else trainer.n_updates)
        return n_updates, self.model.shim.is_averaged, raw

    @property
    def has_gradients(self) -> bool:
        """Whether an update waits for its step."""
        return self._trainer is not None and self._trainer.has_gradients

    def load(self, device: str) -> None:
        """Load the weights, and move them to a device."""
        self.model.initialize()
        self.model.shim.place(find_device(device))

    def prepare(self, texts: Sequence[Text], nlp: Language | None, name: str) -> Sequence[Text]:
        """Return texts with all that the model needs from components before this one."""
        return texts

    def tokenize(self, texts: Sequence[str]) -> list[Ints]:
        """Return the piece ids of texts; long ones lose their end, with a warning."""
        encoder = self.model.checkpoint
        tokenized = encoder.tokenize(texts)
        warn_of_truncation(encoder, len(tokenized.truncated), len(texts))
        return tokenized.sequences

    def encode(self, sequences: Sequence[Ints]) -> Floats:
        """Return vectors under the weights in use. *Shape:* (sequences, width)."""
        return self.model.checkpoint.encode(sequences)

    def add_to(self, support: SupportSet, texts: Sequence[Text], labels: LabelMatrix) -> None:
        """Add texts to a support set. *Shape of the labels:* (texts, labels)."""
        for start in range(0, len(texts), EXAMPLE_BATCH):
            part = [text_of(text) for text in texts[start : start + EXAMPLE_BATCH]]
            support.add(part, self.tokenize(part), labels[start : start + EXAMPLE_BATCH])

    def add_stored(self, support: SupportSet, data: bytes, *, source: object) -> None:
        """Add what `SupportSet.to_bytes` returned; ``source`` names its origin in messages."""
        support.add_bytes(data, self.tokenize, self.version, source=source)

    def embed(self, support: SupportSet, texts: Sequence[str] = ()) -> tuple[Floats, Floats | None]:
        """Return the vectors of a support set, followed by those of texts.

        Returns:
            Vectors under the weights in use, and under those before the training, if there was
            one. *Shape:* (texts, width).
        """
        trainer = self._trainer
        if trainer is not None:
            trainer.interpolate_()
        sequences = self.tokenize(texts)
        vectors = _concatenate(support.vectors(self.encode, self.version), self.encode(sequences))
        is_trained = trainer is not None and trainer.n_updates > 0
        if not is_trained and not support.has_initial_vectors:
            return vectors, None
        with contextlib.nullcontext() if trainer is None else trainer.initial_weights():
            initial = support.initial_vectors(self.encode)
            return vectors, _concatenate(initial, self.encode(sequences))

    def start_training(self, config: SetfitTrainingConfig) -> SentenceEncoderTrainer:
        """Return the trainer of a new training."""
        self.end_training()
        self._trainer = SentenceEncoderTrainer(self.model.checkpoint, config)
        return self._trainer

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
        """Add a batch to the support set, add up the gradients of its loss, and return the loss.

        The batch is filled up from the support set.

        Args:
            support: The support set.
            docs: The Docs of the batch.
            labels: NaN for a Doc that nothing can be learned from. *Shape:* (docs, labels).
            settings: The settings.
            drop: Dropout rate, if the settings leave it open.
            train: Whether the encoder is trained.
        """
        config, chosen = settings.training, annotated_rows(labels)
        texts, labels = [docs[i].text for i in chosen], labels[chosen]
        given = LabeledTexts(texts, self.tokenize(texts), labels)
        support.add(*given)
        if not train:
            return 0.0
        trainer = self._trainer or self.start_training(config)
        if trainer.is_over:
            return 0.0
        batch: tuple[Sequence[Ints], LabelMatrix] = (given.sequences, labels)
        if config.batch_size:
            known = support.labels(multi_label=settings.flat.multi_label)
            batch = support.draw(config.batch_size, known, given)
        dropout = drop if config.dropout is None else config.dropout
        return trainer.accumulate(*batch, dropout=dropout)

    def finish_update(self, sgd: Optimizer | None) -> None:
        """Take the step that updates have prepared, if there were any."""
        if self._trainer is None:
            return
        if not self._trainer.config.use_training_optimizer:
            self._trainer.update()
        elif sgd:
            self._trainer.update(partial(self.model.finish_update, sgd))

    def end_training(self) -> None:
        """Keep interpolated weights, and release the optimizer and all other weights."""
        if self._trainer is not None:
            self._trainer.interpolate_()
            self._n_updates += self._trainer.n_updates
            self._trainer = None

    def __getstate__(self) -> dict[str, Any]:
        # A copy starts from the weights in use. If they are not final, its version is another one.
        n_updates, _, raw = self.version
        return {**self.__dict__, "_trainer": None, "_n_updates": n_updates + raw}


def _concatenate(vectors: Floats, more: Floats) -> Floats:
    return np.concatenate([vectors, more]) if len(vectors) else more
