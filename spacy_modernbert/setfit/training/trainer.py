"""Fine-tuning of a sentence encoder by contrast: one step at a time, no loop of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from ...encoder.packing import PackedBatch
from ...text.batching import batch_by_budget
from ...text.tokenizer import Ints
from ..modeling.sentence_encoder import SentenceEncoder
from .batches import Labels
from .losses import LOSSES, similarities
from .schedule import Schedule

# Pieces whose intermediate results are held for the backward pass. A larger batch is encoded twice.
HELD = 8192
CLIP = 1.0


class Trainer:
    """An encoder and its optimiser.

    The same seed, batches and number of threads give the same weights, bit by bit; torch's global
    generator is left alone.

    Args:
        encoder: The encoder; it is trained in place.
        schedule: How.
        held: Pieces whose intermediate results may be held at a time.
    """

    def __init__(
        self, encoder: SentenceEncoder, schedule: Schedule | None = None, *, held: int = HELD
    ) -> None:
        self.encoder = encoder
        self.schedule = schedule or Schedule()
        self.steps = 0
        self._held = held
        encoder.encoder.prepare_training_()
        for parameter in encoder.parameters():
            # It may look into a file, or into bytes that are not ours to write to.
            parameter.data = parameter.data.clone()
        groups = _groups(encoder, self.schedule)
        self._trained: list[nn.Parameter] = [p for group in groups for p in group["params"]]
        self._start = [p.detach().clone() for p in self._trained]
        # The weights of the training, while those in use are blended.
        self._tuned: list[Tensor] | None = None
        self._optimizer = torch.optim.AdamW(groups, fused=True)

    def step(self, rows: Sequence[Ints], labels: Labels) -> float:
        """Take one step.

        Args:
            rows: The texts of a batch, as piece ids.
            labels: Their labels; see `loss.similarities`. *Shape:* (texts, labels).

        Returns:
            The loss before the step.
        """
        loss = self.accumulate(rows, labels)
        self.update()
        return loss

    def accumulate(self, rows: Sequence[Ints], labels: Labels) -> float:
        """Add the gradients of a batch to those that are there already.

        Args:
            rows: The texts of a batch, as piece ids.
            labels: Their labels; see `loss.similarities`. *Shape:* (texts, labels).

        Returns:
            The loss.
        """
        self._resume()
        alike = similarities(torch.from_numpy(labels)).to(self.encoder.device)
        self.encoder.train(self.schedule.dropout > 0)
        groups = batch_by_budget([len(row) for row in rows], budget=self._held, padded=True)
        batches = [
            PackedBatch.from_sequences([rows[i] for i in group], device=self.encoder.device)
            for group in groups
        ]
        order = torch.tensor([i for group in groups for i in group], device=alike.device).long()
        loss = self._backward(batches, alike[order][:, order])
        self.encoder.eval()
        return loss

    def update(self) -> None:
        """Take a step along the gradients that have been added up."""
        self._resume()
        nn.utils.clip_grad_norm_(self._trained, CLIP)
        for group in self._optimizer.param_groups:
            group["lr"] = self.schedule.rate(self.steps)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self.steps += 1

    def settle(self) -> None:
        """Put the weights to use: blend those of the training with those of the start.

        A handful of texts teaches more than is true of other texts. Part of the way from the old
        weights to the new ones most of what was learnt is there, and little of what was known is
        lost (arXiv 2109.01903, section 4). The next step goes on where the last one ended.
        """
        if self._tuned is not None:
            return
        self._tuned = [parameter.detach().clone() for parameter in self._trained]
        with torch.no_grad():
            for parameter, start in zip(self._trained, self._start, strict=True):
                parameter.lerp_(start, 1.0 - self.schedule.blend)

    def blend(self, share: float) -> None:
        """Put the weights to use under another blend than the schedule's, also from now on.

        Args:
            share: As `Schedule.blend`.
        """
        self._resume()
        self.schedule = replace(self.schedule, blend=share)
        self.settle()

    @contextmanager
    def at_start(self) -> Iterator[None]:
        """Put the weights that the training started from in place for a while."""
        now = [parameter.detach().clone() for parameter in self._trained]
        self._put(self._start)
        try:
            yield
        finally:
            self._put(now)

    def _resume(self) -> None:
        if self._tuned is not None:
            self._put(self._tuned)
            self._tuned = None

    def _put(self, weights: Sequence[Tensor]) -> None:
        with torch.no_grad():
            for parameter, weight in zip(self._trained, weights, strict=True):
                parameter.copy_(weight)

    def _backward(self, batches: list[PackedBatch], alike: Tensor) -> float:
        """Add up gradients, whatever the size of the batch.

        The loss needs the vectors of all texts at once, the backward pass only those of a part. So
        a large batch is encoded without gradients first; then its parts are encoded again, one by
        one, and get the gradient of the loss to their own vectors (arXiv 2101.06983).
        """
        compute_loss = LOSSES[self.schedule.loss]
        if len(batches) <= 1:
            loss = compute_loss(self._encode(batches[0], 0), alike) if batches else alike.sum()
            if loss.requires_grad:
                loss.backward()
            return float(loss.detach())
        with torch.no_grad():
            vectors = torch.cat([self._encode(batch, k) for k, batch in enumerate(batches)])
        vectors.requires_grad_()
        loss = compute_loss(vectors, alike)
        loss.backward()
        assert vectors.grad is not None
        gradients = vectors.grad.split([batch.n_sequences for batch in batches])
        for k, (batch, gradient) in enumerate(zip(batches, gradients, strict=True)):
            self._encode(batch, k).backward(gradient)
        return float(loss.detach())

    def _encode(self, batch: PackedBatch, part: int) -> Tensor:
        """Encode with the dropout that belongs to this part of this step, both times."""
        with _seeded(batch.device, (self.schedule.seed, self.steps, part)):
            return self.encoder(batch, dropout=self.schedule.dropout)


@contextmanager
def _seeded(device: torch.device, numbers: tuple[int, ...]) -> Iterator[None]:
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))
        yield


def _groups(encoder: SentenceEncoder, schedule: Schedule) -> list[dict]:
    """Split the weights into those that decay and those that don't."""
    frozen = {id(p) for p in encoder.word_embeddings.parameters() if schedule.freeze_embeddings}
    for parameter in encoder.parameters():
        parameter.requires_grad_(id(parameter) not in frozen)
    trained = [p for p in encoder.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.dim() > 1], "weight_decay": schedule.weight_decay},
        {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0},
    ]
