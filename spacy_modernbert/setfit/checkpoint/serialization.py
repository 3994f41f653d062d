"""A sentence encoder as one safetensors file, with all but the weights in its header."""

from __future__ import annotations

import dataclasses

import torch
from torch import nn

from ...encoder.checkpoint import build_encoder
from ...encoder.precision import Precision
from ...encoder.storage import bytes_to_tensors, make_header, read_header, tensors_to_bytes
from ...encoder.weights import compact_weights, load_weights, weights_below
from ...errors import Errors
from ...text.tokenizer import PieceTokenizer
from ..modeling.modules import ModuleSpec, build_module, module_spec, module_width
from ..modeling.sentence_encoder import InputConfig, SentenceEncoder

_FORMAT = "spacy_modernbert_sentence"
_ENCODER, _LAYERS = "encoder.", "layers."


def to_bytes(model: SentenceEncoder) -> bytes:
    """Return weights, configuration and tokenizer as the bytes of one safetensors file."""
    header = {
        "config": model.encoder.config.to_dict(),
        "tokenizer": model.tokenizer.to_bytes().decode("utf8"),
        "modes": list(model.pooling.modes),
        "layers": [[spec.kind, dict(spec.settings)] for spec in map(module_spec, model.layers)],
        "input": dataclasses.asdict(model.input_config),
    }
    state = {_ENCODER + name: tensor for name, tensor in model.encoder.stored_weights().items()}
    layers = compact_weights(model.layers.state_dict())
    state.update({_LAYERS + name: tensor for name, tensor in layers.items()})
    return tensors_to_bytes(state, make_header(_FORMAT, header))


def from_bytes(
    data: bytes, *, precision: Precision = "float32", device: torch.device | None = None
) -> SentenceEncoder:
    """Load what `to_bytes` returned.

    Raises:
        ValueError: SM042 where the bytes are damaged, SM046 where they are something else.
    """
    state, metadata = bytes_to_tensors(data)
    message = Errors.SM046.format(source="the given bytes")
    header = read_header(metadata, _FORMAT, otherwise=message)
    encoder = build_encoder(
        header["config"], weights_below(state, _ENCODER), precision=precision, device=device
    )
    layers = nn.ModuleList()
    width = encoder.hidden_size * len(header["modes"])
    for kind, settings in header["layers"]:
        layers.append(build_module(ModuleSpec(kind, settings), width=width))
        width = module_width(layers[-1], width)
    load_weights(layers, weights_below(state, _LAYERS))
    tokenizer = PieceTokenizer.from_bytes(header["tokenizer"].encode("utf8"))
    model = SentenceEncoder(
        encoder,
        tokenizer,
        modes=header["modes"],
        layers=list(layers),
        input_config=InputConfig(**header["input"]),
    )
    return model.to(device or torch.device("cpu"))
