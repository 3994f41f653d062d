"""From Docs to the probabilities of their labels."""

from __future__ import annotations

import numpy as np
from spacy.tokens import Doc
from thinc.api import Model

from ...errors import Errors
from ...setfit.arrays import Floats
from ...setfit.head.abstention import with_abstention
from ...setfit.head.classifier import Classifier
from ...setfit.head.prototypes import abstain_scores
from ...setfit.head.window_scores import most_confident
from .config import SetfitTextcatConfig
from .embedding_sources import SentenceEncoderSource
from .shared_encoder import SharedEncoderSource


def sentence_vectors(
    model: Model,
    source: SentenceEncoderSource | SharedEncoderSource,
    docs: list[Doc],
    flat: SetfitTextcatConfig,
) -> Floats:
    """Return the vectors of Docs. *Shape:* (docs, width)."""
    source.load(flat)
    vectors: Floats = model.ops.to_numpy(model.predict(docs))
    return vectors


def distances(vectors: Floats, classifier: Classifier, *, name: str) -> Floats:
    """Return the distances to the nearest prototype; ValueError SM235 where there is none.

    *Shapes:* (texts, width) to (texts,).
    """
    if not len(classifier.prototypes):
        raise ValueError(Errors.SM235.format(name=name))
    return abstain_scores(vectors, classifier.prototypes)


def classify(
    model: Model,
    source: SentenceEncoderSource | SharedEncoderSource,
    docs: list[Doc],
    classifier: Classifier,
    flat: SetfitTextcatConfig,
    *,
    name: str,
) -> tuple[Floats, list[str]]:
    """Return the probabilities of labels, and these labels.

    Args:
        model: Docs to vectors.
        source: Where the vectors come from.
        docs: Docs that have a text, one at least.
        classifier: Vectors to probabilities.
        flat: The settings.
        name: Name of the component, for messages.

    Returns:
        *Shape:* (docs, labels).
    """
    by_window = flat.windows == "max" and isinstance(source, SentenceEncoderSource)
    if by_window and isinstance(source, SentenceEncoderSource):
        source.load(flat)
        vectors, texts = source.window_vectors(docs)
    else:
        vectors, texts = sentence_vectors(model, source, docs, flat), np.arange(len(docs))
    scores, labels = classifier.head.probabilities(vectors), list(classifier.labels)
    if flat.abstain_label is not None:
        labels.append(flat.abstain_label)
        far = distances(vectors, classifier, name=name)
        scores = with_abstention(scores, far, flat.abstain_threshold, multi_label=flat.multi_label)
    if len(texts) > len(docs):
        n_labels = len(classifier.labels)
        scores = most_confident(scores, texts, multi_label=flat.multi_label, n_labels=n_labels)
    return scores, labels
