import json
import shutil

import pytest
import torch

from spacy_modernbert.encoder.checkpoint import (
    Checkpoint,
    encoder_to_bytes,
    load_encoder,
    load_encoder_file,
    read_state,
    save_encoder,
    save_encoder_file,
)
from spacy_modernbert.encoder.packing import PackedBatch
from spacy_modernbert.encoder.storage import read_tensors, tensors_to_bytes, write_tensors

ROWS = [[1, 7, 8, 9, 2], [1, 2], [1, *range(20, 60), 2]]


def encode(encoder):
    with torch.no_grad():
        return encoder(PackedBatch.from_sequences(ROWS))


@pytest.fixture
def folder(checkpoint, tmp_path):
    """A copy to damage."""
    return shutil.copytree(checkpoint, tmp_path / "copy")


def rewrite(folder, change):
    tensors, _ = read_tensors(folder / "model.safetensors")
    write_tensors(folder / "model.safetensors", change(tensors), {"format": "pt"})


def edit_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_folder_round_trip(checkpoint, tmp_path):
    loaded = load_encoder(checkpoint)
    save_encoder(loaded, tmp_path)
    for file in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / file).read_bytes() == (checkpoint / file).read_bytes()


def test_packed_round_trip(checkpoint, tmp_path):
    loaded = load_encoder(checkpoint)
    save_encoder_file(loaded, tmp_path / "model")
    data = encoder_to_bytes(loaded)
    assert (tmp_path / "model").read_bytes() == data
    for again in (load_encoder_file(tmp_path / "model"), load_encoder_file(data)):
        assert torch.equal(encode(again.encoder), encode(loaded.encoder))
        assert encoder_to_bytes(again) == data


def test_transformers_loads_a_saved_folder(checkpoint):
    from transformers import AutoTokenizer, ModernBertModel

    oracle = ModernBertModel.from_pretrained(checkpoint, reference_compile=False).eval()
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    loaded = load_encoder(checkpoint)
    text = "Maria Lopez doesn't work at Apple.\n        return 日本"
    ids = tokenizer(text)["input_ids"]
    (row,) = loaded.tokenizer.encode_texts([text])
    assert ids == [*loaded.tokenizer.prefix_ids, *row.ids.tolist(), *loaded.tokenizer.suffix_ids]
    with torch.no_grad():
        expected = oracle(torch.tensor([ids])).last_hidden_state[0]
        found = loaded.encoder(PackedBatch.from_sequences([ids]))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_masked_language_model_checkpoint_without_its_head(checkpoint, folder):
    def as_mlm(tensors):
        head = {"head.dense.weight": torch.ones(32, 32), "decoder.bias": torch.ones(500)}
        return {**{f"model.{name}": tensor for name, tensor in tensors.items()}, **head}

    rewrite(folder, as_mlm)
    assert torch.equal(
        encode(load_encoder(folder).encoder), encode(load_encoder(checkpoint).encoder)
    )


