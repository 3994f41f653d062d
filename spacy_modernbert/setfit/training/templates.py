"""A start without examples: texts made of the names of the labels."""

from __future__ import annotations

from collections.abc import Sequence

TEMPLATES = ("This text is about {label}.", "The topic is {label}.", "{label}")


def label_texts(
    labels: Sequence[str], templates: Sequence[str] = TEMPLATES
) -> list[tuple[str, str]]:
    """Return pairs of a text and its label, for every label in every template.

    Underscores in names are read as spaces.
    """
    return [
        (template.replace("{label}", label.replace("_", " ")), label)
        for label in labels
        for template in templates
    ]
