"""Label texts: labels of annotation schemes in plain words, as a GLiNER reads them.

A model that knows "person" does not know "PER". The table has the labels of OntoNotes and CoNLL;
any other label in capitals or with underscores becomes lower-case words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

LABEL_TEXTS = {
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
    """Find the label text of each label.

    Args:
        labels: The labels.
        table: Label texts that come before the built-in ones.

    Returns:
        Label to label text, in the same order. No two label texts are the same: where two would
        be, the label that differs from the text, or else the later one, is its own label text.
    """
    known = {**LABEL_TEXTS, **(table or {})}
    texts = {label: known.get(label) or _plain(label) for label in labels}
    taken = {label for label, text in texts.items() if text == label}
    for label, text in texts.items():
        if text != label:
            texts[label] = label if text in taken else text
            taken.add(text)
    return texts


def _plain(label: str) -> str:
    """Turn ``"JOB_TITLE"`` into ``"job title"``; a label with lower-case letters keeps its case."""
    text = label.replace("_", " ").strip() or label
    return text.lower() if text.isupper() and len(text) > 1 else text
