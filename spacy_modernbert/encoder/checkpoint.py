"""Checkpoint folders to networks and back, and one file for both network and tokenizer.

Two shapes are read and written:

* the published folder: ``config.json``, weights, tokenizer files, as on the Hugging Face hub;
* the packed file: one safetensors file whose header also carries configuration and tokenizer.
  This is what a spaCy pipeline stores, so that loading it touches no other file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import Errors
from ..text.files import atomic_path
from ..text.tokenizer import PieceTokenizer
from .hf_encoder import HFEncoder
from .hub import CONFIG, INDEX, PICKLED, SAFETENSORS
from .modernbert import ModernBert
from .modernbert_config import ModernBertConfig
from .precision import Precision, cast_parameters, resolve_precision
from .storage import (
    bytes_to_tensors,
    read_tensors,
    tensors_to_bytes,
    write_tensors,
)

if TYPE_CHECKING:
    from typing import TypeAlias

Encoder: TypeAlias = "ModernBert | HFEncoder"

# What masked-language-model and classification checkpoints carry beyond the encoder.
_HEADS = (
    "head.",
    "decoder.",
    "classifier.",
    "cls.",
    "lm_head.",
    "score.",
    "pooler.",
    "qa_outputs.",
)
# What other libraries wrap around a module's names, outermost first.
_WRAPPERS = ("_orig_mod.", "model.")
_FORMAT = "spacy_modernbert"


@dataclass(frozen=True)
class Checkpoint:
    """A network and the tokenizer it was trained with."""

    encoder: Encoder
    tokenizer: PieceTokenizer


def load_folder(
    folder: Path, *, precision: Precision = "float32", device: torch.device | None = None
) -> Checkpoint:
    """Load a published checkpoint folder.

    Weights are mapped from the file straight into a network that was built without values, so
    nothing is initialised only to be overwritten.

    Args:
        folder: The folder.
        precision: Number format of weights and matrix products.
        device: Where the network shall live. Default: the CPU.

    Raises:
        FileNotFoundError: SM041 where a file is missing.
        ValueError: SM042-SM045 where a file is damaged or does not fit the others.
    """
    tokenizer = PieceTokenizer.from_folder(folder)
    config = read_config(folder)
    encoder = build_encoder(config, read_state(folder), precision=precision, device=device)
    return Checkpoint(encoder, tokenizer)


def save_folder(checkpoint: Checkpoint, folder: Path) -> None:
    """Write a published checkpoint folder, which transformers loads too.

    Each file appears whole or not at all, the weights last.
    """
    checkpoint.tokenizer.save(folder)
    with atomic_path(folder / CONFIG) as path:
        path.write_text(json.dumps(config_dict(checkpoint.encoder), indent=2), encoding="utf8")
    write_tensors(folder / SAFETENSORS, tensors(checkpoint.encoder), {"format": "pt"})


def load_encoder_file(
    source: Path | bytes,
    *,
    precision: Precision = "float32",
    device: torch.device | None = None,
) -> Checkpoint:
    """Load what ``save_encoder_file`` or ``encoder_to_bytes`` wrote.

    The weights are not copied: they are pages of the file, or look into the given bytes.

    Raises:
        ValueError: SM042 where the data are damaged, SM046 where they are something else.
    """
    if isinstance(source, bytes):
        state, metadata = bytes_to_tensors(source)
    else:
        state, metadata = read_tensors(source)
    if _FORMAT not in metadata:
        where = source if isinstance(source, Path) else "the given data"
        raise ValueError(Errors.SM046.format(source=where))
    header = json.loads(metadata[_FORMAT])
    encoder = build_encoder(header["config"], state, precision=precision, device=device)
    return Checkpoint(encoder, PieceTokenizer.from_bytes(header["tokenizer"].encode("utf8")))


def save_encoder_file(checkpoint: Checkpoint, path: Path) -> None:
    """Write network, configuration and tokenizer as one safetensors file, atomically."""
    write_tensors(path, tensors(checkpoint.encoder), _header(checkpoint))


def encoder_to_bytes(checkpoint: Checkpoint) -> bytes:
    """Give the bytes of the file that ``save_encoder_file`` writes."""
    return tensors_to_bytes(tensors(checkpoint.encoder), _header(checkpoint))


def read_config(folder: Path) -> dict:
    """Read ``config.json``.

    Raises:
        FileNotFoundError: SM041 where it is missing.
        ValueError: SM043 where it is no JSON object.
    """
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf8"))
    except FileNotFoundError as error:
        raise FileNotFoundError(Errors.SM041.format(folder=folder, file=CONFIG)) from error
    except ValueError as error:
        raise ValueError(Errors.SM043.format(path=path, reason=error)) from error
    if not isinstance(config, dict):
        raise ValueError(Errors.SM043.format(path=path, reason="it holds no JSON object"))
    return config


def read_state(folder: Path) -> dict[str, Tensor]:
    """Read a folder's weights: safetensors, whole or in shards, else a pickle of plain tensors.

    Raises:
        FileNotFoundError: SM041 where there are none.
        ValueError: SM042 where a file is damaged or would need code to be run.
    """
    if (folder / SAFETENSORS).exists():
        return read_tensors(folder / SAFETENSORS)[0]
    if (folder / INDEX).exists():
        files = json.loads((folder / INDEX).read_text(encoding="utf8"))["weight_map"].values()
        shards = [read_tensors(folder / file)[0] for file in sorted(set(files))]
        return {name: tensor for shard in shards for name, tensor in shard.items()}
    path = folder / PICKLED
    if not path.exists():
        raise FileNotFoundError(Errors.SM041.format(folder=folder, file=SAFETENSORS))
    try:
        # Nothing of a user's file is ever unpickled beyond plain tensors.
        state: dict[str, Tensor] = torch.load(
            path, map_location="cpu", weights_only=True, mmap=True
        )
    except Exception as error:  # torch names no common type for its many ways to refuse a file
        raise ValueError(Errors.SM042.format(path=path, reason=error)) from error
    return state


def build_encoder(
    config: dict,
    state: Mapping[str, Tensor],
    *,
    precision: Precision = "float32",
    device: torch.device | None = None,
) -> Encoder:
    """Build the network that a configuration describes around the given weights.

    Args:
        config: The content of ``config.json``.
        state: Name -> tensor, with or without the prefixes and heads of task checkpoints.
        precision: Number format of weights and matrix products.
        device: Where the network shall live. Default: the CPU.

    Raises:
        ValueError: SM044 where weights are missing or left over, SM045 where a shape is wrong.
    """
    if config.get("model_type") != "modernbert":
        return HFEncoder.from_state(config, dict(state), precision=precision, device=device)
    device = device or torch.device("cpu")
    with torch.device("meta"):
        encoder = ModernBert(ModernBertConfig.from_dict(config), precision=precision)
    cast_parameters(encoder, resolve_precision(precision, device))
    fill(encoder, encoder_names(state))
    return encoder.to(device).eval()


def encoder_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a task checkpoint's weights to the bare encoder's, leaving out its heads."""
    renamed = dict(state)
    for prefix in _WRAPPERS:
        if any(name.startswith(prefix) for name in renamed):
            renamed = {name.removeprefix(prefix): tensor for name, tensor in renamed.items()}
    return {name: tensor for name, tensor in renamed.items() if not name.startswith(_HEADS)}


