"""The classifier on top: logistic regression, kept as two arrays and a temperature.

scikit-learn finds the arrays; reading them out, a prediction is one product of matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..training.batches import Labels
from .cross_validation import choose_strength, choose_temperature, held_out_logits
from .logistic_regression import Floats, HeadSettings, check, fit_arrays, usable


@dataclass(frozen=True, eq=False)
class Head:
    """A linear classifier.

    Attributes:
        coef: Weights. *Shape:* (labels, width), float32.
        intercept: Constants. *Shape:* (labels,), float32.
        temperature: Logits are divided by it: above 1 makes probabilities more modest.
        multi_label: Whether each label is decided on its own.
    """

    coef: Floats
    intercept: Floats
    temperature: float = 1.0
    multi_label: bool = False

    def logits(self, vectors: Floats) -> Floats:
        """*Shape:* (texts, width) to (texts, labels), before the temperature."""
        return vectors @ self.coef.T + self.intercept

    def probabilities(self, vectors: Floats) -> Floats:
        """Give each label's probability; those of a text sum to one unless ``multi_label``.

        Args:
            vectors: *Shape:* (texts, width).

        Returns:
            *Shape:* (texts, labels), float32.
        """
        logits = self.logits(vectors) / np.float32(self.temperature)
        if self.multi_label:
            return 0.5 * (1.0 + np.tanh(0.5 * logits))
        exps = np.exp(logits - logits.max(axis=1, keepdims=True))
        return exps / exps.sum(axis=1, keepdims=True)


def fit_head(
    vectors: Floats,
    labels: Labels,
    *,
    names: Sequence[str],
    settings: HeadSettings | None = None,
    frozen: Floats | None = None,
) -> Head:
    """Fit a head.

    "cv" and the temperature are found on held-out texts. A fine-tuned encoder has seen all of them
    and tells them apart without fail, so that its head would always be found too modest. That is
    why the vectors of the encoder before the fine-tuning are asked, too.

    Args:
        vectors: Sentence vectors. *Shape:* (texts, width).
        labels: 1 where a text has a label, 0 where it has not, NaN where nobody knows. Unless the
            head is for several labels, texts that don't have exactly one are left out.
            *Shape:* (texts, labels).
        names: Names of the labels, for messages.
        settings: How.
        frozen: Vectors of the same texts before the encoder was tuned; None if it was not.
            *Shape:* (texts, width).

    Raises:
        ValueError: SM210 where there is nothing to tell apart, SM211 where a label has no example,
            SM212 where the strength is not a number above zero or "cv".
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    settings = settings or HeadSettings()
    check(labels, names, settings)
    used = usable(labels, settings)
    vectors, labels = vectors[used], labels[used]
    frozen = None if frozen is None else frozen[used]
    # The problems are small. Threads would spend their time waiting for one another.
    with threadpool_limits(limits=1):
        if settings.C == "cv":
            views = vectors if frozen is None else frozen
            settings = replace(settings, C=choose_strength(views, labels, settings))
        coef, intercept = fit_arrays(vectors, labels, settings)
        temperature = 1.0
        if settings.calibrate:
            both = [vectors] if frozen is None else [vectors, frozen]
            logits = [held_out_logits(view, labels, settings) for view in both]
            temperature = choose_temperature(logits, labels, settings)
    return Head(coef, intercept, temperature, settings.multi_label)
