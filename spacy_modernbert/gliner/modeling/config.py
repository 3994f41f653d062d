"""What a GLiNER checkpoint says about itself: ``gliner_config.json``, old and new.

The file mixes three kinds of settings: what the network computes, how it was trained, and what
transformers adds to any configuration. Only the first kind is read. How many layers there are and
how wide they are is *not* read from here: the weights know better (`structure.py`). A setting that
would change what is computed, and that this package does not have, is refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from ...errors import Errors

CONFIG = "gliner_config.json"
POOLINGS = ("first", "last", "mean", "max")
TOKEN_LEVEL = "token_level"
_SPAN_MODES = ("markerV0", "markerV1", "marker", TOKEN_LEVEL)

# Kinds of checkpoints that answer other questions, and the setting that gives them away.
_OTHER_KINDS = {
    "relations_layer": "a relation extraction checkpoint (relex)",
    "labels_decoder": "a label-generating checkpoint (decoder)",
}
# Settings that must be absent, null, or false-like: each is a computation not found here.
_ABSENT = (
    "span_encoder_config",
    "precomputed_prompts_mode",
    "add_spec_token_span",
    "quantization_config",
)

_READ = {
    "model_name", "labels_encoder", "max_width", "max_len", "hidden_size", "dropout",
    "subtoken_pooling", "span_mode", "embed_ent_token", "class_token_index", "vocab_size",
    "ent_token", "sep_token", "represent_spans", "post_fusion_schema", "fuse_layers",
    "num_rnn_layers", "has_rnn", "num_post_fusion_layers", "words_splitter_type",
    "encoder_config", "labels_encoder_config",
}  # fmt: skip
# Training, file-keeping, and the settings of the kinds refused above when they are not in use.
_TRAINING = """
    name description model_type architectures transformers_version torch_dtype dtype version
    fine_tune max_types max_neg_type_ratio neg_spans_ratio id_to_classes compile_model
    num_steps warmup_ratio warmup_steps shuffle_types random_drop size_sup scheduler_type
    max_grad_norm weight_decay optimizer optim adam_beta1 adam_beta2 adam_epsilon gamma alpha
    masking negatives label_smoothing prob_margin use_span_width_weight batch_size
    gradient_accumulation_steps num_train_epochs num_epochs max_steps fp16 bf16 seed device
    root_dir prev_path data_path log_dir output_dir model_path run_name project report_to
    use_lora peft_config dataloader_num_workers remove_unused_columns
    blank_entity_prob decoder_mode full_decoder_context labels_decoder_config decoder_loss_coef
    adjacency_loss_coef relation_loss_coef triples_layer rel_token rel_token_index
    embed_rel_token relations_decoder auto_map is_composition
"""
_TRAINING_PREFIXES = (
    "_", "lr_", "loss_", "train", "val_", "eval", "save_", "log", "freeze", "learning_rate",
    "token_loss", "span_loss", "others_", "push_to_hub", "wandb", "dataset",
)  # fmt: skip
# What `PretrainedConfig.to_dict` of any transformers release may add; none reaches the network.
_TRANSFORMERS = """
    return_dict output_hidden_states output_attentions torchscript use_bfloat16 tf_legacy_loss
    pruned_heads tie_word_embeddings chunk_size_feed_forward is_encoder_decoder is_decoder
    cross_attention_hidden_size add_cross_attention tie_encoder_decoder max_length min_length
    do_sample early_stopping num_beams num_beam_groups diversity_penalty temperature top_k top_p
    typical_p repetition_penalty length_penalty no_repeat_ngram_size output_scores prefix
    encoder_no_repeat_ngram_size bad_words_ids num_return_sequences return_dict_in_generate
    forced_bos_token_id forced_eos_token_id remove_invalid_values suppress_tokens problem_type
    exponential_decay_length_penalty begin_suppress_tokens finetuning_task id2label label2id
    num_labels tokenizer_class bos_token_id pad_token_id eos_token_id sep_token_id cls_token_id
    decoder_start_token_id task_specific_params use_cache
