import copy

import numpy as np
import pytest
import torch
import transformers

from spacy_modernbert.encoder import hf_encoder
from spacy_modernbert.encoder.checkpoint import build_encoder
from spacy_modernbert.encoder.packing import PackedBatch
from spacy_modernbert.encoder.protocol import Encoder

SIZES = {
    "vocab_size": 99,
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "pad_token_id": 0,
}
KINDS = {
    "albert": (transformers.AlbertModel, {"max_position_embeddings": 64, "embedding_size": 8}),
    "mpnet": (transformers.MPNetModel, {"max_position_embeddings": 66, "pad_token_id": 1}),
    "deberta-v2": (
        transformers.DebertaV2Model,
        {
            "relative_attention": True,
            "position_buckets": 8,
            "pos_att_type": ["p2c", "c2p"],
            "max_position_embeddings": 64,
            "position_biased_input": False,
            "share_att_key": True,
            "norm_rel_ebd": "layer_norm",
        },
    ),
}


def make(kind):
    network_type, extra = KINDS[kind]
    torch.manual_seed(0)
    return network_type(network_type.config_class(**{**SIZES, **extra})).eval()


def rows(seed=0, lengths=(3, 17, 1, 9, 40)):
    rng = np.random.default_rng(seed)
    return [rng.integers(2, 99, size=n) for n in lengths]


@pytest.mark.parametrize("kind", KINDS)
def test_sequences_equal_transformers(kind):
    oracle = make(kind)
    encoder = build_encoder(oracle.config.to_dict(), oracle.state_dict())
    batch = PackedBatch.from_sequences(rows())
    with torch.no_grad():
        found = batch.split(encoder(batch))
        layers = encoder.layer_outputs(batch)
        for row, vectors in zip(rows(), found, strict=True):
            expected = oracle(torch.tensor(row)[None]).last_hidden_state[0]
            torch.testing.assert_close(vectors, expected, atol=1e-5, rtol=0)
    assert len(layers) == 2
    torch.testing.assert_close(layers[-1], torch.cat(found))
    assert encoder.hidden_size == 24


@pytest.mark.parametrize("kind", KINDS)
def test_keeps_the_published_names(kind):
    oracle = make(kind)
    state = oracle.state_dict()
    prefixed = {f"{oracle.base_model_prefix}.{name}": tensor for name, tensor in state.items()}
    for given in (state, prefixed):
        encoder = build_encoder(oracle.config.to_dict(), given)
        names = {name for name in encoder.state_dict() if "pooler" not in name}
        assert names == {name for name in state if "pooler" not in name}


def test_gradients_reach_the_embeddings():
    oracle = make("mpnet")
    encoder = build_encoder(oracle.config.to_dict(), oracle.state_dict()).train()
    encoder(PackedBatch.from_sequences(rows())).square().sum().backward()
    gradient = encoder.network.embeddings.word_embeddings.weight.grad
    assert gradient[rows()[1][0]].abs().sum() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_transformers(kind):
    """All weights, from rows of several lengths at once; tolerance 1e-6 of the largest gradient."""
    oracle = make(kind)
    encoder = build_encoder(oracle.config.to_dict(), oracle.state_dict())
    torch.manual_seed(1)
    towards = [torch.randn(len(row), 24) for row in rows()]
    found = encoder(PackedBatch.from_sequences(rows()))
    (found * torch.cat(towards)).sum().backward()
    for row, aim in zip(rows(), towards, strict=True):
        (oracle(torch.tensor(row)[None]).last_hidden_state[0] * aim).sum().backward()
    theirs = {name: p.grad for name, p in oracle.named_parameters() if "pooler" not in name}
    largest = max(float(gradient.abs().max()) for gradient in theirs.values())
    for name, parameter in encoder.network.named_parameters():
        if "pooler" not in name:
            torch.testing.assert_close(parameter.grad, theirs[name], atol=1e-6 * largest, rtol=1e-4)


def test_bert_with_relative_positions_is_padded_and_right():
    config = transformers.BertConfig(
        **SIZES, max_position_embeddings=64, position_embedding_type="relative_key"
    )
    torch.manual_seed(0)
    oracle = transformers.BertModel(config).eval()
    encoder = build_encoder(oracle.config.to_dict(), oracle.state_dict())
    batch = PackedBatch.from_sequences(rows())
    with torch.no_grad():
        for row, vectors in zip(rows(), batch.split(encoder(batch)), strict=True):
            expected = oracle(torch.tensor(row)[None]).last_hidden_state[0]
            torch.testing.assert_close(vectors, expected, atol=1e-5, rtol=0)


