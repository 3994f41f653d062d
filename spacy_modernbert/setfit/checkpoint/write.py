"""Writes folders of sentence-transformers, which it and setfit load."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...encoder.checkpoint import Checkpoint, save_encoder
from ...encoder.hub import SAFETENSORS
from ...encoder.storage import write_tensors
from ...text.files import atomic_path
from ..modeling.modules import module_spec
from ..modeling.sentence_encoder import SentenceEncoder
from .folder_config import MODULES, POOLING, POOLING_FLAGS, PROMPTS, TRANSFORMER

# Read by every version of sentence-transformers.
_TYPES = "sentence_transformers.models."


def save_sentence_encoder(model: SentenceEncoder, folder: Path) -> None:
    """Write a folder of sentence-transformers. Each file appears whole or not at all."""
    save_encoder(Checkpoint(model.encoder, model.tokenizer), folder)
    config = model.input_config
    _write(
        folder / "sentence_bert_config.json",
        {"max_seq_length": config.max_length, "do_lower_case": False},
    )
    _write(
        folder / PROMPTS,
        {"prompts": dict(config.prompts), "default_prompt_name": config.prompt_name},
    )
    _write(folder / "1_Pooling" / "config.json", _pooling_config(model))
    entries = [_entry(0, TRANSFORMER, ""), _entry(1, POOLING, "1_Pooling")]
    for number, layer in enumerate(model.layers, start=2):
        spec = module_spec(layer)
        path = f"{number}_{spec.kind}"
        (folder / path).mkdir(exist_ok=True)
        if spec.settings:
            _write(folder / path / "config.json", dict(spec.settings))
        if state := layer.state_dict():
            write_tensors(folder / path / SAFETENSORS, state, {"format": "pt"})
        entries.append(_entry(number, spec.kind, path))
    _write(folder / MODULES, entries)


def _pooling_config(model: SentenceEncoder) -> dict[str, Any]:
    """Return the older form wherever it can express the same: every version reads it."""
    modes, width = model.pooling.modes, model.encoder.hidden_size
    common = {"include_prompt": model.input_config.include_prompt}
    flags = {flag: mode in modes for mode, flag in POOLING_FLAGS.items()}
    if [mode for mode in POOLING_FLAGS if mode in modes] == list(modes):
        return {"word_embedding_dimension": width, **flags, **common}
    return {"embedding_dimension": width, "pooling_mode": list(modes), **common}


def _entry(number: int, kind: str, path: str) -> dict[str, Any]:
    return {"idx": number, "name": str(number), "path": path, "type": _TYPES + kind}


def _write(path: Path, content: Sequence[Any] | Mapping[str, Any]) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf8")