"""


@dataclass(frozen=True, kw_only=True)
class GlinerConfig:
    """Everything the network needs to know beyond its weights.

    Attributes:
        model_name: Hub name of the text encoder; a record, nothing is fetched.
        labels_encoder: Hub name of the label encoder: set in bi-encoders, and only there.
        span_mode: ``markerV0``, ``markerV1``, ``marker``, or ``token_level``.
        max_width: Most words of a span (span models; token models know no limit).
        max_len: Most words of a text in training: longer windows are unknown ground.
        subtoken_pooling: How the pieces of a word make its vector: first, last, mean or max.
        embed_ent_token: Whether a label's vector is that of its marker, or of the piece after it.
        class_token_index: Id of ``ent_token``, or -1 where the file leaves it to the tokenizer.
        num_rnn_layers: Layers of an LSTM over the words. Bi-encoders carry one and never run it.
        represent_spans: Token models: whether spans found by their tokens are scored again.
        post_fusion_schema: Bi-encoders: order of attention blocks between labels and text.
        fuse_layers: Whether all layers of the encoder make up the vectors.
        encoder_config, labels_encoder_config: ``config.json`` of the encoders, or None.
        source: The file's own keys, kept so that saving loses none of them.
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
        """Read what ``json.load`` gave for a ``gliner_config.json``.

        Raises:
            ValueError: SM101 another kind of checkpoint; SM102 settings nobody knows; SM103 a
                value that this package does not have.
        """
        _refuse_other_kinds(data)
        _refuse_unknown(data)
        given = {key: data[key] for key in _READ & set(cls.__dataclass_fields__) if key in data}
        values = {key: value for key, value in given.items() if value is not None}
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
            ValueError: SM043 where the file is no JSON object; SM101-SM103 as in `from_dict`.
        """
        path = folder / CONFIG
        try:
            data = json.loads(path.read_text(encoding="utf8"))
        except FileNotFoundError as error:
            raise FileNotFoundError(Errors.SM100.format(folder=folder)) from error
        except ValueError as error:
            raise ValueError(Errors.SM043.format(path=path, reason=error)) from error
        if not isinstance(data, dict):
            raise ValueError(Errors.SM043.format(path=path, reason="it holds no JSON object"))
        return cls.from_dict(data)

    def to_dict(self) -> dict[str, Any]:
        """The content of a ``gliner_config.json`` that upstream reads: the source's, brought up."""
        own = {name: getattr(self, name) for name in self.__dataclass_fields__}
        del own["source"]
        for key in ("encoder_config", "labels_encoder_config"):
            own[key] = dict(own[key]) if own[key] else None
        if not self.is_bi:
            del own["labels_encoder"], own["labels_encoder_config"]
        return {**self.source, **own}

    def _check(self) -> None:
        sizes = ("max_width", "max_len", "hidden_size")
        for name in sizes:
            value = getattr(self, name)
            _need(name, value, isinstance(value, int) and value > 0, "a whole number above 0")
        _need("span_mode", self.span_mode, self.span_mode in _SPAN_MODES, f"one of {_SPAN_MODES}")
        pooling = self.subtoken_pooling
        _need("subtoken_pooling", pooling, pooling in POOLINGS, f"one of {POOLINGS}")
        rate = self.dropout
        _need("dropout", rate, isinstance(rate, (int, float)) and 0 <= rate < 1, "0 to below 1")
        steps = [step for step in self.post_fusion_schema.split("-") if step]
        known = set(steps) <= {"l2l", "l2t", "t2l", "t2t"}
        _need("post_fusion_schema", self.post_fusion_schema, known, "l2l, l2t, t2l, t2t")


def _refuse_other_kinds(data: Mapping[str, Any]) -> None:
    for key, kind in _OTHER_KINDS.items():
        if data.get(key):
            raise ValueError(Errors.SM101.format(kind=kind, key=key, value=data[key]))
    model_type = data.get("model_type")
    if "streaming" in str(model_type):
        kind = "a streaming checkpoint with a causal decoder"
        raise ValueError(Errors.SM101.format(kind=kind, key="model_type", value=model_type))


def _refuse_unknown(data: Mapping[str, Any]) -> None:
    for key in _ABSENT:
        _need(key, data.get(key), not data.get(key), "null")
    ours = {*_READ, *_ABSENT, *_OTHER_KINDS, *_TRAINING.split(), *_TRANSFORMERS.split()}
    unknown = [
        key
        for key, value in data.items()
        if key not in ours and value is not None and not key.startswith(_TRAINING_PREFIXES)
    ]
    if unknown:
        raise ValueError(Errors.SM102.format(keys=", ".join(sorted(unknown))))


def _need(key: str, value: Any, holds: bool, need: str) -> None:
    if not holds:
        _refuse(key, value, need)


def _refuse(key: str, value: Any, need: str) -> NoReturn:
    raise ValueError(Errors.SM103.format(key=key, value=value, need=need))
