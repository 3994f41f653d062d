"""Folders and bytes: what is written is read again, and what is wrong is refused by number."""

import json
import shutil
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from spacy_modernbert.encoder.checkpoint import Checkpoint, load_encoder
from spacy_modernbert.encoder.packing import PackedBatch
from spacy_modernbert.encoder.storage import read_tensors
from spacy_modernbert.gliner.checkpoint.convert import convert
from spacy_modernbert.gliner.checkpoint.serialization import (
    gliner_from_bytes,
    gliner_to_bytes,
    load_gliner,
    save_gliner,
)
from spacy_modernbert.gliner.training.new_model import new_gliner
from tests.gliner.answers import logits, predict, same
from tests.gliner.tiny import KINDS, LABELS, TEXTS, tiny_encoder, tiny_model, tiny_piecer

WEIGHTS = "model.safetensors"
CONFIG = "gliner_config.json"
model_of = cache(tiny_model)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The folder of a saved tiny model, each kind once; not to be changed."""
    root = tmp_path_factory.mktemp("gliner")

    @cache
    def save(kind: str) -> Path:
        save_gliner(model_of(kind), root / kind)
        return root / kind

    return save


@pytest.fixture
def folder(saved, tmp_path):
    """A copy of a saved uni-encoder, to be damaged."""
    return Path(shutil.copytree(saved("uni_span"), tmp_path / "copy"))


def edit(folder, **settings):
    path = folder / CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))


def edit_weights(folder, change):
    state = load_file(folder / WEIGHTS)
    save_file(change(state), folder / WEIGHTS)


@pytest.mark.parametrize("kind", list(KINDS))
def test_folders_and_bytes_keep_everything(kind, saved):
    model = model_of(kind)
    expected = predict(model, TEXTS, LABELS)
    again = load_gliner(saved(kind))
    assert same(predict(again, TEXTS, LABELS), expected, tol=1e-6)
    assert same(
        predict(gliner_from_bytes(gliner_to_bytes(again)), TEXTS, LABELS), expected, tol=1e-6
    )
    assert gliner_to_bytes(again) == gliner_to_bytes(gliner_from_bytes(gliner_to_bytes(again)))
    assert again.network.state_dict().keys() == model.network.state_dict().keys()
    assert not again.network.training


@pytest.mark.filterwarnings("ignore:.*SMW02")
def test_half_precision(saved):
    """Only the encoders compute in bfloat16, where the processor has instructions for it."""
    model = load_gliner(saved("bi_span"), precision="bfloat16")
    assert model.network.prompt_rep_layer.outer.weight.dtype == torch.float32
    exact = logits(load_gliner(saved("bi_span")), TEXTS, LABELS)
    for one, other in zip(logits(model, TEXTS, LABELS), exact, strict=True):
        assert one.dtype == torch.float32
        assert (one - other).abs().mean() < 0.2
    again = gliner_from_bytes(gliner_to_bytes(model), precision="bfloat16")
    assert same(predict(again, TEXTS, LABELS), predict(model, TEXTS, LABELS), tol=1e-6)


def test_half_of_the_size_with_equal_tables_once(tmp_path):
    text, labels = (Checkpoint(tiny_encoder(p), p) for p in [tiny_piecer(markers=False)] * 2)
    model = new_gliner(text, labels)
    save_gliner(model, tmp_path / "full")
    save_gliner(model, tmp_path / "half", half=True)
    names = set(model.network.state_dict())
    for folder, dtypes in (("full", {torch.float32}), ("half", {torch.float16})):
        tensors, aliases = read_tensors(tmp_path / folder / WEIGHTS)
        assert {tensor.dtype for tensor in tensors.values()} == dtypes
        assert names - set(tensors) == set(aliases) - {"format"}
        assert any("tok_embeddings" in name for name in aliases)
    exact = load_gliner(tmp_path / "full").network.state_dict()
    assert all(exact[name].equal(tensor) for name, tensor in model.network.state_dict().items())
    again = load_gliner(tmp_path / "half")
    assert again.network.labels_encoder is not None
    assert same(predict(again, TEXTS, LABELS), predict(model, TEXTS, LABELS), tol=5e-3)


@pytest.mark.parametrize("half", [False, True])
def test_upstream_loads_equal_tables_that_are_written_once(tmp_path, half):
    gliner = pytest.importorskip("gliner")
    tokenizer = tiny_piecer(markers=False)
    text, labels = (Checkpoint(tiny_encoder(tokenizer), tokenizer) for _ in range(2))
    save_gliner(new_gliner(text, labels), tmp_path, half=half)
    theirs = gliner.GLiNER.from_pretrained(str(tmp_path), local_files_only=True)
    state = theirs.model.state_dict()
    for name, tensor in load_gliner(tmp_path).network.state_dict().items():
        torch.testing.assert_close(state[name].float(), tensor.float(), msg=name)


def test_a_projection_is_found_in_the_weights(tmp_path):
    model = tiny_model("bi_span", width=24)
    save_gliner(model, tmp_path)
    edit(tmp_path, hidden_size=512)
    again = load_gliner(tmp_path)
    assert same(predict(again, TEXTS, LABELS), predict(model, TEXTS, LABELS), tol=1e-6)


@pytest.mark.parametrize("prefix", ["model.", "_orig_mod.", "_orig_mod.model."])
def test_wrapped_names(folder, prefix):
    expected = predict(load_gliner(folder), TEXTS, LABELS)
    edit_weights(folder, lambda state: {prefix + name: tensor for name, tensor in state.items()})
    assert same(predict(load_gliner(folder), TEXTS, LABELS), expected, tol=1e-6)


def test_pickles_of_tensors(folder):
    expected = predict(load_gliner(folder), TEXTS, LABELS)
    torch.save(load_file(folder / WEIGHTS), folder / "pytorch_model.bin")
    (folder / WEIGHTS).unlink()
    assert same(predict(load_gliner(folder), TEXTS, LABELS), expected, tol=1e-6)


def test_pickles_of_anything_else(folder):
    (folder / WEIGHTS).unlink()
    torch.save({"path": Path("x"), "code": print}, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match="SM042"):
        load_gliner(folder)


def test_shared_weights_have_two_names(folder):
    state = load_file(folder / WEIGHTS)
    kept, omitted = "prompt_rep_layer.0.bias", "span_rep_layer.span_rep_layer.project_end.0.bias"
    shared = {**state, omitted: state[kept].clone()}
    save_file(shared, folder / WEIGHTS)
    expected = predict(load_gliner(folder), TEXTS, LABELS)
    del shared[omitted]
    save_file(shared, folder / WEIGHTS, metadata={omitted: kept, "format": "pt"})
    assert same(predict(load_gliner(folder), TEXTS, LABELS), expected, tol=1e-6)


def test_an_old_file_without_an_lstm(folder):
    """Upstream would build one with random weights for it."""
    edit_weights(folder, lambda state: {n: t for n, t in state.items() if not n.startswith("rnn.")})
    config = json.loads((folder / CONFIG).read_text())
    del config["num_rnn_layers"]
    (folder / CONFIG).write_text(json.dumps({**config, "has_rnn": False}))
    model = load_gliner(folder)
    assert not hasattr(model.network, "rnn")
    assert model.network.structure.rnn_layers == 0


def test_what_is_never_run_is_left_out(saved, tmp_path):
    folder = Path(shutil.copytree(saved("bi_span"), tmp_path / "bi"))
    expected = predict(load_gliner(folder), TEXTS, LABELS)
    lstm = torch.nn.LSTM(32, 16, bidirectional=True)
    extra = {f"rnn.lstm.{name}": tensor.data for name, tensor in lstm.named_parameters()}
    table = {"token_rep_layer.labels_encoder.model.embeddings.position_ids": torch.arange(4)}
    edit_weights(folder, lambda state: {**state, **extra, **table})
    edit(folder, num_rnn_layers=1)
    model = load_gliner(folder)
    assert same(predict(model, TEXTS, LABELS), expected, tol=1e-6)
    save_gliner(model, tmp_path / "again")
    assert json.loads((tmp_path / "again" / CONFIG).read_text())["num_rnn_layers"] == 0


def test_a_bi_encoder_may_carry_the_vectors_of_its_labels_only(saved, tmp_path):
    model = load_gliner(saved("bi_span"))
    vectors = model.encode_labels(LABELS)
    expected = predict(model, TEXTS, LABELS)
    del model.network.token_rep_layer.labels_encoder
    small = gliner_from_bytes(gliner_to_bytes(model))
    assert small.network.labels_encoder is None
    assert same(predict(small, TEXTS, LABELS, label_vectors=vectors), expected, tol=1e-6)
    with pytest.raises(ValueError, match="SM110"):
        predict(small, TEXTS, LABELS)


@pytest.mark.parametrize("file", [CONFIG, WEIGHTS, "tokenizer.json"])
def test_missing_files(folder, file):
    (folder / file).unlink()
    code = {CONFIG: "SM100", WEIGHTS: "SM041", "tokenizer.json": "SM104.*convert-gliner"}[file]
    with pytest.raises((ValueError, FileNotFoundError), match=code):
        load_gliner(folder)


def test_a_missing_backbone(folder, saved, tmp_path):
    edit(folder, encoder_config=None)
    with pytest.raises(ValueError, match=r"SM104.*encoder_config"):
        load_gliner(folder)
    bi = Path(shutil.copytree(saved("bi_span"), tmp_path / "bi"))
    shutil.rmtree(bi / "labels_tokenizer")
    with pytest.raises(ValueError, match=r"SM104.*labels_tokenizer"):
        load_gliner(bi)
    edit(bi, labels_encoder_config=None)
    with pytest.raises(ValueError, match=r"SM104.*labels_encoder_config"):
        load_gliner(bi)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(folder, value):
    def spoil(state):
        state["prompt_rep_layer.3.weight"][1, 2] = value
        return state

    edit_weights(folder, spoil)
    with pytest.raises(ValueError, match=r"SM105.*prompt_rep_layer\.3\.weight"):
        load_gliner(folder)


def test_weights_that_do_not_fit(folder):
    whole = load_file(folder / WEIGHTS)
    marker = "span_rep_layer.span_rep_layer."
    broken = {
        "SM106.*prompt_rep_layer": lambda s: {n: t for n, t in s.items() if "prompt" not in n},
        "SM106.*query_seg": lambda s: {
            **{n: t for n, t in s.items() if marker not in n},
            f"{marker}query_seg": torch.zeros(32, 4),
        },
        "SM044.*more_layers": lambda s: {**s, "more_layers.weight": torch.zeros(3)},
        "SM044.*project_end": lambda s: {
            n: t for n, t in s.items() if n != f"{marker}project_end.3.bias"
        },
        "SM045.*project_end": lambda s: {**s, f"{marker}project_end.3.bias": torch.zeros(3)},
    }
    for code, change in broken.items():
        save_file(change(dict(whole)), folder / WEIGHTS)
        with pytest.raises(ValueError, match=code):
            load_gliner(folder)


def test_damaged_files(folder):
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="SM042"):
        load_gliner(folder)
    with pytest.raises(ValueError, match="SM042"):
        gliner_from_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="SM046"):
        gliner_from_bytes(data)


def test_converting_is_idempotent_and_stays_out_of_its_source(saved, tmp_path):
    for kind in ("uni_span", "bi_poly"):
        convert(saved(kind), tmp_path / kind)
        expected = predict(model_of(kind), TEXTS, LABELS)
        assert same(predict(load_gliner(tmp_path / kind), TEXTS, LABELS), expected, tol=1e-6)
    with pytest.raises(ValueError, match="SM113"):
        convert(tmp_path / "uni_span", tmp_path / "uni_span")
    with pytest.raises(FileNotFoundError, match="SM040"):
        convert(tmp_path / "nowhere", tmp_path / "somewhere")


def test_encoders_are_saved_by_themselves(saved, tmp_path):
    """Their vectors of a sequence are those of the whole model."""
    convert(
        saved("bi_span"), tmp_path / "bi", encoder=tmp_path / "text", labels_encoder=tmp_path / "l"
    )
    model = model_of("bi_span")
    whole = {"text": model.network.encoder, "l": model.network.labels_encoder}
    for name, encoder in whole.items():
        alone = load_encoder(tmp_path / name)
        ids = alone.tokenizer.encode_texts(["place of birth"])[0].ids
        batch = PackedBatch.from_sequences([ids])
        with torch.inference_mode():
            assert torch.allclose(alone.encoder(batch), encoder(batch), atol=1e-5)
    with pytest.raises(ValueError, match="SM115"):
        convert(saved("uni_span"), tmp_path / "uni", labels_encoder=tmp_path / "labels")
    assert not (tmp_path / "uni").exists()


@pytest.mark.parametrize("added", [2, 3])
def test_converting_adds_the_markers(tmp_path, added):
    """An old checkpoint: weights in a pickle, the tokenizer that of the backbone."""
    model = tiny_model("uni_span")
    ids = [model.tokenizer.token_id(name) for name in ("[FLERT]", "<<ENT>>", "<<SEP>>")]
    state = model.network.state_dict()
    name = "token_rep_layer.bert_layer.model.embeddings.tok_embeddings.weight"
    plain = tiny_piecer(markers=False)
    kept = [*range(plain.vocab_size), *ids[3 - added :]]
    state[name] = state[name][kept]
    old = tmp_path / "old"
    plain.save(old)
    torch.save(state, old / "pytorch_model.bin")
    config = dict(model.config.to_dict())
    (old / CONFIG).write_text(json.dumps(config))
    convert(old, tmp_path / "new")
    new = load_gliner(tmp_path / "new")
    size = plain.vocab_size
    assert new.tokenizer.token_id("<<SEP>>") == size + added - 1
    assert (
        json.loads((tmp_path / "new" / CONFIG).read_text())["class_token_index"] == size + added - 2
    )
    expected = predict(model, TEXTS, LABELS)
    assert same(predict(new, TEXTS, LABELS), expected)
    assert same(predict(load_gliner(old), TEXTS, LABELS), expected)
    assert sorted(path.suffix for path in (tmp_path / "new").iterdir()).count(".bin") == 0


def test_converting_needs_the_backbone(folder, tmp_path):
    edit(folder, encoder_config=None, model_name="nobody/nothing")
    with pytest.raises(ValueError, match=r"SM112.*configuration of 'nobody/nothing'"):
        convert(folder, tmp_path / "new")
    edit(folder, encoder_config=model_of("uni_span").network.encoder.config.to_dict())
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(ValueError, match=r"SM112.*tokenizer of 'nobody/nothing'"):
        convert(folder, tmp_path / "new")


@pytest.mark.parametrize("missing", ["configuration", "tokenizer"])
def test_completion_says_that_it_needs_transformers(folder, tmp_path, monkeypatch, missing):
    if missing == "configuration":
        edit(folder, encoder_config=None, model_name="nobody/nothing")
    else:
        (folder / "tokenizer.json").unlink()
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"SM032.*pip install 'transformers"):
        convert(folder, tmp_path / "new")
    assert not (tmp_path / "new").exists()
