"""What a ``setfit_textcat`` says once about its texts and its training."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Hashable, Sequence

import torch

from ...errors import Warnings
from ...setfit.arrays import Floats, LabelMatrix
from ...setfit.training.losses import are_alike, labels_differ
from ...setfit.training.support_set import SupportSet
from .config import LearningSettings
from .examples import AnnotatedText
from .selection import UselessExamples, why_useless


class Notices:
    """Gives each warning once, not with every batch."""

    def __init__(self) -> None:
        self._said: set[Hashable] = set()
        self._n_conflicts = 0

    def copy(self) -> Notices:
        """Return an independent copy."""
        copied = copy.copy(self)
        copied._said = set(self._said)
        return copied

    def forget_texts(self) -> None:
        """Begin anew to count texts that came again with other labels."""
        self._n_conflicts = 0

    def frozen_encoder(self) -> None:
        """Warn that the encoder can't be trained, since only vectors were kept."""
        self._once("SMW233", Warnings.SMW233)

    def texts(self, support: SupportSet) -> None:
        """Warn of texts that came again with other labels, and of those there is no room for."""
        n, total, kept = support.n_conflicts, support.n_seen, len(support)
        if n > self._n_conflicts:
            self._n_conflicts = n
            warnings.warn(Warnings.SMW232.format(n=n, total=total), stacklevel=4)
        if total > kept == support.capacity:
            self._once("SMW239", Warnings.SMW239.format(total=total, kept=kept))

    def useless(self, given: Sequence[AnnotatedText], settings: LearningSettings) -> None:
        """Warn if annotated texts of a batch teach nothing, as with labels of others."""
        annotated = [item for item in given if item.cats]
        if "SMW235" in self._said or all(why_useless(each, settings) is None for each in annotated):
            return
        self._said.add("SMW235")
        counted = UselessExamples(settings)
        counted.count(given)
        counted.warn()

    def no_contrast(self, labels: LabelMatrix) -> None:
        """Warn if no texts of the support set differ. *Shape:* (texts, labels)."""
        if "SMW236" not in self._said and not labels_differ(labels):
            self._once("SMW236", Warnings.SMW236)

    def collapse(self, vectors: Floats, labels: LabelMatrix, learn_rate: float) -> None:
        """Warn if a training has given all texts one vector. *Shapes:* (texts, width or labels)."""
        if are_alike(torch.from_numpy(vectors)) and labels_differ(labels):
            reason = "all texts have the same vector"
            self._once("SMW238", Warnings.SMW238.format(reason=reason, learn_rate=learn_rate))

    def labels(self, message: str, unknown: Sequence[str], n_labels: int) -> None:
        """Warn of labels without examples, unless that is all of them."""
        new = sorted(label for label in unknown if ("label", label) not in self._said)
        if new and len(unknown) < n_labels:
            self._said.update(("label", label) for label in new)
            warnings.warn(message.format(labels=", ".join(new)), stacklevel=4)

    def _once(self, number: str, message: str) -> None:
        if number not in self._said:
            self._said.add(number)
            warnings.warn(message, stacklevel=5)
