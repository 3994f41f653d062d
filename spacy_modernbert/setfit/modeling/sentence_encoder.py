"""Texts to sentence vectors: tokenizer, encoder, pooling and what follows, as one module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ...encoder.packing import PackedBatch
from ...encoder.protocol import Encoder
from ...errors import Errors
from ...text.batching import batch_by_budget
from ...text.tokenizer import Ints, PieceTokenizer
from .modules import Pooling, module_width

# Pieces that go through the encoder at once, when there are no gradients.
AT_ONCE = 8192


@dataclass(frozen=True)
class Reading:
    """How texts are put into rows.

    Attributes:
        max_length: Pieces of the longest row, special tokens included; None for no limit.
        prompts: Name to text of the prompts that the checkpoint knows.
        prompt_name: The one that is put before every text; None for no prompt.
        include_prompt: Whether its pieces count in the sentence vector.
    """

    max_length: int | None = None
    prompts: Mapping[str, str] = field(default_factory=dict)
    prompt_name: str | None = None
    include_prompt: bool = True

    @property
    def prompt(self) -> str:
        """What is put before every text."""
        return self.prompts.get(self.prompt_name or "", "")


@dataclass(frozen=True, eq=False)
class TokenizedTexts:
    """Texts as rows of piece ids.

    Attributes:
        rows: One row a text, special tokens included; none of them is empty. *Shape:* (pieces,)
        cut: Indices of the texts that were longer than a row can be, and lost their end.
    """

    rows: list[Ints]
    cut: list[int]


class SentenceEncoder(nn.Module):
    """A network whose output is one vector a text.

    Args:
        encoder: The network that makes piece vectors.
        tokenizer: Its tokenizer.
        modes: Pooling rules, of `layout.POOLING_MODES`.
        layers: What follows the pooling, in order.
        reading: How texts are put into rows.

    Raises:
        ValueError: SM203 where the prompt leaves no room for a text.
    """

    def __init__(
        self,
        encoder: Encoder,
        tokenizer: PieceTokenizer,
        *,
        modes: Sequence[str] = ("mean",),
        layers: Sequence[nn.Module] = (),
        reading: Reading | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.tokenizer = tokenizer
        self.reading = reading or Reading(tokenizer.model_max_length)
        self._capacity = _capacity(self.reading, tokenizer)
        skip = 0 if self.reading.include_prompt else _prompt_pieces(self.reading, tokenizer)
        self.pooling = Pooling(modes, skip=skip)
        self.layers = nn.ModuleList(layers)
        self.has_warned_of_truncation = False
        self.eval()

    @property
    def width(self) -> int:
        """Width of the sentence vectors."""
        width = self.encoder.hidden_size * len(self.pooling.modes)
        for layer in self.layers:
            width = module_width(layer, width)
        return width

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def word_embeddings(self) -> nn.Module:
        """The table of piece embeddings: a third or more of the weights of a small network."""
        return self.encoder.input_embeddings

    def tokenize(self, texts: Sequence[str]) -> TokenizedTexts:
        """Put texts into rows, prompt and special tokens included.

        A text that doesn't fit loses its end, as it did when the checkpoint was trained; which
        ones did is in the answer, so that the caller can say so.
        """
        prompt, tokenizer = self.reading.prompt, self.tokenizer
        rows: list[Ints] = []
        cut: list[int] = []
        for index, row in enumerate(tokenizer.encode_texts([prompt + text for text in texts])):
            ids = row.ids
            if self._capacity is not None and len(ids) > self._capacity:
                cut.append(index)
                ids = ids[: self._capacity]
            framed = np.array([*tokenizer.prefix_ids, *ids, *tokenizer.suffix_ids], dtype=np.int32)
            # A network needs something to read where there is neither a text nor a frame.
            rows.append(framed if len(framed) else np.array([tokenizer.pad_id], dtype=np.int32))
        return TokenizedTexts(rows, cut)

    def forward(self, batch: PackedBatch, *, dropout: float = 0.0) -> Tensor:
        """Encode rows.

        Args:
            batch: Rows of piece ids, on the device of the weights.
            dropout: Least dropout rate in training mode.

        Returns:
            *Shape:* (rows, width), float32.
        """
        if not batch.n_sequences:
            return torch.zeros(0, self.width, device=batch.device)
        vectors = self.pooling(self.encoder(batch, dropout=dropout), batch)
        for layer in self.layers:
            vectors = layer(vectors)
        return vectors

    def encode(self, rows: Sequence[Ints]) -> npt.NDArray[np.float32]:
        """Encode rows without gradients, however many there are.

        Args:
            rows: Rows of piece ids, as `tokenize` makes them.

        Returns:
            *Shape:* (rows, width), float32.
        """
        was_training = self.training
        self.eval()
        vectors = np.zeros((len(rows), self.width), dtype=np.float32)
        # Rows of like length together: networks that pad inside then pad little.
        for group in batch_by_budget([len(row) for row in rows], budget=AT_ONCE, padded=True):
            batch = PackedBatch.from_sequences([rows[i] for i in group], device=self.device)
            with torch.no_grad():
                vectors[group] = self(batch).cpu().numpy()
        self.train(was_training)
        return vectors

    def encode_texts(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Encode texts without gradients; long ones lose their end.

        Returns:
            *Shape:* (texts, width), float32.
        """
        return self.encode(self.tokenize(texts).rows)


def _prompt_pieces(reading: Reading, tokenizer: PieceTokenizer) -> int:
    """Count the pieces before the text."""
    return len(tokenizer.prefix_ids) + len(tokenizer.encode_texts([reading.prompt])[0].ids)


def _capacity(reading: Reading, tokenizer: PieceTokenizer) -> int | None:
    """Count the pieces of the longest text, its prompt included."""
    if reading.max_length is None:
        return None
    room = reading.max_length - len(tokenizer.suffix_ids)
    if room <= _prompt_pieces(reading, tokenizer):
        message = Errors.SM203.format(limit=reading.max_length, prompt=reading.prompt)
        raise ValueError(message)
    return room - len(tokenizer.prefix_ids)
