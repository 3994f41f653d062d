"""Training of a GLiNER: one step at a time, no loop of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from ..encoder.foreign import ForeignEncoder
from ..encoder.seeding import seeded
from ..text.windows import batch_by_budget
from .lessons import Lesson, make_lessons
from .losses import Objective, total_loss
from .model import GlinerModel
from .parameters import Freezable, parameter_groups
from .sampling import Asked, Sampling, ask, ask_together
from .schedule import Schedule
from .targets import GoldText, Targets

# Pieces whose intermediate results are held for the backward pass. Gradients of a larger batch are
# added up part by part.
HELD = 4096
# Label vectors of a frozen label encoder that are kept.
KEPT_LABELS = 50_000


@dataclass(frozen=True, kw_only=True)
class Course:
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
    objective: Objective = field(default_factory=Objective)
    sampling: Sampling = field(default_factory=Sampling)
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
        self, model: GlinerModel, course: Course | None = None, *, held: int = HELD
    ) -> None:
        self.model = model
        self.course = course or Course()
        self.steps = 0
        self.batches = 0
        self._held = held
        self._pooled: dict[str, Tensor] = {}
        network = model.network
        for encoder in (network.encoder, network.labels_encoder):
            if encoder is not None:
                encoder.promote_()
        for parameter in network.parameters():
            # It may look into a file, or into bytes that are not ours to write to.
            parameter.data = parameter.data.clone()
        groups = parameter_groups(network, self.course.schedule, self.course.freeze)
        self.trained: list[nn.Parameter] = [p for group in groups for p in group["params"]]
        self._rates = [group["lr"] for group in groups]
        self._optimizer = torch.optim.AdamW(groups, fused=True)

    def step(self, texts: Sequence[GoldText], *, pool: Sequence[str] = ()) -> float:
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

    def accumulate(self, texts: Sequence[GoldText], *, pool: Sequence[str] = ()) -> float:
        """Add the gradient of one batch to what is there, and leave the weights as they are.

        Args:
            texts: The batch.
            pool: Labels that texts may be asked about; see `sampling.ask`.

        Returns:
            The loss.
        """
        rng = np.random.default_rng((self.course.seed, self.batches))
        sampling = self.course.sampling
        vectors = None
        if self.model.config.is_bi:
            together = ask_together(texts, sampling, rng, pool=pool)
            asked = [together] * len(texts)
        else:
            asked = ask(texts, sampling, rng, pool=pool)
        lessons = make_lessons(
            self.model,
            texts,
            asked,
            objective=self.course.objective,
            rng=rng,
            max_words=self.course.max_words,
        )
        self.batches += 1
        if not lessons:
            return 0.0
        self.model.network.train()
        with seeded(self.model.network.device, self.course.seed, self.batches):
            if self.model.config.is_bi:
                vectors = self._label_vectors(asked[0])
            loss = self._backward(lessons, vectors)
        self.model.network.eval()
        return loss

    def update(self) -> float:
        """Change the weights by the gradients that were added up.

        A gradient with a value that is no number changes nothing, and is forgotten.

        Returns:
            The length of the gradient before it was clipped.
        """
        if all(parameter.grad is None for parameter in self.trained):
            return 0.0
        norm = float(nn.utils.clip_grad_norm_(self.trained, self.course.schedule.clip))
        factor = self.course.schedule.factor(self.steps)
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor
        if np.isfinite(norm):
            self._optimizer.step()
        self._optimizer.zero_grad()
        self.steps += 1
        return norm

    def _backward(self, lessons: Sequence[Lesson], vectors: Tensor | None) -> float:
        """Add up gradients, whatever the size of the batch."""
        padded = isinstance(self.model.network.encoder, ForeignEncoder)
        lengths = [len(lesson.row.ids) for lesson in lessons]
        shared = None if vectors is None else vectors.detach().requires_grad_(vectors.requires_grad)
        scales = loss_scales(lessons, self.course.objective)
        total = 0.0
        for group in batch_by_budget(lengths, budget=self._held, padded=padded):
            part = [lessons[i] for i in group]
            loss = batch_loss(
                self.model, part, self.course.objective, shared, scales, dropout=self.course.dropout
            )
            loss.backward()
            total += float(loss.detach())
        if vectors is not None and shared is not None and shared.grad is not None:
            vectors.backward(shared.grad)
        return total

    def _label_vectors(self, asked: Asked) -> Tensor:
        """Vectors of a batch's labels; a label encoder that does not learn reads each only once."""
        network, words = self.model.network, list(asked.words)
        if "labels_encoder" not in self.course.freeze:
            rows = self.model.label_rows(words)
            return network.encode_labels(rows, dropout=self.course.dropout)
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


def loss_scales(lessons: Sequence[Lesson], objective: Objective) -> tuple[float, float]:
    """Factors on the losses of a batch: on that of its rows, and on that of given spans."""
    if objective.reduction == "sum":
        return 1.0, 1.0
    rows = sum(lesson.targets.count for lesson in lessons)
    given = [lesson.given_targets for lesson in lessons]
    spans = sum(int((targets.weights > 0).sum()) for targets in given if targets is not None)
    return 1.0 / max(rows, 1), 1.0 / max(spans, 1)


def batch_loss(
    model: GlinerModel,
    lessons: Sequence[Lesson],
    objective: Objective,
    vectors: Tensor | None = None,
    scales: tuple[float, float] = (1.0, 1.0),
    *,
    dropout: float = 0.0,
) -> Tensor:
    """Give the loss of rows that go through the network together.

    Args:
        model: The model.
        lessons: The rows; at least one.
        objective: The loss.
        vectors: Bi-encoders: vectors of the labels of all rows. *Shape:* (labels, width).
        scales: What `loss_scales` gave for the whole batch.
        dropout: Least dropout rate of the encoder in training.

    Returns:
        *Shape:* (), float32.
    """
    network = model.network
    features = network.encode([lesson.row for lesson in lessons], vectors, dropout=dropout)
    targets = [lesson.targets for lesson in lessons]
    loss = scales[0] * _loss(network.score_rows(features), targets, objective)
    scores, given_targets = [], []
    for (words, labels), lesson in zip(features.split(), lessons, strict=True):
        given = lesson.given
        if given is not None and lesson.given_targets is not None and len(given.starts):
            starts, ends = (
                torch.from_numpy(bound.astype(np.int64)).to(words.device)
                for bound in (given.starts, given.ends)
            )
            scores.append(network.score_spans(words, labels, starts, ends))
            given_targets.append(lesson.given_targets)
    if scores:
        loss = loss + scales[1] * _loss(scores, given_targets, objective)
    return loss


def _loss(scores: Sequence[Tensor], targets: Sequence[Targets], objective: Objective) -> Tensor:
    device = scores[0].device
    values = [torch.from_numpy(one.values).to(device) for one in targets]
    weights = [torch.from_numpy(one.weights).to(device) for one in targets]
    return total_loss(scores, values, weights, objective)
