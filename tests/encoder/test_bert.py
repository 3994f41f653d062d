"""Against transformers' own classes on the same weights, each row alone: no padding there.

Tolerances: hidden states 1e-5 absolute (they have a standard deviation of 1), gradients 1e-5 of the
largest of their tensor's network.
"""

import copy
import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_modernbert.encoder import bert, precision
from spacy_modernbert.encoder.bert import Bert
from spacy_modernbert.encoder.bert_config import BERT_TYPES, BertConfig
from spacy_modernbert.encoder.checkpoint import build_encoder
from spacy_modernbert.encoder.hf_encoder import HFEncoder
from spacy_modernbert.encoder.packing import PackedBatch
from spacy_modernbert.encoder.protocol import Encoder

VOCAB = 99
SIZES = {
    "vocab_size": VOCAB,
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 66,
}
DISTILBERT = {
    "hidden_size": "dim",
    "intermediate_size": "hidden_dim",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "hidden_act": "activation",
    "hidden_dropout_prob": "dropout",
    "attention_probs_dropout_prob": "attention_dropout",
}
OFFSET = ("roberta", "xlm-roberta", "camembert")


def make(kind, *, seed=0, **changes):
    """transformers' network with random weights that make attention sharp."""
    values = {**SIZES, **changes}
    if kind == "distilbert":
        values = {DISTILBERT.get(name, name): value for name, value in values.items()}
    network = transformers.AutoModel.from_config(
        transformers.AutoConfig.for_model(kind, **values), attn_implementation="eager"
    )
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(float(parameter.dim() == 1), 0.2, generator=generator)
    return network.eval()


def ours(oracle, **options):
    return build_encoder(oracle.config.to_dict(), oracle.state_dict(), **options)


def make_rows(lengths=(3, 17, 1, 9, 40, 9), seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(2, VOCAB, size=n) for n in lengths]


def theirs(oracle, row, **options):
    return oracle(torch.tensor(row)[None], **options)


def assert_equals(oracle, encoder, rows):
    batch = PackedBatch.from_sequences(rows)
    with torch.no_grad():
        found, layers = batch.split(encoder(batch)), encoder.layer_outputs(batch)
        for row, vectors in zip(rows, found, strict=True):
            expected = theirs(oracle, row).last_hidden_state[0]
            scale = max(1.0, float(expected.abs().max()))
            torch.testing.assert_close(vectors, expected, atol=1e-5 * scale, rtol=0)
    assert torch.equal(layers[-1], torch.cat(found))


@pytest.mark.parametrize("kind", BERT_TYPES)
def test_sequences_equal_transformers(kind):
    oracle = make(kind)
    encoder = ours(oracle)
    assert isinstance(encoder, Bert)
    assert_equals(oracle, encoder, make_rows())


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(BERT_TYPES),
    heads=st.sampled_from([1, 2, 3]),
    head_dim=st.sampled_from([1, 5, 8]),
    wide=st.integers(1, 40),
    layers=st.integers(1, 3),
    activation=st.sampled_from(["gelu", "gelu_new", "relu", "silu"]),
    lengths=st.lists(st.integers(1, 64), min_size=1, max_size=6),
    data=st.data(),
)
def test_any_configuration_equals_transformers(
    kind, heads, head_dim, wide, layers, activation, lengths, data
):
    changes = {
        "hidden_size": heads * head_dim + heads,  # a width of 1 would be normalized to nothing
        "num_attention_heads": heads,
        "intermediate_size": wide,
        "num_hidden_layers": layers,
        "hidden_act": activation,
    }
    if kind == "electra":
        changes["embedding_size"] = data.draw(st.sampled_from([7, changes["hidden_size"]]))
    if kind not in ("electra", "distilbert"):
        changes["type_vocab_size"] = data.draw(st.sampled_from([1, 2]))
    oracle = make(kind, **changes)
    assert_equals(oracle, ours(oracle), make_rows(lengths))


