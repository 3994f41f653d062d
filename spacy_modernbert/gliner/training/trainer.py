"""Training of a GLiNER: one step at a time, without a loop of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ...encoder.optimizer import Optimizer
from ...encoder.seeding import seeded
from ..inference.label_vectors import LabelVectorCache
from ..inference.model import GlinerModel
from .batch_loss import (
    GRADIENT_PIECES,
    batch_loss,
    distillation_targets,
    group_sequences,
    loss_scales,
)
from .collator import TrainingSequence, collate
from .config import TrainingConfig
from .dataset import AnnotatedText
from .label_sampling import LabelSample, sample_labels, sample_shared_labels
from .parameters import parameter_groups

# Vectors of a frozen label encoder that are kept.
KEPT_LABEL_VECTORS = 50_000


class GlinerTrainer:
    """A model and its optimizer.

    The same seed, batches and number of threads give the same weights, bit by bit. The state of
    torch's global generator does not change.

    Args:
        model: The model; it is trained in place.
        config: How to train. Label texts and rehearsal are up to the caller.
        max_words: Most words of a window. Default: as many as in the checkpoint's training.
        max_pieces: Most pieces that go through the network at a time.
    """

    def __init__(
        self,
        model: GlinerModel,
        config: TrainingConfig | None = None,
        *,
        max_words: int | None = None,
        max_pieces: int = GRADIENT_PIECES,
    ) -> None:
        self.model = model
        self.config = config or TrainingConfig()
        self.max_words = max_words
        self.max_pieces = max_pieces
        self.batches = 0
        self._pooled = LabelVectorCache(KEPT_LABEL_VECTORS)
        network = model.network
        for encoder in (network.encoder, network.labels_encoder):
            if encoder is not None:
                encoder.prepare_training_()
        groups = parameter_groups(network, self.config.optimizer, self.config.freeze)
        self.optimizer = Optimizer(groups, self.config.optimizer)

    def step(self, texts: Sequence[AnnotatedText], *, label_pool: Sequence[str] = ()) -> float:
        """Learn from one batch, and return its loss before the step; see `accumulate`."""
        loss = self.accumulate(texts, label_pool=label_pool)
        self.update()
        return loss

    def accumulate(
        self,
        texts: Sequence[AnnotatedText],
        *,
        label_pool: Sequence[str] = (),
        dropout: float | None = None,
    ) -> float:
        """Add the gradient of one batch to those since the last update, and return its loss.

        Labels are drawn from those of the batch and ``label_pool``, see `sample_labels`. The least
        dropout rate of the encoder is that of the config unless given.
        """
        rng = self._next_batch()
        config = self.config.sampling
        if self.model.config.is_bi:
            shared = sample_shared_labels(texts, config, rng, label_pool=label_pool)
            samples = [shared] * len(texts)
        else:
            samples = sample_labels(texts, config, rng, label_pool=label_pool)
        return self._add_gradients(self._collate(texts, samples, rng), samples, dropout)

    def rehearse(
        self,
        texts: Sequence[AnnotatedText],
        labels: Sequence[str],
        teacher: GlinerModel,
        *,
        weight: float = 1.0,
        dropout: float | None = None,
    ) -> float:
        """Add the gradient that holds the model to the scores of the teacher; return the loss.

        The teacher is the frozen model from before the training. Both read some of the same label
        texts, and the teacher's probabilities are the targets (arXiv 1606.09282). So the model
        keeps what it knows about labels that are not trained. The annotation is ignored.
        """
        rng = self._next_batch()
        distinct = list(dict.fromkeys(labels))
        drawn = rng.permutation(len(distinct))[: self.config.sampling.max_types].tolist()
        chosen = tuple(distinct[i] for i in drawn)
        samples = [LabelSample(chosen, chosen)] * len(texts)
        plain = [AnnotatedText(text.text, []) for text in texts]
        made = self._collate(plain, samples, rng)
        sequences = distillation_targets(
            teacher, made, chosen, weight=weight, max_pieces=self.max_pieces
        )
        return self._add_gradients(sequences, samples, dropout)

    def update(self) -> float:
        """Change the weights, and return the gradient's length before it was clipped."""
        return self.optimizer.step()

    def _next_batch(self) -> np.random.Generator:
        self.batches += 1
        return np.random.default_rng((self.config.seed, self.batches))

    def _collate(
        self,
        texts: Sequence[AnnotatedText],
        samples: Sequence[LabelSample],
        rng: np.random.Generator,
    ) -> list[TrainingSequence]:
        config, longest = self.config.loss, self.max_words
        return collate(self.model, texts, samples, config=config, rng=rng, max_words=longest)

    def _add_gradients(
        self,
        sequences: Sequence[TrainingSequence],
        samples: Sequence[LabelSample],
        dropout: float | None,
    ) -> float:
        """Add up the gradients of a batch. Returns the loss."""
        if not sequences:
            return 0.0
        network = self.model.network
        rate = (self.config.dropout or 0.0) if dropout is None else dropout
        vectors = None
        network.train()
        with seeded(network.device, self.config.seed, self.batches):
            if self.model.config.is_bi:
                vectors = self._label_vectors(samples[0].label_texts, rate)
            loss = self._backward(sequences, vectors, rate)
        network.eval()
        return loss

    def _backward(
        self, sequences: Sequence[TrainingSequence], vectors: Tensor | None, dropout: float
    ) -> float:
        """Add up the gradients of a batch of any size, part by part."""
        shared = None if vectors is None else vectors.detach().requires_grad_(vectors.requires_grad)
        scales = loss_scales(sequences, self.config.loss)
        total = 0.0
        for group in group_sequences(self.model, sequences, self.max_pieces):
            part = [sequences[i] for i in group]
            loss = batch_loss(self.model, part, self.config.loss, shared, scales, dropout=dropout)
            loss.backward()
            total += float(loss.detach())
        if vectors is not None and shared is not None and shared.grad is not None:
            vectors.backward(shared.grad)
        return total

    def _label_vectors(self, label_texts: Sequence[str], dropout: float) -> Tensor:
        """Compute the vectors of a batch's labels; a frozen label encoder reads each label once."""
        network = self.model.network
        if "labels_encoder" not in self.config.freeze:
            sequences = self.model.label_sequences(label_texts)
            return network.encode_labels(sequences, dropout=dropout)
        pooled = self._pooled.get(label_texts, self._pool_labels)
        return network.project_labels(pooled.to(network.device))

    def _pool_labels(self, label_texts: Sequence[str]) -> Tensor:
        network = self.model.network
        network.eval()
        with torch.no_grad():
            pooled = network.pool_labels(self.model.label_sequences(label_texts))
        network.train()
        return pooled
