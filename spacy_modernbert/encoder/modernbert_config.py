"""What a ModernBERT checkpoint says about itself: ``config.json`` of transformers v4 and v5.

The two generations say the same things under other names:

| version 4                    | version 5                                         |
|------------------------------|---------------------------------------------------|
| `global_rope_theta`          | `rope_parameters.full_attention.rope_theta`       |
| `local_rope_theta`           | `rope_parameters.sliding_attention.rope_theta`    |
| `global_attn_every_n_layers` | `layer_types`, one name a layer                   |

A file may hold both, when they agree. A key that could change what the network computes and that
this reader does not know is refused by name: a wrong number is worse than no number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from ..errors import Errors

FULL = "full_attention"
SLIDING = "sliding_attention"
ACTIVATIONS = ("gelu", "gelu_pytorch_tanh", "relu", "silu")

# Settings of the encoder itself: field of ModernBertConfig, and also the key in the file.
_SIZES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "max_position_embeddings",
    "local_attention",
)
_RATES = ("attention_dropout", "embedding_dropout", "mlp_dropout")
_SWITCHES = ("norm_bias", "attention_bias", "mlp_bias")
_LAYOUT = (
    "global_attn_every_n_layers",
    "layer_types",
    "global_rope_theta",
    "local_rope_theta",
    "rope_parameters",
)

# Keys that must hold one of these values (or be absent, or null): anything else is a network this
# package does not have. Checkpoints trained elsewhere carry "sans_pos" for rotary positions.
_ONLY: dict[str, tuple[Any, ...]] = {
    "model_type": ("modernbert",),
    "position_embedding_type": ("absolute", "sans_pos", "rope"),
    "rope_scaling": ({},),
    "pruned_heads": ({},),
    "is_decoder": (False,),
    "is_encoder_decoder": (False,),
    "add_cross_attention": (False,),
    "tie_encoder_decoder": (False,),
    "cross_attention_hidden_size": (),
    "quantization_config": ({},),
}

# Keys that never reach the encoder: heads, losses, initialisation, token ids, file-keeping.
_ACCEPTED_PREFIXES = ("_", "classifier_", "initializer_", "sparse_", "repad_", "output_")
_ACCEPTED_SUFFIXES = ("_token_id",)
_ACCEPTED = frozenset(
    """architectures attn_implementation decoder_bias deterministic_flash_attn dtype torch_dtype
    finetuning_task gradient_checkpointing id2label label2id num_labels layer_norm_eps problem_type
    reference_compile return_dict task_specific_params tie_word_embeddings tokenizer_class
    transformers_version use_cache chunk_size_feed_forward torchscript use_bfloat16 tf_legacy_loss
    prefix sentence_transformers
    max_length min_length do_sample early_stopping num_beams num_beam_groups diversity_penalty
    temperature top_k top_p typical_p repetition_penalty length_penalty no_repeat_ngram_size
    encoder_no_repeat_ngram_size bad_words_ids num_return_sequences return_dict_in_generate
    remove_invalid_values exponential_decay_length_penalty suppress_tokens begin_suppress_tokens
    """.split()  # noqa: SIM905 - a block of words is easier to read than a page of quotes
)


@dataclass(frozen=True, kw_only=True)
class ModernBertConfig:
    """Everything the encoder needs to know, checked; defaults are ModernBERT-base's.

    Attributes:
        layer_types: ``"full_attention"`` or ``"sliding_attention"``, one a layer.
        local_attention: whole width of a sliding window; a piece sees ``local_attention // 2``
            neighbours on each side.
        global_rope_theta, local_rope_theta: RoPE base of full and of sliding layers.
        source: the file's own keys, kept so that saving loses none of them.
    """

    vocab_size: int = 50368
    hidden_size: int = 768
    intermediate_size: int = 1152
    num_hidden_layers: int = 22
    num_attention_heads: int = 12
    hidden_activation: str = "gelu"
    max_position_embeddings: int = 8192
    norm_eps: float = 1e-5
    norm_bias: bool = False
    attention_bias: bool = False
    mlp_bias: bool = False
    attention_dropout: float = 0.0
    embedding_dropout: float = 0.0
    mlp_dropout: float = 0.0
    local_attention: int = 128
    layer_types: tuple[str, ...] = ()
    global_rope_theta: float = 160000.0
    local_rope_theta: float = 10000.0
    source: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.layer_types and _is_count(self.num_hidden_layers):
            object.__setattr__(self, "layer_types", _every_nth(3, self.num_hidden_layers))
        object.__setattr__(self, "source", dict(self.source))
        self._check()

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def reach(self) -> int:
        """Neighbours a piece sees on each side in a sliding layer, itself not counted."""
        return self.local_attention // 2

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ModernBertConfig:
        """Read what ``json.load`` gave for a ``config.json`` of either generation.

        Raises:
            ValueError: SM020 not a ModernBERT config; SM021 keys nobody knows; SM022 a value that
                the encoder cannot take; SM023 two settings that contradict each other.
        """
        if data.get("model_type") != "modernbert":
            raise ValueError(Errors.SM020.format(found=data.get("model_type")))
        _refuse_unknown(data)
        values: dict[str, Any] = {
            key: data[key]
            for key in (*_SIZES, *_RATES, *_SWITCHES, "hidden_activation", "norm_eps")
            if data.get(key) is not None
        }
        _check_sizes(values)
        full = _read_theta(data, FULL, "global_rope_theta", default=cls.global_rope_theta)
        sliding = _read_theta(data, SLIDING, "local_rope_theta", default=cls.local_rope_theta)
        config = cls(
            **values,
            layer_types=_read_layer_types(
                data, values.get("num_hidden_layers", cls.num_hidden_layers)
            ),
            global_rope_theta=full,
            # Version 4 lets sliding layers share the base of the full ones by writing null.
            local_rope_theta=full if sliding is None else sliding,
            source=data,
        )
        if data.get("sliding_window") not in (None, config.reach):
            _contradict(data, "sliding_window", "local_attention")
        return config

    def to_dict(self) -> dict[str, Any]:
        """A ``config.json`` that transformers v4 and v5 both read, with the source's other keys."""
        names = (*_SIZES, *_RATES, *_SWITCHES, "hidden_activation", "norm_eps")
        thetas = {FULL: self.global_rope_theta, SLIDING: self.local_rope_theta}
        layout: dict[str, Any] = {
            "global_rope_theta": self.global_rope_theta,
            "local_rope_theta": self.local_rope_theta,
            "rope_parameters": {
                kind: {"rope_type": "default", "rope_theta": theta}
                for kind, theta in thetas.items()
            },
            "layer_types": list(self.layer_types),
        }
        step = _step_of(self.layer_types)
        if step is not None:
            layout["global_attn_every_n_layers"] = step
        kept = {key: value for key, value in self.source.items() if key not in _LAYOUT}
        own = {name: getattr(self, name) for name in names}
        return {**kept, "model_type": "modernbert", **own, **layout}

    def _check(self) -> None:
        _check_sizes({name: getattr(self, name) for name in _SIZES})
        for name in _RATES:
            rate = getattr(self, name)
            _need(name, rate, _is_number(rate) and 0.0 <= rate < 1.0, "a number in [0, 1)")
        for name in _SWITCHES:
            _need(name, getattr(self, name), isinstance(getattr(self, name), bool), "true or false")
        for name in ("norm_eps", "global_rope_theta", "local_rope_theta"):
            value = getattr(self, name)
            _need(name, value, _is_number(value) and value > 0, "a number above 0")
        activation = self.hidden_activation
        _need("hidden_activation", activation, activation in ACTIVATIONS, f"one of {ACTIVATIONS}")
        _need(
            "hidden_size",
            self.hidden_size,
            self.hidden_size % (2 * self.num_attention_heads) == 0,
            f"an even number of dimensions for each of {self.num_attention_heads} attention heads",
        )
        known = all(kind in (FULL, SLIDING) for kind in self.layer_types)
        _need("layer_types", self.layer_types, known, f"a list of '{FULL}' and '{SLIDING}'")
        if len(self.layer_types) != self.num_hidden_layers:
            _contradict(
                {"layer_types": self.layer_types, "num_hidden_layers": self.num_hidden_layers},
                "layer_types",
                "num_hidden_layers",
            )


