"""Reads folders of sentence-transformers, and plain checkpoints."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import torch

from ...encoder.checkpoint import build_encoder, read_config, read_state
from ...encoder.precision import Precision
from ...encoder.protocol import Encoder
from ...encoder.weights import load_weights
from ...errors import Errors
from ...text.tokenizer import PieceTokenizer
from ..modeling.modules import ModuleSpec, build_module, module_width
from ..modeling.sentence_encoder import InputConfig, SentenceEncoder
from .folder_config import FolderConfig, check_modes, read_folder_config

# Name of the prompt that overrides those of the checkpoint.
_OWN_PROMPT = "default"


@dataclasses.dataclass(frozen=True)
class Overrides:
    """Settings that win over those of the checkpoint; None leaves the checkpoint's.

    The pooling is one of `modules.POOLING_MODES`; the prompt "" stands for none. The longest
    sequence has ``max_length`` pieces, special tokens included.
    """

    pooling: str | None = None
    normalize: bool | None = None
    prompt: str | None = None
    max_length: int | None = None


def load_sentence_encoder(
    folder: Path,
    *,
    overrides: Overrides | None = None,
    precision: Precision = "float32",
    device: torch.device | None = None,
) -> SentenceEncoder:
    """Load a folder of sentence-transformers, or a plain checkpoint, whose pieces are averaged.

    ``precision`` is the number format of the matrix products; the default device is the CPU.

    Raises:
        FileNotFoundError: SM041 where a file is missing.
        ValueError: SM200-SM204 where something in it is not supported, SM042-SM045 where a file
            is damaged or does not fit the others.
    """
    overrides = overrides or Overrides()
    folder_config = read_folder_config(folder)
    core = folder / folder_config.transformer
    tokenizer = PieceTokenizer.from_folder(core)
    if folder_config.lower_case:
        tokenizer = lower_cased(tokenizer)
    config, state = read_config(core), read_state(core)
    encoder = build_encoder(config, state, precision=precision, device=device)
    model = build_sentence_encoder(
        encoder, tokenizer, folder_config, overrides=overrides, source=folder
    )
    return model.to(device or torch.device("cpu"))


def build_sentence_encoder(
    encoder: Encoder,
    tokenizer: PieceTokenizer,
    folder_config: FolderConfig,
    *,
    overrides: Overrides,
    source: Path,
) -> SentenceEncoder:
    """Put the modules of a folder behind an encoder; the weights of modules come from ``source``.

    Raises:
        ValueError: SM200-SM204 where something is not supported.
    """
    pooling, *rest = _with_overrides(folder_config, overrides, source)
    layers, width = [], encoder.hidden_size * len(pooling.settings["modes"])
    for spec in rest:
        layer = build_module(spec, width=width, source=source / spec.path)
        if list(layer.parameters()):
            load_weights(layer, read_state(source / spec.path))
        layers.append(layer)
        width = module_width(layer, width)
    return SentenceEncoder(
        encoder,
        tokenizer,
        modes=pooling.settings["modes"],
        layers=layers,
        input_config=_input_config(folder_config, overrides, tokenizer, encoder, pooling),
    )


def lower_cased(tokenizer: PieceTokenizer) -> PieceTokenizer:
    """Return a tokenizer that lower-cases texts before anything else."""
    files = json.loads(tokenizer.to_bytes())
    spec = json.loads(files["tokenizer.json"])
    normalizer = spec.get("normalizer")
    steps = [normalizer] if normalizer else []
    if normalizer and normalizer["type"] == "Sequence":
        steps = normalizer["normalizers"]
    if any(step["type"] == "Lowercase" for step in steps):
        return tokenizer
    spec["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, *steps]}
    files["tokenizer.json"] = json.dumps(spec, ensure_ascii=False)
    return PieceTokenizer.from_bytes(json.dumps(files, ensure_ascii=False).encode("utf8"))


def _with_overrides(
    folder_config: FolderConfig, overrides: Overrides, folder: Path
) -> list[ModuleSpec]:
    pooling, *rest = folder_config.modules
    if overrides.pooling is not None:
        modes = check_modes([overrides.pooling], folder)
        pooling = dataclasses.replace(pooling, settings={**pooling.settings, "modes": modes})
    if overrides.normalize is not None:
        rest = [spec for spec in rest if spec.kind != "Normalize"]
        rest += [ModuleSpec("Normalize")] * overrides.normalize
    return [pooling, *rest]


def _input_config(
    folder_config: FolderConfig,
    overrides: Overrides,
    tokenizer: PieceTokenizer,
    encoder: Encoder,
    pooling: ModuleSpec,
) -> InputConfig:
    limits = [folder_config.max_length or tokenizer.model_max_length, encoder.max_length]
    limit = min((most for most in limits if most is not None), default=None)
    if overrides.max_length is not None:
        if encoder.max_length is not None and overrides.max_length > encoder.max_length:
            most = encoder.max_length
            raise ValueError(Errors.SM204.format(value=overrides.max_length, limit=most))
        limit = overrides.max_length
    prompts, name = dict(folder_config.prompts), folder_config.prompt_name
    if overrides.prompt is not None:
        name = _OWN_PROMPT if overrides.prompt else None
        prompts.update({_OWN_PROMPT: overrides.prompt} if overrides.prompt else {})
    return InputConfig(limit, prompts, name, pooling.settings["include_prompt"])
