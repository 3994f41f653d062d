"""Schedule, clipping and parameter groups of the optimizer; reproducible random numbers."""

import pytest
import torch
from torch import nn

from spacy_modernbert.encoder.optimizer import Optimizer, decay_groups
from spacy_modernbert.encoder.optimizer_config import OptimizerConfig
from spacy_modernbert.encoder.seeding import seeded

CPU = torch.device("cpu")


def factors(steps, **settings):
    config = OptimizerConfig(**settings)
    return [round(config.factor(step), 4) for step in range(steps)]


def test_linear_schedule_rises_over_the_warmup_and_falls_to_zero():
    assert factors(7, warmup_steps=2, total_steps=6) == [0.3333, 0.6667, 1.0, 0.75, 0.5, 0.25, 0.0]


def test_warmup_is_a_share_of_all_steps_unless_it_is_given_in_steps():
    assert factors(4, warmup_ratio=0.5, total_steps=4) == [0.3333, 0.6667, 1.0, 0.5]
    assert factors(4, warmup_steps=0, warmup_ratio=0.5, total_steps=4) == [1.0, 0.75, 0.5, 0.25]
    assert factors(2, warmup_ratio=0.5) == [1.0, 1.0]


def test_constant_schedule_never_falls():
    settings = {"lr_schedule": "constant", "warmup_steps": 1, "total_steps": 3}
    assert factors(5, **settings) == [0.5, 1.0, 1.0, 1.0, 1.0]


def test_cosine_schedule():
    settings = {"lr_schedule": "cosine", "warmup_steps": 0, "total_steps": 4}
    assert factors(6, **settings) == [1.0, 0.8536, 0.5, 0.1464, 0.0, 0.0]


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_without_an_end_learning_rates_stay(schedule):
    assert factors(4, lr_schedule=schedule, warmup_steps=1) == [0.5, 1.0, 1.0, 1.0]


def make_optimizer(**settings):
    layer = nn.Linear(2, 3)
    layer.requires_grad_()
    config = OptimizerConfig(**{"warmup_steps": 0, **settings})
    groups = decay_groups(
        layer.parameters(), learn_rate=config.learn_rate, weight_decay=config.weight_decay
    )
    return layer, Optimizer(groups, config)


def snapshot(layer):
    return [parameter.detach().clone() for parameter in layer.parameters()]


def test_only_matrices_decay_and_frozen_parameters_are_left_out():
    network = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), nn.Linear(3, 1))
    network[2].requires_grad_(False)
    groups = decay_groups(network.parameters(), learn_rate=0.1, weight_decay=0.2)
    assert [(g["lr"], g["weight_decay"], len(g["params"])) for g in groups] == [
        (0.1, 0.2, 1),
        (0.1, 0.0, 3),
    ]
    assert groups[0]["params"][0] is network[0].weight
    assert decay_groups([network[2].weight], learn_rate=0.1, weight_decay=0.2) == []
    assert len(decay_groups([network[0].bias], learn_rate=0.1, weight_decay=0.2)) == 1


def test_weight_decay_shrinks_matrices_only():
    layer, optimizer = make_optimizer(learn_rate=0.1, weight_decay=0.5)
    before = snapshot(layer)
    for parameter in layer.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.testing.assert_close(layer.weight.detach(), before[0] * (1 - 0.1 * 0.5))
    assert torch.equal(layer.bias, before[1])


def test_long_gradients_are_clipped_and_their_norm_is_returned():
    norms = []
    for scale in (1.0, 1000.0):
        layer, optimizer = make_optimizer(learn_rate=0.1, grad_clip=1.0)
        seen = []
        optimizer._adamw.register_step_pre_hook(
            lambda adamw, args, kwargs, layer=layer, seen=seen: seen.extend(
                p.grad.clone() for p in layer.parameters()
            )
        )
        for parameter in layer.parameters():
            parameter.grad = torch.full_like(parameter, scale)
        norms.append(optimizer.step())
        total = torch.cat([gradient.flatten() for gradient in seen]).norm()
        assert total.item() == pytest.approx(1.0, rel=1e-4)
    assert norms == pytest.approx([3.0, 3000.0])


def test_short_gradients_stay():
    layer, optimizer = make_optimizer(grad_clip=5.0)
    for parameter in layer.parameters():
        parameter.grad = torch.full_like(parameter, 1.0)
    gradient = layer.weight.grad
    assert optimizer.step() == pytest.approx(3.0)
    assert (gradient == 1.0).all()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_changes_nothing(value):
    layer, optimizer = make_optimizer()
    before = snapshot(layer)
    layer.weight.grad = torch.full_like(layer.weight, value)
    layer.bias.grad = torch.ones_like(layer.bias)
    assert not torch.tensor(optimizer.step()).isfinite()
    assert all(torch.equal(a, b) for a, b in zip(before, layer.parameters(), strict=True))
    assert not optimizer.has_gradients
    assert optimizer.steps == 1


def test_without_gradients_no_step_is_counted():
    layer, optimizer = make_optimizer()
    before = snapshot(layer)
    assert (optimizer.step(), optimizer.steps, optimizer.has_gradients) == (0.0, 0, False)
    assert all(torch.equal(a, b) for a, b in zip(before, layer.parameters(), strict=True))


def test_learning_rates_follow_the_schedule_until_it_is_over():
    layer, optimizer = make_optimizer(learn_rate=0.5, total_steps=2, weight_decay=0.0)
    moved = []
    while not optimizer.is_over:
        before = layer.weight.detach().clone()
        layer.weight.grad = torch.ones_like(layer.weight)
        optimizer.step()
        moved.append((before - layer.weight.detach()).mean().item())
    # Adam's first steps along a steady gradient are as long as the learning rate.
    assert moved == pytest.approx([0.5, 0.25], rel=1e-3)


def test_seeded_blocks_repeat_and_leave_the_generator_as_it_was():
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    drawn = []
    for numbers in ((1, 2), (1, 2), (1, 3), (2, 1)):
        with seeded(CPU, *numbers):
            drawn.append(torch.rand(3))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], drawn[3])
