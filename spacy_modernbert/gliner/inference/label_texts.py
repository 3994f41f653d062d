"""Labels of annotation schemes in plain words, as a GLiNER reads them.

A model that knows what "person" means knows nothing of "PER". The table holds the labels of
OntoNotes and CoNLL; any other in capitals or with underscores is taken apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

WORDS = {
    "CARDINAL": "number",
    "DATE": "date",
    "EVENT": "event",
    "FAC": "building",
    "GPE": "country or city",
    "LANGUAGE": "language",
    "LAW": "law",
    "LOC": "location",
    "MISC": "miscellaneous",
    "MONEY": "amount of money",
    "NORP": "nationality, religion or political group",
    "ORDINAL": "ordinal number",
    "ORG": "organization",
    "PER": "person",
    "PERCENT": "percentage",
    "PERSON": "person",
    "PRODUCT": "product",
    "QUANTITY": "quantity",
    "TIME": "time",
    "WORK_OF_ART": "work of art",
}


def readable_label_texts(
    labels: Iterable[str], table: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Put labels into words.

    Args:
        labels: The labels.
        table: Words of single labels, before all else.

    Returns:
        Label -> words, in the same order. No two have the same words: of labels that would, the
        later ones are read as they are.
    """
    own = table or {}
    words: dict[str, str] = {}
    taken: set[str] = set()
    for label in dict.fromkeys(labels):
        chosen = own.get(label) or WORDS.get(label) or _plain(label)
        words[label] = label if chosen in taken else chosen
        taken.add(words[label])
    return words


def _plain(label: str) -> str:
    """``"JOB_TITLE"`` to ``"job title"``; what has small letters of its own is words already."""
    text = label.replace("_", " ").strip() or label
    return text.lower() if text.isupper() and len(text) > 1 else text
