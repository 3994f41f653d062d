"""The small parts around the encoder, with the state-dict names of published checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...encoder.dropout import Dropout


class Mlp(nn.Sequential):
    """Two linear layers, numbered 0 and 3 in the state dict.

    Args:
        width: Width of the input.
        out: Width of the output.
        inner: Width in between. Default: four times the output.
        dropout: Dropout rate in training.
    """

    def __init__(self, width: int, out: int, *, inner: int | None = None, dropout: float) -> None:
        inner = inner or 4 * out
        super().__init__(
            nn.Linear(width, inner), nn.ReLU(), Dropout(dropout), nn.Linear(inner, out)
        )

    @property
    def inner(self) -> nn.Linear:
        """The first layer."""
        return cast(nn.Linear, self[0])

    @property
    def dropout(self) -> Dropout:
        """The dropout between the layers."""
        return cast(Dropout, self[2])

    @property
    def outer(self) -> nn.Linear:
        """The second layer."""
        return cast(nn.Linear, self[3])


class LayerFuser(nn.Module):
    """Weights all layers of an encoder, per sequence (squeeze-and-excitation, arXiv 1709.01507).

    Upstream takes the mean over padding, too, so that its vectors depend on the other sequences of
    a batch. Here the mean is that of the sequence alone.
    """

    def __init__(self, layers: int, width: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(width, 1)
        self.W1 = nn.Linear(layers, layers // 2)
        self.W2 = nn.Linear(layers // 2, layers)
        self.output_projection = nn.Linear(width, width)

    def forward(self, states: Sequence[Tensor], lengths: Sequence[int]) -> Tensor:
        """Fuse the outputs of the layers. *Shape:* (total, width) each, to (total, width)."""
        sizes = list(lengths)
        squeezed = torch.stack([self.squeeze(state).squeeze(-1) for state in states], dim=-1)
        means = torch.stack([part.mean(dim=0) for part in torch.split(squeezed, sizes)])
        weights = torch.sigmoid(self.W2(F.relu(self.W1(means))))
        counts = torch.tensor(sizes, device=weights.device)
        weights = weights.repeat_interleave(counts, dim=0, output_size=len(squeezed))
        fused = torch.stack([state * weights[:, i, None] for i, state in enumerate(states)]).sum(0)
        return cast(Tensor, self.output_projection(fused))


class WordLstm(nn.Module):
    """A bidirectional LSTM over the words of each sequence."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, width // 2, layers, bidirectional=True, batch_first=True)

    def forward(self, words: Tensor, lengths: Sequence[int]) -> Tensor:
        """*Shape:* (total, width) to (total, width); no sequence sees another."""
        filled = [part for part in torch.split(words, list(lengths)) if len(part)]
        if not filled:
            return words
        packed = nn.utils.rnn.pack_sequence(filled, enforce_sorted=False)
        return torch.cat(nn.utils.rnn.unpack_sequence(self.lstm(packed)[0]))


class Attention(nn.Module):
    """Multi-head attention of one list of vectors to another, without an output projection."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.query_layer = nn.Linear(width, width)
        self.key_layer = nn.Linear(width, width)
        self.value_layer = nn.Linear(width, width)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """*Shape:* (a, width), (b, width), (b, width) to (a, width)."""
        rate = self.dropout if self.training else 0.0
        parts = (self.query_layer(query), self.key_layer(key), self.value_layer(value))
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(0, 1) for x in parts)
        mixed = F.scaled_dot_product_attention(q[None], k[None], v[None], dropout_p=rate)
        return mixed[0].transpose(0, 1).flatten(1)


class SelfBlock(nn.Module):
    """Attention of labels to labels, or of words to words.

    The *normalized* input is added to the result: unusual, but checkpoints were trained so.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = Attention(width, heads, dropout)
        self.pre_norm = nn.LayerNorm(width)
        self.post_norm = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)

    def forward(self, own: Tensor, _: Tensor) -> Tensor:
        """*Shape:* (a, width) to (a, width)."""
        x = self.pre_norm(own)
        seen = self.self_attn(self.q_proj(x), self.k_proj(x), self.v_proj(x))
        return cast(Tensor, self.post_norm(x + self.dropout(seen)))


class CrossBlock(nn.Module):
    """Attention of labels to words, or of words to labels."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.cross_attn = Attention(width, heads, dropout)
        self.pre_norm = nn.LayerNorm(width)
        self.post_norm = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)
        self.v_proj = nn.Linear(width, width)

    def forward(self, own: Tensor, other: Tensor) -> Tensor:
        """*Shape:* (a, width), (b, width) to (a, width)."""
        x = self.pre_norm(own)
        seen = self.cross_attn(x, other, self.v_proj(other))
        return cast(Tensor, self.post_norm(x + self.dropout(seen)))


class CrossFuser(nn.Module):
    """Lets labels and words of one sequence attend to each other (the poly-encoder).

    The schema has blocks in order, such as ``l2l-l2t-t2t``; what stands before the 2 is changed. It
    is applied ``layers`` times.
    """

    def __init__(self, width: int, *, heads: int, layers: int, schema: str, dropout: float) -> None:
        super().__init__()
        self.schema = schema.split("-")
        blocks = [SelfBlock if step[0] == step[-1] else CrossBlock for step in self.schema]
        self.layers = nn.ModuleList(
            nn.ModuleList(block(width, heads, dropout) for block in blocks) for _ in range(layers)
        )

    def forward(self, words: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse the words and labels of one sequence. *Shape:* (words, width), (labels, width)."""
        for blocks in self.layers:
            for step, block in zip(self.schema, cast(nn.ModuleList, blocks), strict=True):
                if step[0] == "l":
                    labels = block(labels, words)
                else:
                    words = block(words, labels)
        return words, labels
