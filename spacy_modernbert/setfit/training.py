"""Fine-tuning of a sentence encoder by contrast: one step at a time, no loop of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..encoder.packing import PackedBatch
from ..text.pieces import Ints
from ..text.windows import batch_by_budget
from .batches import Labels
from .loss import LOSSES, LossName, similarities
from .sentence_encoder import SentenceEncoder

# Pieces whose intermediate results are held for the backward pass. A larger batch is encoded twice.
HELD = 8192
CLIP = 1.0


@dataclass(frozen=True)
class Schedule:
    """How an encoder is trained.

    Attributes:
        loss: Name of the loss, of `loss.LOSSES`.
        learn_rate: Highest learning rate.
        weight_decay: Of the matrices; biases and norms have none.
        warmup_steps: Steps over which the rate rises from 0.
        total_steps: Step at which the rate is back at 0; None keeps it.
        dropout: Dropout rate. 0 is none at all, whatever the checkpoint was trained with: with all
            pairs of a batch in the loss, noise costs more than it protects from. Above 0, a higher
            rate of the checkpoint's own wins.
        freeze_embeddings: Whether the piece embeddings stay as they are. They are many, a step
            touches few of them, and a handful of texts says little about them.
        blend: How far the weights in use are along the way from those at the start (0) to those
            of the training (1); see `Trainer.settle`.
        seed: Of the dropout.
    """

    loss: LossName = "cosine"
    learn_rate: float = 5e-5
    weight_decay: float = 0.01
    warmup_steps: int = 2
    total_steps: int | None = 40
    dropout: float = 0.0
    freeze_embeddings: bool = True
    blend: float = 0.6
    seed: int = 0

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        rise = min(1.0, (step + 1) / (self.warmup_steps + 1))
        if self.total_steps is None:
            return self.learn_rate * rise
        left = (self.total_steps - step) / max(1, self.total_steps - self.warmup_steps)
        return self.learn_rate * max(0.0, min(rise, left))


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
        encoder.encoder.promote_()
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
        self._resume()
        alike = similarities(torch.from_numpy(labels)).to(self.encoder.device)
        self.encoder.train(self.schedule.dropout > 0)
        groups = batch_by_budget([len(row) for row in rows], budget=self._held, padded=True)
        batches = [
            PackedBatch.from_rows([rows[i] for i in group], device=self.encoder.device)
            for group in groups
        ]
        order = torch.tensor([i for group in groups for i in group], device=alike.device).long()
        loss = self._backward(batches, alike[order][:, order])
        self._update()
        self.encoder.eval()
        return loss

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

    def _resume(self) -> None:
        if self._tuned is None:
            return
        with torch.no_grad():
            for parameter, tuned in zip(self._trained, self._tuned, strict=True):
                parameter.copy_(tuned)
        self._tuned = None

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
        gradients = vectors.grad.split([batch.rows for batch in batches])
        for k, (batch, gradient) in enumerate(zip(batches, gradients, strict=True)):
            self._encode(batch, k).backward(gradient)
        return float(loss.detach())

    def _encode(self, batch: PackedBatch, part: int) -> Tensor:
        """Encode with the dropout that belongs to this part of this step, both times."""
        with _seeded(batch.device, (self.schedule.seed, self.steps, part)):
            return self.encoder(batch, dropout=self.schedule.dropout)

    def _update(self) -> None:
        nn.utils.clip_grad_norm_(self._trained, CLIP)
        for group in self._optimizer.param_groups:
            group["lr"] = self.schedule.rate(self.steps)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self.steps += 1


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
