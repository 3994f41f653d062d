"""Build a ``tokenizers.Tokenizer`` for which a user's text is only ever text.

A ``tokenizer.json`` on its own reads ``[SEP]``, ``<s>`` or ``[unused7]`` typed by a user as the
control token of that name. Three things are needed to stop it:

1. ``encode_special_tokens``: added tokens that are flagged *special* are no longer searched for;
2. reserved names, and the markers a model puts into its own prompts, get that flag, as many
   files leave it out for them;
3. a Unigram model (XLM-R, DeBERTa-v3) also has its control tokens in the ordinary vocabulary, where
   the search for the best pieces would find them again: such names are cut in two beforehand.
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
        markers: Names of further added tokens that a text must not reach.

    Raises:
        Exception: Whatever ``tokenizers`` says about a file it cannot read; it has no type of
            its own for that.
    """
    for token in spec.get("added_tokens") or ():
        if _RESERVED.fullmatch(token["content"]) or token["content"] in markers:
            token["special"] = True
    tokenizer = Tokenizer.from_str(json.dumps(spec, ensure_ascii=False))
    tokenizer.encode_special_tokens = True
    # A limit left in the file would cut texts in silence; windows.py knows what to do instead.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    _guard_vocabulary(tokenizer)
    return tokenizer


def _guard_vocabulary(tokenizer: Tokenizer) -> None:
    """Split the names that the model itself would still read as control tokens.

    The cut is put after the first character (``<|s>``), and only where the whole name follows, so
    every other text keeps its pieces.
    """
    added = tokenizer.get_added_tokens_decoder().values()
    names = [token.content for token in added if token.special and len(token.content) > 1]
    leaks = [name for name in names if _is_reachable(tokenizer, name)]
    if not leaks:
        return
    cuts = (f"(?<={re.escape(name[0])})(?={re.escape(name[1:])})" for name in leaks)
    guard = Split(Regex("|".join(cuts)), behavior="removed")
    before = tokenizer.pre_tokenizer
    tokenizer.pre_tokenizer = guard if before is None else Chain([before, guard])


def _is_reachable(tokenizer: Tokenizer, name: str) -> bool:
    """Tell whether a text that holds ``name`` gets its id for that stretch of text.

    The id alone says nothing: an unknown character within the name is rightly ``[UNK]``.
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
    """Find the ids that go before and after a row: ``[CLS]`` ... ``[SEP]``, ``<s>`` ... ``</s>``.

    They are read off what the post-processor does to a probe. A file without a post-processor
    leaves them to its configuration, by name; a file without either frames nothing.

    Args:
        tokenizer: The tokenizer.
        config: Parsed ``tokenizer_config.json``.

    Returns:
        The ids before a row, and the ids after it.
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
    """Yield texts until one has a piece: ``a`` has none in a model of Chinese without ``[UNK]``."""
    return chain(["a"], tokenizer.get_vocab())


def find_pad_id(tokenizer: Tokenizer, config: Mapping[str, Any], spec: Mapping[str, Any]) -> int:
    """Find the id to pad rows with; 0 where nothing says (padding is masked in any case)."""
    named = _named_id(tokenizer, config, "pad_token")
    padding = (spec.get("padding") or {}).get("pad_id")
    usual = (tokenizer.token_to_id(name) for name in ("[PAD]", "<pad>"))
    return next((int(pad) for pad in (named, padding, *usual) if pad is not None), 0)


def _named_id(tokenizer: Tokenizer, config: Mapping[str, Any], *keys: str) -> int | None:
    """Return the id of the first of these tokens that the configuration names.

    A token is written as a plain string or, with its stripping flags, as a dictionary.
    """
    for key in keys:
        token = config.get(key)
        name = token.get("content") if isinstance(token, dict) else token
        found: int | None = tokenizer.token_to_id(name) if isinstance(name, str) else None
        if found is not None:
            return found
    return None
