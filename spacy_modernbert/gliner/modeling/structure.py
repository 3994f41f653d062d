"""The parts of a network, as the names and shapes of its weights tell them.

The configurations of GLiNER checkpoints are not reliable on layers and widths: keys came and went
(upstream gives a file with the old ``has_rnn`` a *random* LSTM), and some are left at defaults.
Names and shapes of the weights cannot be wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from ...errors import Errors

TEXT = "token_rep_layer.bert_layer.model."
LABELS = "token_rep_layer.labels_encoder.model."
_MARKER = "span_rep_layer.span_rep_layer."

# Embeddings of pieces, whatever the encoder is called inside: BERT and DeBERTa, ModernBERT, T5.
EMBEDDINGS = re.compile(
    re.escape(TEXT) + r".*(word_embeddings|tok_embeddings|embed_tokens|shared|wte)\.weight$"
)
# Weights of a checkpoint that no score depends on: the LSTM of a bi-encoder, the fuser of a
# uni-encoder, and tables of numbers that transformers once stored.
_NEVER_RUN = {True: ("rnn.",), False: ("cross_fuser.",)}
# Put before names by torch.compile, and by trainers.
_WRAPPERS = re.compile(r"^(_orig_mod\.|model\.|module\.)+")
_TABLES = re.compile(r"\.(position_ids|token_type_ids|inv_freq)$")


@dataclass(frozen=True, kw_only=True)
class Structure:
    """The parts of a network.

    Attributes:
        vocabulary: Number of the text encoder's embeddings.
        width: Width of words and labels behind the encoders.
        marker: ``markerV0``, ``markerV1``, ``marker``, or None in a token model without spans.
        rnn_layers: Layers of the LSTM; 0 for none.
        cross_layers: Rounds of the fuser of labels and text; 0 for none.
        projection, labels_projection: Width of the encoder in front of a projection, or None.
        fuser, labels_fuser: Number of fused layers of the encoder; 0 for none.
        has_labels_encoder: False also in a bi-encoder that only has stored label vectors.
    """

    vocabulary: int
    width: int
    marker: str | None
    rnn_layers: int = 0
    cross_layers: int = 0
    projection: int | None = None
    labels_projection: int | None = None
    fuser: int = 0
    labels_fuser: int = 0
    has_labels_encoder: bool = False


def read_structure(state: Mapping[str, Tensor], *, is_token: bool) -> Structure:
    """Read the structure off the weights.

    Args:
        state: Name to weight, as `used_weights` returns them.
        is_token: Whether the model scores words rather than spans.

    Raises:
        ValueError: SM106 where a part is missing or not supported.
    """
    vocabulary = next((len(state[name]) for name in state if EMBEDDINGS.match(name)), None)
    inner = "scorer.proj_token.weight" if is_token else "prompt_rep_layer.0.weight"
    if vocabulary is None or inner not in state:
        part = inner if vocabulary is not None else f"{TEXT}*"
        raise ValueError(Errors.SM106.format(reason=f"they lack the weight '{part}'"))
    rnn = {name for name in state if re.fullmatch(r"rnn\.lstm\.weight_ih_l\d+", name)}
    rounds = {name.split(".")[2] for name in state if name.startswith("cross_fuser.layers.")}
    return Structure(
        vocabulary=vocabulary,
        width=state[inner].shape[1],
        marker=_read_marker(state, is_token=is_token),
        rnn_layers=len(rnn),
        cross_layers=len(rounds),
        projection=_inputs(state, "token_rep_layer.projection.weight"),
        labels_projection=_inputs(state, "token_rep_layer.labels_projection.weight"),
        fuser=_inputs(state, "token_rep_layer.bert_layer.layers_fuser.W1.weight") or 0,
        labels_fuser=_inputs(state, "token_rep_layer.labels_encoder.layers_fuser.W1.weight") or 0,
        has_labels_encoder=any(name.startswith(LABELS) for name in state),
    )


def used_weights(state: Mapping[str, Tensor], *, is_bi: bool) -> dict[str, Tensor]:
    """Leave out weights that never run, and prefixes that wrappers put before names.

    Args:
        state: Name to weight, as in a file.
        is_bi: Whether this is a bi-encoder.
    """
    plain = {_WRAPPERS.sub("", name): tensor for name, tensor in state.items()}
    return {
        name: tensor
        for name, tensor in plain.items()
        if not name.startswith(_NEVER_RUN[is_bi]) and not _TABLES.search(name)
    }


def _read_marker(state: Mapping[str, Tensor], *, is_token: bool) -> str | None:
    parts = {name.split(".")[2] for name in state if name.startswith(_MARKER)}
    if not parts and is_token:
        return None
    if f"{_MARKER}out_project.weight" in state:
        return "marker"
    known = {
        frozenset({"project_start", "project_end", "out_project"}): "markerV0",
        frozenset({"project_start", "project_end", "project_first", "out_project"}): "markerV1",
    }
    if frozenset(parts) not in known:
        found = ", ".join(sorted(parts)) or "nothing"
        reason = f"the parts of their span scorer are not supported ({found})"
        raise ValueError(Errors.SM106.format(reason=reason))
    return known[frozenset(parts)]


def _inputs(state: Mapping[str, Tensor], name: str) -> int | None:
    return state[name].shape[1] if name in state else None