def test_pickled_and_sharded_checkpoints(checkpoint, folder):
    expected = encode(load_encoder(checkpoint).encoder)
    tensors, _ = read_tensors(folder / "model.safetensors")
    names = sorted(tensors)
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin")
    assert torch.equal(encode(load_encoder(folder).encoder), expected)
    (folder / "pytorch_model.bin").unlink()
    parts = {"a.safetensors": names[:3], "b.safetensors": names[3:]}
    for file, part in parts.items():
        write_tensors(folder / file, {name: tensors[name] for name in part}, {"format": "pt"})
    index = {"weight_map": {name: file for file, part in parts.items() for name in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert torch.equal(encode(load_encoder(folder).encoder), expected)


class Trap:
    def __reduce__(self):
        return print, ("this code must not run",)


def test_pickle_with_code_is_refused(folder, capsys):
    (folder / "model.safetensors").unlink()
    torch.save({"w": Trap()}, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match="SM042"):
        read_state(folder)
    assert capsys.readouterr().out == ""


def test_half_precision_weights_are_computed_in_float32(folder):
    rewrite(folder, lambda tensors: {name: t.half() for name, t in tensors.items()})
    encoder = load_encoder(folder).encoder
    assert {param.dtype for param in encoder.parameters()} == {torch.float32}


def test_missing_weight_is_named(folder):
    def without(tensors):
        return {name: t for name, t in tensors.items() if name != "final_norm.weight"}

    rewrite(folder, without)
    with pytest.raises(ValueError, match=r"SM044.*Missing: final_norm.weight"):
        load_encoder(folder)


def test_unexpected_weight_is_named(folder):
    rewrite(folder, lambda tensors: {**tensors, "layers.0.attn.Wo.bias": torch.ones(32)})
    with pytest.raises(ValueError, match=r"SM044.*Unexpected: layers.0.attn.Wo.bias"):
        load_encoder(folder)


def test_wrong_shape_is_named(folder):
    edit_config(folder, vocab_size=77)
    with pytest.raises(ValueError, match=r"SM045.*tok_embeddings.*\(77, 32\)"):
        load_encoder(folder)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json"])
def test_missing_file_is_named(folder, file):
    (folder / file).unlink()
    with pytest.raises((FileNotFoundError, ValueError), match=f"SM0(41|01).*{file}"):
        load_encoder(folder)


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_unreadable_config_is_named(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(ValueError, match="SM043"):
        load_encoder(folder)


def test_truncated_weights(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="SM042"):
        load_encoder(folder)


def test_packed_file_of_someone_else(tmp_path):
    data = tensors_to_bytes({"w": torch.ones(1)}, {"format": "pt"})
    (tmp_path / "model").write_bytes(data)
    for source in (data, tmp_path / "model"):
        with pytest.raises(ValueError, match="SM046"):
            load_encoder_file(source)


def test_folder_of_transformers_5(checkpoint, folder):
    """The next generation writes other keys, and a tokenizer class this transformers lacks."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    for key in ("global_rope_theta", "local_rope_theta", "global_attn_every_n_layers"):
        config.pop(key, None)
    config["layer_types"] = ["full_attention", "sliding_attention", "sliding_attention"]
    config["rope_parameters"] = {
        "full_attention": {"rope_type": "default", "rope_theta": 160000.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
    }
    path.write_text(json.dumps(config))
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    tokenizer["tokenizer_class"] = "TokenizersBackend"
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    assert torch.equal(
        encode(load_encoder(folder).encoder), encode(load_encoder(checkpoint).encoder)
    )


def test_bfloat16_is_stored_in_half_the_size(checkpoint, tmp_path):
    from spacy_modernbert.encoder.precision import resolve_precision

    if resolve_precision("bfloat16", torch.device("cpu")) != torch.bfloat16:
        pytest.skip("this processor has no bfloat16 instructions")
    plain, half = load_encoder(checkpoint), load_encoder(checkpoint, precision="bfloat16")
    save_encoder_file(half, tmp_path / "half")
    save_encoder_file(plain, tmp_path / "plain")
    again = load_encoder_file(tmp_path / "half", precision="bfloat16")
    assert torch.equal(encode(again.encoder), encode(half.encoder))
    sizes = [sum(p.nbytes for p in c.encoder.parameters()) for c in (again, plain)]
    assert sizes[0] < sizes[1] * 0.6
    # A machine without the instructions reads the same file and computes in float32.
    wide = load_encoder_file(tmp_path / "half", precision="float32")
    assert {param.dtype for param in wide.encoder.parameters()} == {torch.float32}


def test_checkpoint_of_an_unknown_kind(folder):
    edit_config(folder, model_type="no_such_model")
    with pytest.raises(ValueError, match=r"SM048.*no_such_model"):
        load_encoder(folder)


def test_decoder_is_refused(folder):
    edit_config(folder, model_type="t5")
    with pytest.raises(ValueError, match=r"SM048.*t5.*no encoder"):
        load_encoder(folder)


def test_checkpoint_is_what_it_was_made_of(checkpoint):
    loaded = load_encoder(checkpoint)
    assert Checkpoint(loaded.encoder, loaded.tokenizer) == loaded


def grown_tokenizer(folder, *names, special=False):
    """Add tokens to the tokenizer of a folder, as `add_tokens` of transformers does."""
    from tokenizers import AddedToken, Tokenizer

    path = str(folder / "tokenizer.json")
    tokenizer = Tokenizer.from_file(path)
    added = [AddedToken(name, special=special) for name in names]
    (tokenizer.add_special_tokens if special else tokenizer.add_tokens)(added)
    tokenizer.save(path)


def test_tokenizer_larger_than_the_embeddings_is_refused(folder):
    rows = load_encoder(folder).encoder.input_embeddings.num_embeddings
    grown_tokenizer(folder, "longword", "otherword")
    with pytest.raises(ValueError, match=rf"SM049.*{rows + 2} entries.*{rows} rows"):
        load_encoder(folder)


def test_control_tokens_without_embeddings_are_no_fault(checkpoint, folder):
    """No text contains them, so a checkpoint that lists spare ones works."""
    grown_tokenizer(folder, "[SPARE1]", special=True)
    text = "Maria [SPARE1] Lopez"
    (found,), (expected,) = (
        load_encoder(f).tokenizer.encode_texts([text]) for f in (folder, checkpoint)
    )
    assert found.ids.tolist() == expected.ids.tolist()


@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_weights_are_not_mapped(checkpoint, folder, zipped):
    """Whether a current or an old torch wrote the file."""
    expected = encode(load_encoder(checkpoint).encoder)
    tensors, _ = read_tensors(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    file = folder / "pytorch_model.bin"
    torch.save(tensors, file, _use_new_zipfile_serialization=zipped)
    encoder = load_encoder(folder).encoder
    with file.open("r+b") as stream:
        stream.write(b"\0" * file.stat().st_size)
    assert torch.equal(encode(encoder), expected)
    with file.open("r+b") as stream:
        stream.truncate(8)
    assert torch.equal(encode(encoder), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_are_saved_in_the_format_that_they_came_in(checkpoint, tmp_path, dtype):
    """They compute in float32; a matrix that was trained since needs all its bits."""
    shutil.copytree(checkpoint, tmp_path / "half")
    weights, metadata = read_tensors(checkpoint / "model.safetensors")
    half = {name: tensor.to(dtype) for name, tensor in weights.items()}
    write_tensors(tmp_path / "half" / "model.safetensors", half, metadata)
    loaded = load_encoder(tmp_path / "half")
    assert {tensor.dtype for tensor in loaded.encoder.state_dict().values()} == {torch.float32}
    name, trained = next((n, t) for n, t in loaded.encoder.named_parameters() if "Wqkv" in n)
    with torch.no_grad():
        trained.add_(1e-5 * torch.rand(trained.shape))
    save_encoder(loaded, tmp_path / "saved")
    saved, _ = read_tensors(tmp_path / "saved" / "model.safetensors")
    formats = {n: tensor.dtype for n, tensor in saved.items() if tensor.dim() == 2}
    assert formats.pop(name) == torch.float32
    assert dtype in formats.values()
    assert torch.float32 not in formats.values()
    again = load_encoder(tmp_path / "saved").encoder.state_dict()
    for name, tensor in loaded.encoder.state_dict().items():
        assert again[name].equal(tensor)
