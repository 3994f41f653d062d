"""Texts of any length, labels of any number: one answer a text.

A text becomes one row, or several: windows where it is long, groups of labels where there are too
many for the prompt (`plan`). Rows of all texts are batched by length, and their candidates come
together again. What a text gets depends on no other text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ...text.batching import batch_by_budget
from ..modeling.network import Features
from .model import GlinerModel
from .prompt import Row
from .scored_spans import ScoredSpans
from .scoring import CandidateSpans, score_sequences
from .sequences import Overflow, Plan, Planner, SplitText
from .windows import merge_windows

# Pieces of a batch. On CPUs 2,000 to 8,000 take the same time, and memory grows with them.
BUDGET = 2048


@dataclass(frozen=True, eq=False)
class _Job:
    """One row to be run, and whose it is.

    Attributes:
        text, group, window: Numbers of the text, and of the group and window in its plan.
        row: The row.
        thresholds: Of the labels of the group. *Shape:* (labels,).
        given: The only spans in question, counted from the window's start.
        vectors: Of the pieces of its words, where they are known. *Shape:* (pieces, width).
    """

    text: int
    group: int
    window: int
    row: Row
    thresholds: NDArray[np.float32]
    given: CandidateSpans | None
    vectors: Tensor | None


def find_spans(
    model: GlinerModel,
    texts: Sequence[SplitText],
    labels: Sequence[str],
    *,
    thresholds: ArrayLike,
    label_vectors: Tensor | None = None,
    max_words: int | None = None,
    overlap: int | None = None,
    on_overflow: Overflow = "warn",
    budget: int = BUDGET,
) -> list[ScoredSpans]:
    """Find the candidates of texts; `decoding.decode` chooses among them.

    Args:
        model: The model.
        texts: The texts; those without words get no candidates. All of them bring their vectors,
            or none does.
        labels: What the model reads of each label. Of equal ones the first counts.
        thresholds: Least probability, exclusive: one for all labels, or one each. *Shape:* () or
            (labels,).
        label_vectors: Bi-encoders: what `GlinerModel.encode_labels` gave for these labels, if it
            was kept. *Shape:* (labels, width).
        max_words: Most words of a window; by default as many as in the checkpoint's training.
        overlap: Fewest words that neighbouring windows share, an eighth of them by default; never
            less than the widest span.
        on_overflow: Whether labels that do not fit beside a text are read in several groups, with
            a warning, or are an error.
        budget: Pieces of a batch.

    Returns:
        ScoredSpans of each text. Labels are indices into ``labels``.

    Raises:
        ValueError: SM108, SM109, SM114 where labels are empty, too long, or too many.
    """
    names = list(dict.fromkeys(labels))
    if not names or not texts:
        return [ScoredSpans.empty() for _ in texts]
    # Index of each different label in what the caller gave.
    index = np.array([labels.index(name) for name in names], dtype=np.int32)
    limits = np.broadcast_to(np.asarray(thresholds, dtype=np.float32), len(labels))[index]
    planner = Planner(model, names, max_words=max_words, overlap=overlap, on_overflow=on_overflow)
    plans = planner.plan(texts)
    with torch.inference_mode():
        vectors = None
        if model.config.is_bi:
            vectors = model.encode_labels(names) if label_vectors is None else label_vectors[index]
        jobs = [
            job
            for number, (text, plan) in enumerate(zip(texts, plans, strict=True))
            for job in _jobs(model, number, text, plan, limits)
        ]
        found = _run(model, jobs, vectors, budget)
    merged = [_merge(plan, found, number) for number, plan in enumerate(plans)]
    return [ScoredSpans(c.starts, c.ends, index[c.labels], c.scores) for c in merged]


def _jobs(
    model: GlinerModel, number: int, text: SplitText, plan: Plan, thresholds: NDArray[np.float32]
) -> list[_Job]:
    """The rows of a text: every window with every group."""
    jobs = []
    bounds = zip(plan.windows.starts.tolist(), plan.windows.ends.tolist(), strict=True)
    for window, (start, end) in enumerate(bounds):
        given = None if text.given is None else text.given.within(start, end)
        low, high = np.searchsorted(plan.pieces.words, (start, end))
        vectors = None if text.vectors is None else text.vectors[low:high]
        for group, read in enumerate(plan.groups):
            row = model.prompt_builder.row(read.prompt, plan.pieces, start, end)
            jobs.append(_Job(number, group, window, row, thresholds[read.labels], given, vectors))
    return jobs


def _run(
    model: GlinerModel, jobs: list[_Job], vectors: Tensor | None, budget: int
) -> dict[tuple[int, int, int], ScoredSpans]:
    """Run rows, those of a length together.

    Returns:
        ScoredSpans by text, group and window.
    """
    found = {}
    jobs = sorted(jobs, key=_length)
    for batch in batch_by_budget([_length(job) for job in jobs], budget=budget):
        some = [jobs[i] for i in batch]
        features = _features(model, some, vectors)
        parts = score_sequences(
            model.network,
            features,
            [job.thresholds for job in some],
            [job.given for job in some],
        )
        for job, part in zip(some, parts, strict=True):
            found[job.text, job.group, job.window] = part
    return found


def _features(model: GlinerModel, jobs: list[_Job], labels: Tensor | None) -> Features:
    """Encode rows, or take the vectors that came with them."""
    rows = [job.row for job in jobs]
    given = [job.vectors for job in jobs if job.vectors is not None]
    if given and labels is not None:
        return model.network.take(rows, given, labels)
    return model.network.encode(rows, labels)


def _merge(plan: Plan, found: dict[tuple[int, int, int], ScoredSpans], number: int) -> ScoredSpans:
    """Bring the windows and groups of a text together."""
    if len(plan.windows) == 0:
        return ScoredSpans.empty()
    parts = []
    for group, read in enumerate(plan.groups):
        windows = [found[number, group, window] for window in range(len(plan.windows))]
        one = merge_windows(plan.windows, windows)
        labels = np.array(read.labels, dtype=np.int32)[one.labels]
        parts.append(ScoredSpans(one.starts, one.ends, labels, one.scores))
    return parts[0] if len(parts) == 1 else ScoredSpans.join(parts).in_order()


def _length(job: _Job) -> int:
    return len(job.row.ids)
