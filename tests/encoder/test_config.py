import json

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
    assert config.reach == 64
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
        ({"attention_logit_cap": 50.0}, "SM021.*attention_logit_cap"),
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
