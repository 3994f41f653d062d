"""The configuration of a GLiNER checkpoint: ``gliner_config.json``, old and new.

The file mixes three kinds of settings: what the network computes, how it was trained, and what
transformers adds to any configuration. Only the first kind is read. The number and the widths of
layers are *not* read from here, as the weights are more reliable (`structure.py`). A setting that
asks for a computation that this package does not have is refused by name; a setting that is
unknown brings a warning.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...encoder.kinds import require_gliner
from ...errors import Errors, Warnings

CONFIG = "gliner_config.json"
POOLINGS = ("first", "last", "mean", "max")
TOKEN_LEVEL = "token_level"
_SPAN_MODES = ("markerV0", "markerV1", "marker", TOKEN_LEVEL)

# Kinds of checkpoints for other tasks, and the setting that only they have.
_OTHER_KINDS = {
    "relations_layer": "a relation extraction checkpoint (relex)",
    "labels_decoder": "a label-generating checkpoint (decoder)",
}
# Settings that must be absent, null or false-like: each asks for a computation not found here.
_UNSUPPORTED = (
    "span_encoder_config",
    "precomputed_prompts_mode",
    "add_spec_token_span",
    "quantization_config",
)
# Settings of training and bookkeeping that published checkpoints carry. A gap in this list costs
# no more than a warning.
_IGNORED = """
    name description model_type architectures transformers_version unsloth_version auto_map dtype
    torch_dtype transformers.js_config version has_rnn fine_tune max_types max_neg_type_ratio
    neg_spans_ratio id_to_classes num_steps num_epochs shuffle_types random_drop size_sup gamma
    alpha masking negatives label_smoothing prob_margin use_span_width_weight prev_path data_path
    root_dir device adam_epsilon adam_beta1 adam_beta2 scheduler_type optim optimizer compile_model
    weight_decay batch_size seed fp16 bf16 use_lora peft_config blank_entity_prob decoder_mode
    full_decoder_context adjacency_loss_coef relation_loss_coef triples_layer rel_token
    rel_token_index embed_rel_token relations_decoder labels_decoder_config decoder_loss_coef
