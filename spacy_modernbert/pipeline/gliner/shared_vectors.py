"""The vectors of a bi-encoder's text side, taken from the shared ``transformer``.

They are used if they are the ones that the checkpoint's own text encoder would compute, and refused
otherwise. Two things are checked:

* The pieces, for every Doc. GLiNERs are trained on single words, while an encoder that reads whole
  texts has the space before a word in its piece: in "Steve Jobs lived here" it reads ``Steve ĠJobs
  Ġlived Ġhere`` instead of ``Steve Jobs lived here``.
* The weights, once for each loaded network: the checkpoint's own encoder encodes one Doc, and the
  vectors are compared.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from spacy.tokens import Doc
from thinc.api import to_numpy, xp2torch
from torch import Tensor

from ...encoder.packing import PackedBatch
from ...errors import Errors
from ...gliner.inference.model import GlinerModel
from ...text.tokenizer import WordPieces
from ..checkpoint_model import CheckpointModel
from .doc_words import DocWords

# How far vectors of the same weights may be apart, relative to their size, because of other batches
# and kernels. In bfloat16 that adds up to a percent; a few steps of training make it more.
_TOLERANCE = {"float32": 1e-3, "bfloat16": 3e-2}


class SharedVectors:
    """Takes the vectors of Docs from ``doc._.trf_data``; checks the weights once per network."""

    def __init__(self) -> None:
        self._checked: GlinerModel | None = None

    def take(
        self, model: CheckpointModel, docs: Sequence[Doc], words: Sequence[DocWords]
    ) -> list[Tensor]:
        """Return the vectors of the words' pieces of each Doc.

        Args:
            model: The model of a ``gliner`` component.
            docs: Docs that a ``transformer`` has encoded.
            words: Their words, which must be tokens.

        Returns:
            One tensor per Doc. *Shape:* (pieces, width of the encoder).

        Raises:
            ValueError: SM135 if the checkpoint has no text encoder of its own, SM136 if the
                vectors are missing or not those of the checkpoint.
        """
        gliner: GlinerModel = model.checkpoint
        if not gliner.config.is_bi:
            reason = "this is a uni-encoder, which reads texts and labels together"
            raise ValueError(Errors.SM135.format(reason=reason))
        if gliner.network.structure.fuser:
            reason = "this checkpoint uses all layers of its encoder, and Docs have the last one"
            raise ValueError(Errors.SM135.format(reason=reason))
        pieces = gliner.prompt_builder.encode([own.words for own in words])
        width = gliner.network.encoder.hidden_size
        found = [
            _vectors(doc, own, read) if own.words else torch.zeros((0, width))
            for doc, own, read in zip(docs, words, pieces, strict=True)
        ]
        encoded = [doc for doc, read in zip(docs, pieces, strict=True) if len(read.ids)]
        if encoded and self._checked is not gliner:
            _check_weights(gliner, min(encoded, key=len), model.shim.precision)
            self._checked = gliner
        return found

    def __reduce__(self) -> tuple[type[SharedVectors], tuple[()]]:
        return SharedVectors, ()  # a copy checks its own network


def _vectors(doc: Doc, words: DocWords, pieces: WordPieces) -> Tensor:
    data = getattr(doc._, "trf_data", None) if Doc.has_extension("trf_data") else None
    if data is None or len(data.align.lengths) != len(doc):
        raise ValueError(_unusable(doc, "no transformer has read it"))
    tokens = np.repeat(np.arange(len(doc)), _flat(data.align.lengths))
    is_word = np.isin(tokens, words.first)
    positions = _flat(data.align.dataXd)[is_word]
    ids = _flat(data.wordpieces.input_ids)[positions]
    if not np.array_equal(ids, pieces.ids):
        strings = np.array([s for line in data.wordpieces.strings for s in line])
        seen = " ".join(strings[positions][:6])
        raise ValueError(_unusable(doc, f"it was read in other pieces ({seen} ...)"))
    if not np.array_equal(np.searchsorted(words.first, tokens[is_word]), pieces.words):
        raise ValueError(_unusable(doc, "its pieces belong to other words"))
    hidden = xp2torch(data.model_output.last_hidden_state).flatten(0, 1)
    return hidden[torch.from_numpy(positions.astype(np.int64)).to(hidden.device)]


def _check_weights(gliner: GlinerModel, doc: Doc, precision: str) -> None:
    """Encode a Doc's first sequence, and compare the vectors."""
    data = doc._.trf_data
    is_piece = to_numpy(data.wordpieces.attention_mask[0]) > 0
    sequence = to_numpy(data.wordpieces.input_ids[0])[is_piece]
    shared = torch.from_numpy(to_numpy(data.model_output.last_hidden_state[0])[is_piece])
    with torch.inference_mode():
        batch = PackedBatch.from_sequences([sequence], device=gliner.network.device)
        own = gliner.network.token_rep_layer.bert_layer(batch).cpu()
    is_same = own.shape == shared.shape
    if is_same:
        distance = float((own - shared).norm() / own.norm())
        is_same = distance < _TOLERANCE[precision]
    if not is_same:
        raise ValueError(_unusable(doc, "another encoder has read it, with other weights"))


def _unusable(doc: Doc, reason: str) -> str:
    return Errors.SM136.format(text=doc.text[:30], reason=reason)


def _flat(array: object) -> NDArray[np.int64]:
    flat: NDArray[np.int64] = to_numpy(array).reshape(-1).astype(np.int64)
    return flat
