import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from spacy_modernbert.encoder.packing import PackedBatch
from spacy_modernbert.setfit.checkpoint.folder_config import POOLING_MODES, read_folder_config
from spacy_modernbert.setfit.checkpoint.read import Overrides, load_sentence_encoder
from spacy_modernbert.setfit.checkpoint.serialization import from_bytes, to_bytes
from spacy_modernbert.setfit.checkpoint.write import save_sentence_encoder
from spacy_modernbert.setfit.modeling.modules import Pooling

from .conftest import write_modules

TEXTS = ["Apple buys a startup", "", "the lazy dog " * 200, "über 100 €; 日本語"]
WIDTH = 32


def pooling(*modes, **settings):
    return ("Pooling", {"embedding_dimension": WIDTH, "pooling_mode": list(modes), **settings}, {})


@pytest.fixture
def folder(any_folder, tmp_path):
    """A copy that may be written to."""
    return shutil.copytree(any_folder, tmp_path / "copy")


def brute_pool(mode, rows, skip):
    pooled = []
    for row in rows:
        first = min(skip, len(row) - 1)
        kept, weights = row[first:], np.arange(first + 1, len(row) + 1)[:, None]
        pooled.append(
            {
                "cls": kept[0],
                "lasttoken": kept[-1],
                "max": kept.max(axis=0),
                "mean": kept.mean(axis=0),
                "mean_sqrt_len_tokens": kept.sum(axis=0) / len(kept) ** 0.5,
                "weightedmean": (kept * weights).sum(axis=0) / weights.sum(),
            }[mode]
        )
    return np.stack(pooled)


@pytest.mark.parametrize("skip", [0, 2])
@pytest.mark.parametrize("mode", POOLING_MODES)
def test_pooling_equals_brute_force(mode, skip):
    batch = PackedBatch.from_sequences([[1, 2, 3], [4], [5, 6], [7] * 9])
    hidden = torch.randn(batch.total, 5, requires_grad=True)
    pooled = Pooling([mode], skip=skip)(hidden, batch)
    rows = [row.detach().numpy() for row in batch.split(hidden)]
    np.testing.assert_allclose(pooled.detach(), brute_pool(mode, rows, skip), atol=1e-6)
    pooled.sum().backward()
    assert hidden.grad.isfinite().all()


def test_several_modes_stand_side_by_side():
    batch = PackedBatch.from_sequences([[1, 2, 3], [4]])
    hidden = torch.randn(4, 5)
    both = Pooling(["max", "cls"])(hidden, batch)
    assert torch.equal(both[:, :5], Pooling(["max"])(hidden, batch))
    assert torch.equal(both[:, 5:], Pooling(["cls"])(hidden, batch))


def test_a_plain_checkpoint_is_averaged(any_folder):
    model = load_sentence_encoder(any_folder)
    assert (model.pooling.modes, list(model.layers), model.width) == (("mean",), [], WIDTH)
    assert model.encode_texts(TEXTS).shape == (4, WIDTH)
    assert model.encode_texts([]).shape == (0, WIDTH)


def test_both_generations_of_the_pooling_are_read(folder):
    flags = {"word_embedding_dimension": WIDTH, "pooling_mode_mean_tokens": False}
    flags |= {"pooling_mode_lasttoken": True, "pooling_mode_cls_token": True}
    write_modules(folder, ("Pooling", flags, {}))
    assert read_folder_config(folder).modules[0].settings["modes"] == ["cls", "lasttoken"]
    write_modules(folder, ("Pooling", {"pooling_mode": "max"}, {}))
    assert read_folder_config(folder).modules[0].settings["modes"] == ["max"]
    write_modules(folder, ("Pooling", {"word_embedding_dimension": WIDTH}, {}))
    assert read_folder_config(folder).modules[0].settings["modes"] == ["mean"]


def test_modules_after_the_pooling_are_run_and_saved(folder, tmp_path):
    weight, bias = torch.randn(7, WIDTH * 2), torch.randn(7)
    dense = {"in_features": WIDTH * 2, "out_features": 7}
    write_modules(
        folder,
        pooling("mean", "cls"),
        ("Dense", dense, {"linear.weight": weight, "linear.bias": bias}),
        ("LayerNorm", {"dimension": 7}, {"norm.weight": torch.rand(7), "norm.bias": bias}),
        ("Dropout", {"dropout": 0.3}, {}),
        ("Normalize", {}, {}),
    )
    model = load_sentence_encoder(folder)
    vectors = model.encode_texts(TEXTS)
    assert vectors.shape == (4, 7)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-6)
    save_sentence_encoder(model, tmp_path / "saved")
    again = load_sentence_encoder(tmp_path / "saved")
    np.testing.assert_array_equal(again.encode_texts(TEXTS), vectors)
    packed = from_bytes(to_bytes(model))
    np.testing.assert_array_equal(packed.encode_texts(TEXTS), vectors)
    assert to_bytes(packed) == to_bytes(model) == to_bytes(again)


@pytest.mark.parametrize(
    ("modules", "code"),
    [
        ([("Pooling", {}, {}), ("WeightedLayerPooling", {}, {})], "SM200"),
        ([("LayerNorm", {"dimension": WIDTH}, {})], "SM201"),
        ([("Pooling", {}, {}), ("Pooling", {}, {})], "SM201"),
        ([("Pooling", {"pooling_mode": "median"}, {})], "SM202"),
        ([("Pooling", {}, {}), ("LayerNorm", {"dimension": 9}, {})], "SM202"),
        ([("Pooling", {}, {}), ("Dense", {"in_features": 9, "out_features": 4}, {})], "SM202"),
        ([("Pooling", {}, {}), ("Dense", {"in_features": WIDTH}, {})], "SM202"),
        (
            [
                ("Pooling", {}, {}),
                ("Dense", {"out_features": 4, "activation_function": "os.system"}, {}),
            ],
            "SM202",
        ),
    ],
)
def test_what_is_not_supported_is_refused(folder, modules, code):
    write_modules(folder, *modules)
    with pytest.raises(ValueError, match=code):
        load_sentence_encoder(folder)


