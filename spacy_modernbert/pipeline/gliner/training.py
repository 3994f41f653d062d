"""How a ``gliner`` pipe learns: its settings, and the part of it that is there in training only."""

# No `from __future__ import annotations`: the types are what configs are validated against.

import copy
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from spacy.language import Language
from spacy.util import registry
from thinc.api import Model, Optimizer

from ...encoder.optimizer_config import LrSchedule
from ...errors import Errors, Warnings
from ...gliner.inference.model import GlinerModel
from ...gliner.training.config import (
    Freezable,
    GlinerOptimizerConfig,
    LabelSamplingConfig,
    LossConfig,
    LossName,
    Masking,
    Reduction,
    TrainingConfig,
)
from ...gliner.training.dataset import AnnotatedText
from ...gliner.training.trainer import GlinerTrainer
from ..devices import find_device

Stepper = Literal["own", "training"]

# Least and greatest value of settings; None is no value.
_RANGES = {
    "encoder_rate": (0, np.inf),
    "head_rate": (0, np.inf),
    "encoder_decay": (0, np.inf),
    "head_decay": (0, np.inf),
    "warmup": (0, np.inf),
    "total_steps": (1, np.inf),
    "clip": (1e-9, np.inf),
    "dropout": (0, 0.999),
    "max_types": (1, np.inf),
    "negative_ratio": (0, np.inf),
    "drop_types": (0, 1),
    "alpha": (0, 1),
    "gamma": (0, np.inf),
    "margin": (0, 1),
    "smoothing": (0, 1),
    "keep_negatives": (0, 1),
    "rehearse": (0, np.inf),
    "seed": (0, np.inf),
}


@dataclass(frozen=True, kw_only=True)
class GlinerTrainingSettings:
    """How a ``gliner`` pipe learns; see `gliner_training_v1`.

    Attributes:
        course: What the trainer does.
        dropout: Least dropout rate of the encoder; None: that of ``[training]``.
        optimizer: Whose optimiser changes the weights.
        label_texts: Words of labels that come from examples.
        phrases: Label -> phrasings, of which one is drawn each time.
        rehearse: Weight of what the model said before.
        rehearse_labels: Labels that shall not be forgotten.
    """

    course: TrainingConfig = field(default_factory=TrainingConfig)
    dropout: float | None = None
    optimizer: Stepper = "own"
    label_texts: Mapping[str, str] = field(default_factory=dict)
    phrases: Mapping[str, Sequence[str]] = field(default_factory=dict)
    rehearse: float = 0.0
    rehearse_labels: tuple[str, ...] = ()


