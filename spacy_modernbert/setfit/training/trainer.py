"""Fine-tuning of a sentence encoder by contrast: one step at a time, without a loop of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from ...encoder.optimizer import Optimizer, decay_groups
from ...encoder.packing import PackedBatch
from ...encoder.seeding import seeded
from ...text.batching import batch_by_budget
from ...text.tokenizer import Ints
from ..arrays import LabelMatrix
from ..modeling.sentence_encoder import SentenceEncoder
from .config import SetfitTrainingConfig
from .losses import LOSSES, are_alike, can_contrast, similarities

# Pieces whose intermediate results are held for the backward pass. A larger batch is encoded twice.
BACKWARD_PIECES = 8192
# Where the weights in use lie, unless settings or held-out texts say otherwise.
WEIGHT_INTERPOLATION = 0.9


class SentenceEncoderTrainer:
    """A sentence encoder, which is trained in place, and its optimizer.

    The same seed, batches and number of threads give the same weights, bit by bit; torch's global
    generator is left alone. Intermediate results are held for ``backward_pieces`` at a time.

    Attributes:
        n_updates: How often weights were changed.
    """

    def __init__(
        self,
        model: SentenceEncoder,
        config: SetfitTrainingConfig,
        *,
        backward_pieces: int = BACKWARD_PIECES,
    ) -> None:
        self.model = model
        self.config = config
        self.n_updates = 0
        self._backward_pieces = backward_pieces
        model.encoder.prepare_training_()
        for parameter in model.parameters():
            parameter.requires_grad_(True)
        if "embeddings" in config.freeze:
            model.encoder.input_embeddings.requires_grad_(False)
        rate, decay = config.optimizer.learn_rate, config.optimizer.weight_decay
        groups = decay_groups(model.parameters(), learn_rate=rate, weight_decay=decay)
        self._optimizer = Optimizer(groups, config.optimizer)
        self._initial = self.weights()
        share = config.weight_interpolation
        self._share = WEIGHT_INTERPOLATION if share is None else share
        # The weights of the training, while interpolated ones are in use.
        self._trained: list[Tensor] | None = None

    @property
    def is_over(self) -> bool:
        """Whether the schedule has come to its end."""
        return self._optimizer.is_over and not self.config.use_training_optimizer

    @property
    def has_gradients(self) -> bool:
        """Whether gradients have been added up since the last step."""
        return self._optimizer.has_gradients

    @property
    def needs_interpolation(self) -> bool:
        """Whether the weights in use are those of the training as they are."""
        is_raw = self.n_updates > 0 and self._trained is None
        return is_raw and not self.config.use_training_optimizer

    def step(self, sequences: Sequence[Ints], labels: LabelMatrix) -> float:
        """Take one step on a batch, and return the loss before it; see `accumulate`."""
        loss = self.accumulate(sequences, labels, dropout=self.config.dropout or 0.0)
        self.update()
        return loss

    def accumulate(
        self, sequences: Sequence[Ints], labels: LabelMatrix, *, dropout: float = 0.0
    ) -> float:
        """Add the gradients of a batch to those that are there already, and return the loss.

        Where nothing contrasts, the loss is 0 and there is no gradient. *Shape of the labels:*
        (texts, labels). ``dropout`` is the least rate, 0 none at all.
        """
        device = self.model.device
        targets = similarities(torch.from_numpy(labels)).to(device)
        if not can_contrast(targets):
            return 0.0
        self.resume_()
        parts = [self.model.cut(sequence) for sequence in sequences]
        windows = [window for part in parts for window in part]
        texts = [i for i, part in enumerate(parts) for _ in part]
        lengths = [len(window) for window in windows]
        groups = batch_by_budget(lengths, budget=self._backward_pieces, padded=True)
        batches = [
            PackedBatch.from_sequences([windows[i] for i in group], device=device)
            for group in groups
        ]
        order = torch.tensor([texts[i] for group in groups for i in group], device=device).long()
        self.model.train(dropout > 0)
        loss = self._backward(batches, order, targets, dropout)
        self.model.eval()
        return loss

    def update(self, take_step: Callable[[], object] | None = None) -> bool:
        """Take a step along the gradients that have been added up; without any, do nothing.

        ``take_step`` takes it in place of the own optimizer. Return False where the gradient was
        not finite, so that the own optimizer changed no weights.
        """
        if not self.has_gradients:
            return True
        self.resume_()
        norm = 0.0
        if take_step is None:
            norm = self._optimizer.step()
        else:
            take_step()
            self._optimizer.zero_gradients()
        self.n_updates += 1
        return math.isfinite(norm)

    def discard_gradients(self) -> None:
        """Forget the gradients that have been added up."""
        self._optimizer.zero_gradients()

    def evaluate(self, sequences: Sequence[Ints], labels: LabelMatrix) -> tuple[float, bool]:
        """Return the loss of texts, and whether they can't be told apart under the weights in use.

        Where nothing contrasts, that is 0 and False. *Shape of the labels:* (texts, labels).
        """
        targets = similarities(torch.from_numpy(labels))
        if not can_contrast(targets):
            return 0.0, False
        vectors = torch.from_numpy(self.model.encode(sequences))
        return float(LOSSES[self.config.loss](vectors, targets)), are_alike(vectors)

    def interpolate_(self, share: float | None = None) -> None:
        """Put weights between the initial ones and those of the training to use.

        A handful of texts teaches more than is true of other texts. Part of the way from the old
        weights to the new ones, most of what was learned is there, and little of what the encoder
        could do is lost (WiSE-FT, arXiv 2109.01903, section 4). Training resumes where it was.
        Weights that another optimizer trains, and averages, stay as they are.

        The share is 0 for the initial weights, 1 for those of the training, from now on. Default:
        the last one, or that of the settings.
        """
        share = self._share if share is None else share
        if share != self._share:
            self.resume_()
        self._share = share
        if not self.needs_interpolation:
            return
        self._trained = self.weights()
        with torch.no_grad():
            for parameter, initial in zip(self._optimizer.parameters, self._initial, strict=True):
                parameter.lerp_(initial, 1.0 - share)

    def resume_(self) -> None:
        """Put the weights of the training back, if interpolated ones are in use."""
        if self._trained is not None:
            self._copy_in(self._trained)
            self._trained = None

    @contextmanager
    def initial_weights(self) -> Iterator[None]:
        """Use the weights from before the training for a while."""
        in_use = self.weights()
        self._copy_in(self._initial)
        try:
            yield
        finally:
            self._copy_in(in_use)

    def weights(self) -> list[Tensor]:
        """Return copies of the weights in use, as far as they are trained."""
        return [parameter.detach().clone() for parameter in self._optimizer.parameters]

    def return_to_start_(self) -> None:
        """Use the weights from before the training."""
        self.discard_gradients()
        self.interpolate_()
        self.replace_weights_(self._initial)

    @property
    def is_finite(self) -> bool:
        """Whether all trained weights are finite."""
        return all(bool(weight.isfinite().all()) for weight in self._optimizer.parameters)

    def replace_weights_(self, weights: Sequence[Tensor]) -> None:
        """Use what `weights` returned earlier."""
        self._copy_in(weights)
        self.n_updates += 1

    def _copy_in(self, weights: Sequence[Tensor]) -> None:
        with torch.no_grad():
            for parameter, weight in zip(self._optimizer.parameters, weights, strict=True):
                parameter.copy_(weight)

    def _backward(
        self, batches: list[PackedBatch], texts: Tensor, targets: Tensor, dropout: float
    ) -> float:
        """Add up gradients, whatever the size of the batch.

        The loss needs the vectors of all texts at once, the backward pass only those of a part. So
        a large batch is encoded without gradients first; then its parts are encoded again, one by
        one, and get the gradient of the loss to their own vectors (arXiv 2101.06983).

        Args:
            batches: The windows of all texts, in parts.
            texts: The text that each window belongs to. *Shape:* (windows,).
            targets: Target similarities. *Shape:* (texts, texts).
            dropout: The least dropout rate.
        """

        def loss_of(vectors: Tensor) -> Tensor:
            # The losses take directions, so a sum is as good as a mean.
            sums = vectors.new_zeros(len(targets), vectors.shape[1]).index_add(0, texts, vectors)
            return LOSSES[self.config.loss](sums, targets)

        if len(batches) == 1:
            loss = loss_of(self._encode(batches[0], 0, dropout))
            loss.backward()
            return float(loss.detach())
        with torch.no_grad():
            parts = [self._encode(batch, part, dropout) for part, batch in enumerate(batches)]
        vectors = torch.cat(parts).requires_grad_()
        loss = loss_of(vectors)
        (gradient,) = torch.autograd.grad(loss, vectors)
        gradients = gradient.split([batch.n_sequences for batch in batches])
        for part, (batch, own) in enumerate(zip(batches, gradients, strict=True)):
            self._encode(batch, part, dropout).backward(own)
        return float(loss.detach())

    def _encode(self, batch: PackedBatch, part: int, dropout: float) -> Tensor:
        """Encode with the dropout that belongs to this part of this step, both times."""
        with seeded(batch.device, self.config.seed, self.n_updates, part):
            return self.model(batch, dropout=dropout)
