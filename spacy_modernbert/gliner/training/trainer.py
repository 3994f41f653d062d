"""Training of a GLiNER: one step at a time, no loop of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from ...encoder.seeding import seeded
from ..inference.model import GlinerModel
from .batch_loss import HELD, answer, batch_loss, loss_scales, row_groups
from .collator import TrainingSequence, collate
from .dataset import AnnotatedText
from .label_sampling import LabelSample, LabelSampling, ask, sample_shared_labels
from .losses import LossConfig
from .parameters import Freezable, parameter_groups
from .schedule import Schedule

# Label vectors of a frozen label encoder that are kept.
KEPT_LABELS = 50_000


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How a model is trained.

    Attributes:
        schedule: Learning rates.
        objective: The loss.
        sampling: Which labels texts are asked about.
        dropout: Least dropout rate of the encoder; the head has the checkpoint's own.
        freeze: Parts that stay as they are: ``embeddings``, ``encoder``, ``labels_encoder``.
        max_words: Most words of a row; None: as many as in the checkpoint's training.
        seed: Of everything that is drawn.
    """

    schedule: Schedule = field(default_factory=Schedule)
    objective: LossConfig = field(default_factory=LossConfig)
    sampling: LabelSampling = field(default_factory=LabelSampling)
    dropout: float = 0.0
    freeze: tuple[Freezable, ...] = ()
    max_words: int | None = None
    seed: int = 0


