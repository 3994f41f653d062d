import warnings

import pytest
import torch

from spacy_modernbert.encoder import precision
from spacy_modernbert.encoder.packing import PackedBatch
from spacy_modernbert.encoder.precision import resolve_precision

from .conftest import make_encoder, make_rows

CPU = torch.device("cpu")


@pytest.fixture
def fresh():
    """Decisions are remembered for the life of a process; forget them around the test."""
    precision._resolve.cache_clear()
    yield
    precision._resolve.cache_clear()


@pytest.fixture
def with_bfloat16(fresh, monkeypatch):
    """As on a processor with the instructions; torch computes the same without, only slower."""
    monkeypatch.setattr(precision, "_has_bfloat16", bool)


def test_float32_is_float32():
    assert resolve_precision("float32", CPU) == torch.float32


def test_unknown_precision_is_refused():
    with pytest.raises(ValueError, match=r"SM024.*float16.*bfloat16"):
        resolve_precision("float16", CPU)


def test_processor_without_the_instructions_gets_float32_and_one_warning(fresh, monkeypatch):
    for probe in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, probe, bool, raising=False)
    monkeypatch.setattr(precision.platform, "machine", str)
    with pytest.warns(UserWarning, match=r"SMW020.*bfloat16.*cpu"):
        found = resolve_precision("bfloat16", CPU)
    assert found == torch.float32
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert resolve_precision("bfloat16", CPU) == torch.float32


@pytest.mark.parametrize(("gain", "warns"), [(0.5, True), (2.0, False)])
def test_slow_bfloat16_is_used_but_reported(with_bfloat16, monkeypatch, gain, warns):
    monkeypatch.setattr(precision, "_gain_of_bfloat16", lambda: gain)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert resolve_precision("bfloat16", CPU) == torch.bfloat16
    assert [("SMW021" in str(each.message)) for each in caught] == [True] * warns


def test_gain_is_measured():
    assert 0.01 < precision._gain_of_bfloat16() < 100


def test_bfloat16_is_close_to_float32(with_bfloat16):
    plain = make_encoder(hidden_size=64, std=0.05)
    half = make_encoder(hidden_size=64, std=0.05, precision="bfloat16").prepare_inference_()
    batch = PackedBatch.from_sequences(make_rows((100, 7, 33)))
    with torch.no_grad():
        found, expected = half(batch), plain(batch)
    assert found.dtype == torch.float32
    assert torch.cosine_similarity(found, expected).min() > 0.999


def test_weights_move_between_the_formats(with_bfloat16):
    encoder = make_encoder(precision="bfloat16").prepare_inference_()
    dtypes = {name: param.dtype for name, param in encoder.named_parameters()}
    assert dtypes["layers.0.attn.Wqkv.weight"] == torch.bfloat16
    assert dtypes["embeddings.tok_embeddings.weight"] == torch.bfloat16
    assert {dtypes[name] for name in dtypes if "norm" in name} == {torch.float32}
    encoder.prepare_training_()
    assert {param.dtype for param in encoder.parameters()} == {torch.float32}


def test_float32_weights_compute_what_their_bfloat16_copies_do(with_bfloat16):
    """So that a pipeline predicts the same before it is saved and after it is loaded."""
    encoder = make_encoder(precision="bfloat16", attention_bias=True, mlp_bias=True)
    batch = PackedBatch.from_sequences(make_rows((100, 7, 33)))
    with torch.no_grad():
        masters = encoder(batch)
        stored = encoder.prepare_inference_()(batch)
    assert torch.equal(masters, stored)


def test_gradients_flow_to_float32_weights(with_bfloat16):
    encoder = make_encoder(precision="bfloat16").train()
    encoder(PackedBatch.from_sequences(make_rows((30, 4)))).square().sum().backward()
    for name, param in encoder.named_parameters():
        assert param.grad is not None, name
        assert param.grad.dtype == torch.float32
        assert param.grad.abs().sum() > 0
