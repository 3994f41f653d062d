"""Build a ``tokenizers.Tokenizer`` that reads control tokens in a text as plain text.

A ``tokenizer.json`` on its own reads ``[SEP]``, ``<s>`` or ``[unused7]`` typed by a user as the
control token of that name. Three steps prevent that:

1. ``encode_special_tokens``: added tokens that are flagged *special* are no longer matched;
2. reserved names, and the markers in the prompts of a model, get that flag, which many files
   leave out;
3. a Unigram model (XLM-R, DeBERTa-v3) also has its control tokens in the ordinary vocabulary, where
   its search for the best pieces would find them: such names are split in two beforehand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from tokenizers import Regex, Tokenizer
from tokenizers.pre_tokenizers import Sequence as Chain
from tokenizers.pre_tokenizers import Split

_RESERVED = re.compile(r"\[unused\d+\]|<unused\d+>")


def build_tokenizer(spec: dict[str, Any], *, markers: Sequence[str] = ()) -> Tokenizer:
    """Build the tokenizer that a parsed ``tokenizer.json`` describes.

    Args:
        spec: The parsed file. Flags of its added tokens are changed in place.
        markers: Names of other added tokens that a text must not produce.

    Raises:
        Exception: If ``tokenizers`` cannot read the file; it has no more specific type.
    """
    for token in spec.get("added_tokens") or ():
        if _RESERVED.fullmatch(token["content"]) or token["content"] in markers:
            token["special"] = True
    tokenizer = Tokenizer.from_str(json.dumps(spec, ensure_ascii=False))
    tokenizer.encode_special_tokens = True
    # A limit in the file would truncate texts silently; windows.py cuts them into windows instead.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    _guard_vocabulary(tokenizer)
    return tokenizer


def _guard_vocabulary(tokenizer: Tokenizer) -> None:
    """Split names that the model itself would still read as control tokens.

    The split comes after the first character (``<|s>``), and only within the whole name, so every
    other text keeps its pieces.
    """
    added = tokenizer.get_added_tokens_decoder().values()
    names = [token.content for token in added if token.special and len(token.content) > 1]
    reachable = [name for name in names if _is_reachable(tokenizer, name)]
    if not reachable:
        return
    cuts = (f"(?<={re.escape(name[0])})(?={re.escape(name[1:])})" for name in reachable)
    guard = Split(Regex("|".join(cuts)), behavior="removed")
    before = tokenizer.pre_tokenizer
    tokenizer.pre_tokenizer = guard if before is None else Chain([before, guard])


def _is_reachable(tokenizer: Tokenizer, name: str) -> bool:
    """Tell whether the characters of ``name`` in a text get its id.

    The id alone proves nothing: an unknown character within the name is rightly ``[UNK]``.
    """
    name_id = tokenizer.token_to_id(name)
    probes = [name, f"a{name}a", f" {name} "]
    return any(
        piece_id == name_id and end - start >= len(name)
        for encoding in tokenizer.encode_batch(probes, add_special_tokens=False)
        for piece_id, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
    )


def prefix_and_suffix_ids(
    tokenizer: Tokenizer, config: Mapping[str, Any]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Find prefix and suffix of a sequence: ``[CLS]`` ... ``[SEP]``, ``<s>`` ... ``</s>``.

    The output of the post-processor for a probe shows them. Without a post-processor, the
    configuration names them. Without either, both are empty.

    Args:
        tokenizer: The tokenizer.
        config: Parsed ``tokenizer_config.json``.

    Returns:
        The ids of the prefix, and the ids of the suffix.
    """
    if tokenizer.post_processor is None:
        first = _named_id(tokenizer, config, "cls_token", "bos_token")
        last = _named_id(tokenizer, config, "sep_token", "eos_token")
        return (() if first is None else (first,)), (() if last is None else (last,))
    for probe in _probes(tokenizer):
        encoding = tokenizer.encode(probe)
        if 0 in encoding.special_tokens_mask:
            before = encoding.special_tokens_mask.index(0)
            after = encoding.special_tokens_mask[::-1].index(0)
            ids = encoding.ids
            return tuple(ids[:before]), tuple(ids[len(ids) - after :])
    return (), ()


def _probes(tokenizer: Tokenizer) -> Iterator[str]:
    """Yield texts to try: ``a`` has no piece in a model of Chinese without ``[UNK]``."""
    return chain(["a"], tokenizer.get_vocab())


def find_pad_id(tokenizer: Tokenizer, config: Mapping[str, Any], spec: Mapping[str, Any]) -> int:
    """Find the id of padding; 0 if no file has it, as padding is masked in any case."""
    named = _named_id(tokenizer, config, "pad_token")
    padding = (spec.get("padding") or {}).get("pad_id")
    usual = (tokenizer.token_to_id(name) for name in ("[PAD]", "<pad>"))
    return next((int(pad) for pad in (named, padding, *usual) if pad is not None), 0)


def highest_text_id(tokenizer: Tokenizer, spec: Mapping[str, Any]) -> int:
    """Find the highest id that a text can have: that of any token but a control token; -1 if none.

    The token for unknown characters is a control token that a text can have.

    Args:
        tokenizer: The tokenizer.
        spec: The parsed ``tokenizer.json``, whose vocabulary is faster to read.
    """
    model = spec.get("model") or {}
    vocabulary = model.get("vocab") or {}
    if not isinstance(vocabulary, dict):  # a Unigram model lists pieces and their scores
        vocabulary = {piece: number for number, (piece, _) in enumerate(vocabulary)}
    added = tokenizer.get_added_tokens_decoder()
    control = {token.content for token in added.values() if token.special}
    control.discard(model.get("unk_token"))
    ids = [number for piece, number in vocabulary.items() if piece not in control]
    ids += [number for number, token in added.items() if token.content not in control]
    return max(ids, default=-1)


def _named_id(tokenizer: Tokenizer, config: Mapping[str, Any], *keys: str) -> int | None:
    """Return the id of the first of these tokens that the configuration names.

    A token is a plain string or, with its stripping flags, a dictionary.
    """
    for key in keys:
        token = config.get(key)
        name = token.get("content") if isinstance(token, dict) else token
        found: int | None = tokenizer.token_to_id(name) if isinstance(name, str) else None
        if found is not None:
            return found
    return None
