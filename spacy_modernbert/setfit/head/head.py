"""The head on sentence vectors: logistic regression, kept as two arrays and a temperature.

scikit-learn fits the arrays; a prediction is one matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Floats, LabelMatrix
from .config import HeadConfig
from .cross_validation import choose_strength, choose_temperature, held_out_logits
from .logistic_regression import Progress, check_labels, fit_arrays, select_usable


@dataclass(frozen=True, eq=False)
class Head:
    """A linear classifier.

    Attributes:
        coef: Weights. *Shape:* (labels, width), float32.
        intercept: Intercepts. *Shape:* (labels,), float32.
        temperature: Logits are divided by it: above 1, probabilities are less extreme.
        multi_label: Whether each label is decided on its own.
    """

    coef: Floats
    intercept: Floats
    temperature: float = 1.0
    multi_label: bool = False

    def logits(self, vectors: Floats) -> Floats:
        """Return logits before the temperature. *Shape:* (texts, width) to (texts, labels)."""
        return vectors @ self.coef.T + self.intercept

    def probabilities(self, vectors: Floats) -> Floats:
        """Return the probability of each label; those of a text sum to 1 unless ``multi_label``.

        *Shape:* (texts, width) to (texts, labels), float32.
        """
        logits = self.logits(vectors) / np.float32(self.temperature)
        if self.multi_label:
            return 0.5 * (1.0 + np.tanh(0.5 * logits))
        exps = np.exp(logits - logits.max(axis=1, keepdims=True))
        return exps / exps.sum(axis=1, keepdims=True)


def fit_head(
    vectors: Floats,
    labels: LabelMatrix,
    *,
    names: Sequence[str],
    config: HeadConfig,
    multi_label: bool = False,
    seed: int = 0,
    initial: Floats | None = None,
    progress: Progress | None = None,
) -> Head:
    """Fit a head.

    "cv" and the temperature are found on held-out texts. A fine-tuned encoder has seen all of them
    and separates them without fail, so that its probabilities would always seem too low. That is
    why the vectors from before the fine-tuning count as well.

    Unless a text can have several labels, texts that don't have exactly one are left out.

    Args:
        vectors: Sentence vectors. *Shape:* (texts, width).
        labels: 1 where a text has a label, 0 where it does not, NaN where that is unknown.
            *Shape:* (texts, labels).
        names: Names of the labels, for messages.
        config: How to fit.
        multi_label: Whether a text can have several labels.
        seed: Seed of the folds.
        initial: Vectors of the same texts before the encoder was fine-tuned; None if it was not.
        progress: Called after each regression.

    Raises:
        ValueError: SM210 where there is nothing to choose from, SM211 where a label has no example.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    check_labels(labels, names, multi_label=multi_label)
    usable = select_usable(labels, multi_label=multi_label)
    vectors, labels = vectors[usable], labels[usable]
    unseen = [] if initial is None else [initial[usable]]
    # The problems are small. Threads would spend their time waiting for one another.
    with threadpool_limits(limits=1):
        if config.C == "cv":
            best = unseen[0] if unseen else vectors
            strength = choose_strength(
                best, labels, config, multi_label=multi_label, seed=seed, progress=progress
            )
            config = config.model_copy(update={"C": strength})
        coef, intercept = fit_arrays(
            vectors, labels, config, multi_label=multi_label, warn=True, progress=progress
        )
        temperature = 1.0
        if config.calibrate:
            logits = [
                held_out_logits(
                    each, labels, config, multi_label=multi_label, seed=seed, progress=progress
                )
                for each in (vectors, *unseen)
            ]
            temperature = choose_temperature(logits, labels, multi_label=multi_label)
    return Head(coef, intercept, temperature, multi_label)
