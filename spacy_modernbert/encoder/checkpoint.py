"""Read and write checkpoints: a network and its tokenizer.

Two formats are supported:

* the published folder: ``config.json``, weights, tokenizer files, as on the Hugging Face hub;
* the packed file: one safetensors file whose header also carries configuration and tokenizer.
  A spaCy pipeline stores this file, so that loading it reads no other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import Errors
from ..text.files import atomic_path
from ..text.tokenizer import PieceTokenizer
from .bert import Bert
from .bert_config import BERT_TYPES, BertConfig
from .hf_encoder import HFEncoder
from .hub import CONFIG, INDEX, PICKLED, SAFETENSORS
from .modernbert import ModernBert
from .modernbert_config import ModernBertConfig
from .precision import Precision, cast_parameters, resolve_precision
from .protocol import Encoder
from .skip_init import SkipRandomInit
from .storage import (
    bytes_to_tensors,
    make_header,
    read_header,
    read_tensors,
    tensors_to_bytes,
    write_tensors,
)
from .vocabulary import check_vocabulary
from .weights import encoder_weights, load_weights

_FORMAT = "spacy_modernbert"
# Model type: the classes of our own network. transformers runs all other types.
_NETWORKS: dict[str, tuple[Any, Any]] = {
    ModernBertConfig.model_type: (ModernBertConfig, ModernBert),
    **dict.fromkeys(BERT_TYPES, (BertConfig, Bert)),
}


@dataclass(frozen=True)
class Checkpoint:
    """A network and the tokenizer it was trained with.

    Raises:
        ValueError: SM049 if the tokenizer has pieces that the network has no embedding for.
    """

    encoder: Encoder
    tokenizer: PieceTokenizer

    def __post_init__(self) -> None:
        check_vocabulary(self.tokenizer, self.encoder)


def load_encoder(
    folder: Path, *, precision: Precision = "float32", device: torch.device | None = None
) -> Checkpoint:
    """Load a published checkpoint folder.

    The network is built without random weights, so nothing is initialized only to be overwritten.

    Args:
        folder: The folder.
        precision: Number format of weights and matrix products.
        device: Device of the network. Default: the CPU.

    Raises:
        FileNotFoundError: SM041 if a file is missing.
        ValueError: SM042-SM045 or SM049 if a file is damaged or does not fit the others.
    """
    tokenizer = PieceTokenizer.from_folder(folder)
    config = read_config(folder)
    encoder = build_encoder(config, read_state(folder), precision=precision, device=device)
    return Checkpoint(encoder, tokenizer)


def save_encoder(checkpoint: Checkpoint, folder: Path) -> None:
    """Write a published checkpoint folder, which transformers can load too.

    Each file appears whole or not at all, the weights last.
    """
    checkpoint.tokenizer.save(folder)
    with atomic_path(folder / CONFIG) as path:
        path.write_text(json.dumps(checkpoint.encoder.config.to_dict(), indent=2), encoding="utf8")
    write_tensors(folder / SAFETENSORS, checkpoint.encoder.stored_weights(), {"format": "pt"})


def load_encoder_file(
    source: Path | bytes,
    *,
    precision: Precision = "float32",
    device: torch.device | None = None,
) -> Checkpoint:
    """Load what ``save_encoder_file`` or ``encoder_to_bytes`` wrote.

    Raises:
        ValueError: SM042 if the data are damaged, SM046 if they are something else.
    """
    if isinstance(source, bytes):
        state, metadata = bytes_to_tensors(source)
    else:
        state, metadata = read_tensors(source)
    where = source if isinstance(source, Path) else "the given data"
    header = read_header(metadata, _FORMAT, otherwise=Errors.SM046.format(source=where))
    encoder = build_encoder(header["config"], state, precision=precision, device=device)
    return Checkpoint(encoder, PieceTokenizer.from_bytes(header["tokenizer"].encode("utf8")))


def save_encoder_file(checkpoint: Checkpoint, path: Path) -> None:
    """Write network, configuration and tokenizer as one safetensors file, atomically."""
    write_tensors(path, checkpoint.encoder.stored_weights(), _header(checkpoint))


def encoder_to_bytes(checkpoint: Checkpoint) -> bytes:
    """Return the bytes of the file that ``save_encoder_file`` writes."""
    return tensors_to_bytes(checkpoint.encoder.stored_weights(), _header(checkpoint))


def read_config(folder: Path) -> dict:
    """Read ``config.json``.

    Raises:
        FileNotFoundError: SM041 if it is missing.
        ValueError: SM043 if it is no JSON object.
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
    """Read the weights of a folder: safetensors, whole or sharded, else a pickle of tensors.

    Raises:
        FileNotFoundError: SM041 if it has none.
        ValueError: SM042 if a file is damaged or could be read only by running code.
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
        # Only plain tensors of a user's file are ever unpickled. They are copies, as in
        # `read_tensors`: a mapped file would change the network when it is overwritten.
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch has no common type for the many reasons to refuse a file
        raise ValueError(Errors.SM042.format(path=path, reason=error)) from error
    return state


def build_encoder(
    config: Mapping[str, Any],
    state: Mapping[str, Tensor],
    *,
    precision: Precision = "float32",
    device: torch.device | None = None,
) -> Encoder:
    """Build the network that a configuration describes around the given weights.

    Args:
        config: The content of ``config.json``.
        state: Name to weight, with or without the prefixes and heads of task checkpoints.
        precision: Number format of weights and matrix products.
        device: Device of the network. Default: the CPU.

    Raises:
        ValueError: SM022 if a setting is not supported, SM044 if weights are missing or
            unexpected, SM045 if a shape is wrong, SM048 if no network of this type is known.
    """
    found = _own_network(config)
    if found is None:
        return HFEncoder.from_weights(config, state, precision=precision, device=device)
    config_type, network_type = found
    device = device or torch.device("cpu")
    settings = config_type.from_dict(config)
    with SkipRandomInit():
        encoder: Encoder = network_type(settings, precision=precision)
    cast_parameters(encoder, resolve_precision(precision, device))
    load_weights(encoder, encoder_weights(state, prefix=settings.prefix))
    return encoder.to(device).eval()


def _own_network(config: Mapping[str, Any]) -> tuple[Any, Any] | None:
    """Return classes of configuration and network, None if transformers has to run it."""
    model_type = config.get("model_type", "")
    positions = config.get("position_embedding_type") or "absolute"
    if model_type in BERT_TYPES and positions != "absolute":
        return None
    return _NETWORKS.get(model_type)


def _header(checkpoint: Checkpoint) -> dict[str, str]:
    tokenizer = checkpoint.tokenizer.to_bytes().decode("utf8")
    content = {"config": checkpoint.encoder.config.to_dict(), "tokenizer": tokenizer}
    return make_header(_FORMAT, content)