@pytest.mark.parametrize("kind", BERT_TYPES)
def test_layers_equal_transformers(kind):
    oracle, rows = make(kind), make_rows()
    batch = PackedBatch.from_sequences(rows)
    with torch.no_grad():
        found = [batch.split(hidden) for hidden in ours(oracle).layer_outputs(batch)]
        for i, row in enumerate(rows):
            expected = theirs(oracle, row, output_hidden_states=True).hidden_states[1:]
            assert len(found) == len(expected) == 2
            for layer, one in zip(found, expected, strict=True):
                torch.testing.assert_close(layer[i], one[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", BERT_TYPES)
def test_gradients_equal_transformers(kind):
    """All weights, from rows of several lengths at once."""
    oracle, rows = make(kind), make_rows()
    encoder = ours(oracle)
    torch.manual_seed(1)
    towards = [torch.randn(len(row), 24) for row in rows]
    (encoder(PackedBatch.from_sequences(rows)) * torch.cat(towards)).sum().backward()
    for row, aim in zip(rows, towards, strict=True):
        (theirs(oracle, row).last_hidden_state[0] * aim).sum().backward()
    expected = {name: p.grad for name, p in oracle.named_parameters() if "pooler" not in name}
    largest = max(float(gradient.abs().max()) for gradient in expected.values())
    found = dict(encoder.named_parameters())
    assert found.keys() == expected.keys()
    for name, parameter in found.items():
        torch.testing.assert_close(
            parameter.grad, expected[name], atol=1e-5 * largest, rtol=0, msg=name
        )


def test_more_pieces_than_a_group_holds(monkeypatch):
    monkeypatch.setattr(bert, "_GROUP_PIECES", 32)
    test_sequences_equal_transformers("bert")
    test_gradients_equal_transformers("roberta")


@pytest.mark.parametrize("rows", [[], [[]], [[], [3, 4], []]])
def test_empty_rows(rows):
    encoder = ours(make("bert"))
    batch = PackedBatch.from_sequences(rows)
    assert encoder(batch).shape == (batch.total, 24)
    assert [hidden.shape for hidden in encoder.layer_outputs(batch)] == [(batch.total, 24)] * 2


@pytest.mark.parametrize("kind", BERT_TYPES)
def test_published_names_with_and_without_the_prefix_and_the_pooler(kind):
    oracle = make(kind)
    state, batch = oracle.state_dict(), PackedBatch.from_sequences(make_rows())
    bare = {name: tensor for name, tensor in state.items() if "pooler" not in name}
    prefixed = {f"{oracle.base_model_prefix}.{name}": tensor for name, tensor in state.items()}
    with torch.no_grad():
        expected = ours(oracle)(batch)
        for given_state in (state, bare, prefixed, {**prefixed, "classifier.weight": bare}):
            encoder = build_encoder(oracle.config.to_dict(), given_state)
            assert encoder.state_dict().keys() == encoder.stored_weights().keys() == bare.keys()
            assert torch.equal(encoder(batch), expected)
    assert not list(encoder.named_buffers())


def test_old_names_position_ids_and_heads_of_task_checkpoints():
    oracle = make("bert")
    state = {f"bert.{name}": tensor for name, tensor in oracle.state_dict().items()}
    for name in [name for name in state if "LayerNorm" in name]:
        old = name.replace("weight", "gamma").replace("bias", "beta")
        state[old] = state.pop(name)
    state["bert.embeddings.position_ids"] = torch.arange(66)[None]
    state["bert.embeddings.token_type_ids"] = torch.zeros(1, 66, dtype=torch.long)
    state["cls.predictions.bias"] = state["classifier.weight"] = torch.ones(99)
    batch = PackedBatch.from_sequences(make_rows())
    with torch.no_grad():
        found = build_encoder(oracle.config.to_dict(), state)(batch)
        assert torch.equal(found, ours(oracle)(batch))


def test_network_without_token_types():
    """As one whose table holds zeros."""
    oracle = make("bert", type_vocab_size=1)
    with torch.no_grad():
        oracle.embeddings.token_type_embeddings.weight.zero_()
    state = oracle.state_dict()
    del state["embeddings.token_type_embeddings.weight"]
    encoder = build_encoder({**oracle.config.to_dict(), "type_vocab_size": 0}, state)
    assert_equals(oracle, encoder, make_rows())


@pytest.mark.parametrize("kind", BERT_TYPES)
def test_longest_sequence(kind):
    oracle = make(kind)
    encoder = ours(oracle)
    assert encoder.max_length == (64 if kind in OFFSET else 66)
    assert_equals(oracle, encoder, make_rows((encoder.max_length, 2)))


def test_missing_unexpected_and_misshapen_weights_are_named():
    oracle = make("bert")
    state, config = oracle.state_dict(), oracle.config.to_dict()
    name = "encoder.layer.0.output.dense.weight"
    with pytest.raises(ValueError, match=r"SM044.*Unexpected: encoder.layer.0.extra"):
        build_encoder(config, {**state, "encoder.layer.0.extra": torch.ones(2)})
    with pytest.raises(ValueError, match=rf"SM045.*{name}.*\(3, 3\)"):
        build_encoder(config, {**state, name: torch.ones(3, 3)})
    del state["embeddings.LayerNorm.weight"]
    with pytest.raises(ValueError, match=r"SM044.*embeddings.LayerNorm.weight"):
        build_encoder(config, state)


def test_building_draws_no_random_numbers():
    oracle = make("bert")
    before = torch.random.get_rng_state()
    ours(oracle)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("kind", BERT_TYPES)
def test_copies_and_state_dicts_are_independent(kind):
    encoder, batch = ours(make(kind)), PackedBatch.from_sequences(make_rows())
    other = copy.deepcopy(encoder)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
        expected = encoder(batch)
        assert not torch.equal(other(batch), expected)
        other.load_state_dict(encoder.state_dict())
        assert torch.equal(other(batch), expected)
        other.load_state_dict({n: t * 0 for n, t in encoder.state_dict().items()}, assign=True)
        assert not torch.equal(other(batch), expected)
        torch.nn.ModuleDict({"encoder": other}).load_state_dict(
            {f"encoder.{name}": tensor for name, tensor in encoder.state_dict().items()},
            assign=True,
        )
        assert torch.equal(other(batch), expected)


def test_interface_is_that_of_every_encoder():
    encoder = ours(make("bert"))
    assert isinstance(encoder, Encoder)
    assert (encoder.hidden_size, encoder.num_attention_heads) == (24, 4)
    assert encoder.input_embeddings is encoder.embeddings.word_embeddings
    assert encoder.device == torch.device("cpu")
    assert not encoder.pads_sequences
    assert encoder.prepare_training_() is encoder


def test_dropout_of_each_kind_reaches_the_output_and_repeats():
    quiet = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    batch = PackedBatch.from_sequences(make_rows())

    def run(seed, rate=0.0, **rates):
        torch.manual_seed(seed)
        return ours(make("bert", **{**quiet, **rates})).train()(batch, dropout=rate)

    plain = run(5)
    assert torch.equal(plain, ours(make("bert")).eval()(batch, dropout=0.5))
    for options in ({"rate": 0.2}, *({name: 0.2} for name in quiet)):
        found = run(5, **options)
        assert torch.equal(found, run(5, **options))
        assert not torch.equal(found, run(6, **options))
        assert not torch.equal(found, plain)


def test_dropout_rate_is_the_higher_one():
    batch = PackedBatch.from_sequences(make_rows())
    rates = {"hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.3}
    encoder = ours(make("bert", **rates)).train()
    found = []
    for rate in (0.0, 0.3, 0.4):
        torch.manual_seed(5)
        found.append(encoder(batch, dropout=rate))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[1], found[2])


@pytest.fixture
def with_bfloat16(monkeypatch):
    """As on a processor with the instructions; torch computes the same without, only slower."""
    precision._resolve.cache_clear()
    monkeypatch.setattr(precision, "_has_bfloat16", bool)
    monkeypatch.setattr(precision, "_gain_of_bfloat16", lambda: 2.0)
    yield
    precision._resolve.cache_clear()


def test_bfloat16(with_bfloat16):
    oracle, batch = make("bert"), PackedBatch.from_sequences(make_rows())
    plain, half = ours(oracle), ours(oracle, precision="bfloat16")
    dtypes = {name: parameter.dtype for name, parameter in half.named_parameters()}
    assert dtypes["encoder.layer.0.attention.self.query.weight"] == torch.bfloat16
    assert dtypes["embeddings.word_embeddings.weight"] == torch.bfloat16
    assert {dtypes[name] for name in dtypes if "LayerNorm" in name} == {torch.float32}
    with torch.no_grad():
        found, expected = half(batch), plain(batch)
    assert found.dtype == torch.float32
    assert torch.cosine_similarity(found, expected).min() > 0.99
    half.prepare_training_().train()
    half(batch).square().sum().backward()
    assert {parameter.grad.dtype for parameter in half.parameters()} == {torch.float32}
    with torch.no_grad():
        masters = half.eval()(batch)
        assert torch.equal(half.prepare_inference_()(batch), masters)


@pytest.mark.parametrize("kind", BERT_TYPES)
def test_transformers_loads_what_is_saved(kind, tmp_path):
    from safetensors.torch import save_file

    oracle = make(kind)
    # Only what is written in published files of old: no defaults.
    source = {**oracle.config.to_diff_dict(), "torch_dtype": "float16", "own_key": [1]}
    with pytest.warns(UserWarning, match="SMW022.*own_key"):
        encoder = build_encoder(source, oracle.state_dict())
    written = encoder.config.to_dict()
    assert written["own_key"] == [1]
    (tmp_path / "config.json").write_text(json.dumps(written))
    save_file(encoder.stored_weights(), tmp_path / "model.safetensors", {"format": "pt"})
    again = transformers.AutoModel.from_pretrained(tmp_path).eval()
    assert again.dtype == torch.float32
    assert_equals(again, encoder, make_rows())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert BertConfig.from_dict(written) == encoder.config
    bare = BertConfig(**{k: v for k, v in vars(encoder.config).items() if k != "source"}).to_dict()
    assert {name: again.config.to_dict()[name] for name in bare} == bare


@pytest.mark.parametrize("kind", BERT_TYPES)
def test_defaults_are_those_of_transformers(kind):
    """A file may leave out what equals them."""
    expected = transformers.AutoConfig.for_model(kind).to_dict()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert BertConfig.from_dict({"model_type": kind}) == BertConfig.from_dict(expected)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"hidden_size": 25}, "hidden_size is 25"),
        ({"hidden_size": "24"}, "hidden_size"),
        ({"num_hidden_layers": 0}, "num_hidden_layers"),
        ({"num_attention_heads": True}, "num_attention_heads"),
        ({"hidden_act": "mish"}, "hidden_act is 'mish'"),
        ({"hidden_dropout_prob": 1.0}, "hidden_dropout_prob"),
        ({"attention_probs_dropout_prob": "0"}, "attention_probs_dropout_prob"),
        ({"layer_norm_eps": 0}, "layer_norm_eps"),
        ({"type_vocab_size": -1}, "type_vocab_size"),
        ({"pad_token_id": 1.5}, "pad_token_id"),
        ({"is_decoder": True}, "is_decoder"),
        ({"pruned_heads": {"0": [1]}}, "pruned_heads"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ({"model_type": "roberta", "max_position_embeddings": 2}, "max_position_embeddings"),
        ({"model_type": "electra", "embedding_size": 0}, "embedding_size"),
        ({"model_type": "distilbert", "n_heads": 5}, "dim"),
        ({"model_type": "distilbert", "activation": "mish"}, "activation"),
        ({"model_type": "gpt2"}, "model_type"),
    ],
)
def test_settings_that_are_not_supported_are_named(changes, key):
    with pytest.raises(ValueError, match=f"SM022.*{key}"):
        BertConfig.from_dict({"model_type": "bert", **SIZES, **changes})


def test_relative_positions_are_for_transformers():
    oracle = make("bert", position_embedding_type="relative_key")
    assert isinstance(ours(oracle), HFEncoder)


def test_other_types_say_that_they_need_transformers():
    """And ours need it neither for loading nor for running."""
    program = """
import sys
sys.modules["transformers"] = None
from spacy_modernbert.encoder.bert import Bert
from spacy_modernbert.encoder.bert_config import BertConfig
from spacy_modernbert.encoder.checkpoint import build_encoder
from spacy_modernbert.encoder.packing import PackedBatch
config = BertConfig(vocab_size=9, hidden_size=4, num_attention_heads=2, num_hidden_layers=1)
encoder = build_encoder(config.to_dict(), Bert(config).state_dict())
assert encoder(PackedBatch.from_sequences([[3, 4]])).shape == (2, 4)
try:
    build_encoder({"model_type": "deberta-v2"}, {})
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "SM030" in done.stdout, done.stderr
    assert "deberta-v2" in done.stdout
    assert "pip install" in done.stdout
