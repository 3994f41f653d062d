"""The extensions of ``gliner``: labels of one Doc, scores of spans, entities as plain data.

They are registered wherever a `gliner` is created, loaded or unpickled, those of Docs in every
process that creates a pipeline. A process that only reads Docs calls `install_extension`.
"""

# spaCy imports this module for every pipeline, so nothing heavy is imported here.

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from operator import attrgetter
from typing import Any

from spacy.tokens import Doc, Span, SpanGroup

EXTENSION = "gliner_labels"
ENTITIES = "gliner_entities"
SCORE = "score"
_START = attrgetter("start_char")


def install_extension() -> None:
    """Register ``span._.score``, ``doc._.gliner_labels`` and ``doc._.gliner_entities``.

    Extensions of these names that are there already stay as they are.
    """
    install_doc_extensions()
    if not Span.has_extension(SCORE):
        Span.set_extension(SCORE, getter=score_of)


def install_doc_extensions() -> None:
    """Register the two extensions of Docs, whose names no other package takes."""
    if not Doc.has_extension(EXTENSION):
        Doc.set_extension(EXTENSION, default=None)
    if not Doc.has_extension(ENTITIES):
        Doc.set_extension(ENTITIES, getter=entities_as_dicts)


def score_of(span: Span) -> float | None:
    """Return the probability that a `gliner` gave to a span or entity, None if there is none.

    The score is looked up by the span's characters and label in the groups with scores, and then
    among the entities that were written without a group.
    """
    for group in _scored_groups(span.doc):
        # Groups are sorted by start.
        for i in range(bisect_left(group, span.start_char, key=_START), len(group)):
            found = group[i]
            if found.start_char != span.start_char:
                break
            if found.end_char == span.end_char and found.label == span.label:
                return float(group.attrs["scores"][i])
    stored: float | None = span.doc.user_data.get(_entity_key(span))
    return stored


def keep_entity_score(entity: Span, score: float) -> None:
    """Store the score of an entity in the Doc's user data, where spaCy stores such values."""
    entity.doc.user_data[_entity_key(entity)] = score


def entities_as_dicts(doc: Doc) -> list[dict[str, Any]]:
    """Return what `gliner` found in a Doc as data that ``json.dumps`` takes, sorted by start.

    These are the spans of the groups with scores, or, without such a group, the entities that have
    a score. The keys are ``text``, ``label``, ``start``, ``end`` (characters, as the model saw
    them) and ``score``.
    """
    found = [
        (*chars, span.label_, float(score))
        for group in _scored_groups(doc)
        for span, chars, score in zip(
            group, group.attrs["chars"], group.attrs["scores"], strict=True
        )
    ]
    if not any(_scored_groups(doc)):
        found = [
            (entity.start_char, entity.end_char, entity.label_, score)
            for entity in doc.ents
            if (score := score_of(entity)) is not None
        ]
    found.sort(key=lambda one: (one[0], -one[3]))
    return [
        {"text": doc.text[start:end], "label": label, "start": start, "end": end, "score": score}
        for start, end, label, score in found
    ]


def _scored_groups(doc: Doc) -> Iterator[SpanGroup]:
    """Return the groups that a `gliner` wrote; other components store scores in another order."""
    for group in doc.spans.values():
        n_scores = len(group.attrs.get("scores", ()))
        if len(group.attrs.get("chars", ())) == n_scores == len(group):
            yield group


def _entity_key(span: Span) -> Any:  # spaCy declares keys as strings
    return ("._.", SCORE, span.start_char, span.end_char)