@registry.misc("spacy_modernbert.gliner_training.v1")
def gliner_training_v1(
    encoder_rate: float = 1e-5,
    head_rate: float = 5e-5,
    encoder_decay: float = 0.01,
    head_decay: float = 0.01,
    warmup: float = 0.1,
    decay: LrSchedule = "cosine",
    total_steps: int | None = None,
    clip: float = 10.0,
    dropout: float | None = None,
    freeze: list[Freezable] | None = None,
    max_types: int = 25,
    negative_ratio: int | None = 1,
    drop_types: float = 1.0,
    shuffle: bool = True,
    loss: LossName = "bce",
    alpha: float | None = None,
    gamma: float = 0.0,
    margin: float = 0.0,
    smoothing: float = 0.0,
    keep_negatives: float = 1.0,
    masking: Masking = "element",
    width_weight: bool = False,
    reduction: Reduction = "sum",
    label_texts: dict[str, str] | None = None,
    phrases: dict[str, list[str]] | None = None,
    rehearse: float = 0.0,
    rehearse_labels: list[str] | None = None,
    optimizer: Stepper = "own",
    seed: int = 0,
) -> GlinerTrainingSettings:
    """Say how a ``gliner`` pipe learns. The defaults are those of the paper.

    Args:
        encoder_rate: Highest learning rate of the encoders.
        head_rate: Highest learning rate of all else.
        encoder_decay: Weight decay of the encoders' matrices.
        head_decay: Weight decay of all other matrices.
        warmup: Steps over which rates rise; below 1 the share of all steps.
        decay: How rates fall: ``constant``, ``linear``, ``cosine``.
        total_steps: Step at which they are back at 0. None: ``max_steps`` of ``[training]``.
        clip: Longest gradient, over all weights together.
        dropout: Least dropout rate of the encoder. None: that of ``[training]``.
        freeze: Parts that stay as they are: ``embeddings``, ``encoder``, ``labels_encoder``.
        max_types: Most labels a text is asked about at a time.
        negative_ratio: Most absent labels for each span of a text. None: all.
        drop_types: Share of the texts that are asked about a few of their labels only.
        shuffle: Whether labels come in another order each time.
        loss: ``bce`` or ``dice``.
        alpha: Weight of positives in the loss, with 1 - alpha for negatives.
        gamma: Focus of the loss on what is not known yet.
        margin: Negatives with a probability below this cost nothing.
        smoothing: How far targets are moved towards one half.
        keep_negatives: Share of the negatives that count.
        masking: Which of them are left out together: ``element``, ``label``, ``span``.
        width_weight: Whether wide spans count more.
        reduction: ``sum`` or ``mean``.
        label_texts: Words of labels that come from examples, before those of the built-in table.
        phrases: Label -> phrasings, of which one is drawn each time.
        rehearse: Weight of what the model said of ``rehearse_labels`` before the training.
        rehearse_labels: What the model reads of labels that shall not be forgotten.
        optimizer: ``own``: a fused AdamW with the rates above; ``training``: that of
            ``[training]``, with its own rates.
        seed: Of everything that is drawn.

    Raises:
        ValueError: SM150 where a setting is out of range.
    """
    given = locals()
    for name, (low, high) in _RANGES.items():
        value = given[name]
        if value is not None and not low <= value <= high:
            message = Errors.SM150.format(setting=name, value=value, low=low, high=high)
            raise ValueError(message)
    optimizer_config = GlinerOptimizerConfig(
        learn_rate=encoder_rate,
        head_learn_rate=head_rate,
        weight_decay=encoder_decay,
        head_weight_decay=head_decay,
        warmup_steps=int(warmup) if warmup >= 1 else None,
        warmup_ratio=min(warmup, 1.0),
        total_steps=total_steps,
        lr_schedule=decay,
        grad_clip=clip,
    )
    objective = LossConfig(
        name=loss,
        alpha=alpha,
        gamma=gamma,
        margin=margin,
        label_smoothing=smoothing,
        width_weight=width_weight,
        keep_negatives=keep_negatives,
        masking=masking,
        reduction=reduction,
    )
    sampling = LabelSamplingConfig(
        max_types=max_types,
        negative_ratio=negative_ratio,
        drop_types=drop_types,
        shuffle=shuffle,
    )
    course = TrainingConfig(
        optimizer=optimizer_config,
        loss=objective,
        sampling=sampling,
        freeze=tuple(freeze or ()),
        seed=seed,
    )
    return GlinerTrainingSettings(
        course=course,
        dropout=dropout,
        optimizer=optimizer,
        label_texts=label_texts or {},
        phrases=phrases or {},
        rehearse=rehearse,
        rehearse_labels=tuple(rehearse_labels or ()),
    )