def _every_nth(step: int, layers: int) -> tuple[str, ...]:
    return tuple(SLIDING if layer % step else FULL for layer in range(layers))


def _step_of(layer_types: tuple[str, ...]) -> int | None:
    """The `global_attn_every_n_layers` that gives these types, or None when no number does."""
    steps = range(1, len(layer_types) + 1)
    return next((n for n in steps if _every_nth(n, len(layer_types)) == layer_types), None)


def _read_layer_types(data: Mapping[str, Any], layers: int) -> tuple[str, ...]:
    step, names = data.get("global_attn_every_n_layers"), data.get("layer_types")
    if step is not None:
        _need("global_attn_every_n_layers", step, _is_count(step), "a whole number above 0")
    if names is None:
        return _every_nth(3 if step is None else step, layers)
    _need("layer_types", names, isinstance(names, (list, tuple)) and len(names) > 0, "a list")
    if step is not None and tuple(names) != _every_nth(step, len(names)):
        _contradict(data, "layer_types", "global_attn_every_n_layers")
    return tuple(names)


def _read_theta(data: Mapping[str, Any], kind: str, key: str, *, default: float) -> Any:
    """RoPE base of one kind of layer; None where version 4 says null."""
    table = data.get("rope_parameters") or {}
    path = f"rope_parameters.{kind}"
    _need("rope_parameters", table, isinstance(table, Mapping), f"'{FULL}' and '{SLIDING}'")
    _need("rope_parameters", table, set(table) <= {FULL, SLIDING}, f"'{FULL}' and '{SLIDING}'")
    rope = table.get(kind) or {}
    _need(path, rope, isinstance(rope, Mapping), "'rope_type' and 'rope_theta'")
    for name, value in rope.items():
        known = {
            "rope_type": value == "default",
            "type": value == "default",
            "partial_rotary_factor": value in (None, 1, 1.0),
            "rope_theta": True,
        }
        _need(f"{path}.{name}", value, known.get(name, False), "the default rotary embedding")
    nested = rope.get("rope_theta")
    if nested is None:
        return data.get(key, default)
    if data.get(key) is not None and data[key] != nested:
        _contradict({key: data[key], path: nested}, key, path)
    return nested


def _refuse_unknown(data: Mapping[str, Any]) -> None:
    for key, allowed in _ONLY.items():
        value = data.get(key)
        _need(key, value, value is None or value in allowed, f"null or one of {list(allowed)}")
    ours = {*_SIZES, *_RATES, *_SWITCHES, *_LAYOUT, *_ONLY, *_ACCEPTED}
    ours |= {"hidden_activation", "norm_eps", "sliding_window"}
    unknown = [
        key
        for key, value in data.items()
        if key not in ours
        and value is not None
        and not key.startswith(_ACCEPTED_PREFIXES)
        and not key.endswith(_ACCEPTED_SUFFIXES)
    ]
    if unknown:
        raise ValueError(Errors.SM021.format(keys=", ".join(sorted(unknown))))


def _check_sizes(values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if name in _SIZES:
            _need(name, value, _is_count(value), "a whole number above 0")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _need(key: str, value: Any, holds: bool, need: str) -> None:
    if not holds:
        raise ValueError(Errors.SM022.format(key=key, value=value, need=need))


def _contradict(data: Mapping[str, Any], one: str, other: str) -> NoReturn:
    raise ValueError(
        Errors.SM023.format(one=one, one_value=data[one], other=other, other_value=data.get(other))
    )
