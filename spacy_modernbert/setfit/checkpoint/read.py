"""Folders of sentence-transformers, and plain checkpoints, to sentence encoders."""

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
from ..modeling.modules import build_module, module_width
from ..modeling.sentence_encoder import Reading, SentenceEncoder
from .folder_config import Layout, ModuleSpec, check_modes, read_layout

# The prompt of a user who overrides the checkpoint's goes under this name.
_OWN_PROMPT = "default"


@dataclasses.dataclass(frozen=True)
class Overrides:
    """Settings of the user that win over the checkpoint's; None leaves it to the checkpoint.

    Attributes:
        pooling: One of `layout.POOLING_MODES`.
        normalize: Whether the vectors have length one.
        prompt: What to put before every text; "" for nothing.
        max_length: Pieces of the longest row, special tokens included.
    """

    pooling: str | None = None
    normalize: bool | None = None
    prompt: str | None = None
    max_length: int | None = None


def load_folder(
    folder: Path,
    *,
    overrides: Overrides | None = None,
    precision: Precision = "float32",
    device: torch.device | None = None,
) -> SentenceEncoder:
    """Load a folder of sentence-transformers, or a plain checkpoint, whose pieces are averaged.

    Args:
        folder: The folder.
        overrides: What the user wants otherwise.
        precision: Number format of the matrix products.
        device: Where the network shall live. Default: the CPU.

    Raises:
        FileNotFoundError: SM041 where a file is missing.
        ValueError: SM200-SM204 where something in it is not supported, SM042-SM045 where a file
            is damaged or does not fit the others.
    """
    wanted = overrides or Overrides()
    layout = read_layout(folder)
    core = folder / layout.transformer
    tokenizer = PieceTokenizer.from_folder(core)
    if layout.lower_case:
        tokenizer = lower_cased(tokenizer)
    config, state = read_config(core), read_state(core)
    encoder = build_encoder(config, state, precision=precision, device=device)
    pooling, *rest = _with_overrides(layout, wanted, folder)
    layers, width = [], encoder.hidden_size * len(pooling.settings["modes"])
    for spec in rest:
        layer = build_module(spec, width=width, source=folder / spec.path)
        if list(layer.parameters()):
            load_weights(layer, read_state(folder / spec.path))
        layers.append(layer)
        width = module_width(layer, width)
    model = SentenceEncoder(
        encoder,
        tokenizer,
        modes=pooling.settings["modes"],
        layers=layers,
        reading=_reading(layout, wanted, tokenizer, encoder, pooling),
    )
    return model.to(device or torch.device("cpu"))


def lower_cased(tokenizer: PieceTokenizer) -> PieceTokenizer:
    """Give a tokenizer that puts texts in lower case before anything else."""
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


def _with_overrides(layout: Layout, wanted: Overrides, folder: Path) -> list[ModuleSpec]:
    pooling, *rest = layout.modules
    if wanted.pooling is not None:
        modes = check_modes([wanted.pooling], folder)
        pooling = dataclasses.replace(pooling, settings={**pooling.settings, "modes": modes})
    if wanted.normalize is not None:
        rest = [spec for spec in rest if spec.kind != "Normalize"]
        rest += [ModuleSpec("Normalize")] * wanted.normalize
    return [pooling, *rest]


def _reading(
    layout: Layout,
    wanted: Overrides,
    tokenizer: PieceTokenizer,
    encoder: Encoder,
    pooling: ModuleSpec,
) -> Reading:
    limits = [layout.max_length or tokenizer.model_max_length, encoder.max_length]
    limit = min((most for most in limits if most is not None), default=None)
    if wanted.max_length is not None:
        if encoder.max_length is not None and wanted.max_length > encoder.max_length:
            most = encoder.max_length
            raise ValueError(Errors.SM204.format(value=wanted.max_length, limit=most))
        limit = wanted.max_length
    prompts, name = dict(layout.prompts), layout.prompt_name
    if wanted.prompt is not None:
        name = _OWN_PROMPT if wanted.prompt else None
        prompts.update({_OWN_PROMPT: wanted.prompt} if wanted.prompt else {})
    return Reading(limit, prompts, name, pooling.settings["include_prompt"])
