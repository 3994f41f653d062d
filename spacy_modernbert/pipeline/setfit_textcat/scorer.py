"""The scorer of ``setfit_textcat``: categories."""

# No `from __future__ import annotations`: the types are what configs are validated against.

from collections.abc import Callable, Iterable
from typing import Any

from spacy.training import Example
from spacy.util import registry


def setfit_score(
    examples: Iterable[Example], *, exclusive_classes: bool = True, **settings: Any
) -> dict[str, Any]:
    """Score what ``setfit_textcat`` has written, with spaCy's scorer for its kind of labels.

    Where ``exclusive_classes``, a Doc has exactly one label. The settings are those of the
    component: ``labels``, ``threshold``, ``positive_label``.
    """
    kind = "textcat" if exclusive_classes else "textcat_multilabel"
    scorer: Callable[..., dict[str, Any]] = registry.get("scorers", f"spacy.{kind}_scorer.v2")()
    return scorer(examples, **settings)


@registry.scorers("spacy_modernbert.setfit_scorer.v1")
def make_setfit_scorer() -> Callable[..., dict[str, Any]]:
    """Make the scorer of categories."""
    return setfit_score
