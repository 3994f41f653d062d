"""Configuration of BERT and the networks that differ from it in sizes and names only.

RoBERTa, XLM-RoBERTa and CamemBERT are BERTs that count positions from the padding id on. ELECTRA
may have narrower embeddings, and DistilBERT has other names for the same settings. A setting that
changes what the network computes and that is not implemented here is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

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

# Model type: the settings whose defaults differ from BERT's.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "bert": {},
    "roberta": {"vocab_size": 50265, "pad_token_id": 1},
    "xlm-roberta": {"pad_token_id": 1},
    "camembert": {"pad_token_id": 1},
    "electra": {
        "embedding_size": 128,
        "hidden_size": 256,
        "intermediate_size": 1024,
        "num_attention_heads": 4,
    },
    "distilbert": {"num_hidden_layers": 6, "type_vocab_size": 0},
}
BERT_TYPES = tuple(_DEFAULTS)
# Name of the encoder within checkpoints for a task.
_PREFIXES = {
    **{name: name for name in BERT_TYPES},
    "xlm-roberta": "roberta",
    "camembert": "roberta",
}
# These count positions from the padding id on, so that many positions cannot be used.
OFFSET_POSITIONS = {"roberta", "xlm-roberta", "camembert", "mpnet", "longformer", "xlm-roberta-xl"}

_SIZES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "max_position_embeddings",
)
_RATES = ("hidden_dropout_prob", "attention_probs_dropout_prob")
_BERT_KEYS = {
    name: name
    for name in (
        *_SIZES,
        *_RATES,
        "hidden_act",
        "type_vocab_size",
        "layer_norm_eps",
        "pad_token_id",
    )
}
# Model type: the key of each setting in `config.json`.
_KEYS: dict[str, dict[str, str]] = {
    **dict.fromkeys(BERT_TYPES, _BERT_KEYS),
    "electra": {**_BERT_KEYS, "embedding_size": "embedding_size"},
    "distilbert": {
        "vocab_size": "vocab_size",
        "hidden_size": "dim",
        "intermediate_size": "hidden_dim",
        "num_hidden_layers": "n_layers",
        "num_attention_heads": "n_heads",
        "max_position_embeddings": "max_position_embeddings",
        "hidden_dropout_prob": "dropout",
        "attention_probs_dropout_prob": "attention_dropout",
        "hidden_act": "activation",
        "pad_token_id": "pad_token_id",
    },
}
# Keys that must hold one of these values, be null or be absent.
_ONLY: dict[str, tuple[Any, ...]] = {
    "model_type": BERT_TYPES,
    "position_embedding_type": ("absolute",),
    **ENCODER_ONLY,
}
# Keys of the pooler, which no encoder of this package has, and of heads and records.
_IGNORED = {
    *("directionality", "pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers"),
    *("pooler_size_per_head", "pooler_type", "summary_activation", "summary_last_dropout"),
    *("summary_type", "summary_use_proj", "seq_classif_dropout", "qa_dropout", "tie_weights_"),
    *("sinusoidal_pos_embds", "embedding_size"),
}
# Where transformers keeps the number format of the weights. The file of the weights says it, too.
_DTYPES = ("dtype", "torch_dtype")


@dataclass(frozen=True, kw_only=True)
class BertConfig:
    """Validated settings of the encoder; the defaults are those of BERT-base.

    Attributes:
        model_type: One of `BERT_TYPES`.
        type_vocab_size: Rows of the table of token types, of which the first is used; 0 for none.
        pad_token_id: The first position is the one behind it, in models that count so.
        embedding_size: Width of the embeddings; None: that of the layers.
        source: The keys of the file, kept so that saving loses none of them.
    """

    model_type: str = "bert"
    vocab_size: int = 30522
    hidden_size: int = 768
    intermediate_size: int = 3072
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    hidden_act: str = "gelu"
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    pad_token_id: int = 0
    embedding_size: int | None = None
    source: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", dict(self.source))
        self._check()

    @property
    def prefix(self) -> str:
        """Name of the encoder within checkpoints for a task."""
        return _PREFIXES[self.model_type]

    @property
    def first_position(self) -> int:
        """Row of the first piece of a sequence in the table of positions."""
        return self.pad_token_id + 1 if self.model_type in OFFSET_POSITIONS else 0

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> BertConfig:
        """Read the parsed ``config.json``.

        Keys that this version does not know are ignored with a warning (SMW022).

        Raises:
            ValueError: SM022 if the type or a value is not supported.
        """
        refuse_unsupported(data, _ONLY)
        model_type = data.get("model_type") or cls.model_type
        keys = _KEYS[model_type]
        warn_of_unknown(data, {*keys.values(), *_ONLY, *_IGNORED})
        given = {name: data[key] for name, key in keys.items() if data.get(key) is not None}
        values = {**_DEFAULTS[model_type], **given}
        return cls(model_type=model_type, **values, source=data)

    def to_dict(self) -> dict[str, Any]:
        """Return a ``config.json`` for transformers, with other keys of the source."""
        own = {key: getattr(self, name) for name, key in _KEYS[self.model_type].items()}
        kept = {key: value for key, value in self.source.items() if key not in _DTYPES}
        return {**kept, "model_type": self.model_type, **own}

    def _check(self) -> None:
        keys = _KEYS[self.model_type]
        check_sizes({keys[name]: getattr(self, name) for name in _SIZES})
        check_rates({keys[name]: getattr(self, name) for name in _RATES})
        for name in ("type_vocab_size", "pad_token_id"):
            value = getattr(self, name)
            need(name, value, value == 0 or is_count(value), "a whole number, at least 0")
        eps, activation = self.layer_norm_eps, self.hidden_act
        need("layer_norm_eps", eps, is_number(eps) and eps > 0, "a number above 0")
        names = tuple(ACTIVATIONS)
        need(keys["hidden_act"], activation, activation in names, f"one of {names}")
        width = self.embedding_size
        need("embedding_size", width, width is None or is_count(width), "a whole number above 0")
        need(
            keys["hidden_size"],
            self.hidden_size,
            self.hidden_size % self.num_attention_heads == 0,
            f"a multiple of the {self.num_attention_heads} attention heads",
        )
        need(
            "max_position_embeddings",
            self.max_position_embeddings,
            self.max_position_embeddings > self.first_position,
            f"more than the {self.first_position} positions that are not used",
        )