def fill(module: torch.nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put weights into a module built on the meta device, in the number formats it declares.

    Raises:
        ValueError: SM044 where weights are missing or left over, SM045 where a shape is wrong.
    """
    wanted = module.state_dict()
    missing, unknown = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
    if missing or unknown:
        raise ValueError(Errors.SM044.format(missing=_some(missing), unknown=_some(unknown)))
    for name, empty in wanted.items():
        if state[name].shape != empty.shape:
            found, expected = tuple(state[name].shape), tuple(empty.shape)
            raise ValueError(Errors.SM045.format(name=name, found=found, expected=expected))
    filled = {name: state[name].to(wanted[name].dtype) for name in wanted}
    module.load_state_dict(filled, assign=True)


def tensors(encoder: Encoder) -> dict[str, Tensor]:
    """Give a network's weights as they are stored.

    A network that computes in bfloat16 keeps float32 weights while it learns. What it computes
    depends on the rounded ones only, so those are stored, at half the size.
    """
    state: dict[str, Tensor] = encoder.state_dict()
    dtype = resolve_precision(encoder.precision, next(encoder.parameters()).device)
    if isinstance(encoder, HFEncoder) or dtype == torch.float32:
        return state
    return {
        name: tensor.to(dtype) if tensor.dim() == 2 else tensor for name, tensor in state.items()
    }


def config_dict(encoder: Encoder) -> dict:
    """Give the content of the ``config.json`` that describes a network."""
    return encoder.config.to_dict()


def _header(checkpoint: Checkpoint) -> dict[str, str]:
    tokenizer = checkpoint.tokenizer.to_bytes().decode("utf8")
    content = {"config": config_dict(checkpoint.encoder), "tokenizer": tokenizer}
    # A single entry: safetensors writes several in a random order, and bytes must be repeatable.
    return {_FORMAT: json.dumps(content)}


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:4]) or "none"
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more"
