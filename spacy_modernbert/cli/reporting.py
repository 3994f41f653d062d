"""What the reports of `debug-data` share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

# A label with fewer examples is reported: the README's few-shot figures begin with eight.
FEW = 8
# Labels or texts that a message names.
_NAMED = 5


def warn_of_few(counts: Counter[str], labels: Iterable[str], *, what: str, none: str) -> None:
    """Warn of labels with few examples, or say that there are none such.

    Args:
        counts: Examples of each label.
        labels: The labels.
        what: What is counted, such as "spans".
        none: What it means for a label to have none.
    """
    from wasabi import msg

    missing = [label for label in labels if not counts[label]]
    few = [label for label in labels if 0 < counts[label] < FEW]
    if missing:
        msg.warn(f"No {what}, {none}: {some(missing)}")
    if few:
        msg.warn(f"Fewer than {FEW} {what}: {some(few)}")
    if not missing and not few:
        msg.good(f"{FEW} {what} or more for every label")


def some(names: Iterable[str]) -> str:
    """Return the first few names, and the number of the others."""
    found = list(names)
    more = len(found) - _NAMED
    return ", ".join(found[:_NAMED]) + (f" and {more} more" if more > 0 else "")