def test_more_pieces_than_a_group_holds(monkeypatch):
    monkeypatch.setattr(hf_encoder, "CPU_CACHE_PIECES", 32)
    test_sequences_equal_transformers("mpnet")


def test_dropout_repeats():
    oracle = make("mpnet")
    encoder = build_encoder(oracle.config.to_dict(), oracle.state_dict()).train()
    batch = PackedBatch.from_sequences(rows())
    found = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        found.append(encoder(batch, dropout=0.2))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_dropout_rate_is_the_higher_one():
    oracle = make("mpnet")
    encoder = build_encoder(oracle.config.to_dict(), oracle.state_dict()).train()
    batch = PackedBatch.from_sequences(rows())
    encoder(batch, dropout=0.5)
    rates = {m.p for m in encoder.modules() if isinstance(m, torch.nn.Dropout)}
    assert rates == {0.5}
    encoder(batch, dropout=0.0)
    rates = {m.p for m in encoder.modules() if isinstance(m, torch.nn.Dropout)}
    assert rates == {oracle.config.hidden_dropout_prob}


@pytest.mark.parametrize(("kind", "limit"), [("albert", 64), ("mpnet", 64), ("deberta-v2", None)])
def test_longest_sequence(kind, limit):
    oracle = make(kind)
    encoder = build_encoder(oracle.config.to_dict(), oracle.state_dict())
    assert encoder.max_length == limit
    if limit is not None:
        with torch.no_grad():
            encoder(PackedBatch.from_sequences(rows(lengths=(limit,))))


def test_missing_weights_are_named():
    oracle = make("mpnet")
    state = oracle.state_dict()
    del state["embeddings.LayerNorm.weight"]
    with pytest.raises(ValueError, match=r"SM044.*embeddings.LayerNorm.weight"):
        build_encoder(oracle.config.to_dict(), state)


def test_missing_unexpected_and_misshapen_weights_are_named():
    oracle = make("mpnet")
    state, config = oracle.state_dict(), oracle.config.to_dict()
    name = "encoder.layer.0.output.dense.weight"
    with pytest.raises(ValueError, match=r"SM044.*Unexpected: encoder.layer.0.extra"):
        build_encoder(config, {**state, "encoder.layer.0.extra": torch.ones(2)})
    with pytest.raises(ValueError, match=rf"SM045.*{name}.*\(3, 3\)"):
        build_encoder(config, {**state, name: torch.ones(3, 3)})


@pytest.mark.parametrize("kind", KINDS)
def test_state_dict_can_be_loaded_again(kind):
    oracle = make(kind)
    encoder = build_encoder(oracle.config.to_dict(), oracle.state_dict())
    other = copy.deepcopy(encoder)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    batch = PackedBatch.from_sequences(rows())
    parent = torch.nn.ModuleDict({"encoder": other})
    with torch.no_grad():
        expected = encoder(batch)
        assert not torch.equal(other(batch), expected)
        other.load_state_dict(encoder.state_dict())
        assert torch.equal(other(batch), expected)
        prefixed = {f"encoder.{name}": t for name, t in encoder.state_dict().items()}
        parent.load_state_dict(prefixed, assign=True)
        assert torch.equal(other(batch), expected)
    assert [name for name, _ in other.named_parameters()] == list(other.state_dict())


@pytest.mark.parametrize("kind", ["albert", "mpnet"])
def test_pooler_is_neither_needed_nor_kept(kind):
    oracle = make(kind)
    state = oracle.state_dict()
    bare = {name: tensor for name, tensor in state.items() if "pooler" not in name}
    for given in (state, bare):
        encoder = build_encoder(oracle.config.to_dict(), given)
        assert encoder.state_dict().keys() == bare.keys()
        assert encoder.stored_weights().keys() == bare.keys()


def test_building_draws_no_random_numbers_and_computes_buffers():
    oracle = make("deberta-v2")
    before = torch.random.get_rng_state()
    encoder = build_encoder(oracle.config.to_dict(), oracle.state_dict())
    assert torch.equal(torch.random.get_rng_state(), before)
    theirs = dict(oracle.named_buffers())
    assert theirs
    for name, buffer in encoder.named_buffers():
        assert torch.equal(buffer, theirs[name])


def test_interface_is_that_of_every_encoder():
    encoder = build_encoder(make("mpnet").config.to_dict(), make("mpnet").state_dict())
    assert isinstance(encoder, Encoder)
    assert (encoder.hidden_size, encoder.num_attention_heads) == (24, 4)
    assert encoder.input_embeddings is encoder.network.embeddings.word_embeddings
    assert encoder.device == torch.device("cpu")
    assert encoder.pads_sequences
    assert encoder.config.to_dict()["model_type"] == "mpnet"
    assert encoder.prepare_training_() is encoder
