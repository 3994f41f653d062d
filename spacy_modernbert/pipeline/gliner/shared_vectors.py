"""A bi-encoder's text side, taken from the vectors that the shared ``transformer`` left on Docs.

They are used where they are those that the checkpoint's own text encoder would give, and refused
otherwise. Two things are looked at:

* The pieces, of every Doc. GLiNERs are trained on single words, while an encoder that reads whole
  texts has the space before a word in its piece: of "Steve Jobs lived here" it reads ``Steve ĠJobs
  Ġlived Ġhere`` in place of ``Steve Jobs lived here``.
* The weights, once for each network that is loaded: one Doc is encoded here as well, and the
  vectors are compared.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from spacy.tokens import Doc
from spacy_transformers.data_classes import TransformerData
from thinc.api import Model, to_numpy, xp2torch
from torch import Tensor

from ...encoder.packing import PackedBatch
from ...errors import Errors
from ...gliner.inference.model import GlinerModel
from ...text.tokenizer import WordPieces
from .doc_words import DocWords

# How far vectors of the same weights may be apart, relative to their size: other batches, other
# kernels. In bfloat16 it adds up to a percent; after a few steps of training it is more.
_TOLERANCE = {"float32": 1e-3, "bfloat16": 3e-2}


def take_vectors(model: Model, docs: Sequence[Doc], words: Sequence[DocWords]) -> list[Tensor]:
    """Take the vectors of Docs from ``doc._.trf_data``.

    Args:
        model: The model of a ``gliner`` pipe.
        docs: Docs that a ``transformer`` has seen.
        words: Their words, which must be tokens.

    Returns:
        For each Doc the vectors of its words' pieces. *Shape:* (pieces, width of the encoder).

    Raises:
        ValueError: SM135 where the checkpoint has no text side of its own, SM136 where the vectors
            are missing or not those of the checkpoint.
    """
    gliner, shim = model.checkpoint, model.shim
    if not gliner.config.is_bi:
        reason = "this is a uni-encoder, which reads texts and labels together"
        raise ValueError(Errors.SM135.format(reason=reason))
    if gliner.network.structure.fuser:
        reason = "this checkpoint reads all layers of its encoder, and Docs have the last one only"
        raise ValueError(Errors.SM135.format(reason=reason))
    rows = gliner.prompt_builder.encode([own.words for own in words])
    width = gliner.network.encoder.hidden_size
    found = [
        _vectors(doc, own, row) if own.words else torch.zeros((0, width))
        for doc, own, row in zip(docs, words, rows, strict=True)
    ]
    read = [doc for doc, row in zip(docs, rows, strict=True) if len(row.ids)]
    if read and not gliner.is_encoder_shared:
        _check_weights(gliner, min(read, key=len), shim.precision)
        object.__setattr__(gliner, "is_encoder_shared", True)
    return found


def _vectors(doc: Doc, words: DocWords, row: WordPieces) -> Tensor:
    data = getattr(doc._, "trf_data", None) if Doc.has_extension("trf_data") else None
    if data is None or len(data.align.lengths) != len(doc):
        raise ValueError(_unusable(doc, "no transformer has read it"))
    tokens = np.repeat(np.arange(len(doc)), _flat(data.align.lengths))
    is_word = np.isin(tokens, words.first)
    places = _flat(data.align.dataXd)[is_word]
    ids = _flat(data.wordpieces.input_ids)[places]
    if not np.array_equal(ids, row.ids):
        strings = np.array([s for line in data.wordpieces.strings for s in line])
        seen = " ".join(strings[places][:6])
        raise ValueError(_unusable(doc, f"it was read in other pieces ({seen} ...)"))
    if not np.array_equal(np.searchsorted(words.first, tokens[is_word]), row.words):
        raise ValueError(_unusable(doc, "its pieces belong to other words"))
    hidden = xp2torch(data.model_output.last_hidden_state).flatten(0, 1)
    return hidden[torch.from_numpy(places.astype(np.int64)).to(hidden.device)]


def _check_weights(gliner: GlinerModel, doc: Doc, precision: str) -> None:
    """Encode a Doc's first row, and compare."""
    data: TransformerData = doc._.trf_data
    is_piece = to_numpy(data.wordpieces.attention_mask[0]) > 0
    row = to_numpy(data.wordpieces.input_ids[0])[is_piece]
    theirs = torch.from_numpy(to_numpy(data.model_output.last_hidden_state[0])[is_piece])
    with torch.inference_mode():
        batch = PackedBatch.from_sequences([row], device=gliner.network.device)
        own = gliner.network.token_rep_layer.bert_layer(batch).cpu()
    is_same = own.shape == theirs.shape
    if is_same:
        distance = float((own - theirs).norm() / own.norm())
        is_same = distance < _TOLERANCE[precision]
    if not is_same:
        raise ValueError(_unusable(doc, "another encoder has read it, with other weights"))


def _unusable(doc: Doc, reason: str) -> str:
    return Errors.SM136.format(text=doc.text[:30], reason=reason)


def _flat(array: object) -> NDArray[np.int64]:
    flat: NDArray[np.int64] = to_numpy(array).reshape(-1).astype(np.int64)
    return flat