"""
_IGNORED_PREFIXES = (
    "_", "lr_", "loss_", "train", "val_", "eval", "save_", "log", "freeze", "learning_rate",
    "warmup_", "max_grad", "token_loss", "span_loss", "others_", "dataset",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class GlinerConfig:
    """The settings of a network that its weights do not tell.

    Attributes:
        model_name: Hub name of the text encoder, as a record: nothing is downloaded.
        labels_encoder: Hub name of the label encoder, in bi-encoders only.
        span_mode: ``markerV0``, ``markerV1``, ``marker``, or ``token_level``.
        max_width: Most words of a span in span models. Token models have no limit.
        max_len: Most words of a text in training, and so the default length of a window.
        subtoken_pooling: How the pieces of a word make its vector: first, last, mean or max.
        embed_ent_token: Whether a label's vector is that of its marker, or of the piece after it.
        class_token_index: Id of ``ent_token``, or -1 where the file leaves it to the tokenizer.
        num_rnn_layers: Layers of an LSTM over the words. Bi-encoders carry one and never run it.
        represent_spans: Token models: whether spans found by their words are scored again.
        post_fusion_schema: Bi-encoders: order of attention blocks between labels and text.
        fuse_layers: Whether all layers of the encoder contribute to the vectors.
        inference_threshold: The threshold that suits the checkpoint, if it says so.
        inference_window: The most words to read at once that suit it, if it says so.
        encoder_config, labels_encoder_config: ``config.json`` of the encoders, or None.
        source: The file's own keys, so that saving loses none of them.
    """

    model_name: str = ""
    labels_encoder: str | None = None
    span_mode: str = "markerV0"
    max_width: int = 12
    max_len: int = 384
    hidden_size: int = 512
    dropout: float = 0.4
    subtoken_pooling: str = "first"
    embed_ent_token: bool = True
    class_token_index: int = -1
    vocab_size: int = -1
    ent_token: str = "<<ENT>>"
    sep_token: str = "<<SEP>>"
    words_splitter_type: str = "whitespace"
    num_rnn_layers: int = 1
    represent_spans: bool = False
    post_fusion_schema: str = ""
    fuse_layers: bool = False
    inference_threshold: float | None = None
    inference_window: int | None = None
    encoder_config: Mapping[str, Any] | None = None
    labels_encoder_config: Mapping[str, Any] | None = None
    source: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def is_bi(self) -> bool:
        """Whether labels have an encoder of their own."""
        return self.labels_encoder is not None

    @property
    def is_token(self) -> bool:
        """Whether words are scored (start, end, inside), rather than spans."""
        return self.span_mode == TOKEN_LEVEL

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> GlinerConfig:
        """Read the content of a ``gliner_config.json``.

        Settings that this package does not know bring one warning, SMW102.

        Raises:
            ValueError: SM101 for another kind of checkpoint, SM103 for a value that is not
                supported.
        """
        _refuse_other_kinds(data)
        for key in _UNSUPPORTED:
            _require(key, data.get(key), not data.get(key), "null")
        known = set(cls.__dataclass_fields__) - {"source"}
        _warn_of_unknown(data, known)
        values = {key: data[key] for key in known if data.get(key) is not None}
        if data.get("has_rnn") is False:  # how files before the number of layers said it
            values["num_rnn_layers"] = 0
        values["labels_encoder"] = data.get("labels_encoder") or None
        for key in ("encoder_config", "labels_encoder_config"):
            if values.get(key):
                # Upstream, too, takes a nested configuration without a type for a DeBERTa-v2.
                values[key] = {"model_type": "deberta-v2", **values[key]}
        config = cls(**values, source=dict(data))
        config._check()
        return config

    @classmethod
    def from_folder(cls, folder: Path) -> GlinerConfig:
        """Read the configuration of a checkpoint folder.

        Raises:
            FileNotFoundError: SM100 where the folder has none.
            ValueError: SM160 or SM164 where it is another checkpoint or a pipeline, SM043 where the
                file is no JSON object, SM101 and SM103 as in `from_dict`.
        """
        path = folder / CONFIG
        try:
            data = json.loads(path.read_text(encoding="utf8"))
        except FileNotFoundError as error:
            require_gliner(folder)
            raise FileNotFoundError(Errors.SM100.format(folder=folder)) from error
        except ValueError as error:
            raise ValueError(Errors.SM043.format(path=path, reason=error)) from error
        if not isinstance(data, dict):
            raise ValueError(Errors.SM043.format(path=path, reason="it holds no JSON object"))
        return cls.from_dict(data)

    def to_dict(self) -> dict[str, Any]:
        """Return the content of a ``gliner_config.json`` that upstream reads."""
        own = {name: getattr(self, name) for name in self.__dataclass_fields__}
        del own["source"]
        for key in ("encoder_config", "labels_encoder_config"):
            own[key] = dict(own[key]) if own[key] else None
        if not self.is_bi:
            del own["labels_encoder"], own["labels_encoder_config"]
        for key in ("inference_threshold", "inference_window"):
            if own[key] is None:
                del own[key]
        return {**self.source, **own}

    def _check(self) -> None:
        for name in ("max_width", "max_len", "hidden_size"):
            value = getattr(self, name)
            is_size = isinstance(value, int) and value > 0
            _require(name, value, is_size, "a whole number above 0")
        for name, most in (("inference_threshold", 1), ("inference_window", self.max_len)):
            value = getattr(self, name)
            is_valid = value is None or (isinstance(value, (int, float)) and 0 < value <= most)
            _require(name, value, is_valid, f"above 0 and at most {most}")
        mode, pooling, rate = self.span_mode, self.subtoken_pooling, self.dropout
        _require("span_mode", mode, mode in _SPAN_MODES, f"one of {_SPAN_MODES}")
        _require("subtoken_pooling", pooling, pooling in POOLINGS, f"one of {POOLINGS}")
        is_rate = isinstance(rate, (int, float)) and 0 <= rate < 1
        _require("dropout", rate, is_rate, "at least 0 and below 1")
        steps = {step for step in self.post_fusion_schema.split("-") if step}
        is_known = steps <= {"l2l", "l2t", "t2l", "t2t"}
        _require("post_fusion_schema", self.post_fusion_schema, is_known, "l2l, l2t, t2l or t2t")


def _refuse_other_kinds(data: Mapping[str, Any]) -> None:
    for key, kind in _OTHER_KINDS.items():
        if data.get(key):
            raise ValueError(Errors.SM101.format(kind=kind, key=key, value=data[key]))
    model_type = data.get("model_type")
    if "streaming" in str(model_type):
        kind = "a streaming checkpoint with a causal decoder"
        raise ValueError(Errors.SM101.format(kind=kind, key="model_type", value=model_type))


def _warn_of_unknown(data: Mapping[str, Any], known: set[str]) -> None:
    known = known | {*_IGNORED.split(), *_UNSUPPORTED, *_OTHER_KINDS, "num_post_fusion_layers"}
    unknown = [
        key
        for key, value in data.items()
        if value is not None and key not in known and not key.startswith(_IGNORED_PREFIXES)
    ]
    if unknown:
        message = Warnings.SMW102.format(keys=", ".join(sorted(unknown)))
        warnings.warn(message, stacklevel=3)


def _require(key: str, value: Any, is_met: bool, need: str) -> None:
    if not is_met:
        raise ValueError(Errors.SM103.format(key=key, value=value, need=need))
