"""The trainer of a ``gliner`` component's network, created when there is something to learn."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from spacy.language import Language
from thinc.api import Optimizer

from ...errors import Errors, Warnings
from ...gliner.inference.model import GlinerModel
from ...gliner.inference.sequences import SplitText
from ...gliner.training.config import TrainingConfig
from ...gliner.training.dataset import AnnotatedText
from ...gliner.training.trainer import GlinerTrainer
from ..checkpoint_model import CheckpointModel
from ..devices import find_device
from ..training_steps import planned_steps
from .config import GlinerPipeConfig
from .labels import read_labels


class ComponentTrainer:
    """Trains a component's network, batch by batch and step by step.

    It is neither saved nor copied: a component that is loaded again is trained further with a new
    trainer.

    Args:
        model: The component's model.
        config: How the component is trained.
    """

    def __init__(self, model: CheckpointModel, config: TrainingConfig) -> None:
        self.model = model
        self.config = config
        self._planned_steps: int | None = None
        self._phrases: Mapping[str, Sequence[str]] = {}
        self._trainer: GlinerTrainer | None = None
        self._teacher: GlinerModel | None = None

    def reset(
        self, nlp: Language | None, phrases: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        """Forget an earlier training, and look up the length of this one.

        ``phrases`` are phrasings of labels for this training, besides those of the config.
        """
        self._trainer, self._teacher = None, None
        self._phrases = phrases or {}
        self._planned_steps = planned_steps(nlp)

    def accumulate(
        self, texts: Sequence[AnnotatedText], component: GlinerPipeConfig, *, drop: float
    ) -> float:
        """Add up the gradients of a batch, those of rehearsal included, and return the loss.

        Raises:
            ValueError: SM153 if the text encoder is the shared one and not frozen.
        """
        trainer, rehearsal = self._prepare(component), self.config.rehearsal
        label_pool = list(read_labels(component.labels).values())
        if rehearsal.weight and rehearsal.labels:
            self._keep_teacher(trainer.model)
        loss = trainer.accumulate(texts, label_pool=label_pool, dropout=self._dropout(drop))
        if rehearsal.weight and rehearsal.labels:
            loss += self.rehearse([text.text for text in texts], component, drop=drop)
        return loss

    def rehearse(
        self, texts: Sequence[SplitText], component: GlinerPipeConfig, *, drop: float
    ) -> float:
        """Hold the model to its predictions from before the training; as `accumulate`."""
        trainer, rehearsal = self._prepare(component), self.config.rehearsal
        return trainer.rehearse(
            [AnnotatedText(text, []) for text in texts],
            rehearsal.labels or list(read_labels(component.labels).values()),
            self._keep_teacher(trainer.model),
            weight=rehearsal.weight or 1.0,
            dropout=self._dropout(drop),
        )

    def step(self, sgd: Optimizer) -> None:
        """Change the weights by the gradients; with ``sgd`` if the config says so."""
        trainer = self._trainer
        if trainer is None:
            return
        if self.config.use_training_optimizer:
            self.model.finish_update(sgd)
            trainer.optimizer.zero_gradients()
        elif not np.isfinite(norm := trainer.update()):
            step = trainer.optimizer.steps
            warnings.warn(Warnings.SMW151.format(step=step, norm=norm), stacklevel=2)
        # The cached vectors belong to the old weights.
        trainer.model.label_vectors.clear()

    def _prepare(self, component: GlinerPipeConfig) -> GlinerTrainer:
        """Return the trainer of the network as it is now, on its device."""
        if component.features == "doc" and "encoder" not in self.config.freeze:
            raise ValueError(Errors.SM153)
        gliner: GlinerModel = self.model.checkpoint
        self.model.shim.place(find_device(component.device))
        if self._trainer is None or self._trainer.model is not gliner:
            self._trainer = GlinerTrainer(gliner, self._complete(read_labels(component.labels)))
        return self._trainer

    def _complete(self, labels: Mapping[str, str]) -> TrainingConfig:
        """Return the config with the length of the training, and phrasings by label text."""
        config = self.config
        optimizer, sampling = config.optimizer, config.sampling
        if optimizer.total_steps is None:
            optimizer = optimizer.model_copy(update={"total_steps": self._planned_steps})
        phrases = {
            labels.get(label, label): list(phrasings)
            for label, phrasings in {**sampling.phrases, **self._phrases}.items()
        }
        sampling = sampling.model_copy(update={"phrases": phrases})
        return config.model_copy(update={"optimizer": optimizer, "sampling": sampling})

    def _keep_teacher(self, gliner: GlinerModel) -> GlinerModel:
        """Return the teacher: a copy of the model, made at the first call."""
        if self._teacher is None:
            self._teacher = copy.deepcopy(gliner)
        return self._teacher

    def _dropout(self, drop: float) -> float:
        return drop if self.config.dropout is None else self.config.dropout

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_trainer": None, "_teacher": None}

    def __deepcopy__(self, memo: dict[int, Any]) -> ComponentTrainer:
        copied = ComponentTrainer(copy.deepcopy(self.model, memo), self.config)
        copied._planned_steps, copied._phrases = self._planned_steps, self._phrases
        return copied
