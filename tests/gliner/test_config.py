"""Which configurations are read, and which are refused by name."""

import json

import pytest

from spacy_modernbert.gliner.modeling.config import GlinerConfig


def test_an_old_file():
    config = GlinerConfig.from_dict(
        {
            "lr_encoder": "1e-5",
            "num_steps": 3000,
            "warmup_ratio": 0.05,
            "train_batch_size": 8,
            "shuffle_types": True,
            "random_drop": True,
            "size_sup": -1,
            "root_dir": "gliner_logs",
            "prev_path": None,
            "log_dir": "logs",
            "loss_alpha": 0.75,
            "has_rnn": False,
            "model_name": "microsoft/deberta-v3-small",
            "fine_tune": True,
            "span_mode": "marker",
            "max_width": 8,
        }
    )
    assert config.num_rnn_layers == 0
    assert config.span_mode == "marker"
    assert config.max_width == 8
    assert not config.is_bi
    assert config.to_dict()["lr_encoder"] == "1e-5"


def test_nested_configurations_default_to_deberta():
    config = GlinerConfig.from_dict({"encoder_config": {"hidden_size": 8}})
    assert config.encoder_config["model_type"] == "deberta-v2"


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"relations_layer": "dot"}, "SM101.*relation"),
        ({"labels_decoder": "gpt2"}, "SM101.*label-generating"),
        ({"model_type": "gliner_streaming_span"}, "SM101.*streaming"),
        ({"span_mode": "conv_share"}, "SM103.*span_mode"),
        ({"span_encoder_config": {"model_type": "rnn"}}, "SM103.*span_encoder_config"),
        ({"precomputed_prompts_mode": True}, "SM103.*precomputed_prompts_mode"),
        ({"subtoken_pooling": "sum"}, "SM103.*subtoken_pooling"),
        ({"max_width": 0}, "SM103.*max_width"),
        ({"post_fusion_schema": "l2x"}, "SM103.*post_fusion_schema"),
        ({"dropout": 1.5}, "SM103.*dropout"),
    ],
)
def test_refused_by_name(settings, code):
    with pytest.raises(ValueError, match=code):
        GlinerConfig.from_dict(settings)


def test_unknown_settings_are_named_once():
    settings = {"magic_layer": 3, "other_magic": "x", "max_width": 7}
    with pytest.warns(UserWarning, match=r"SMW102.*magic_layer, other_magic") as caught:
        config = GlinerConfig.from_dict(settings)
    assert len(caught) == 1
    assert config.max_width == 7
    assert config.to_dict()["magic_layer"] == 3


@pytest.mark.parametrize(
    "key", ["unsloth_version", "auto_map", "transformers.js_config", "label_smoothing", "_any"]
)
@pytest.mark.filterwarnings("error")
def test_harmless_settings_are_ignored(key):
    assert GlinerConfig.from_dict({key: {"x": 0.1}, "max_len": 9}).max_len == 9


@pytest.mark.filterwarnings("error")
def test_unknown_settings_without_a_value_do_no_harm():
    GlinerConfig.from_dict({"magic_layer": None, "relations_layer": None, "labels_decoder": ""})


def test_folders_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="SM100"):
        GlinerConfig.from_folder(tmp_path)
    (tmp_path / "gliner_config.json").write_text("{")
    with pytest.raises(ValueError, match="SM043"):
        GlinerConfig.from_folder(tmp_path)
    (tmp_path / "gliner_config.json").write_text(json.dumps([1]))
    with pytest.raises(ValueError, match="SM043"):
        GlinerConfig.from_folder(tmp_path)
