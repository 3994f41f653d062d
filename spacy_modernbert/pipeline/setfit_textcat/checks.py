"""What is checked before a component changes: labels, annotation and arguments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from typing import TypeAlias

from spacy.errors import Errors as SpacyErrors

from ...errors import Errors
from ...setfit.training.config import SetfitOptimizerConfig, SetfitTrainingConfig

Cats: TypeAlias = Mapping[str, float]


def check_label(label: str) -> str:
    """Return a label as a plain string; ValueError SM212 where it is blank."""
    if not label.strip():
        raise ValueError(Errors.SM212.format(label=label))
    return str(label)


def check_cats(annotations: Iterable[Cats], *, multi_label: bool) -> None:
    """Check that a classifier can learn from the annotation of texts.

    Raises:
        ValueError: E851 where a value is neither 0 nor 1, E895 where a text has several labels
            and may have one only.
    """
    for cats in annotations:
        for value in cats.values():
            if value not in (0.0, 1.0):
                raise ValueError(of_setfit(SpacyErrors.E851).format(val=value))
        if not multi_label and list(cats.values()).count(1.0) > 1:
            raise ValueError(of_setfit(SpacyErrors.E895).format(value=dict(cats)))


def of_setfit(message: str) -> str:
    """Return a message of spaCy's `textcat` with the names of our factories."""
    for name in ("textcat", "textcat_multilabel"):
        message = message.replace(f"'{name}'", f"'setfit_{name}'")
    return message


def check_positive_label(label: str | None, labels: Sequence[str]) -> None:
    """Check that a label, if any, is one of two; ValueError E919 or E920 where it is not."""
    if label is not None and label not in labels:
        raise ValueError(SpacyErrors.E920.format(pos_label=label, labels=labels))
    if label is not None and len(labels) != 2:
        raise ValueError(SpacyErrors.E919.format(pos_label=label, labels=labels))


def read_steps(steps: int | None, config: SetfitTrainingConfig) -> int:
    """Return a number of steps, by default that of the settings; ValueError SM214 if it is none."""
    if steps is None:
        return config.optimizer.total_steps or SetfitOptimizerConfig().total_steps or 0
    if isinstance(steps, bool) or not isinstance(steps, Integral) or steps < 0:
        raise ValueError(Errors.SM214.format(value=steps))
    return int(steps)
