"""GLiNER checkpoint folders to models and back, and models as bytes.

A saved folder is self-contained, and upstream gliner loads it. The configurations of both encoders
are in ``gliner_config.json``, the tokenizers beside it::

    gliner_config.json  model.safetensors  tokenizer.json ...  labels_tokenizer/tokenizer.json ...
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...encoder.checkpoint import read_state
from ...encoder.hub import SAFETENSORS, TOKENIZER
from ...encoder.precision import Precision
from ...encoder.storage import (
    bytes_to_tensors,
    make_header,
    read_header,
    read_tensors,
    tensors_to_bytes,
    write_tensors,
)
from ...encoder.weights import compact_weights
from ...errors import Errors
from ...text.files import atomic_path
from ...text.tokenizer import PieceTokenizer
from ..inference.model import GlinerModel
from ..inference.prompt import marker_names
from ..modeling.config import CONFIG, GlinerConfig
from ..modeling.network import Gliner
from ..modeling.structure import LABELS, TEXT, Structure
from .build import build_network, incomplete

LABELS_TOKENIZER = "labels_tokenizer"
_FORMAT = "spacy_modernbert_gliner"
_LABEL_VECTORS = "label_vectors"


def load_gliner(
    folder: Path, *, precision: Precision = "float32", device: torch.device | None = None
) -> GlinerModel:
    """Load a checkpoint folder.

    Args:
        folder: A published folder that is self-contained, or what `save_gliner` wrote.
        precision: Number format of the encoders' matrix products.
        device: Device of the network. Default: the CPU.

    Raises:
        FileNotFoundError: SM100 if this is no GLiNER checkpoint, SM041 without weights.
        ValueError: SM101-SM107 if something in it is not supported, SM042-SM045 if a file is
            damaged or does not fit the others.
    """
    config = GlinerConfig.from_folder(folder)
    _require(config, folder)
    state = read_weights(folder)
    network = build_network(config, state, source=folder, precision=precision, device=device)
    tokenizer = PieceTokenizer.from_folder(folder, markers=marker_names(config))
    return GlinerModel(network, tokenizer, _labels_tokenizer(network, folder))


def save_gliner(model: GlinerModel, folder: Path, *, half: bool = False) -> None:
    """Write a checkpoint folder. Each file appears whole or not at all, the weights last.

    Args:
        model: The model.
        folder: The folder.
        half: Whether to round weights to float16, for distribution. Those that float16 holds
            exactly are written in it in any case. The network computes in float32 all the same.
    """
    model.tokenizer.save(folder)
    if model.labels_tokenizer is not None:
        model.labels_tokenizer.save(folder / LABELS_TOKENIZER)
    config = saved_config(model.config, model.network.structure, model.tokenizer)
    with atomic_path(folder / CONFIG) as path:
        path.write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf8")
    tensors: dict[str, Tensor] = model.network.state_dict()
    if half:
        tensors = {name: tensor.half() for name, tensor in tensors.items()}
    tensors, aliases = _without_copies(tensors)
    write_tensors(folder / SAFETENSORS, tensors, {**aliases, "format": "pt"})


def gliner_to_bytes(model: GlinerModel) -> bytes:
    """Return weights, configuration and tokenizers as the bytes of one safetensors file."""
    labels = model.labels_tokenizer
    header: dict[str, Any] = {
        "config": saved_config(model.config, model.network.structure, model.tokenizer),
        "tokenizer": model.tokenizer.to_bytes().decode("utf8"),
        "labels_tokenizer": None if labels is None else labels.to_bytes().decode("utf8"),
    }
    tensors, header["aliases"] = _without_copies(model.network.state_dict())
    if model.config.is_bi and model.network.labels_encoder is None:
        # Nothing could compute these vectors again.
        header["labels"], vectors = model.label_vectors.items()
        if vectors is not None:
            tensors = {**tensors, _LABEL_VECTORS: vectors}
    return tensors_to_bytes(tensors, make_header(_FORMAT, header))


def gliner_from_bytes(
    data: bytes, *, precision: Precision = "float32", device: torch.device | None = None
) -> GlinerModel:
    """Load what `gliner_to_bytes` returned.

    Raises:
        ValueError: SM042 if the bytes are damaged, SM046 if they hold something else.
    """
    state, metadata = bytes_to_tensors(data)
    message = Errors.SM046.format(source="the given bytes")
    header = read_header(metadata, _FORMAT, otherwise=message)
    config = GlinerConfig.from_dict(header["config"])
    vectors = state.pop(_LABEL_VECTORS, None)
    state.update({name: state[kept] for name, kept in header["aliases"].items()})
    network = build_network(
        config, state, source="the given bytes", precision=precision, device=device
    )
    text, labels = header["tokenizer"], header["labels_tokenizer"]
    tokenizer = PieceTokenizer.from_bytes(text.encode("utf8"), markers=marker_names(config))
    labels_tokenizer = None if labels is None else PieceTokenizer.from_bytes(labels.encode("utf8"))
    model = GlinerModel(network, tokenizer, labels_tokenizer)
    if vectors is not None:
        model.label_vectors.update(header["labels"], vectors)
    return model


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Read a folder's weights under all their names.

    Of weights that share their memory safetensors keeps one, and the header has the names of the
    others: ``{omitted name: kept name}``.

    Raises:
        FileNotFoundError: SM041 if there are none.
        ValueError: SM042 if a file is damaged or would have to run code.
    """
    if not (folder / SAFETENSORS).exists():
        return read_state(folder)
    state, metadata = read_tensors(folder / SAFETENSORS)
    aliases = {
        name: state[kept] for name, kept in metadata.items() if kept in state and name not in state
    }
    return {**state, **aliases}


