"""Predictions on the Doc: a group of spans with scores, and entities."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable, Iterable

import numpy as np
import srsly
from spacy.errors import Errors as SpacyErrors
from spacy.tokens import Doc, Span, SpanGroup

from ...errors import Warnings
from .doc_words import DocSpans
from .extensions import keep_entity_score

EntsFilter = Callable[[Iterable[Span], Iterable[Span]], Iterable[Span]]


# How spaCy stores a span: ids of span, knowledge base and label, tokens, characters.
_STORED = struct.Struct(">QQQllll")


class CharacterSpanGroup(SpanGroup):
    """A group whose spans stay on their characters when tokens are merged or split.

    spaCy's retokenizer leaves groups as they are, with the numbers of the old tokens. This one
    corrects them when they are read or saved. A copy, or what is loaded, is a `SpanGroup`.
    """

    def __getitem__(self, i: int) -> Span:
        """Return a span, with the tokens that its characters have now."""
        try:
            span = super().__getitem__(i)
            if _is_aligned(span):
                return span
        except IndexError:  # there are fewer tokens now, or there is no such span
            pass
        self._correct()
        return super().__getitem__(i)

    def to_bytes(self) -> bytes:
        """Return the group as bytes."""
        self._correct()
        data: bytes = super().to_bytes()
        return data

    def _correct(self) -> None:
        content = srsly.msgpack_loads(super().to_bytes())
        begins = np.array([token.idx for token in self.doc], dtype=np.int64)
        for i, stored in enumerate(content["spans"]):
            *ids, _, _, start_char, end_char = _STORED.unpack(stored)
            start = int(np.searchsorted(begins, start_char, side="right")) - 1
            end = int(np.searchsorted(begins, end_char, side="left"))
            content["spans"][i] = _STORED.pack(*ids, start, end, start_char, end_char)
        super().from_bytes(srsly.msgpack_dumps(content))


def spans_of(doc: Doc, found: DocSpans) -> list[Span]:
    """Return the spans that were found in a Doc."""
    bounds = zip(found.starts.tolist(), found.ends.tolist(), found.labels, strict=True)
    return [Span(doc, start, end, label=label) for start, end, label in bounds]


def write_group(doc: Doc, key: str, spans: list[Span], found: DocSpans, *, component: str) -> None:
    """Write spans to ``doc.spans[key]``, with plain numbers and names as attributes."""
    group = CharacterSpanGroup(doc, name=key, spans=spans)
    group.attrs["scores"], group.attrs["chars"] = found.scores.tolist(), found.chars.tolist()
    group.attrs["component"] = component
    doc.spans[key] = group


def write_entities(
    doc: Doc, spans: list[Span], found: DocSpans, ents_filter: EntsFilter, *, overwrite: bool
) -> list[Span]:
    """Write the entities that ``ents_filter`` chooses, and return the new ones.

    Raises:
        ValueError: E854 if the filter leaves spans that overlap.
    """
    best_first = (-found.scores).argsort(kind="stable").tolist()
    kept = list(ents_filter([] if overwrite else list(doc.ents), [spans[i] for i in best_first]))
    try:
        doc.ents = sorted(kept)
    except ValueError as error:
        raise ValueError(SpacyErrors.E854) from error
    new = {_place(span) for span in spans}
    return [entity for entity in kept if _place(entity) in new]


def keep_scores(entities: Iterable[Span], spans: list[Span], found: DocSpans) -> None:
    """Store the scores of entities whose spans are written to no group."""
    scores = dict(zip(map(_place, spans), found.scores.tolist(), strict=True))
    for entity in entities:
        keep_entity_score(entity, scores[_place(entity)])


def warn_of_replaced_group(doc: Doc, key: str, *, component: str) -> bool:
    """Warn, with SMW131, if ``doc.spans[key]`` holds spans of another component; tell whether."""
    group = doc.spans.get(key, ())
    if not len(group) or (other := group.attrs.get("component")) == component:
        return False
    whose = f"'{other}'" if other else "another component"
    message = Warnings.SMW131.format(name=component, key=key, other=whose)
    warnings.warn(message, stacklevel=2)
    return True


def warn_of_hidden_entity(doc: Doc, spans: Iterable[Span], *, component: str) -> bool:
    """Warn, with SMW132, if an entity of another component keeps a span from being one; tell so.

    Args:
        doc: A Doc with its new entities.
        spans: All new spans.
        component: Name of the component, for the message.
    """
    owners = {token: entity for entity in doc.ents for token in range(entity.start, entity.end)}
    new = {_place(span) for span in spans}
    for span in spans:
        for token in range(span.start, span.end):
            entity = owners.get(token)
            if entity is not None and _place(entity) not in new:
                message = Warnings.SMW132.format(
                    name=component,
                    text=span.text,
                    label=span.label_,
                    other=entity.text,
                    other_label=entity.label_,
                )
                warnings.warn(message, stacklevel=2)
                return True
    return False


def _is_aligned(span: Span) -> bool:
    """Tell whether a span's tokens still have its characters."""
    first, last = span.doc[span.start], span.doc[span.end - 1]
    return first.idx == span.start_char and last.idx + len(last) == span.end_char


def _place(span: Span) -> tuple[int, int, int]:
    return span.start, span.end, span.label
