"""Group sequences into batches by their lengths."""

from __future__ import annotations

from collections.abc import Sequence

# Pieces that go through a network at a time without gradients. More would not be faster, but the
# intermediate results of a long text would need memory for all of it at once.
INFERENCE_PIECES = 8192
# Pieces of a batch, padding included, in which a network of transformers runs fastest on a CPU:
# intermediate results of larger batches leave the cache.
CPU_CACHE_PIECES = 2048

# A sequence shorter than this share of the longest one in a group begins a new group, once the
# group has this many pieces.
_MIN_LENGTH_RATIO = 0.8
_MIN_GROUP_PIECES = 256


def batch_by_budget(
    lengths: Sequence[int], *, budget: int, padded: bool = False
) -> list[list[int]]:
    """Group sequences so that each group fits a budget of pieces.

    Args:
        lengths: Pieces of each sequence.
        budget: Most pieces in a group. A longer sequence has a group of its own.
        padded: Whether the sequences of a group are padded to its longest, so that the group costs
            their number times that length. Sequences are then grouped by length.

    Returns:
        Indices of the sequences, each of them once. In order, unless ``padded``.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__) if padded else range(len(lengths))
    groups: list[list[int]] = []
    total = 0
    for index in order:
        length = lengths[index]
        # Sorted lengths rise, so the current sequence is the longest of its group.
        cost = (len(groups[-1]) + 1) * length if padded and groups else total + length
        if not groups or cost > budget:
            groups.append([])
            cost = length
        groups[-1].append(index)
        total = cost
    return groups


def batch_similar_lengths(lengths: Sequence[int], *, budget: int) -> list[list[int]]:
    """Group sequences of similar length, so that padding a group to its longest costs little.

    A group ends if the next sequence would be a fifth padding or more, unless the group is still
    so small that its matrix products would be slow.

    Args:
        lengths: Pieces of each sequence.
        budget: Most pieces in a group, padding included. A longer sequence has its own group.

    Returns:
        Indices of the sequences, each of them once, by falling length.
    """
    groups: list[list[int]] = []
    longest = 0
    for index in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        if groups:
            cost = len(groups[-1]) * longest
            similar = lengths[index] > _MIN_LENGTH_RATIO * longest or cost < _MIN_GROUP_PIECES
            if similar and cost + longest <= budget:
                groups[-1].append(index)
                continue
        groups.append([index])
        longest = lengths[index]
    return groups
