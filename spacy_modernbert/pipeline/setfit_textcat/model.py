"""The thinc layer of the ``setfit_textcat`` pipe: Docs in, one vector a Doc out."""

# No `from __future__ import annotations`: thinc reads the types of `forward` when data validation
# is on, and configs are validated against those of the architecture.

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import List, Tuple, TypeAlias  # noqa: UP035 - the types pydantic knows in thinc

from spacy.tokens import Doc
from spacy.util import registry
from thinc.api import Model, xp2torch
from thinc.types import Floats2d
from torch import nn

from ...encoder.bundled import BUNDLED
from ...encoder.hub import resolve_encoder
from ...encoder.packing import PackedBatch
from ...encoder.precision import Precision
from ...errors import Warnings
from ...setfit.checkpoint import serialization
from ...setfit.checkpoint.read import Overrides, load_sentence_encoder
from ...setfit.checkpoint.write import save_sentence_encoder
from ...setfit.modeling.sentence_encoder import SentenceEncoder
from ...text.tokenizer import Ints
from ..checkpoint_model import CheckpointModel, CheckpointShim
from .bundled import load_bundled_sentence_encoder

InT: TypeAlias = List[Doc]  # noqa: UP006
OutT: TypeAlias = Floats2d


@registry.architectures("spacy_modernbert.SentenceEncoder.v1")
def sentence_encoder_v1(
    name: str = BUNDLED,
    pooling: str | None = None,
    normalize: bool | None = None,
    prompt: str | None = None,
    max_length: int | None = None,
    precision: Precision = "float32",
) -> Model[List[Doc], Floats2d]:  # noqa: UP006
    """Make the model of a ``setfit_textcat`` pipe: Docs to one vector each.

    Weights are not loaded here but in ``nlp.initialize``, from the saved pipeline, or at first use.

    Args:
        name: ``bundled``, a folder of sentence-transformers or a plain checkpoint, or a name on the
            hub.
        pooling: How a text's pieces become its vector. None: as the checkpoint says, which is the
            mean if it says nothing.
        normalize: Whether vectors have length one. None: as the checkpoint says.
        prompt: Text to put before every text, "" for nothing. None: as the checkpoint says.
        max_length: Most pieces of a text, special pieces included; longer texts lose their end,
            with a warning. None: as the checkpoint says.
        precision: Number format of weights and matrix products.

    Returns:
        The model. *Shape of its output:* (docs, width), float32.
    """
    format = SentenceEncoderFormat(Overrides(pooling, normalize, prompt, max_length))
    return CheckpointModel(
        "sentence_encoder",
        forward,
        CheckpointShim(format, name, precision=precision),
        dims={"nO": None},
        attrs={"dropout_rate": 0.0, "windows": False},
    )


@dataclass(frozen=True)
class SentenceEncoderFormat:
    """Folders of sentence-transformers, read with overrides; in memory one safetensors file."""

    overrides: Overrides

    def load(self, name: str, precision: Precision) -> SentenceEncoder:
        """Load the bundled sentence encoder, or a checkpoint by folder or hub name."""
        if name == BUNDLED:
            return load_bundled_sentence_encoder(self.overrides, precision)
        return self.from_disk(resolve_encoder(name), precision)

    def from_disk(self, path: Path, precision: Precision) -> SentenceEncoder:
        """Read a folder of sentence-transformers, or a plain checkpoint."""
        return load_sentence_encoder(path, overrides=self.overrides, precision=precision)

    def to_disk(self, checkpoint: SentenceEncoder, path: Path) -> None:
        """Write a folder that sentence-transformers loads, too."""
        save_sentence_encoder(checkpoint, path)

    def from_bytes(self, data: bytes, precision: Precision) -> SentenceEncoder:
        """Read what `to_bytes` returned."""
        return serialization.from_bytes(data, precision=precision)

    def to_bytes(self, checkpoint: SentenceEncoder) -> bytes:
        """Return network, configuration and tokenizer as the bytes of a safetensors file."""
        return serialization.to_bytes(checkpoint)

    def network(self, checkpoint: SentenceEncoder) -> nn.Module:
        """Return the sentence encoder, which is a module."""
        return checkpoint

    def output_width(self, checkpoint: SentenceEncoder) -> int:
        """Return the width of the sentence vectors."""
        return checkpoint.width


def forward(model: CheckpointModel[InT, OutT], docs: InT, is_train: bool) -> Tuple[OutT, Callable]:  # noqa: UP006
    """Encode Docs. A Doc's vector comes from its text alone, not from its tokens.

    Returns:
        *Shape:* (docs, width), float32.
    """
    encoder: SentenceEncoder = model.checkpoint
    sequences = tokenize(model, [doc.text for doc in docs])
    if not is_train:
        return model.ops.asarray2f(encoder.encode(sequences)), _no_backprop
    dropout = model.attrs["dropout_rate"]
    encoder.encoder.prepare_training_()
    encoder.train(dropout > 0)
    first = [encoder.cut(sequence)[0] for sequence in sequences]
    batch = PackedBatch.from_sequences(first, device=encoder.device)
    vectors = encoder(batch, dropout=dropout)
    encoder.eval()

    def backprop(d_vectors: OutT) -> InT:
        vectors.backward(xp2torch(d_vectors, device=vectors.device))
        return []

    return model.ops.asarray2f(vectors.detach().cpu().numpy()), backprop


def tokenize(model: CheckpointModel, texts: Sequence[str]) -> List[Ints]:  # noqa: UP006
    """Return the piece ids of texts.

    Texts that are too long stay whole if the model reads windows. Otherwise they lose their end,
    with a warning once a checkpoint.
    """
    encoder: SentenceEncoder = model.checkpoint
    whole: bool = model.attrs["windows"]
    tokenized = encoder.tokenize(texts, whole=whole)
    n = len(tokenized.truncated)
    if n and not whole and not encoder.has_warned_of_truncation:
        encoder.has_warned_of_truncation = True
        limit = encoder.input_config.max_length
        message = Warnings.SMW231.format(n=n, total=len(texts), limit=limit)
        warnings.warn(message, stacklevel=3)
    return tokenized.sequences


def _no_backprop(d_vectors: OutT) -> InT:
    return []
