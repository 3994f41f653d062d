"""Any other Hugging Face encoder behind the interface of ours.

The only importer of transformers' models. On a CPU BERT, MiniLM, XLM-R and their like take packed
rows as they are. Others, such as DeBERTa-v3, pad theirs inside; the caller sees packed rows all the
same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import Errors
from ..text.batching import batch_alike, batch_by_budget
from .bert import OFFSET_POSITIONS, is_like_bert, packed_layer_outputs
from .dropout import replace_dropout
from .packing import PackedBatch
from .precision import Precision, resolve_precision

# Pieces a group may hold, padding included. On CPUs groups of 1,000 to 2,000 pieces beat
# larger ones, whose intermediate results leave the cache.
GROUP = 2048
# These have no table of positions that a long row could overrun.
_RELATIVE = {"deberta", "deberta-v2", "t5"}


class HFEncoder(nn.Module):
    """A transformers encoder that takes and gives packed rows.

    Args:
        network: A transformers model whose output has ``last_hidden_state``.
        precision: ``bfloat16`` runs the matrix products under autocast.
    """

    def __init__(self, network: Any, *, precision: Precision = "float32") -> None:
        super().__init__()
        self.network = network
        self.precision = precision
        replace_dropout(network)
        self._rates = {m: m.p for m in network.modules() if isinstance(m, nn.Dropout)}

    @classmethod
    def from_state(
        cls,
        config: dict,
        state: dict[str, Tensor],
        *,
        precision: Precision = "float32",
        device: torch.device | None = None,
    ) -> HFEncoder:
        """Build the network of a ``config.json`` around the given weights.

        Raises:
            ValueError: SM048 where transformers knows no such encoder, SM044 where weights are
                missing.
        """
        from transformers import AutoConfig, AutoModel

        model_type = config.get("model_type")
        try:
            settings = AutoConfig.for_model(**config)
            network_type = AutoModel._model_mapping[type(settings)]
        except (KeyError, ValueError, TypeError) as error:
            raise ValueError(Errors.SM048.format(model_type=model_type, reason=error)) from error
        if settings.is_encoder_decoder or getattr(settings, "is_decoder", False):
            reason = "it is no encoder: its rows are read from left to right only"
            raise ValueError(Errors.SM048.format(model_type=model_type, reason=reason))
        # Given a state, from_pretrained reads no file and initialises nothing that the state has.
        with _quiet():
            network, info = network_type.from_pretrained(
                None, config=settings, state_dict=state, output_loading_info=True
            )
        missing = [name for name in info["missing_keys"] if "pooler" not in name]
        if missing:
            raise ValueError(Errors.SM044.format(missing=", ".join(missing[:4]), unknown="none"))
        encoder = cls(network.float(), precision=precision)
        return encoder.to(device or torch.device("cpu")).eval()

    def prepare_training_(self) -> HFEncoder:
        """Do nothing: the weights are float32 at all times, as autocast wants them."""
        return self

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Give the weights under the names of the published checkpoints."""
        return self.network.state_dict(*args, **kwargs)

    @property
    def config(self) -> Any:
        """The configuration object of transformers."""
        return self.network.config

    @property
    def hidden_size(self) -> int:
        """Width of the output vectors."""
        width: int = self.config.hidden_size
        return width

    @property
    def max_length(self) -> int | None:
        """Most pieces of a row, special tokens included, or None where there is no limit."""
        if self.config.model_type in _RELATIVE:
            return None
        limit: int | None = getattr(self.config, "max_position_embeddings", None)
        if limit is not None and self.config.model_type in OFFSET_POSITIONS:
            limit -= self.config.pad_token_id + 1
        return limit

    def forward(self, batch: PackedBatch, *, dropout: float = 0.0) -> Tensor:
        """Encode packed rows.

        Args:
            batch: The rows.
            dropout: Least dropout rate in training mode.

        Returns:
            *Shape:* (total, hidden), float32.
        """
        return self._run(batch, dropout=dropout)[-1]

    def layer_outputs(self, batch: PackedBatch, *, dropout: float = 0.0) -> list[Tensor]:
        """Encode packed rows and give what each layer put out, the last one last.

        Returns:
            One tensor a layer. *Shape:* (total, hidden), float32.
        """
        return self._run(batch, dropout=dropout, layers=True)

    def _run(self, batch: PackedBatch, *, dropout: float, layers: bool = False) -> list[Tensor]:
        for module, rate in self._rates.items():
            module.p = max(rate, dropout)
        order: list[int] = []
        parts: list[list[Tensor]] = []
        # A GPU would have to start its kernels row by row.
        packed = is_like_bert(self.config) and batch.device.type == "cpu"
        run = self._run_packed if packed else self._run_padded
        for group in (_by_length if packed else _alike)(batch.lengths):
            order += group
            parts.append(run(batch.take(group), layers=layers))
        return [_restore(list(outputs), batch, order) for outputs in zip(*parts, strict=True)]

    def _run_packed(self, batch: PackedBatch, *, layers: bool) -> list[Tensor]:
        dtype = resolve_precision(self.precision, batch.device)
        with self._autocast(batch.device):
            states = list(packed_layer_outputs(self.network, batch, dtype=dtype))
        return [hidden.float() for hidden in (states if layers else states[-1:])]

    def _run_padded(self, batch: PackedBatch, *, layers: bool) -> list[Tensor]:
        ids = batch.pad(batch.ids, value=self.config.pad_token_id or 0)
        with self._autocast(batch.device):
            output = self.network(
                input_ids=ids, attention_mask=batch.mask().long(), output_hidden_states=layers
            )
        outputs = output.hidden_states[1:] if layers else (output.last_hidden_state,)
        return [batch.unpad(hidden).float() for hidden in outputs]

    def _autocast(self, device: torch.device) -> torch.autocast:
        dtype = resolve_precision(self.precision, device)
        return torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype != torch.float32)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from announcing that a pooler nobody asks for has random weights."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)


def _alike(lengths: Sequence[int]) -> list[list[int]]:
    """Groups that little is lost in to padding."""
    return batch_alike(lengths, budget=GROUP)


def _by_length(lengths: Sequence[int]) -> list[list[int]]:
    """Groups of any rows; those of one length are neighbours, and share their attention."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True)
    groups = batch_by_budget([lengths[i] for i in order], budget=GROUP)
    return [[order[i] for i in group] for group in groups]


def _restore(parts: list[Tensor], batch: PackedBatch, order: list[int]) -> Tensor:
    """Bring the groups' rows, one after the other, back into the order of the batch."""
    lengths = [batch.lengths[i] for i in order]
    rows: Iterator[tuple[int, Tensor]] = zip(order, torch.cat(parts).split(lengths), strict=True)
    return torch.cat([row for _, row in sorted(rows, key=_first)])


def _first(pair: tuple[int, Tensor]) -> int:
    return pair[0]
