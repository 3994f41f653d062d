"""What a corpus holds for a ``setfit_textcat``: examples a label, and those that need a look."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from spacy.training import Example
from thinc.api import Model

from ...setfit.modeling.sentence_encoder import SentenceEncoder
from ..checkpoint_model import CheckpointModel
from .config import LearningSettings
from .examples import read_given
from .selection import why_useless


@dataclass
class TextcatStatistics:
    """Counts of annotated texts.

    Attributes:
        n_texts: All texts.
        per_label: Texts that have a label, for each label.
        useless: Texts that teach nothing: "empty", "bare" (none of the labels), "outside" (the
            abstain label).
        n_several: Texts with more than one label.
        n_repeated: Texts that came before, with the same labels.
        conflicting: Texts that came before with other labels.
        unknown: Labels of the annotation that the component does not have.
        n_long: Texts that are too long for the encoder; None where it belongs to another component.
        limit: Pieces that the encoder reads.
    """

    n_texts: int = 0
    per_label: Counter[str] = field(default_factory=Counter)
    useless: Counter[str] = field(default_factory=Counter)
    n_several: int = 0
    n_repeated: int = 0
    conflicting: list[str] = field(default_factory=list)
    unknown: Counter[str] = field(default_factory=Counter)
    n_long: int | None = None
    limit: int | None = None


def count_examples(
    examples: Iterable[Example], settings: LearningSettings, model: Model
) -> TextcatStatistics:
    """Count annotated texts; load the encoder, if it is the component's own."""
    found = TextcatStatistics()
    labels = {*settings.labels, settings.flat.abstain_label}
    seen: dict[str, frozenset[str]] = {}
    for item in read_given(examples):
        text = item.text if isinstance(item.text, str) else item.text.text
        positive = frozenset(label for label, value in item.cats.items() if value)
        found.n_texts += 1
        found.per_label.update(positive & labels)
        found.unknown.update(positive - labels)
        if (reason := why_useless(item, settings)) is not None:
            found.useless[reason] += 1
        found.n_several += len(positive) > 1
        if text in seen:
            found.n_repeated += seen[text] == positive
            if seen[text] != positive:
                found.conflicting.append(text)
        seen[text] = positive
    if isinstance(model, CheckpointModel):
        encoder: SentenceEncoder = model.checkpoint
        found.limit = encoder.input_config.max_length
        found.n_long = len(encoder.tokenize(list(seen)).truncated)
    return found
