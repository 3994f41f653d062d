"""Which labels a text is asked about in training, and in which words.

A model that is always shown the right labels learns that every label has a span somewhere, and one
that always sees the same list in the same order learns the list. So labels that are absent are
mixed in, labels that are there are left out, and the order changes (arXiv 2311.08526, section 2.3
and table 5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from .dataset import AnnotatedText


@dataclass(frozen=True, kw_only=True)
class LabelSampling:
    """How labels are drawn. The defaults are those of the paper's training.

    Attributes:
        max_types: Most labels of a text.
        negative_ratio: Most absent labels for each span of a text (a text without any counts as
            one span); the number is drawn from 0 up to it. None: all there are.
        drop_types: Share of the texts that are asked about fewer labels: the first few of the
            shuffled list, one at least.
        shuffle: Whether labels come in another order each time.
        phrases: Label -> the phrasings of which the model reads one, drawn each time. A label that
            is missing here is read as it is.
    """

    max_types: int = 25
    negative_ratio: int | None = 1
    drop_types: float = 1.0
    shuffle: bool = True
    phrases: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class LabelSample:
    """The labels a text is asked about.

    Attributes:
        labels: The labels, as they are in the annotation.
        words: What the model reads of each; no two are the same.
    """

    labels: tuple[str, ...]
    words: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> LabelSample:
        """Only the first few."""
        return LabelSample(self.labels[:count], self.words[:count])


def ask(
    texts: Sequence[AnnotatedText],
    sampling: LabelSampling,
    rng: np.random.Generator,
    *,
    pool: Sequence[str] = (),
) -> list[LabelSample]:
    """Draw the labels of each text of a batch.

    Args:
        texts: The batch.
        sampling: How.
        rng: The source of chance.
        pool: Labels that may be asked about besides those of the batch, where a text does not say
            itself which ones were looked for.

    Returns:
        One a text, perhaps without labels.
    """
    shared = list(dict.fromkeys([*(s.label for text in texts for s in text.spans), *pool]))
    drawn = (_draw(text, shared, sampling, rng) for text in texts)
    return [_phrase(labels, sampling, rng) for labels in drawn]


def sample_shared_labels(
    texts: Sequence[AnnotatedText],
    sampling: LabelSampling,
    rng: np.random.Generator,
    *,
    pool: Sequence[str] = (),
) -> LabelSample:
    """Draw the labels that all texts of a batch are asked about, for a bi-encoder.

    Its labels do not see each other, and each is encoded once for the whole batch. So the labels
    of one text are asked of all, and are negatives to those whose annotators looked for them.
    """
    asked = ask(texts, sampling, rng, pool=pool)
    labels = list(dict.fromkeys(label for one in asked for label in one.labels))
    return _phrase(labels, sampling, rng)


def _draw(
    text: AnnotatedText, shared: Sequence[str], sampling: LabelSampling, rng: np.random.Generator
) -> list[str]:
    present = list(dict.fromkeys(span.label for span in text.spans))
    possible = shared if text.labels is None else dict.fromkeys(text.labels)
    taken = set(present)
    absent = [label for label in possible if label not in taken]
    if sampling.negative_ratio is not None:
        absent = _some(absent, max(len(text.spans), 1), sampling.negative_ratio, rng)
    labels = present + absent
    if not labels:
        return []
    if sampling.shuffle:
        labels = _shuffled(labels, rng)
    if rng.random() < sampling.drop_types:
        labels = labels[: int(rng.integers(1, len(labels) + 1))]
    return labels[: sampling.max_types]


def _some(absent: list[str], spans: int, ratio: int, rng: np.random.Generator) -> list[str]:
    """Some of the absent labels, in any order."""
    count = spans * int(rng.integers(0, ratio + 1))
    return _shuffled(absent, rng)[:count]


def _phrase(
    labels: Sequence[str], sampling: LabelSampling, rng: np.random.Generator
) -> LabelSample:
    """Put labels into words; of those that would read the same the first stays."""
    words: dict[str, str] = {}
    for label in labels:
        phrasings = sampling.phrases.get(label) or (label,)
        chosen = (
            phrasings[0] if len(phrasings) == 1 else phrasings[int(rng.integers(len(phrasings)))]
        )
        words.setdefault(chosen, label)
    return LabelSample(tuple(words.values()), tuple(words))


def _shuffled(labels: Sequence[str], rng: np.random.Generator) -> list[str]:
    return [labels[i] for i in rng.permutation(len(labels))]
