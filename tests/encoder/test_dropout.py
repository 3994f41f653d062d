import pytest
import torch
from torch import nn

from spacy_modernbert.encoder.dropout import Dropout, dropout, replace_dropout


@pytest.mark.parametrize("rate", [0.001, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_drops_the_rate_and_keeps_the_mean(rate, dtype):
    torch.manual_seed(0)
    x = torch.ones(401, 997, dtype=dtype)
    out = dropout(x, rate)
    assert out.dtype == dtype
    share = (out == 0).float().mean().item()
    assert share == pytest.approx(rate, abs=4 * (rate * (1 - rate) / x.numel()) ** 0.5 + 1e-5)
    kept = out[out != 0].float()
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - rate)), rtol=4e-3, atol=0)
    assert out.float().mean().item() == pytest.approx(1.0, abs=0.02)


def test_dropout_draws_rows_and_columns_alike():
    torch.manual_seed(1)
    kept = (dropout(torch.ones(512, 512), 0.25) != 0).float()
    for means in (kept.mean(dim=0), kept.mean(dim=1)):
        assert means.std().item() == pytest.approx((0.25 * 0.75 / 512) ** 0.5, rel=0.15)
    # Neighbours come from one 64-bit word: their fates are independent all the same.
    together = (kept[:, :-1] * kept[:, 1:]).mean().item()
    assert together == pytest.approx(0.75**2, abs=0.005)


def test_dropout_follows_the_seed_and_leaves_evaluation_alone():
    x = torch.randn(7, 5)
    torch.manual_seed(3)
    first = dropout(x, 0.4)
    torch.manual_seed(3)
    assert torch.equal(first, dropout(x, 0.4))
    assert not torch.equal(first, dropout(x, 0.4))
    assert dropout(x, 0.4, training=False) is x
    assert dropout(x, 0.0) is x
    assert torch.equal(dropout(x, 1.0), torch.zeros_like(x))
    assert dropout(x[:0], 0.4).shape == (0, 5)


def test_dropout_gradient_is_the_mask():
    x = torch.randn(64, 3, requires_grad=True)
    out = dropout(x, 0.5)
    out.sum().backward()
    assert torch.equal(x.grad != 0, out.detach() != 0)
    assert set(x.grad.unique().tolist()) == {0.0, 2.0}


def test_replaced_layers_keep_rates_and_modes():
    network = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Dropout(0.3))).eval()
    replace_dropout(network)
    layer = network[1][0]
    assert type(layer) is Dropout
    assert layer.p == 0.3
    assert torch.equal(network(torch.ones(2, 4)), network[0](torch.ones(2, 4)))
    assert not torch.equal(network.train()(torch.ones(99, 4)), network[0](torch.ones(99, 4)))
