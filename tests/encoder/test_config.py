import json
import warnings

import pytest

from spacy_modernbert.encoder.modernbert_config import FULL, SLIDING, ModernBertConfig

from ..conftest import SHARED
from .conftest import make_dict

ROPE = {
    FULL: {"rope_type": "default", "rope_theta": 160000.0},
    SLIDING: {"rope_type": "default", "rope_theta": 10000.0},
}


def test_both_generations_say_the_same():
    four = make_dict(global_rope_theta=160000.0, local_rope_theta=10000.0)
    five = {**four, "rope_parameters": ROPE, "layer_types": [FULL, SLIDING, SLIDING, FULL]}
    for key in ("global_rope_theta", "local_rope_theta", "global_attn_every_n_layers"):
        del five[key]
    assert ModernBertConfig.from_dict(four) == ModernBertConfig.from_dict(five)


def test_nested_base_of_sliding_layers_is_read():
    rope = {**ROPE, SLIDING: {"rope_type": "default", "rope_theta": 160000.0}}
    config = make_dict(rope_parameters=rope)
    assert ModernBertConfig.from_dict(config).local_rope_theta == 160000.0


def test_what_transformers_writes_is_read():
    from transformers import ModernBertConfig as TheirConfig

    config = ModernBertConfig.from_dict(TheirConfig().to_dict())
    assert config == ModernBertConfig()
    assert config.half_window == 64
    assert config.head_dim == 64
    assert config.layer_types[:4] == (FULL, SLIDING, SLIDING, FULL)


def test_published_config_is_read():
    path = SHARED / "data" / "tokenizers" / "modernbert" / "config.json"
    if not path.exists():
        pytest.skip("the published files are not here")
    assert ModernBertConfig.from_dict(json.loads(path.read_text())) == ModernBertConfig()


def test_saving_keeps_every_key():
    data = make_dict(classifier_pooling="mean", label2id={"a": 1}, cls_token_id=7)
    config = ModernBertConfig.from_dict(data)
    written = config.to_dict()
    assert {key: written[key] for key in data} == data
    assert ModernBertConfig.from_dict(written) == config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "bert"}, "SM020.*bert"),
        ({"model_type": None}, "SM020"),
        ({"attention_logit_cap": 50.0}, "SM022.*attention_logit_cap"),
        ({"hidden_activation": "swish2"}, "SM022.*hidden_activation.*swish2"),
        ({"position_embedding_type": "alibi"}, "SM022.*position_embedding_type"),
        ({"hidden_size": 30}, "SM022.*hidden_size is 30"),
        ({"hidden_size": "32"}, "SM022.*hidden_size"),
        ({"num_hidden_layers": 0}, "SM022.*num_hidden_layers"),
        ({"mlp_dropout": 1.5}, "SM022.*mlp_dropout"),
        ({"norm_bias": "no"}, "SM022.*norm_bias"),
        ({"rope_scaling": {"factor": 4.0}}, "SM022.*rope_scaling"),
        ({"rope_parameters": {FULL: {"rope_type": "yarn"}}}, "SM022.*rope_type.*yarn"),
        ({"rope_parameters": {"rope_theta": 1e4}}, "SM022.*rope_parameters"),
        ({"layer_types": [FULL] * 4}, "SM023.*layer_types.*global_attn_every_n_layers"),
        (
            {"layer_types": [FULL, SLIDING], "global_attn_every_n_layers": None},
            "SM023.*layer_types.*num_hidden_layers",
        ),
        (
            {"layer_types": ["chunked"] * 4, "global_attn_every_n_layers": None},
            "SM022.*layer_types",
        ),
        ({"global_rope_theta": 5.0, "rope_parameters": ROPE}, "SM023.*global_rope_theta"),
        ({"sliding_window": 99}, "SM023.*sliding_window.*local_attention"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_name(changes, message):
    with pytest.raises(ValueError, match=message):
        ModernBertConfig.from_dict(make_dict(**changes))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("unsloth_version", "2025.1"),
        ("auto_map", {"AutoModel": "owner/name--modeling.Model"}),
        ("transformers.js_config", {"dtype": "q8"}),
        ("label_smoothing", 0.1),
    ],
)
def test_records_of_other_programs_are_read_silently(key, value):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        config = ModernBertConfig.from_dict(make_dict(**{key: value}))
    assert config == ModernBertConfig.from_dict(make_dict())
    assert config.to_dict()[key] == value


def test_unknown_keys_are_ignored_with_one_warning():
    with pytest.warns(UserWarning, match="SMW022.*brand_new_key, other_key") as caught:
        config = ModernBertConfig.from_dict(make_dict(other_key=[1], brand_new_key="x", empty=None))
    assert len(caught) == 1
    assert config == ModernBertConfig.from_dict(make_dict())
    assert config.to_dict()["brand_new_key"] == "x"


@pytest.mark.parametrize(
    "changes",
    [
        {"is_causal": True},
        {"use_bidirectional_attention": False},
        {"partial_rotary_factor": 0.5},
        {"attn_logit_softcapping": 30.0},
        {"quantization_config": {"bits": 4}},
    ],
)
def test_known_keys_that_change_the_network_are_refused(changes):
    (key,) = changes
    with pytest.raises(ValueError, match=f"SM022.*{key}"):
        ModernBertConfig.from_dict(make_dict(**changes))
