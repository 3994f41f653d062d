"""The scorer of ``gliner``: entities and span groups."""

# No `from __future__ import annotations`: the types are what configs are validated against.

from collections.abc import Callable, Iterable
from typing import Any

from spacy.scorer import get_ner_prf
from spacy.training import Example
from spacy.util import registry


def gliner_score(examples: Iterable[Example], **settings: Any) -> dict[str, Any]:
    """Score the spans and entities that ``gliner`` has written.

    Args:
        examples: Predicted and gold Docs.
        settings: Settings of the component: ``spans_key``, ``annotate_ents``.

    Returns:
        ``spans_<key>_p``, ``_r``, ``_f`` and ``_per_type``, and the same of ``ents`` if
        ``annotate_ents`` is set. None where the gold Docs have no such annotation.
    """
    examples = list(examples)
    scores: dict[str, Any] = {}
    if settings.get("spans_key", "sc") is not None:
        # Not imported at the top: spaCy registers its own scorers when one is first looked up.
        scores.update(registry.get("scorers", "spacy.spancat_scorer.v1")()(examples, **settings))
    if settings.get("annotate_ents", True):
        scores.update(get_ner_prf(examples))
    return scores


@registry.scorers("spacy_modernbert.gliner_scorer.v1")
def make_gliner_scorer() -> Callable[..., dict[str, Any]]:
    """Make the scorer of spans and entities."""
    return gliner_score
