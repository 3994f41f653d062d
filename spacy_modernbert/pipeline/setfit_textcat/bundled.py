"""The bundled sentence encoder: the label encoder of the bundled GLiNER, with mean pooling."""

from __future__ import annotations

from ...encoder.bundled import bundled_folder
from ...encoder.checkpoint import build_encoder
from ...encoder.precision import Precision
from ...encoder.weights import weights_below
from ...gliner.checkpoint.serialization import LABELS_TOKENIZER, read_weights
from ...gliner.modeling.config import GlinerConfig
from ...gliner.modeling.structure import LABELS
from ...setfit.checkpoint.folder_config import POOLING, FolderConfig
from ...setfit.checkpoint.read import Overrides, build_sentence_encoder
from ...setfit.modeling.modules import ModuleSpec
from ...setfit.modeling.sentence_encoder import SentenceEncoder
from ...text.tokenizer import PieceTokenizer

# What follows the network in all-MiniLM-L6-v2, which the label encoder was distilled from.
_LIKE_MINILM = FolderConfig(
    transformer="",
    modules=(
        ModuleSpec(POOLING, {"modes": ["mean"], "include_prompt": True}),
        ModuleSpec("Normalize"),
    ),
    max_length=256,
)


def load_bundled_sentence_encoder(overrides: Overrides, precision: Precision) -> SentenceEncoder:
    """Read the label encoder out of the bundled GLiNER. The package has no second copy of it.

    Raises:
        FileNotFoundError: SM161 if the installation lacks the bundled model.
        ValueError: SM202 or SM204 if an override is not supported.
    """
    folder = bundled_folder()
    config = GlinerConfig.from_folder(folder).labels_encoder_config or {}
    weights = weights_below(read_weights(folder), LABELS)
    return build_sentence_encoder(
        build_encoder(config, weights, precision=precision),
        PieceTokenizer.from_folder(folder / LABELS_TOKENIZER),
        _LIKE_MINILM,
        overrides=overrides,
        source=folder,
    )