class Trainer:
    """A model and its optimiser.

    The same seed, batches and number of threads give the same weights, bit by bit; torch's global
    generator is left alone.

    Args:
        model: The model; it is trained in place.
        course: How.
        held: Pieces whose intermediate results may be held at a time.
    """

    def __init__(
        self, model: GlinerModel, course: TrainingConfig | None = None, *, held: int = HELD
    ) -> None:
        self.model = model
        self.course = course or TrainingConfig()
        self.steps = 0
        self.batches = 0
        self._held = held
        self._pooled: dict[str, Tensor] = {}
        network = model.network
        for encoder in (network.encoder, network.labels_encoder):
            if encoder is not None:
                encoder.prepare_training_()
        for parameter in network.parameters():
            # It may look into a file, or into bytes that are not ours to write to.
            parameter.data = parameter.data.clone()
        groups = parameter_groups(network, self.course.schedule, self.course.freeze)
        self.trained: list[nn.Parameter] = [p for group in groups for p in group["params"]]
        self._rates = [group["lr"] for group in groups]
        self._optimizer = torch.optim.AdamW(groups, fused=True)

    def step(self, texts: Sequence[AnnotatedText], *, pool: Sequence[str] = ()) -> float:
        """Learn from one batch.

        Args:
            texts: The batch.
            pool: Labels that texts may be asked about; see `sampling.ask`.

        Returns:
            The loss before the step.
        """
        loss = self.accumulate(texts, pool=pool)
        self.update()
        return loss

    def accumulate(
        self,
        texts: Sequence[AnnotatedText],
        *,
        pool: Sequence[str] = (),
        dropout: float | None = None,
    ) -> float:
        """Add the gradient of one batch to what is there, and leave the weights as they are.

        Args:
            texts: The batch.
            pool: Labels that texts may be asked about; see `sampling.ask`.
            dropout: In place of the course's.

        Returns:
            The loss.
        """
        rng = self._next_batch()
        sampling = self.course.sampling
        if self.model.config.is_bi:
            asked = [sample_shared_labels(texts, sampling, rng, pool=pool)] * len(texts)
        else:
            asked = ask(texts, sampling, rng, pool=pool)
        return self._learn(self._lessons(texts, asked, rng), asked, dropout)

    def rehearse(
        self,
        texts: Sequence[AnnotatedText],
        labels: Sequence[str],
        before: GlinerModel,
        *,
        weight: float = 1.0,
        dropout: float | None = None,
    ) -> float:
        """Add the gradient that holds the model to what it said before it was trained.

        Both are asked about the same labels, and the older one's probabilities are the targets
        (arXiv 1606.09282). So what is known about labels that are not trained stays.

        Args:
            texts: Any texts; their annotation plays no part.
            labels: What the model reads of labels that shall not be forgotten; some are drawn.
            before: The model as it was, of the same kind.
            weight: How much this counts beside what is learnt.
            dropout: In place of the course's.

        Returns:
            The loss.
        """
        rng = self._next_batch()
        words = tuple(dict.fromkeys(labels))
        drawn = rng.permutation(len(words))[: self.course.sampling.max_types].tolist()
        chosen = tuple(words[i] for i in drawn)
        asked = [LabelSample(chosen, chosen)] * len(texts)
        plain = [AnnotatedText(text.text, []) for text in texts]
        lessons = self._lessons(plain, asked, rng)
        taught = answer(before, lessons, asked[0].words, weight=weight, held=self._held)
        return self._learn(taught, asked, dropout)

    def update(self) -> float:
        """Change the weights by the gradients that were added up.

        A gradient with a value that is no number changes nothing, and is forgotten.

        Returns:
            The length of the gradient before it was clipped.
        """
        if all(parameter.grad is None for parameter in self.trained):
            return 0.0
        norm, longest = self._length(), self.course.schedule.clip
        if norm > longest:
            nn.utils.clip_grads_with_norm_(self.trained, longest, torch.tensor(norm))
        factor = self.course.schedule.factor(self.steps)
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor
        if np.isfinite(norm):
            self._optimizer.step()
        self._optimizer.zero_grad()
        self.steps += 1
        return norm

    def _length(self) -> float:
        """Length of the gradient of all weights together."""
        gradients = [p.grad for p in self.trained if p.grad is not None]
        return float(nn.utils.get_total_norm(gradients))

    def _next_batch(self) -> np.random.Generator:
        self.batches += 1
        return np.random.default_rng((self.course.seed, self.batches))

    def _lessons(
        self, texts: Sequence[AnnotatedText], asked: Sequence[LabelSample], rng: np.random.Generator
    ) -> list[TrainingSequence]:
        return collate(
            self.model,
            texts,
            asked,
            objective=self.course.objective,
            rng=rng,
            max_words=self.course.max_words,
        )

    def _learn(
        self,
        lessons: Sequence[TrainingSequence],
        asked: Sequence[LabelSample],
        dropout: float | None,
    ) -> float:
        """Add up the gradients of a batch."""
        if not lessons:
            return 0.0
        network = self.model.network
        rate = self.course.dropout if dropout is None else dropout
        vectors = None
        network.train()
        with seeded(network.device, self.course.seed, self.batches):
            if self.model.config.is_bi:
                vectors = self._label_vectors(asked[0], rate)
            loss = self._backward(lessons, vectors, rate)
        network.eval()
        return loss

    def _backward(
        self, lessons: Sequence[TrainingSequence], vectors: Tensor | None, dropout: float
    ) -> float:
        """Add up gradients, whatever the size of the batch."""
        shared = None if vectors is None else vectors.detach().requires_grad_(vectors.requires_grad)
        scales = loss_scales(lessons, self.course.objective)
        total = 0.0
        for group in row_groups(self.model, lessons, self._held):
            part = [lessons[i] for i in group]
            loss = batch_loss(
                self.model, part, self.course.objective, shared, scales, dropout=dropout
            )
            loss.backward()
            total += float(loss.detach())
        if vectors is not None and shared is not None and shared.grad is not None:
            vectors.backward(shared.grad)
        return total

    def _label_vectors(self, asked: LabelSample, dropout: float) -> Tensor:
        """Vectors of a batch's labels; a label encoder that does not learn reads each only once."""
        network, words = self.model.network, list(asked.words)
        if "labels_encoder" not in self.course.freeze:
            rows = self.model.label_rows(words)
            return network.encode_labels(rows, dropout=dropout)
        new = [word for word in words if word not in self._pooled]
        if new:
            if len(self._pooled) + len(new) > KEPT_LABELS:
                self._pooled.clear()
                new = words
            network.eval()
            with torch.no_grad():
                pooled = network.pool_labels(self.model.label_rows(new))
            network.train()
            self._pooled.update(zip(new, pooled, strict=True))
        return network.project_labels(torch.stack([self._pooled[word] for word in words]))
