"""Where the sentence vectors of a ``setfit_textcat`` come from, and how training changes them."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spacy.language import Language
from spacy.tokens import Doc
from thinc.api import Optimizer

from ...errors import Warnings
from ...setfit.arrays import Floats, LabelMatrix
from ...setfit.training.config import SetfitTrainingConfig
from ...setfit.training.support_set import LabeledTexts, SupportSet
from ...setfit.training.support_storage import add_stored_support
from ...setfit.training.trainer import SentenceEncoderTrainer
from ...text.tokenizer import Ints
from ..checkpoint_model import CheckpointModel
from ..devices import find_device
from .config import LearningSettings, SetfitTextcatConfig
from .examples import EXAMPLE_BATCH, Text, text_of
from .model import tokenize
from .progress import Progress
from .selection import Selected, annotated_rows


class SentenceEncoderSource:
    """The component's own sentence encoder, which can encode texts again after each step."""

    def __init__(self, model: CheckpointModel) -> None:
        self.model = model
        self.progress = Progress()
        self._trainer: SentenceEncoderTrainer | None = None
        # Changes of the weights by trainings that have ended.
        self._n_updates = 0
        # Updates since the schedule came to its end.
        self._n_late_updates = 0

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

    @property
    def is_over(self) -> bool:
        """Whether a training has come to the end of its schedule."""
        return self._trainer is not None and self._trainer.is_over

    def load(self, settings: SetfitTextcatConfig) -> None:
        """Load the weights, move them to their device, and say whether texts are cut."""
        device = find_device(settings.device)
        self.model.initialize()
        self.model.shim.place(device)
        self.model.attrs["windows"] = settings.windows is not None

    def prepare(self, texts: Sequence[Text], nlp: Language | None, name: str) -> Sequence[Text]:
        """Return texts with all that the model needs from components before this one."""
        return texts

    def tokenize(self, texts: Sequence[str]) -> list[Ints]:
        """Return the piece ids of texts; long ones lose their end, unless there are windows."""
        sequences: list[Ints] = tokenize(self.model, texts)
        return sequences

    def encode(self, sequences: Sequence[Ints]) -> Floats:
        """Return vectors under the weights in use. *Shape:* (sequences, width)."""
        with self.progress.texts(len(sequences), "encoding") as progress:
            vectors: Floats = self.model.checkpoint.encode(sequences, progress=progress)
        return vectors

    def window_vectors(self, docs: Sequence[Doc]) -> tuple[Floats, NDArray[np.intp]]:
        """Return the vector of each window of each Doc, and the number of its Doc.

        *Shapes:* (windows, width) and (windows,).
        """
        sequences = tokenize(self.model, [doc.text for doc in docs])
        windows = [self.model.checkpoint.cut(sequence) for sequence in sequences]
        owners = np.repeat(np.arange(len(docs)), [len(part) for part in windows])
        return self.model.checkpoint.encode([each for part in windows for each in part]), owners

    def add_to(self, support: SupportSet, given: Selected) -> None:
        """Add texts to a support set."""
        with self.progress.texts(len(given.texts), "reading") as progress:
            for start in range(0, len(given.texts), EXAMPLE_BATCH):
                part = slice(start, start + EXAMPLE_BATCH)
                texts = [text_of(text) for text in given.texts[part]]
                support.add(texts, self.tokenize(texts), given.labels[part], given.complete[part])
                if progress is not None:
                    progress(len(texts))

    def add_stored(self, support: SupportSet, data: bytes, *, source: object) -> None:
        """Add what `support_to_bytes` returned; ``source`` names its origin in messages."""
        add_stored_support(support, data, self.tokenize, self.version, source=source)

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
        own = support.vectors(self.encode, self.version)
        vectors = _concatenate(own, self.encode(sequences) if texts else own[:0])
        is_trained = trainer is not None and trainer.n_updates > 0
        if trainer is not None and not is_trained:
            support.keep_vectors(own, self.version, initial=own)  # a training is about to begin
        if not is_trained and not support.cache.has_initial:
            return vectors, None
        with contextlib.nullcontext() if trainer is None else trainer.initial_weights():
            initial = support.initial_vectors(self.encode)
            return vectors, _concatenate(initial, self.encode(sequences) if texts else initial[:0])

    def start_training(self, config: SetfitTrainingConfig) -> SentenceEncoderTrainer:
        """Return the trainer of a new training."""
        self.end_training()
        self._n_late_updates = 0
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
            self._warn_of_end(config)
            return 0.0
        batch: tuple[Sequence[Ints], LabelMatrix] = (given.sequences, labels)
        if config.batch_size:
            known = support.labels(multi_label=settings.flat.multi_label)
            batch = support.draw(config.batch_size, known, given)
        dropout = drop if config.dropout is None else config.dropout
        return trainer.accumulate(*batch, dropout=dropout)

    def finish_update(self, sgd: Optimizer | None) -> None:
        """Take the step that updates have prepared, if there were any."""
        trainer = self._trainer
        if trainer is None:
            return
        if not trainer.config.use_training_optimizer:
            if not trainer.update():
                reason = f"the gradient of step {trainer.n_updates} is not finite"
                rate = trainer.config.optimizer.learn_rate
                message = Warnings.SMW238.format(reason=reason, learn_rate=rate)
                warnings.warn(message, stacklevel=3)
        elif sgd:
            trainer.update(partial(self.model.finish_update, sgd))

    def end_training(self) -> None:
        """Keep interpolated weights, and release the optimizer and all other weights."""
        if self._trainer is not None:
            self._trainer.interpolate_()
            self._n_updates += self._trainer.n_updates
            self._trainer = None

    @contextlib.contextmanager
    def unchanged_on_failure(self) -> Iterator[None]:
        """Return to the weights of now if an exception comes; gradients without a step are lost."""
        trainer, n_updates = self._trainer, self._n_updates
        try:
            yield
        except BaseException:
            if self._trainer is not None and self._trainer is not trainer:
                self._trainer.return_to_start_()
            if trainer is not None:
                trainer.discard_gradients()
            self._trainer, self._n_updates = trainer, n_updates
            raise

    def _warn_of_end(self, config: SetfitTrainingConfig) -> None:
        # `spacy train` makes one update more than `max_steps`.
        self._n_late_updates += 1
        if self._n_late_updates == 2:
            steps = config.optimizer.total_steps
            warnings.warn(Warnings.SMW242.format(steps=steps), stacklevel=5)

    def __getstate__(self) -> dict[str, Any]:
        # A copy starts from the weights in use. If they are not final, its version is another one.
        n_updates, _, raw = self.version
        return {**self.__dict__, "_trainer": None, "_n_updates": n_updates + raw}


def _concatenate(vectors: Floats, more: Floats) -> Floats:
    return np.concatenate([vectors, more]) if len(vectors) else more
