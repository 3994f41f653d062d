"""The thinc layer of the ``transformer`` component: Docs in, a batch for listeners out."""

# No `from __future__ import annotations`: thinc reads the types of `forward` when data validation
# is on, and configs are validated against those of the architecture.

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import List, Tuple, TypeAlias  # noqa: UP035 - the types pydantic knows in thinc

import torch
from spacy.tokens import Doc
from spacy.util import registry
from spacy_transformers import install_extensions
from spacy_transformers.data_classes import FullTransformerBatch
from spacy_transformers.layers import split_trf_batch
from thinc.api import Model, chain
from thinc.util import get_torch_default_device
from torch import Tensor, nn

from ...encoder.bert import is_bert_like
from ...encoder.checkpoint import (
    Checkpoint,
    encoder_to_bytes,
    load_encoder,
    load_encoder_file,
    save_encoder_file,
)
from ...encoder.hub import resolve_encoder
from ...encoder.modernbert_config import ModernBertConfig
from ...encoder.packing import PackedBatch
from ...encoder.precision import Precision
from ...encoder.protocol import Encoder
from ...errors import Errors, Warnings
from ...text.batching import INFERENCE_PIECES, batch_by_budget
from ..checkpoint_model import CheckpointModel, CheckpointShim
from ..versions import check_versions
from .sequences import (
    Ints,
    Mode,
    docs_to_sequences,
    empty_batch,
    padding_mask,
    sequences_to_batch,
)

InT: TypeAlias = List[Doc]  # noqa: UP006
OutT: TypeAlias = FullTransformerBatch

# A stock `transformer` with this model is unpickled without being created.
install_extensions()

TOK2VEC = "spacy_modernbert.ModernBertTok2Vec.v1"


@dataclass(frozen=True)
class WindowSettings:
    """How Docs become sequences.

    They are one attribute that thinc cannot serialize. So only the config holds the settings, and a
    pipeline that is loaded with another ``max_length`` uses it.
    """

    max_length: int | None
    overlap: int | None
    mode: Mode


@registry.architectures("spacy_modernbert.ModernBertModel.v1")
def modernbert_model_v1(
    name: str,
    max_length: int | None = None,
    overlap: int | None = None,
    precision: Precision = "float32",
    mode: Mode = "text",
) -> Model[List[Doc], FullTransformerBatch]:  # noqa: UP006
    """Make the model of a ``transformer``: one encoder that any number of components listen to.

    Weights are loaded later: in ``nlp.initialize``, from the saved pipeline, or at first use.

    Args:
        name: A checkpoint folder, or a name on the Hugging Face hub, which may end in
            ``@revision``. Meant for ModernBERT. Any encoder that transformers supports works, too,
            without the packed network's speed.
        max_length: Most pieces of a window, special pieces included. None: as the checkpoint says.
            A Doc with more pieces is read in overlapping windows, never cut off. On a CPU, 512
            reads long Docs faster than the 8,192 of ModernBERT.
        overlap: Pieces that neighboring windows of a Doc share. None: an eighth of the window. Each
            token takes its vector from the window that shows most of its context.
        precision: ``float32``, or ``bfloat16`` for weights and matrix products in half the bits,
            on processors that have the instructions.
        mode: ``text`` splits the text into pieces, as encoders are trained; ``words`` splits each
            token by itself, without the space before it, as the encoders of GLiNERs are trained.

    Returns:
        The model. Its output holds the vectors of each window, and for each token the positions of
        its pieces.
    """
    check_versions()
    return encoder_model(name, WindowSettings(max_length, overlap, mode), precision)


def encoder_model(
    name: str, windows: WindowSettings, precision: Precision
) -> CheckpointModel[InT, OutT]:
    """Make the layer, without weights.

    Args:
        name: Folder or hub name of the checkpoint.
        windows: How Docs become sequences.
        precision: Number format of weights and matrix products.
    """
    return CheckpointModel(
        "modernbert",
        forward,
        CheckpointShim(EncoderFormat(), name, precision=precision),
        dims={"nO": None},
        attrs={
            "windows": windows,
            "dropout_rate": 0.0,
            "replace_listener": replace_listener,
            "replace_listener_cfg": replace_listener_cfg,
        },
    )