def saved_config(
    config: GlinerConfig, structure: Structure, tokenizer: PieceTokenizer
) -> dict[str, Any]:
    """Return the content of a ``gliner_config.json`` from which upstream builds the same network.

    Parts that are never run are not saved, so upstream must not expect them.
    """
    content = {
        **config.to_dict(),
        "num_rnn_layers": structure.rnn_layers,
        "num_post_fusion_layers": structure.cross_layers or 1,
        "post_fusion_schema": config.post_fusion_schema if structure.cross_layers else "",
        "fuse_layers": structure.fuser > 0,
        "span_mode": config.span_mode if config.is_token else structure.marker,
        "hidden_size": structure.width,
    }
    content.pop("has_rnn", None)
    if content["encoder_config"]:
        content["encoder_config"]["vocab_size"] = structure.vocabulary
    ent = tokenizer.token_id(config.ent_token)
    if ent is not None and not config.is_bi:
        # With both numbers, upstream adds no tokens to the tokenizer, which has them already.
        content.update(class_token_index=ent, vocab_size=structure.vocabulary)
    return content


def _without_copies(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Narrow weights without loss, leave out those that both encoders share, and name these.

    `read_weights` undoes it.
    """
    aliases = {}
    for name in [name for name in tensors if name.startswith(LABELS)]:
        twin = tensors.get(name.replace(LABELS, TEXT))
        if twin is not None and twin.shape == tensors[name].shape and twin.equal(tensors[name]):
            aliases[name] = name.replace(LABELS, TEXT)
    rest = {name: tensor for name, tensor in tensors.items() if name not in aliases}
    return compact_weights(rest), aliases


def _labels_tokenizer(network: Gliner, folder: Path) -> PieceTokenizer | None:
    if network.labels_encoder is None:
        return None
    if not (folder / LABELS_TOKENIZER / TOKENIZER).is_file():
        raise ValueError(incomplete(f"{LABELS_TOKENIZER}/{TOKENIZER}", folder))
    return PieceTokenizer.from_folder(folder / LABELS_TOKENIZER)


def _require(config: GlinerConfig, folder: Path) -> None:
    """Refuse a folder that relies on other repositories, before its weights are read."""
    if config.encoder_config is None:
        raise ValueError(incomplete("encoder_config", folder))
    if not (folder / TOKENIZER).is_file():
        raise ValueError(incomplete(TOKENIZER, folder))
