from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_modernbert.setfit.training.batches import BalancedBatches
from spacy_modernbert.setfit.training.support_set import SupportSet

from .conftest import one_hot


def test_the_whole_set_is_drawn_if_it_fits():
    batches = BalancedBatches(one_hot([0] * 3 + [1] * 5, 2), size=8)
    assert sorted(batches.draw()) == list(range(8))


@settings(max_examples=50, deadline=None)
@given(
    counts=st.lists(st.integers(1, 30), min_size=1, max_size=12),
    size=st.integers(1, 40),
    group=st.integers(2, 6),
)
def test_batches_are_of_the_size_and_without_repetition(counts, size, group):
    classes = np.repeat(np.arange(len(counts)), counts)
    batches = BalancedBatches(one_hot(classes, len(counts)), size=size, group=group)
    for _ in range(4):
        drawn = batches.draw()
        assert len(set(drawn)) == len(drawn) <= max(size, 0)
        assert len(drawn) > 0


def test_classes_and_texts_take_turns():
    classes = np.repeat(np.arange(20), 8)
    batches = BalancedBatches(one_hot(classes, 20), size=40, group=4)
    drawn = Counter()
    for _ in range(8):  # ten classes of four texts in each: all texts twice
        batch = batches.draw()
        assert set(Counter(classes[batch]).values()) == {4}
        drawn.update(batch.tolist())
    assert set(drawn.values()) == {2}


def test_rare_classes_get_their_share():
    classes = np.repeat([0, 1], [500, 10])
    batches = BalancedBatches(one_hot(classes, 2), size=16)
    assert Counter(classes[batches.draw()]) == {0: 8, 1: 8}


def test_anchors_are_in_the_batch():
    batches = BalancedBatches(one_hot(np.repeat(np.arange(5), 20), 5), size=10)
    assert {3, 77} <= set(batches.draw([3, 77]))
    assert set(batches.draw(range(15))) == set(range(15))


def test_several_labels_and_none_are_drawn():
    labels = np.zeros((40, 3), dtype=np.float32)
    labels[:20, :2] = 1
    labels[30:, 2] = 1
    drawn = BalancedBatches(labels, size=12, group=3).draw()
    assert len(drawn) == len(set(drawn))
    assert {(i < 20, 20 <= i < 30, i >= 30).index(True) for i in drawn} == {0, 1, 2}


def test_the_same_seed_draws_the_same():
    labels = one_hot(np.repeat(np.arange(9), 9), 9)
    one, two = (BalancedBatches(labels, size=12, seed=4) for _ in range(2))
    other = BalancedBatches(labels, size=12, seed=5)
    drawn = [b.draw().tolist() for b in (one, two, other)]
    assert drawn[0] == drawn[1] != drawn[2]


def add(support, classes, n_labels):
    start = support.n_seen
    rows = [np.array([start + i], dtype=np.int32) for i in range(len(classes))]
    support.add([str(row[0]) for row in rows], rows, one_hot(classes, n_labels))


def test_a_full_support_set_keeps_rare_classes():
    support = SupportSet(3, capacity=60)
    generator = np.random.default_rng(0)
    classes = np.repeat([0, 1, 2], [5000, 500, 12])
    add(support, generator.permutation(classes), 3)
    kept = support.labels(multi_label=False).sum(axis=0).tolist()
    assert len(support) == 60
    assert kept[2] == 12
    assert sorted(kept) == [12, 24, 24]
    # Texts of a large class had about the same chance, whenever they came.
    places = [
        int(text)
        for text, y in zip(support.texts, support.labels(multi_label=False), strict=True)
        if y[0]
    ]
    assert 1500 < np.mean(places) < 4000
    assert all(
        str(row[0]) == text for row, text in zip(support.sequences, support.texts, strict=True)
    )


def test_a_text_that_comes_again_is_kept_once_and_conflicts_are_counted():
    support = SupportSet(2)
    row = np.array([7, 8], dtype=np.int32)
    for _ in range(3):
        support.add(["a"], [row], one_hot([0], 2))
    for _ in range(2):
        support.add(["a"], [row], one_hot([1], 2))
    assert (len(support), support.n_conflicts) == (1, 1)
    assert support.labels(multi_label=False).tolist() == [[0.0, 1.0]]


def test_a_later_label_is_unknown_of_earlier_texts():
    support = SupportSet(1)
    add(support, [0], 1)
    support.widen(2)
    add(support, [1, 0], 2)
    labels = support.labels(multi_label=True)
    assert labels.shape == (3, 2)
    assert np.isnan(labels).tolist() == [[False, True], [False, False], [False, False]]
    assert SupportSet(2).labels(multi_label=True).shape == (0, 2)


def test_a_text_that_comes_again_after_a_later_label_is_no_conflict():
    support = SupportSet(1)
    row = np.array([7], dtype=np.int32)
    support.add(["a"], [row], one_hot([0], 1))
    support.widen(2)
    support.add(["a"], [row], one_hot([0], 2))
    assert (len(support), support.n_conflicts) == (1, 0)