def test_modules_of_others_are_never_imported(folder):
    write_modules(folder, pooling("mean"))
    entries = json.loads((folder / "modules.json").read_text())
    entries[1]["type"] = "evil.Pooling"
    (folder / "modules.json").write_text(json.dumps(entries))
    with pytest.raises(ValueError, match=r"SM200.*evil\.Pooling"):
        load_sentence_encoder(folder)


@pytest.mark.parametrize("file", ["modules.json", "config_sentence_transformers.json"])
def test_a_damaged_file_is_named(folder, file):
    write_modules(folder, pooling("mean"))
    (folder / file).write_text("{")
    with pytest.raises(ValueError, match=rf"SM043.*{file}"):
        load_sentence_encoder(folder)


def test_the_length_limit_is_found_wherever_it_is_written(folder):
    assert load_sentence_encoder(folder).input_config.max_length in (64, 512)
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 20}')
    write_modules(folder, pooling("mean"))
    assert load_sentence_encoder(folder).input_config.max_length == 20
    newer = (
        '{"transformer_task": "feature-extraction", "processor_kwargs": {"model_max_length": 16}}'
    )
    (folder / "sentence_bert_config.json").write_text(newer)
    model = load_sentence_encoder(folder)
    read = model.tokenize(TEXTS)
    assert 2 in read.truncated
    assert not {0, 1} & set(read.truncated)
    assert [len(row) for row in read.sequences][1:3] == [2, 16]
    assert read.sequences[2][-1] == model.tokenizer.suffix_ids[0]
    assert (
        load_sentence_encoder(folder, overrides=Overrides(max_length=9)).input_config.max_length
        == 9
    )
    with pytest.raises(ValueError, match="SM204"):
        load_sentence_encoder(folder, overrides=Overrides(max_length=9999))


def test_overrides_win(folder):
    write_modules(folder, pooling("mean"), ("Normalize", {}, {}))
    model = load_sentence_encoder(folder, overrides=Overrides(pooling="cls", normalize=False))
    assert (model.pooling.modes, len(model.layers)) == (("cls",), 0)
    assert len(load_sentence_encoder(folder, overrides=Overrides(normalize=True)).layers) == 1
    with pytest.raises(ValueError, match="SM202"):
        load_sentence_encoder(folder, overrides=Overrides(pooling="median"))


def test_prompts(folder):
    write_modules(folder, pooling("mean", include_prompt=False))
    prompts = {"prompts": {"query": "the dog: ", "none": ""}, "default_prompt_name": "query"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    model, plain = (
        load_sentence_encoder(folder),
        load_sentence_encoder(folder, overrides=Overrides(prompt="")),
    )
    own = load_sentence_encoder(folder, overrides=Overrides(prompt="the dog: "))
    row = model.tokenize(["sleeps"]).sequences[0]
    assert row.tolist() == plain.tokenize(["the dog: sleeps"]).sequences[0].tolist()
    np.testing.assert_array_equal(own.encode_texts(["sleeps"]), model.encode_texts(["sleeps"]))
    hidden = model.encoder(PackedBatch.from_sequences([row])).detach().numpy()
    before = 1 + len(model.tokenizer.encode_texts(["the dog: "])[0].ids)
    np.testing.assert_allclose(
        model.encode_texts(["sleeps"])[0], hidden[before:].mean(axis=0), atol=1e-6
    )
    with pytest.raises(ValueError, match="SM203"):
        load_sentence_encoder(folder, overrides=Overrides(prompt="the dog " * 600))


def test_texts_are_put_in_lower_case_where_the_checkpoint_says_so(folder, tmp_path):
    write_modules(folder, pooling("mean"))
    (folder / "sentence_bert_config.json").write_text('{"do_lower_case": true}')
    model = load_sentence_encoder(folder)
    upper, lower = model.encode_texts(["The DOG", "the dog"])
    np.testing.assert_array_equal(upper, lower)
    save_sentence_encoder(model, tmp_path / "saved")
    np.testing.assert_array_equal(
        load_sentence_encoder(tmp_path / "saved").encode_texts(["DOG"]), model.encode_texts(["dog"])
    )


def test_order_and_company_of_texts_make_no_difference(any_folder):
    model = load_sentence_encoder(any_folder)
    alone = np.concatenate([model.encode_texts([text]) for text in TEXTS])
    np.testing.assert_allclose(model.encode_texts(TEXTS[::-1])[::-1], alone, atol=2e-6)


def test_encoding_leaves_the_mode_alone(encoder):
    encoder.train()
    encoder.encode_texts(TEXTS)
    assert encoder.training


def test_a_checkpoint_without_a_pooler_does_not_get_a_random_one(bert, tmp_path):
    folder = shutil.copytree(bert, tmp_path / "copy")
    from safetensors.torch import load_file

    state = load_file(folder / "model.safetensors")
    state = {name: t for name, t in state.items() if "pooler" not in name}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    assert to_bytes(load_sentence_encoder(folder)) == to_bytes(load_sentence_encoder(folder))


def test_bytes_of_another_kind_are_refused(checkpoint):
    from spacy_modernbert.encoder.checkpoint import encoder_to_bytes, load_encoder

    with pytest.raises(ValueError, match="SM046"):
        from_bytes(encoder_to_bytes(load_encoder(checkpoint)))
