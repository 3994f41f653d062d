"""Which labels a text is read with in training, and in which words.

A model that is always shown the right labels learns that every label has a span somewhere, and one
that always sees the same list in the same order learns the list. So labels that are absent are
added, labels that are present are left out, and the order changes (arXiv 2311.08526, section 2.3
and table 5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .config import LabelSamplingConfig
from .dataset import AnnotatedText


@dataclass(frozen=True)
class LabelSample:
    """The labels that a text is read with.

    Attributes:
        labels: The labels, as they are in the annotation.
        label_texts: The label text of each; no two are the same.
    """

    labels: tuple[str, ...]
    label_texts: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)


def sample_labels(
    texts: Sequence[AnnotatedText],
    config: LabelSamplingConfig,
    rng: np.random.Generator,
    *,
    label_pool: Sequence[str] = (),
) -> list[LabelSample]:
    """Draw the labels of each text of a batch, perhaps none.

    Texts that do not say themselves which labels annotators looked for get labels of the batch and
    of ``label_pool``.
    """
    shared = list(dict.fromkeys([*(s.label for text in texts for s in text.spans), *label_pool]))
    drawn = (_draw(text, shared, config, rng) for text in texts)
    return [_phrase(labels, config, rng) for labels in drawn]


def sample_shared_labels(
    texts: Sequence[AnnotatedText],
    config: LabelSamplingConfig,
    rng: np.random.Generator,
    *,
    label_pool: Sequence[str] = (),
) -> LabelSample:
    """Draw the labels that all texts of a batch are read with, for a bi-encoder.

    Its labels do not see each other, and each is encoded once for the whole batch. So every text is
    read with the labels of all, which are negatives where annotators looked for them.
    """
    samples = sample_labels(texts, config, rng, label_pool=label_pool)
    labels = list(dict.fromkeys(label for sample in samples for label in sample.labels))
    return _phrase(labels, config, rng)


def _draw(
    text: AnnotatedText,
    shared: Sequence[str],
    config: LabelSamplingConfig,
    rng: np.random.Generator,
) -> list[str]:
    present = list(dict.fromkeys(span.label for span in text.spans))
    possible = shared if text.labels is None else dict.fromkeys(text.labels)
    taken = set(present)
    absent = [label for label in possible if label not in taken]
    if config.negative_ratio is not None:
        count = max(len(text.spans), 1) * int(rng.integers(0, config.negative_ratio + 1))
        absent = _shuffled(absent, rng)[:count]
    labels = present + absent
    if not labels:
        return []
    if config.shuffle:
        labels = _shuffled(labels, rng)
    if rng.random() < config.drop_types:
        labels = labels[: int(rng.integers(1, len(labels) + 1))]
    return labels[: config.max_types]


def _phrase(
    labels: Sequence[str], config: LabelSamplingConfig, rng: np.random.Generator
) -> LabelSample:
    """Draw the label text of each label; of labels with the same label text the first stays."""
    label_of: dict[str, str] = {}
    for label in labels:
        phrases = config.phrases.get(label) or (label,)
        index = 0 if len(phrases) == 1 else int(rng.integers(len(phrases)))
        label_of.setdefault(phrases[index], label)
    return LabelSample(tuple(label_of.values()), tuple(label_of))


def _shuffled(labels: Sequence[str], rng: np.random.Generator) -> list[str]:
    return [labels[i] for i in rng.permutation(len(labels))]
