"""Checks of a ``config.json`` that the configurations of all networks of our own share."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from typing import Any

from ..errors import Errors, Warnings

# Keys that do not concern the encoder: heads, losses, initialization, token ids, records.
_PREFIXES = ("_", "classifier_", "initializer_", "sparse_", "repad_", "output_")
_SUFFIXES = ("_token_id",)
_OTHERS = frozenset(
    """architectures attn_implementation decoder_bias deterministic_flash_attn dtype torch_dtype
    finetuning_task gradient_checkpointing id2label label2id num_labels layer_norm_eps problem_type
    reference_compile return_dict task_specific_params tie_word_embeddings tokenizer_class
    transformers_version use_cache chunk_size_feed_forward torchscript use_bfloat16 tf_legacy_loss
    prefix sentence_transformers transformers.js_config auto_map unsloth_version label_smoothing
    max_length min_length do_sample early_stopping num_beams num_beam_groups diversity_penalty
    temperature top_k top_p typical_p repetition_penalty length_penalty no_repeat_ngram_size
    encoder_no_repeat_ngram_size bad_words_ids num_return_sequences return_dict_in_generate
    remove_invalid_values exponential_decay_length_penalty suppress_tokens begin_suppress_tokens
    """.split()  # noqa: SIM905 - a block of words is easier to read than a page of quotes
)

# What these keys must hold, unless they are absent or null, in a network that is only an encoder.
ENCODER_ONLY: dict[str, tuple[Any, ...]] = {
    "pruned_heads": ({},),
    "is_decoder": (False,),
    "is_encoder_decoder": (False,),
    "add_cross_attention": (False,),
    "tie_encoder_decoder": (False,),
    "cross_attention_hidden_size": (),
    "quantization_config": ({},),
    "is_causal": (False,),
}


def refuse_unsupported(data: Mapping[str, Any], only: Mapping[str, tuple[Any, ...]]) -> None:
    """Check keys that must hold certain values, be null or be absent.

    Raises:
        ValueError: SM022 if a key holds anything else: a network that is not implemented.
    """
    for key, allowed in only.items():
        value = data.get(key)
        wanted = " or ".join(["null", *map(repr, allowed)])
        need(key, value, value is None or value in allowed, wanted)


def warn_of_unknown(data: Mapping[str, Any], known: Collection[str]) -> None:
    """Warn of keys (SMW022) that neither the network nor other programs are known to write."""
    unknown = [
        key
        for key, value in data.items()
        if key not in known
        and key not in _OTHERS
        and value is not None
        and not key.startswith(_PREFIXES)
        and not key.endswith(_SUFFIXES)
    ]
    if unknown:
        warnings.warn(Warnings.SMW022.format(keys=", ".join(sorted(unknown))), stacklevel=4)


def check_sizes(values: Mapping[str, Any]) -> None:
    """Check that all values are whole numbers above 0 (SM022)."""
    for name, value in values.items():
        need(name, value, is_count(value), "a whole number above 0")


def check_rates(values: Mapping[str, Any]) -> None:
    """Check that all values are dropout rates (SM022)."""
    for name, value in values.items():
        need(name, value, is_number(value) and 0.0 <= value < 1.0, "a number in [0, 1)")


def is_count(value: Any) -> bool:
    """Tell whether a value is a whole number above 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def is_number(value: Any) -> bool:
    """Tell whether a value is a number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def need(key: str, value: Any, holds: bool, wanted: str) -> None:
    """Refuse a setting unless a condition holds.

    Raises:
        ValueError: SM022 with the key, its value, and what it should be.
    """
    if not holds:
        raise ValueError(Errors.SM022.format(key=key, value=value, need=wanted))
