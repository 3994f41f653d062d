"""Group sequences into batches by their lengths."""

from __future__ import annotations

from collections.abc import Sequence

# Pieces that go through a network at a time without gradients. More would not be faster, but the
# intermediate results of a long text would need memory for all of it at once.
INFERENCE_PIECES = 8192

# A row shorter than this share of the longest of a group begins a new one, once the group has this
# many pieces.
_ALIKE = 0.8
_WORTHWHILE = 256


def batch_by_budget(
    lengths: Sequence[int], *, budget: int, padded: bool = False
) -> list[list[int]]:
    """Group rows so that each group fits a budget of pieces.

    Args:
        lengths: Pieces of each row.
        budget: Most pieces in a group. A row that is longer has a group of its own.
        padded: Whether rows of a group are padded to its longest, so that the group costs its
            count times that length. Rows are then grouped by length.

    Returns:
        Indices of the rows, each of them once. In order, unless ``padded``.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__) if padded else range(len(lengths))
    groups: list[list[int]] = []
    total = 0
    for index in order:
        length = lengths[index]
        # Sorted rows rise, so the row at hand is the longest of its group.
        cost = (len(groups[-1]) + 1) * length if padded and groups else total + length
        if not groups or cost > budget:
            groups.append([])
            cost = length
        groups[-1].append(index)
        total = cost
    return groups


def batch_alike(lengths: Sequence[int], *, budget: int) -> list[list[int]]:
    """Group rows of like length, so that little is lost to padding a group to its longest row.

    A group is closed where the next row would be a fifth padding or more, unless the group is
    still so small that its matrix products would be slow.

    Args:
        lengths: Pieces of each row.
        budget: Most pieces in a group, padding included. A row that is longer has its own group.

    Returns:
        Indices of the rows, each of them once, by falling length.
    """
    groups: list[list[int]] = []
    longest = 0
    for index in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        if groups:
            cost = len(groups[-1]) * longest
            alike = lengths[index] > _ALIKE * longest or cost < _WORTHWHILE
            if alike and cost + longest <= budget:
                groups[-1].append(index)
                continue
        groups.append([index])
        longest = lengths[index]
    return groups
