"""Any other Hugging Face encoder behind the interface of ours.

The only importer of transformers' models. They pad sequences, in groups of similar length; the
caller sees packed sequences all the same.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import Self

from ..errors import Errors
from ..text.batching import CPU_CACHE_PIECES, batch_similar_lengths
from .bert_config import OFFSET_POSITIONS
from .dropout import replace_dropout
from .packing import PackedBatch
from .precision import Precision, resolve_precision
from .protocol import Encoder
from .skip_init import SkipRandomInit
from .weights import encoder_weights, load_weights

# Model types without a table of positions that would limit the length of a sequence.
_RELATIVE_POSITIONS = {"deberta", "deberta-v2", "t5"}
# transformers imports its modules lazily; two threads at once would see them half imported.
_IMPORTING = threading.Lock()


class HFEncoder(Encoder):
    """A transformers encoder that takes and returns packed sequences.

    It registers the parts of the network as its own, so both have the same weights under the same,
    published, names. The pooler is left out: it would run for nothing, and many checkpoints have
    no weights for it.

    Args:
        network: A transformers model whose output has ``last_hidden_state``.
        precision: ``bfloat16`` runs the matrix products under autocast.
    """

    pads_sequences = True

    def __init__(self, network: Any, *, precision: Precision = "float32") -> None:
        super().__init__()
        if hasattr(network, "pooler"):
            network.pooler = nn.Identity()
        replace_dropout(network)
        self.config: Any = network.config
        self.precision = precision
        self._unregistered = (network,)
        self._parameters, self._buffers = network._parameters, network._buffers
        self._modules = network._modules
        self._non_persistent_buffers_set = network._non_persistent_buffers_set
        self._rates = {m: m.p for m in network.modules() if isinstance(m, nn.Dropout)}

    @classmethod
    def from_weights(
        cls,
        config: Mapping[str, Any],
        state: Mapping[str, Tensor],
        *,
        precision: Precision = "float32",
        device: torch.device | None = None,
    ) -> HFEncoder:
        """Build the network that a ``config.json`` describes around the given weights.

        Args:
            config: The content of ``config.json``.
            state: Name to weight, with or without the prefix and heads of task checkpoints.
            precision: Number format of the matrix products.
            device: Device of the network. Default: the CPU.

        Raises:
            ImportError: SM030 if transformers is not installed.
            ValueError: SM048 if transformers has no such encoder, SM044 if weights are missing or
                unexpected, SM045 if a shape is wrong.
        """
        network = _build_network(config)
        prefix = network.base_model_prefix
        encoder = cls(network, precision=precision)
        weights = encoder_weights(state, prefix="" if hasattr(network, prefix) else prefix)
        # Buffers, such as position ids, have their values already; old checkpoints store them.
        buffers = dict(encoder.named_buffers())
        stored = encoder.state_dict().keys()
        weights = {n: tensor for n, tensor in weights.items() if n in stored or n not in buffers}
        load_weights(encoder, {**{n: buffers[n] for n in buffers if n in stored}, **weights})
        return encoder.float().to(device or torch.device("cpu")).eval()

    @property
    def network(self) -> Any:
        """The transformers model."""
        return self._unregistered[0]

    @property
    def max_length(self) -> int | None:
        """Most pieces of a sequence, special tokens included; None for no limit."""
        if self.config.model_type in _RELATIVE_POSITIONS:
            return None
        limit: int | None = getattr(self.config, "max_position_embeddings", None)
        if limit is not None and self.config.model_type in OFFSET_POSITIONS:
            limit -= self.config.pad_token_id + 1
        return limit

    @property
    def input_embeddings(self) -> nn.Embedding:
        """Table of piece embeddings."""
        table: nn.Embedding = self.network.get_input_embeddings()
        return table

    def train(self, mode: bool = True) -> Self:
        """Set training mode, of the network too: it reads a flag of its own."""
        self.network.train(mode)
        return super().train(mode)

    def prepare_training_(self) -> Self:
        """Return the encoder unchanged: its weights are always float32, as autocast needs them."""
        return self

    def forward(self, batch: PackedBatch, *, dropout: float = 0.0) -> Tensor:
        """Encode sequences; see `Encoder.forward`.

        Returns:
            *Shape:* (total, hidden), float32.
        """
        return self._encode(batch, dropout=dropout)[-1]

    def layer_outputs(
        self, batch: PackedBatch, *, dropout: float = 0.0, final_norm: bool = True
    ) -> list[Tensor]:
        """Encode sequences and return the output of every layer; see `Encoder.layer_outputs`.

        Returns:
            One tensor a layer, as transformers lists them. *Shape:* (total, hidden), float32.
        """
        return self._encode(batch, dropout=dropout, all_layers=True)

    def _encode(
        self, batch: PackedBatch, *, dropout: float, all_layers: bool = False
    ) -> list[Tensor]:
        for module, rate in self._rates.items():
            module.p = max(rate, dropout)
        groups = batch_similar_lengths(batch.lengths, budget=CPU_CACHE_PIECES)
        parts = [
            self._encode_padded(batch.select(group), all_layers=all_layers) for group in groups
        ]
        order = [index for group in groups for index in group]
        return [batch.restore(torch.cat(outputs), order) for outputs in zip(*parts, strict=True)]

    def _encode_padded(self, batch: PackedBatch, *, all_layers: bool) -> list[Tensor]:
        ids = batch.pad(batch.ids, value=self.config.pad_token_id or 0)
        with self._autocast(batch.device):
            output = self.network(
                input_ids=ids, attention_mask=batch.mask().long(), output_hidden_states=all_layers
            )
        outputs = output.hidden_states[1:] if all_layers else (output.last_hidden_state,)
        return [batch.unpad(hidden).float() for hidden in outputs]

    def _autocast(self, device: torch.device) -> torch.autocast:
        dtype = resolve_precision(self.precision, device)
        return torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype != torch.float32)


def _build_network(config: Mapping[str, Any]) -> Any:
    """Build the network of a ``config.json``, with parameters that are allocated but not set.

    The class is called directly: ``from_pretrained`` patches functions of torch, and
    ``from_config`` sets its default dtype, for all threads of the process.
    """
    model_type = config.get("model_type")
    # The weights will be float32, whatever they are stored in.
    values = {name: value for name, value in config.items() if name != "dtype"}
    values["torch_dtype"] = "float32"
    try:
        with _IMPORTING:
            from transformers import MODEL_MAPPING, AutoConfig

            settings = AutoConfig.for_model(**values)
            found = MODEL_MAPPING[type(settings)]
    except ImportError as error:
        raise ImportError(Errors.SM030.format(model_type=model_type, reason=error)) from error
    except (KeyError, ValueError, TypeError) as error:
        raise ValueError(Errors.SM048.format(model_type=model_type, reason=error)) from error
    if settings.is_encoder_decoder or getattr(settings, "is_decoder", False):
        reason = "it is no encoder, because its pieces see only those before them"
        raise ValueError(Errors.SM048.format(model_type=model_type, reason=reason))
    network_type = found[0] if isinstance(found, (tuple, list)) else found
    with SkipRandomInit():
        return network_type(settings)
