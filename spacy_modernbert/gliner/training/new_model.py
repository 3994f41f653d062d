"""A new GLiNER: a pretrained encoder with a head that is still untrained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import torch
from tokenizers import AddedToken, Tokenizer
from torch import Tensor

from ...encoder.checkpoint import Checkpoint, build_encoder
from ...encoder.protocol import Encoder
from ...encoder.seeding import seeded
from ...text.tokenizer import PieceTokenizer
from ..inference.model import GlinerModel
from ..inference.prompt import marker_names
from ..modeling.config import TOKEN_LEVEL, GlinerConfig
from ..modeling.network import Gliner
from ..modeling.structure import EMBEDDINGS, TEXT, Structure

Head: TypeAlias = Literal["span", "token"]
_TOKENIZER = "tokenizer.json"
_MARKERS = (GlinerConfig.ent_token, GlinerConfig.sep_token)


def new_gliner(
    text: Checkpoint,
    labels: Checkpoint | None = None,
    *,
    head: Head = "span",
    max_width: int = 12,
    max_len: int = 384,
    width: int | None = None,
    dropout: float = 0.4,
    rnn_layers: int = 1,
    names: tuple[str, str] = ("", "labels"),
    seed: int = 0,
) -> GlinerModel:
    """Build a GLiNER with an untrained head.

    Args:
        text: The text encoder, which becomes a part of the model.
        labels: The label encoder of a bi-encoder. None: labels are read along with the text.
        head: Whether the head scores spans, or words.
        max_width: Most words of a span.
        max_len: Most words of a window.
        width: Width of words and labels behind the encoders. None: that of the text encoder.
        dropout: Dropout rate of the head.
        rnn_layers: Layers of an LSTM over the words; a bi-encoder has none.
        names: Names of the two encoders, as a record.
        seed: Seed of the random weights. The state of torch's own generator does not change.
    """
    tokenizer, encoder = text.tokenizer, text.encoder
    label_encoder, labels_tokenizer, labels_config = None, None, None
    if labels is None:
        tokenizer = _add_markers(tokenizer)
        encoder = _add_embeddings(encoder, tokenizer, seed=seed)
    else:
        label_encoder, labels_tokenizer = labels.encoder, labels.tokenizer
        labels_config, rnn_layers = label_encoder.config.to_dict(), 0
    config = GlinerConfig.from_dict(
        {
            "model_name": names[0],
            "labels_encoder": None if labels is None else names[1],
            "span_mode": TOKEN_LEVEL if head == "token" else "markerV0",
            "max_width": max_width,
            "max_len": max_len,
            "hidden_size": width or encoder.hidden_size,
            "dropout": dropout,
            "encoder_config": encoder.config.to_dict(),
            "labels_encoder_config": labels_config,
        }
    )
    structure = _structure(config, encoder, label_encoder, rnn_layers)
    with seeded(torch.device("cpu"), seed):
        network = Gliner(config, structure, encoder, label_encoder).eval()
    return GlinerModel(network, tokenizer, labels_tokenizer)


def _structure(
    config: GlinerConfig, text: Encoder, labels: Encoder | None, rnn_layers: int
) -> Structure:
    width = config.hidden_size
    widths = [None if one is None else one.hidden_size for one in (text, labels)]
    projections = [None if found in (None, width) else found for found in widths]
    return Structure(
        vocabulary=len(_embeddings(text.state_dict())[1]),
        width=width,
        marker=None if config.is_token else config.span_mode,
        rnn_layers=rnn_layers,
        projection=projections[0],
        labels_projection=projections[1],
        has_labels_encoder=labels is not None,
    )


def _add_markers(tokenizer: PieceTokenizer) -> PieceTokenizer:
    """Return the tokenizer with two more pieces, which no text can reach."""
    files: dict[str, str] = json.loads(tokenizer.to_bytes())
    extended = Tokenizer.from_str(files[_TOKENIZER])
    extended.add_special_tokens([AddedToken(n, special=True, normalized=False) for n in _MARKERS])
    files[_TOKENIZER] = extended.to_str()
    encoded = {name: content.encode() for name, content in files.items()}
    return PieceTokenizer(encoded, markers=marker_names(GlinerConfig()))


def _add_embeddings(encoder: Encoder, tokenizer: PieceTokenizer, *, seed: int) -> Encoder:
    """Return the encoder with embeddings for new pieces, distributed like those that it has."""
    state = {name: tensor.detach() for name, tensor in encoder.state_dict().items()}
    key, table = _embeddings(state)
    ids = [index for index in map(tokenizer.token_id, _MARKERS) if index is not None]
    missing = max(ids) + 1 - len(table)
    if missing > 0:
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn((missing, table.shape[1]), generator=generator)
        values = table.float()
        drawn = values.mean(dim=0) + noise * values.std(dim=0)
        state[key] = torch.cat([table, drawn.to(table.dtype)])
    config: dict[str, Any] = {**encoder.config.to_dict(), "vocab_size": len(state[key])}
    return build_encoder(config, state, precision=encoder.precision)


def _embeddings(state: Mapping[str, Tensor]) -> tuple[str, Tensor]:
    """Return the piece embeddings of an encoder, with their name."""
    return next((name, table) for name, table in state.items() if EMBEDDINGS.match(TEXT + name))
