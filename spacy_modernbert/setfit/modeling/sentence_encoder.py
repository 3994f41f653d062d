"""Texts to sentence vectors: tokenizer, encoder, pooling and later modules as one module."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ...encoder.packing import PackedBatch
from ...encoder.protocol import Encoder
from ...encoder.vocabulary import check_vocabulary
from ...errors import Errors
from ...text.batching import INFERENCE_PIECES, batch_by_budget
from ...text.tokenizer import Ints, PieceTokenizer
from ...text.windows import cut_windows
from .modules import Pooling, module_width


@dataclass(frozen=True)
class InputConfig:
    """How texts become sequences.

    Attributes:
        max_length: Pieces of the longest sequence, special tokens included; None for no limit.
        prompts: Name to text of the prompts of the checkpoint.
        prompt_name: The one that is put before every text; None for no prompt.
        include_prompt: Whether its pieces count in the sentence vector.
    """

    max_length: int | None = None
    prompts: Mapping[str, str] = field(default_factory=dict)
    prompt_name: str | None = None
    include_prompt: bool = True

    @property
    def prompt(self) -> str:
        """Text that is put before every text."""
        return self.prompts.get(self.prompt_name or "", "")


@dataclass(frozen=True, eq=False)
class TokenizedTexts:
    """Texts as sequences of piece ids.

    Attributes:
        sequences: One for each text, special tokens included; none is empty. *Shape:* (pieces,).
        truncated: Indices of the texts that are too long for one sequence. They lost their end,
            unless they are to be read in windows.
    """

    sequences: list[Ints]
    truncated: list[int]


class SentenceEncoder(nn.Module):
    """A network whose output is one vector for each text.

    Args:
        encoder: The network that makes piece vectors.
        tokenizer: Its tokenizer.
        modes: Pooling modes, of `modules.POOLING_MODES`.
        layers: The modules that follow the pooling, in order.
        input_config: How texts become sequences.

    Raises:
        ValueError: SM203 where the prompt leaves no room for a text, SM049 where the tokenizer is
            larger than the embeddings.
    """

    def __init__(
        self,
        encoder: Encoder,
        tokenizer: PieceTokenizer,
        *,
        modes: Sequence[str] = ("mean",),
        layers: Sequence[nn.Module] = (),
        input_config: InputConfig | None = None,
    ) -> None:
        super().__init__()
        check_vocabulary(tokenizer, encoder)
        self.encoder = encoder
        self.tokenizer = tokenizer
        self.input_config = config = input_config or InputConfig(tokenizer.model_max_length)
        n_prompt = len(tokenizer.encode_texts([config.prompt])[0].ids)
        n_prefix, n_suffix = len(tokenizer.prefix_ids), len(tokenizer.suffix_ids)
        # Pieces before and after a text that every window repeats.
        self._edges = (n_prefix + n_prompt, n_suffix)
        # Most pieces of a text, its prompt included.
        self._capacity: int | None = None
        if config.max_length is not None:
            self._capacity = config.max_length - n_suffix - n_prefix
            if self._capacity <= n_prompt:
                message = Errors.SM203.format(limit=config.max_length, prompt=config.prompt)
                raise ValueError(message)
        self.pooling = Pooling(modes, skip=0 if config.include_prompt else n_prefix + n_prompt)
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

    def tokenize(self, texts: Sequence[str], *, whole: bool = False) -> TokenizedTexts:
        """Turn texts into sequences, prompt and special tokens included.

        A text that doesn't fit loses its end, as it did when the checkpoint was trained. If
        ``whole``, it stays whole, and `encode` reads it in windows.
        """
        prompt, tokenizer = self.input_config.prompt, self.tokenizer
        sequences: list[Ints] = []
        truncated: list[int] = []
        for index, pieces in enumerate(tokenizer.encode_texts([prompt + text for text in texts])):
            ids = pieces.ids
            if self._capacity is not None and len(ids) > self._capacity:
                truncated.append(index)
                ids = ids if whole else ids[: self._capacity]
            # Without a text and without special tokens, padding is read.
            full = [*tokenizer.prefix_ids, *ids, *tokenizer.suffix_ids] or [tokenizer.pad_id]
            sequences.append(np.array(full, dtype=np.int32))
        return TokenizedTexts(sequences, truncated)

    def forward(self, batch: PackedBatch, *, dropout: float = 0.0) -> Tensor:
        """Encode a batch; for the arguments see `Encoder.forward`.

        Returns:
            *Shape:* (sequences, width), float32.
        """
        if not batch.n_sequences:
            return torch.zeros(0, self.width, device=batch.device)
        vectors = self.pooling(self.encoder(batch, dropout=dropout), batch)
        for layer in self.layers:
            vectors = layer(vectors)
        return vectors

    def cut(self, sequence: Ints) -> list[Ints]:
        """Return a sequence that is too long as windows, each with prompt and special tokens.

        Neighbors share a quarter of a window, and the last window ends with the text. A sequence
        that is not too long is its only window.
        """
        limit = self.input_config.max_length
        if limit is None or len(sequence) <= limit:
            return [sequence]
        before, after = self._edges
        capacity = limit - before - after
        end = len(sequence) - after
        windows = cut_windows(end - before, capacity=capacity, overlap=capacity // 4)
        start, stop = sequence[:before], sequence[end:]
        return [
            np.concatenate([start, sequence[before + first : before + last], stop])
            for first, last in zip(windows.starts, windows.ends, strict=True)
        ]

    def encode(
        self, sequences: Sequence[Ints], *, progress: Callable[[int], object] | None = None
    ) -> npt.NDArray[np.float32]:
        """Encode what `tokenize` returned, without gradients, however many sequences there are.

        A sequence that is too long has the mean of the vectors of its windows, of the mean length
        of these vectors.

        Args:
            sequences: Piece ids.
            progress: Called with the number of windows that were encoded, batch by batch.

        Returns:
            *Shape:* (sequences, width), float32.
        """
        parts = [self.cut(sequence) for sequence in sequences]
        windows = [window for part in parts for window in part]
        vectors = self._encode(windows, progress)
        if len(windows) == len(sequences):
            return vectors
        means = np.zeros((len(sequences), self.width), dtype=np.float32)
        start = 0
        for row, part in zip(means, parts, strict=True):
            own = vectors[start : start + len(part)]
            start += len(part)
            row[:] = own.mean(axis=0)
            if len(part) > 1:
                length = np.linalg.norm(own, axis=1).mean()
                row *= length / max(float(np.linalg.norm(row)), 1e-12)
        return means

    def _encode(
        self, sequences: Sequence[Ints], progress: Callable[[int], object] | None
    ) -> npt.NDArray[np.float32]:
        was_training = self.training
        self.eval()
        vectors = np.zeros((len(sequences), self.width), dtype=np.float32)
        lengths = [len(sequence) for sequence in sequences]
        # Sequences of similar length go together: networks that pad inside then pad little.
        for group in batch_by_budget(lengths, budget=INFERENCE_PIECES, padded=True):
            batch = PackedBatch.from_sequences([sequences[i] for i in group], device=self.device)
            with torch.no_grad():
                vectors[group] = self(batch).cpu().numpy()
            if progress is not None:
                progress(len(group))
        self.train(was_training)
        return vectors

    def encode_texts(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Encode texts without gradients; long ones lose their end. *Shape:* (texts, width)."""
        return self.encode(self.tokenize(texts).sequences)
