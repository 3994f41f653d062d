import numpy as np
import pytest

from spacy_modernbert.setfit.head.config import HeadConfig
from spacy_modernbert.setfit.training.batches import BalancedBatches
from spacy_modernbert.setfit.training.weight_interpolation import (
    MIN_TEXTS,
    SHARES,
    choose_weight_interpolation,
    hold_out,
)

N, CLASSES = 320, 4


def one_hot(answers):
    return np.eye(CLASSES, dtype=np.float32)[answers]


@pytest.fixture
def task():
    """Vectors of two encoders: one separates all texts, the other those it was trained on."""
    generator = np.random.default_rng(0)
    answers = np.arange(N) % CLASSES
    labels = one_hot(answers)
    held = hold_out(labels, seed=0)
    noise = generator.normal(size=(N, 16)).astype(np.float32)
    knows = noise.copy()
    knows[:, :CLASSES] += 3 * labels
    by_heart = noise.copy()
    by_heart[~held, :CLASSES] += 6 * labels[~held]
    return labels, held, knows, by_heart


def test_a_quarter_of_each_class_is_held_back_of_many_texts_only():
    labels = one_hot(np.arange(N) % CLASSES)
    held = hold_out(labels, seed=3)
    assert (labels[held].sum(axis=0) == N / CLASSES / 4).all()
    assert (held == hold_out(labels, seed=3)).all()
    assert (held != hold_out(labels, seed=4)).any()
    assert not hold_out(labels[: MIN_TEXTS - 1], seed=3).any()


@pytest.mark.parametrize("C", [10.0, "cv"])
def test_memorized_texts_are_kept_out(task, C):  # noqa: N803
    labels, held, knows, by_heart = task

    def encode(share):
        return (1 - share) * knows + share * by_heart

    assert choose_weight_interpolation(
        encode, labels, held, HeadConfig(C=C), multi_label=False
    ) < max(SHARES)


def test_training_that_helps_is_used(task):
    labels, held, knows, by_heart = task

    def encode(share):
        return (1 - share) * by_heart + share * knows

    assert choose_weight_interpolation(
        encode, labels, held, HeadConfig(), multi_label=False
    ) == max(SHARES)


def test_of_equals_the_start_is_taken(task):
    labels, held, knows, _ = task
    for multi_label in (False, True):
        options = {"config": HeadConfig(), "multi_label": multi_label}
        assert choose_weight_interpolation(lambda share: knows, labels, held, **options) == 0.0


def test_several_labels_are_scored_together(task):
    labels, held, knows, by_heart = task
    labels[:, 0] = np.where(labels[:, 1] == 1, np.nan, labels[:, 0])

    def encode(share):
        return (1 - share) * by_heart + share * knows

    assert choose_weight_interpolation(encode, labels, held, HeadConfig(), multi_label=True) == max(
        SHARES
    )


@pytest.mark.parametrize("size", [8, 1000])
def test_batches_among_some_texts(size):
    labels = one_hot(np.arange(40) % CLASSES)
    among = np.array([1, 2, 3, 5, 9, 12, 20, 33])
    batches = BalancedBatches(labels, size=size, among=among)
    drawn = {int(i) for _ in range(10) for i in batches.draw()}
    assert drawn == set(among.tolist())
