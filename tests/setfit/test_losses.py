import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_modernbert.setfit.training.losses import (
    LOSSES,
    contrastive_loss,
    cosine_loss,
    similarities,
)

NAN = math.nan


def brute_similarities(labels):
    n = len(labels)
    alike = np.full((n, n), np.nan)
    for i in range(n):
        for j in range(n):
            if i == j:
                continue
            both = [(a, b) for a, b in zip(labels[i], labels[j], strict=True) if a == a and b == b]
            either = sum(a == 1 or b == 1 for a, b in both)
            if either:
                alike[i, j] = sum(a == 1 and b == 1 for a, b in both) / either
    return alike


def brute_cosine(vectors, alike):
    kinds = {True: [], False: []}
    for i in range(len(vectors)):
        for j in range(len(vectors)):
            if alike[i, j] == alike[i, j]:
                u, v = vectors[i], vectors[j]
                cosine = u @ v / np.linalg.norm(u) / np.linalg.norm(v)
                kinds[bool(alike[i, j] > 0)].append((cosine - alike[i, j]) ** 2)
    means = [np.mean(errors) for errors in kinds.values() if errors]
    return np.mean(means) if means else 0.0


def brute_contrastive(vectors, alike, temperature):
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    losses = []
    for i in range(len(units)):
        others = [j for j in range(len(units)) if alike[i, j] == alike[i, j]]
        total = sum(alike[i, j] for j in others)
        if not total:
            continue
        scores = {j: units[i] @ units[j] / temperature for j in others}
        norm = np.log(sum(np.exp(s) for s in scores.values()))
        losses.append(sum(-alike[i, j] * (scores[j] - norm) for j in others) / total)
    return np.mean(losses) if losses else 0.0


labels_of = st.integers(1, 9).flatmap(
    lambda n: st.lists(
        st.lists(st.sampled_from([0.0, 1.0, NAN]), min_size=4, max_size=4), min_size=n, max_size=n
    )
)


@settings(max_examples=60, deadline=None)
@given(labels=labels_of, seed=st.integers(0, 99))
def test_losses_equal_brute_force_and_have_a_finite_gradient(labels, seed):
    wanted = brute_similarities(labels)
    alike = similarities(torch.tensor(labels, dtype=torch.float64))
    np.testing.assert_allclose(alike.numpy(), wanted, atol=1e-12)
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(len(labels), 5, generator=generator, dtype=torch.float64)
    vectors.requires_grad_()
    plain = vectors.detach().numpy()
    for loss, expected in (
        (cosine_loss(vectors, alike), brute_cosine(plain, wanted)),
        (contrastive_loss(vectors, alike), brute_contrastive(plain, wanted, 0.07)),
    ):
        assert float(loss.detach()) == pytest.approx(expected, abs=1e-9)
        (gradient,) = torch.autograd.grad(loss, vectors)
        assert gradient.isfinite().all()


def test_single_labels_are_alike_or_not():
    alike = similarities(torch.tensor([[1.0, 0], [1, 0], [0, 1]]))
    off = ~torch.eye(3, dtype=torch.bool)
    assert alike.diagonal().isnan().all()
    assert alike[off].tolist() == [1, 0, 1, 0, 0, 0]


def test_several_labels_are_alike_by_degree():
    alike = similarities(torch.tensor([[1.0, 1, 0], [1, 0, 0], [1, NAN, 1]]))
    assert alike[0, 1] == 0.5
    assert alike[0, 2] == 0.5  # the second label is unknown of one of them


@pytest.mark.parametrize("loss", LOSSES.values())
@pytest.mark.parametrize(
    "labels",
    [[[1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]],
)
def test_a_batch_without_either_kind_of_pair_gives_no_nan(loss, labels):
    vectors = torch.randn(len(labels), 3, requires_grad=True)
    value = loss(vectors, similarities(torch.tensor(labels)))
    value.backward()
    assert value.isfinite()
    assert vectors.grad.isfinite().all()


@pytest.mark.parametrize("loss", LOSSES.values())
def test_vectors_of_zeros_give_no_nan(loss):
    vectors = torch.zeros(4, 3, requires_grad=True)
    value = loss(vectors, similarities(torch.eye(2).repeat(2, 1)))
    value.backward()
    assert value.isfinite()
    assert vectors.grad.isfinite().all()
