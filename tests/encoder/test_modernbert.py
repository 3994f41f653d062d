"""Against transformers' ModernBertModel on the same weights, each row alone: no padding there."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_modernbert.encoder.modernbert import ModernBert
from spacy_modernbert.encoder.modernbert_config import ModernBertConfig
from spacy_modernbert.encoder.packing import PackedBatch

from .conftest import make_dict, make_encoder, make_rows

HIDDEN_TOLERANCE = 1e-4  # absolute, float32
GRADIENT_TOLERANCE = 1e-3  # relative to the largest gradient of each parameter

CONFIGS = {
    "small": {},
    "wide": {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 1152},
    "window 128": {"local_attention": 128, "hidden_size": 64},
    "odd window": {"local_attention": 17},
    "one base": {"local_rope_theta": None},
    "other bases": {"global_rope_theta": 80000.0, "local_rope_theta": 160000.0},
    "biases": {"attention_bias": True, "mlp_bias": True, "norm_bias": True},
    "all global": {"global_attn_every_n_layers": 1},
    "few global": {"global_attn_every_n_layers": 4, "num_hidden_layers": 6},
    "one head": {"num_attention_heads": 1, "hidden_size": 48},
    "silu": {"hidden_activation": "silu", "norm_eps": 1e-3},
}
BATCHES = {
    "single pieces": (1, 1, 1),
    "around the window": (7, 8, 9, 10, 16, 17, 18, 63, 64, 65, 66),
    "mixed": (5, 130, 1, 77, 77, 77, 12),
}


def make_oracle(encoder):
    from transformers import ModernBertConfig as TheirConfig
    from transformers import ModernBertModel

    config = encoder.config.to_dict()
    known = {key: config[key] for key in config if key not in ("layer_types", "rope_parameters")}
    their = TheirConfig(**known, reference_compile=False, attn_implementation="sdpa")
    their.local_rope_theta = encoder.config.local_rope_theta
    oracle = ModernBertModel(their).eval()
    oracle.load_state_dict(encoder.state_dict())
    return oracle


def encode(encoder, rows):
    batch = PackedBatch.from_sequences(rows)
    with torch.no_grad():
        return batch.split(encoder(batch))


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("config", CONFIGS)
def test_hidden_states_equal_transformers(config, batch):
    encoder = make_encoder(**CONFIGS[config])
    oracle = make_oracle(encoder)
    rows = make_rows(BATCHES[batch])
    for row, found in zip(rows, encode(encoder, rows), strict=True):
        with torch.no_grad():
            expected = oracle(torch.tensor(row)[None]).last_hidden_state[0]
        torch.testing.assert_close(found, expected, atol=HIDDEN_TOLERANCE, rtol=0)


def test_long_rows_equal_transformers():
    encoder = make_encoder(local_attention=128)
    oracle = make_oracle(encoder)
    rows = make_rows((2000, 3, 700))
    for row, found in zip(rows, encode(encoder, rows), strict=True):
        with torch.no_grad():
            expected = oracle(torch.tensor(row)[None]).last_hidden_state[0]
        torch.testing.assert_close(found, expected, atol=HIDDEN_TOLERANCE, rtol=0)


@pytest.mark.parametrize("config", ["small", "biases", "one base", "window 128"])
@pytest.mark.parametrize("lengths", [(9, 40, 1, 40), (300,)])
def test_gradients_equal_transformers(config, lengths):
    encoder = make_encoder(**CONFIGS[config])
    oracle = make_oracle(encoder)
    rows = make_rows(lengths)
    batch = PackedBatch.from_sequences(rows)
    torch.manual_seed(1)
    directions = [torch.randn(n, encoder.hidden_size) for n in lengths]
    (encoder.train()(batch) * torch.cat(directions)).sum().backward()
    for row, direction in zip(rows, directions, strict=True):
        hidden = oracle(torch.tensor(row)[None]).last_hidden_state[0]
        (hidden * direction).sum().backward()
    expected = {name: param.grad for name, param in oracle.named_parameters()}
    for name, param in encoder.named_parameters():
        scale = expected[name].abs().max().item()
        difference = (param.grad - expected[name]).abs().max().item()
        assert difference <= GRADIENT_TOLERANCE * scale, name


def test_layers_equal_transformers():
    encoder = make_encoder()
    oracle = make_oracle(encoder)
    (row,) = make_rows((50,))
    with torch.no_grad():
        found = encoder.layer_outputs(PackedBatch.from_sequences([row]))
        output = oracle(torch.tensor(row)[None], output_hidden_states=True)
    assert len(found) == encoder.config.num_hidden_layers
    # The first of theirs is the embeddings, and they leave the last layer's without its norm.
    expected = [*output.hidden_states[1:-1], output.last_hidden_state]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other[0], atol=HIDDEN_TOLERANCE, rtol=0)


def test_inference_and_training_paths_agree():
    encoder = make_encoder(attention_bias=True, mlp_bias=True, norm_bias=True)
    batch = PackedBatch.from_sequences(make_rows((90, 3, 200, 17, 17)))
    with torch.no_grad():
        fast = encoder(batch)
        layers = encoder.layer_outputs(batch)
    plain = encoder(batch)
    assert plain.requires_grad
    torch.testing.assert_close(fast, plain.detach(), atol=1e-5, rtol=0)
    for one, other in zip(layers, encoder.layer_outputs(batch), strict=True):
        torch.testing.assert_close(one, other.detach(), atol=1e-5, rtol=0)


ENCODER = make_encoder()


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 90), min_size=1, max_size=8),
    order=st.randoms(use_true_random=False),
)
def test_row_does_not_depend_on_its_neighbours(lengths, order):
    rows = make_rows(lengths, seed=len(lengths))
    together = encode(ENCODER, rows)
    shuffled = list(range(len(rows)))
    order.shuffle(shuffled)
    again = encode(ENCODER, [rows[i] for i in shuffled])
    for place, i in enumerate(shuffled):
        (alone,) = encode(ENCODER, [rows[i]])
        torch.testing.assert_close(together[i], alone, atol=1e-5, rtol=0)
        torch.testing.assert_close(again[place], alone, atol=1e-5, rtol=0)


def test_piece_sees_its_window_and_no_further():
    """One sliding layer: a changed piece is noticed `half_window` places away, and not beyond."""
    encoder = make_encoder(global_attn_every_n_layers=2, num_hidden_layers=2)
    sliding = encoder.layers[1]
    encoder.layers = torch.nn.ModuleList([sliding])
    encoder.config = ModernBertConfig.from_dict(
        make_dict(
            num_hidden_layers=1, layer_types=["sliding_attention"], global_attn_every_n_layers=None
        )
    )
    (row,) = make_rows((100,))
    changed = row.copy()
    changed[50] = (changed[50] + 1) % 100 + 1
    before, after = encode(encoder, [row])[0], encode(encoder, [changed])[0]
    noticed = ((before - after).abs().max(dim=1).values > 1e-6).nonzero().flatten().tolist()
    half_window = encoder.config.half_window
    assert noticed == list(range(50 - half_window, 50 + half_window + 1))


def test_empty_batch_and_empty_rows():
    assert encode(ENCODER, []) == []
    found = encode(ENCODER, [[], [5, 6, 7], []])
    assert [len(part) for part in found] == [0, 3, 0]
    torch.testing.assert_close(found[1], encode(ENCODER, [[5, 6, 7]])[0], atol=1e-6, rtol=0)


def test_built_on_meta_costs_nothing_and_leaves_nothing_there():
    config = ModernBertConfig.from_dict(make_dict())
    with torch.device("meta"):
        encoder = ModernBert(config)
    encoder.load_state_dict(ENCODER.state_dict(), assign=True)
    rows = make_rows((9, 30))
    for one, other in zip(encode(encoder.eval(), rows), encode(ENCODER, rows), strict=True):
        assert torch.equal(one, other)
    assert not list(encoder.buffers())


def test_state_names_are_the_published_ones():
    from transformers import ModernBertConfig as TheirConfig
    from transformers import ModernBertModel

    for biased in (False, True):
        switches = {"attention_bias": biased, "mlp_bias": biased, "norm_bias": biased}
        oracle = ModernBertModel(TheirConfig(**make_dict(**switches), reference_compile=False))
        assert make_encoder(**switches).state_dict().keys() == oracle.state_dict().keys()


def test_dropout_acts_in_training_only():
    batch = PackedBatch.from_sequences(make_rows((20, 30)))
    with torch.no_grad():
        assert torch.equal(ENCODER(batch, dropout=0.5), ENCODER(batch))
    encoder = make_encoder().train()
    torch.testing.assert_close(encoder(batch), ENCODER(batch), atol=1e-5, rtol=0)
    first, second = encoder(batch, dropout=0.3), encoder(batch, dropout=0.3)
    assert not torch.equal(first, second)
    own = make_encoder(mlp_dropout=0.3).train()
    assert not torch.equal(own(batch), own(batch))


def test_attention_is_linear_in_the_text_where_it_slides():
    """No tensor as large as row x row: 40,000 pieces with windows of 16 fit into little memory."""
    encoder = make_encoder(
        layer_types=["sliding_attention"] * 2, num_hidden_layers=2, global_attn_every_n_layers=None
    )
    (row,) = make_rows((40_000,))
    (found,) = encode(encoder, [row])
    middle = slice(20_000 - 40, 20_000 + 40)
    (part,) = encode(encoder, [row[20_000 - 80 : 20_000 + 80]])
    # Rotary angles differ by a shift only, which products of queries and keys do not see.
    np.testing.assert_allclose(found[middle], part[40:120], atol=2e-3)
