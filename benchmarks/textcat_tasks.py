"""Few-shot classification tasks, drawn from labeled texts."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from data import read_json_lines

Floats = npt.NDArray[np.float32]
# A text with its labels.
LabeledText = tuple[str, tuple[str, ...]]
BATCH = 16  # pairs: setfit's default


@dataclass(frozen=True, eq=False)
class Task:
    """Texts to train on, texts to test on, and the names of the labels."""

    train: list[LabeledText]
    test: list[LabeledText]
    names: list[str]
    multi_label: bool

    def matrix(self, texts: Sequence[LabeledText]) -> Floats:
        """Return 1 where a text has a label. *Shape:* (texts, labels)."""
        return np.array([[n in labels for n in self.names] for _, labels in texts], np.float32)

    @property
    def default_steps(self) -> int:
        """Steps that setfit takes by default: all pairs, the rarer kind as often as the other."""
        labels = self.matrix(self.train)
        positive = np.triu(labels @ labels.T > 0)
        n_positive = int(positive.sum())
        total = len(labels) * (len(labels) + 1) // 2
        return -(-2 * max(n_positive, total - n_positive) // BATCH)


def read_texts(path: Path) -> list[LabeledText]:
    """Read JSON lines with ``text``, and ``label`` or ``labels``."""
    return [
        (entry["text"], tuple(entry.get("labels", (entry.get("label"),))))
        for entry in read_json_lines(path)
    ]


def make_task(folder: Path, *, shots: int, seed: int, most: int) -> Task:
    """Draw a task.

    Args:
        folder: A folder with ``train.jsonl.gz`` and ``test.jsonl.gz``.
        shots: Number of training texts of each label.
        seed: Seed of the drawing of the training texts.
        most: Highest number of test texts, which do not depend on the seed.
    """
    train, test = (read_texts(folder / f"{part}.jsonl.gz") for part in ("train", "test"))
    names = sorted({label for _, labels in train for label in labels})
    known = set(names)
    test = [(text, labels) for text, labels in test if known.issuperset(labels)]
    if len(test) > most:
        test = random.Random(0).sample(test, most)
    multi = any(len(labels) != 1 for _, labels in train)
    return Task(draw_shots(train, names, shots, seed), test, names, multi)


def draw_shots(
    texts: Sequence[LabeledText], names: Sequence[str], shots: int, seed: int
) -> list[LabeledText]:
    """Draw texts until each label has ``shots``, and as many texts without any label.

    Rare labels are drawn first, and the other labels of a text count.
    """
    generator = random.Random(seed)
    texts = generator.sample(texts, len(texts))
    frequency = Counter(label for _, labels in texts for label in labels)
    chosen: dict[LabeledText, None] = {}
    counts: Counter[str] = Counter()
    for name in sorted(names, key=frequency.__getitem__):
        for text in texts:
            if counts[name] >= shots:
                break
            if name in text[1] and text not in chosen:
                chosen[text] = None
                counts.update(text[1])
    chosen.update(dict.fromkeys([text for text in texts if not text[1]][:shots]))
    return generator.sample([*chosen], len(chosen))