class Teacher:
    """The trainer of a pipe's network, made when there is something to learn.

    It is no part of what is saved or copied: a pipe that is loaded again learns on with a new one.

    Args:
        model: The pipe's model.
        settings: How it learns.
    """

    def __init__(self, model: Model, settings: GlinerTrainingSettings) -> None:
        self.model = model
        self.settings = settings
        self.total_steps: int | None = None
        self.phrases: Mapping[str, Sequence[str]] = settings.phrases
        self._trainer: GlinerTrainer | None = None
        self._before: GlinerModel | None = None

    def prepare(
        self, nlp: Language | None, phrases: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        """Forget an earlier training, and look up how long this one will be.

        Args:
            nlp: The pipeline.
            phrases: Phrasings for this training, besides those of the settings.
        """
        self._trainer, self._before = None, None
        self.phrases = {**self.settings.phrases, **(phrases or {})}
        training = {} if nlp is None else nlp.config.get("training", {})
        steps = training.get("max_steps")
        self.total_steps = steps if isinstance(steps, int) and steps > 0 else None

    def learn(
        self, texts: Sequence[AnnotatedText], labels: Mapping[str, str], *, drop: float, device: str
    ) -> float:
        """Add up the gradients of a batch.

        Args:
            texts: The annotated texts.
            labels: The pipe's labels, with what the model reads of them.
            drop: The dropout rate of ``[training]``.
            device: Where the network shall live.

        Returns:
            The loss.
        """
        settings = self.settings
        trainer = self._ready(labels, device)
        rate = drop if settings.dropout is None else settings.dropout
        if settings.rehearse and settings.rehearse_labels and self._before is None:
            self._before = copy.deepcopy(trainer.model)
        loss = trainer.accumulate(texts, label_pool=list(labels.values()), dropout=rate)
        if self._before is not None and settings.rehearse:
            loss += self.rehearse(texts, settings.rehearse_labels, labels, drop=drop, device=device)
        return loss

    def rehearse(
        self,
        texts: Sequence[AnnotatedText],
        asked: Sequence[str],
        labels: Mapping[str, str],
        *,
        drop: float,
        device: str,
    ) -> float:
        """Add up the gradients that hold the model to what it said at first.

        Args:
            texts: Any texts.
            asked: What the model reads of the labels that shall not be forgotten.
            labels: As for `learn`.
            drop: As for `learn`.
            device: As for `learn`.

        Returns:
            The loss.
        """
        settings = self.settings
        trainer = self._ready(labels, device)
        if self._before is None:
            self._before = copy.deepcopy(trainer.model)
        rate = drop if settings.dropout is None else settings.dropout
        weight = settings.rehearse or 1.0
        return trainer.rehearse(texts, asked, self._before, weight=weight, dropout=rate)

    def step(self, sgd: Optimizer) -> None:
        """Change the weights by the gradients that were added up.

        Args:
            sgd: The optimiser of ``[training]``, for pipes that are set to use it.
        """
        trainer = self._trainer
        if trainer is None:
            return
        if self.settings.optimizer == "training":
            self.model.finish_update(sgd)
            for parameter in trainer.optimizer.parameters:
                parameter.grad = None
        elif not np.isfinite(norm := trainer.update()):
            warnings.warn(
                Warnings.SMW151.format(step=trainer.optimizer.steps, norm=norm), stacklevel=2
            )
        # Vectors that were kept are those of the old weights.
        self.model.checkpoint.label_vectors.clear()

    def _ready(self, labels: Mapping[str, str], device: str) -> GlinerTrainer:
        gliner, shim = self.model.checkpoint, self.model.shim
        shim.place(find_device(device))
        if self._trainer is None or self._trainer.model is not gliner:
            self._trainer = GlinerTrainer(gliner, self._course(labels))
        return self._trainer

    def _course(self, labels: Mapping[str, str]) -> TrainingConfig:
        """The settings, with the length of the training and phrasings by what is read."""
        course = self.settings.course
        optimizer, phrases = course.optimizer, self.phrases
        if optimizer.total_steps is None:
            optimizer = optimizer.model_copy(update={"total_steps": self.total_steps})
        by_words = {labels.get(label, label): list(words) for label, words in phrases.items()}
        sampling = course.sampling.model_copy(update={"phrases": by_words})
        return course.model_copy(update={"optimizer": optimizer, "sampling": sampling})

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_trainer": None, "_before": None}

    def __deepcopy__(self, memo: dict[int, Any]) -> "Teacher":
        copied = Teacher(copy.deepcopy(self.model, memo), self.settings)
        copied.total_steps, copied.phrases = self.total_steps, self.phrases
        return copied
