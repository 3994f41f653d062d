"""The scorer of ``gliner``: entities and span groups."""

# No `from __future__ import annotations`: the types are what configs are validated against.

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from spacy.scorer import Scorer, get_ner_prf
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.util import registry

from .annotations import annotated_spans

_PREFIX = "spans_"


def gliner_score(examples: Iterable[Example], **settings: Any) -> dict[str, Any]:
    """Score the spans and entities that ``gliner`` has written.

    Spans are compared with the gold Doc's group, or with its entities if it has no such group.

    Args:
        examples: Predicted and gold Docs.
        settings: Settings of the component: ``spans_key``, ``annotate_ents``.

    Returns:
        ``spans_<key>_p``, ``_r``, ``_f`` and ``_per_type``, and the same of ``ents`` if
        ``annotate_ents`` is set. None where the gold Docs have no annotation.
    """
    examples = list(examples)
    scores: dict[str, Any] = {}
    key = settings.get("spans_key")
    if key is not None:
        scores = Scorer.score_spans(
            examples,
            f"{_PREFIX}{key}",
            getter=_spans,
            has_annotation=_has_annotation(key),
            allow_overlap=True,
            labeled=True,
        )
    if settings.get("annotate_ents", True):
        scores.update(get_ner_prf(examples))
    return scores


def _spans(doc: Doc, attr: str) -> Sequence[Span]:
    return annotated_spans(doc, attr.removeprefix(_PREFIX)) or ()


def _has_annotation(spans_key: str) -> Callable[[Doc], bool]:
    def has_annotation(doc: Doc) -> bool:
        return annotated_spans(doc, spans_key) is not None

    return has_annotation


@registry.scorers("spacy_modernbert.gliner_scorer.v1")
def make_gliner_scorer() -> Callable[..., dict[str, Any]]:
    """Make the scorer of spans and entities."""
    return gliner_score