class EncoderFormat:
    """Encoder and tokenizer as one safetensors file."""

    def load(self, name: str, precision: Precision) -> Checkpoint:
        """Load a checkpoint by folder or hub name."""
        checkpoint = load_encoder(resolve_encoder(name), precision=precision)
        if checkpoint.encoder.config.model_type != ModernBertConfig.model_type:
            warnings.warn(_not_modernbert(name, checkpoint.encoder), stacklevel=2)
        return checkpoint

    def from_disk(self, path: Path, precision: Precision) -> Checkpoint:
        """Read the file that `to_disk` wrote."""
        return load_encoder_file(path, precision=precision)

    def to_disk(self, checkpoint: Checkpoint, path: Path) -> None:
        """Write one file, whole or not at all."""
        save_encoder_file(checkpoint, path)

    def from_bytes(self, data: bytes, precision: Precision) -> Checkpoint:
        """Read what `to_bytes` returned."""
        return load_encoder_file(data, precision=precision)

    def to_bytes(self, checkpoint: Checkpoint) -> bytes:
        """Return the bytes of the file that `to_disk` writes."""
        return encoder_to_bytes(checkpoint)

    def network(self, checkpoint: Checkpoint) -> nn.Module:
        """Return the encoder."""
        return checkpoint.encoder

    def output_width(self, checkpoint: Checkpoint) -> int:
        """Return the width of the vectors."""
        return checkpoint.encoder.hidden_size


def forward(model: CheckpointModel[InT, OutT], docs: InT, is_train: bool) -> Tuple[OutT, Callable]:  # noqa: UP006
    """Encode Docs.

    Returns:
        The batch, and a callback that takes the gradient as such a batch.
    """
    checkpoint: Checkpoint = model.checkpoint
    model.shim.place(get_torch_default_device())
    encoder, tokenizer = checkpoint.encoder, checkpoint.tokenizer
    windows: WindowSettings = model.attrs["windows"]
    sequences = docs_to_sequences(
        docs,
        tokenizer,
        max_length=_longest_sequence(windows, checkpoint, model.shim.name),
        overlap=windows.overlap,
        mode=windows.mode,
    )
    if not sequences.ids:
        return empty_batch(len(docs), encoder.hidden_size), _no_backprop
    if not is_train:
        hidden = encode(encoder, sequences.ids)
        return sequences_to_batch(sequences, hidden, tokenizer, split=True), _no_backprop

    encoder.prepare_training_().train()
    batch = PackedBatch.from_sequences(sequences.ids, device=model.shim.device)
    hidden = encoder(batch, dropout=model.attrs["dropout_rate"])
    mask = padding_mask(sequences.ids)

    def backprop(d_batch: OutT) -> InT:
        (d_padded,) = d_batch.model_output.to_tuple()
        hidden.backward(d_padded[mask.to(d_padded.device)].to(hidden.device))
        return []

    return sequences_to_batch(sequences, hidden.detach(), tokenizer, split=False), backprop


def encode(encoder: nn.Module, sequences: List[Ints]) -> Tensor:  # noqa: UP006
    """Encode sequences without gradients, however many there are.

    Args:
        encoder: The encoder.
        sequences: Piece ids of each.

    Returns:
        *Shape:* (total, hidden), float32.
    """
    if encoder.training:
        encoder.eval()
    device = next(encoder.parameters()).device
    lengths = [len(sequence) for sequence in sequences]
    parts = []
    with torch.no_grad():
        for group in batch_by_budget(lengths, budget=INFERENCE_PIECES):
            batch = PackedBatch.from_sequences([sequences[i] for i in group], device=device)
            parts.append(encoder(batch))
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def replace_listener(model: Model[InT, OutT]) -> Model:
    """Return a copied encoder in the shape of the listener that it replaces."""
    return chain(model, split_trf_batch())


def replace_listener_cfg(encoder_cfg: dict, listener_cfg: dict) -> dict:
    """Return the config of the encoder that replaces a listener, with the listener's pooling."""
    copied = ("pooling", "grad_factor")
    return {
        **encoder_cfg,
        "@architectures": TOK2VEC,
        **{key: listener_cfg[key] for key in copied if key in listener_cfg},
    }


def _longest_sequence(windows: WindowSettings, checkpoint: Checkpoint, name: str) -> int | None:
    """Return the most pieces of a sequence, which the encoder must be able to take."""
    limit = checkpoint.encoder.max_length
    if windows.max_length is None:
        limits = [n for n in (limit, checkpoint.tokenizer.model_max_length) if n is not None]
        return min(limits, default=None)
    if limit is not None and windows.max_length > limit:
        message = Errors.SM062.format(value=windows.max_length, name=name, limit=limit)
        raise ValueError(message)
    return windows.max_length


def _not_modernbert(name: str, encoder: Encoder) -> str:
    padded = "sequences are padded"
    return Warnings.SMW040.format(
        name=name,
        model_type=encoder.config.model_type,
        padding=f"{padded} on a GPU only" if is_bert_like(encoder.config) else padded,
        limit="any number of" if encoder.max_length is None else f"at most {encoder.max_length}",
    )


def _no_backprop(d_batch: OutT) -> InT:
    return []
