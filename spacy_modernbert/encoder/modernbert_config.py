"""Configuration of a ModernBERT checkpoint: ``config.json`` of transformers v4 and v5.

The two versions have different names for the same settings:

| version 4                    | version 5                                         |
|------------------------------|---------------------------------------------------|
| `global_rope_theta`          | `rope_parameters.full_attention.rope_theta`       |
| `local_rope_theta`           | `rope_parameters.sliding_attention.rope_theta`    |
| `global_attn_every_n_layers` | `layer_types`, one name a layer                   |

A file may hold both if they agree. A setting that changes what the network computes and that is
not implemented here is refused by name. Unknown keys are ignored with a warning: most of them are
records of other programs, and names and shapes of the weights are checked anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NoReturn

from ..errors import Errors
from .activations import ACTIVATIONS
from .config_checks import (
    ENCODER_ONLY,
    check_rates,
    check_sizes,
    is_count,
    is_number,
    need,
    refuse_unsupported,
    warn_of_unknown,
)

FULL = "full_attention"
SLIDING = "sliding_attention"

# Settings of the encoder itself: fields of ModernBertConfig that have the same key in the file.
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

# Keys that must hold one of these values, be null or be absent: anything else is a network that
# this package does not implement. Some checkpoints say "sans_pos" for rotary positions.
_ONLY: dict[str, tuple[Any, ...]] = {
    "model_type": ("modernbert",),
    "position_embedding_type": ("absolute", "sans_pos", "rope"),
    "rope_scaling": ({},),
    **ENCODER_ONLY,
    "use_bidirectional_attention": (True,),
    "partial_rotary_factor": (1, 1.0),
    "use_qk_norm": (False,),
    "attention_logit_cap": (),
    "attn_logit_softcapping": (),
}

_KNOWN = {
    *_SIZES,
    *_RATES,
    *_SWITCHES,
    *_LAYOUT,
    *_ONLY,
    "hidden_activation",
    "norm_eps",
    "sliding_window",
}


@dataclass(frozen=True, kw_only=True)
class ModernBertConfig:
    """Validated settings of the encoder; the defaults are those of ModernBERT-base.

    Attributes:
        layer_types: ``"full_attention"`` or ``"sliding_attention"``, one a layer.
        local_attention: Width of a sliding window; a piece attends to ``local_attention // 2``
            neighbors on each side.
        global_rope_theta, local_rope_theta: RoPE base of full and of sliding-window layers.
        source: The keys of the file, kept so that saving loses none of them.
        prefix: Name of the encoder within checkpoints for a task; `model.` is always removed.
    """

    model_type: ClassVar[str] = "modernbert"
    prefix: ClassVar[str] = ""

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
        if not self.layer_types and is_count(self.num_hidden_layers):
            object.__setattr__(self, "layer_types", _every_nth(3, self.num_hidden_layers))
        object.__setattr__(self, "source", dict(self.source))
        self._check()

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def half_window(self) -> int:
        """Neighbors that a piece attends to on each side in a sliding-window layer."""
        return self.local_attention // 2

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ModernBertConfig:
        """Read the parsed ``config.json`` of either version.

        Keys that this version does not know are ignored with a warning (SMW022).

        Raises:
            ValueError: SM020 if it is no ModernBERT config; SM022 if a value is not supported;
                SM023 if two settings contradict each other.
        """
        if data.get("model_type") != cls.model_type:
            raise ValueError(Errors.SM020.format(found=data.get("model_type")))
        refuse_unsupported(data, _ONLY)
        warn_of_unknown(data, _KNOWN)
        values: dict[str, Any] = {
            key: data[key]
            for key in (*_SIZES, *_RATES, *_SWITCHES, "hidden_activation", "norm_eps")
            if data.get(key) is not None
        }
        check_sizes({name: value for name, value in values.items() if name in _SIZES})
        full = _read_theta(data, FULL, "global_rope_theta", default=cls.global_rope_theta)
        sliding = _read_theta(data, SLIDING, "local_rope_theta", default=cls.local_rope_theta)
        config = cls(
            **values,
            layer_types=_read_layer_types(
                data, values.get("num_hidden_layers", cls.num_hidden_layers)
            ),
            global_rope_theta=full,
            # In version 4, null lets sliding-window layers share the base of the full ones.
            local_rope_theta=full if sliding is None else sliding,
            source=data,
        )
        if data.get("sliding_window") not in (None, config.half_window):
            _contradict(data, "sliding_window", "local_attention")
        return config

    def to_dict(self) -> dict[str, Any]:
        """Return a ``config.json`` for transformers v4 and v5, with other keys of the source."""
        names = (*_SIZES, *_RATES, *_SWITCHES, "hidden_activation", "norm_eps")
        thetas = {FULL: self.global_rope_theta, SLIDING: self.local_rope_theta}
        layout: dict[str, Any] = {
            "global_rope_theta": self.global_rope_theta,
            "local_rope_theta": self.local_rope_theta,
            "rope_parameters": {
                layer_type: {"rope_type": "default", "rope_theta": theta}
                for layer_type, theta in thetas.items()
            },
            "layer_types": list(self.layer_types),
        }
        step = _step_of(self.layer_types)
        if step is not None:
            layout["global_attn_every_n_layers"] = step
        kept = {key: value for key, value in self.source.items() if key not in _LAYOUT}
        own = {name: getattr(self, name) for name in names}
        return {**kept, "model_type": self.model_type, **own, **layout}

    def _check(self) -> None:
        check_sizes({name: getattr(self, name) for name in _SIZES})
        check_rates({name: getattr(self, name) for name in _RATES})
        for name in _SWITCHES:
            need(name, getattr(self, name), isinstance(getattr(self, name), bool), "true or false")
        for name in ("norm_eps", "global_rope_theta", "local_rope_theta"):
            value = getattr(self, name)
            need(name, value, is_number(value) and value > 0, "a number above 0")
        activation, names = self.hidden_activation, tuple(ACTIVATIONS)
        need("hidden_activation", activation, activation in names, f"one of {names}")
        need(
            "hidden_size",
            self.hidden_size,
            self.hidden_size % (2 * self.num_attention_heads) == 0,
            f"an even number of dimensions for each of {self.num_attention_heads} attention heads",
        )
        known = all(name in (FULL, SLIDING) for name in self.layer_types)
        need("layer_types", self.layer_types, known, f"a list of '{FULL}' and '{SLIDING}'")
        if len(self.layer_types) != self.num_hidden_layers:
            _contradict(
                {"layer_types": self.layer_types, "num_hidden_layers": self.num_hidden_layers},
                "layer_types",
                "num_hidden_layers",
            )


def _every_nth(step: int, layers: int) -> tuple[str, ...]:
    return tuple(SLIDING if layer % step else FULL for layer in range(layers))


def _step_of(layer_types: tuple[str, ...]) -> int | None:
    """Return the `global_attn_every_n_layers` with these types, None if there is none."""
    steps = range(1, len(layer_types) + 1)
    return next((n for n in steps if _every_nth(n, len(layer_types)) == layer_types), None)


def _read_layer_types(data: Mapping[str, Any], layers: int) -> tuple[str, ...]:
    step, names = data.get("global_attn_every_n_layers"), data.get("layer_types")
    if step is not None:
        need("global_attn_every_n_layers", step, is_count(step), "a whole number above 0")
    if names is None:
        return _every_nth(3 if step is None else step, layers)
    need("layer_types", names, isinstance(names, (list, tuple)) and len(names) > 0, "a list")
    if step is not None and tuple(names) != _every_nth(step, len(names)):
        _contradict(data, "layer_types", "global_attn_every_n_layers")
    return tuple(names)


def _read_theta(data: Mapping[str, Any], layer_type: str, key: str, *, default: float) -> Any:
    """Return the RoPE base of one type of layer; None if version 4 says null."""
    table = data.get("rope_parameters") or {}
    path = f"rope_parameters.{layer_type}"
    need("rope_parameters", table, isinstance(table, Mapping), f"'{FULL}' and '{SLIDING}'")
    need("rope_parameters", table, set(table) <= {FULL, SLIDING}, f"'{FULL}' and '{SLIDING}'")
    rope = table.get(layer_type) or {}
    need(path, rope, isinstance(rope, Mapping), "'rope_type' and 'rope_theta'")
    for name, value in rope.items():
        known = {
            "rope_type": value == "default",
            "type": value == "default",
            "partial_rotary_factor": value in (None, 1, 1.0),
            "rope_theta": True,
        }
        need(f"{path}.{name}", value, known.get(name, False), "the default rotary embedding")
    nested = rope.get("rope_theta")
    if nested is None:
        return data.get(key, default)
    if data.get(key) is not None and data[key] != nested:
        _contradict({key: data[key], path: nested}, key, path)
    return nested


def _contradict(data: Mapping[str, Any], one: str, other: str) -> NoReturn:
    raise ValueError(
        Errors.SM023.format(one=one, one_value=data[one], other=other, other_value=data.get(other))
    )
