"""A tokenizer and the embeddings it needs."""

from __future__ import annotations

from ..errors import Errors
from ..text.tokenizer import PieceTokenizer
from .protocol import Encoder


def check_vocabulary(tokenizer: PieceTokenizer, encoder: Encoder) -> None:
    """Check that every piece that a text can have has an embedding.

    Raises:
        ValueError: SM049 if the tokenizer is larger than the embeddings.
    """
    rows = encoder.input_embeddings.num_embeddings
    if tokenizer.highest_id >= rows:
        message = Errors.SM049.format(
            source=tokenizer.source, entries=tokenizer.highest_id + 1, rows=rows
        )
        raise ValueError(message)
