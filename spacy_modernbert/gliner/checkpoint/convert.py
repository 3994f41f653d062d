"""Conversion of old checkpoints to self-contained ones, on a machine with network access.

Most published GLiNERs rely on other repositories: for the configuration and the tokenizer of the
backbone, in bi-encoders of the label encoder, too. And most keep their weights in a pickle.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer

from ...encoder.checkpoint import Checkpoint, save_encoder
from ...encoder.hub import TOKENIZER, resolve
from ...encoder.precision import Precision
from ...errors import Errors
from ...text.tokenizer import PieceTokenizer
from ..inference.model import GlinerModel
from ..inference.prompt import UNUSED_MARKER, marker_names
from ..modeling.config import GlinerConfig
from ..modeling.structure import read_structure, used_weights
from .build import build_network
from .serialization import LABELS_TOKENIZER, read_weights, save_gliner

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def convert(
    source: str | Path,
    target: Path,
    *,
    encoder: Path | None = None,
    labels_encoder: Path | None = None,
    half: bool = False,
) -> None:
    """Write a complete, safetensors-only copy of a checkpoint, which upstream gliner loads, too.

    Args:
        source: A folder, or a hub name. The checkpoint and all that it relies on are taken from
            the local cache if possible.
        target: The folder to write; files of the same name are replaced.
        encoder: Folder for the text encoder alone, as a checkpoint that any component can use.
        labels_encoder: Folder for the label encoder of a bi-encoder alone, likewise.
        half: Whether to write weights in float16; see `serialization.save_gliner`.

    Raises:
        FileNotFoundError: SM040, SM041, SM100 if the checkpoint does not exist.
        ValueError: SM112 if something it relies on is not available, SM113 if source and target
            are the same, SM115 without a label encoder; SM101-SM107 if the checkpoint is not
            supported.
    """
    folder = resolve(str(source))
    if target.exists() and target.samefile(folder):
        raise ValueError(Errors.SM113.format(source=source))
    model = load_any(source)
    label_side, tokenizer = model.network.labels_encoder, model.labels_tokenizer
    if labels_encoder is not None and (label_side is None or tokenizer is None):
        raise ValueError(Errors.SM115.format(source=source))
    save_gliner(model, target, half=half)
    if encoder is not None:
        save_encoder(Checkpoint(model.network.encoder, model.tokenizer), encoder)
    if labels_encoder is not None and label_side is not None and tokenizer is not None:
        save_encoder(Checkpoint(label_side, tokenizer), labels_encoder)


def load_any(source: str | Path, *, precision: Precision = "float32") -> GlinerModel:
    """Load any checkpoint, with all that it relies on in other repositories.

    Args:
        source: A folder, or a hub name, as for `convert`.
        precision: Number format of the encoders' matrix products.

    Raises:
        FileNotFoundError: SM040, SM041, SM100 if the checkpoint does not exist.
        ImportError: SM032 if it relies on other repositories, and transformers is not installed.
        ValueError: SM112 if something it relies on is not available; SM101-SM107 if the checkpoint
            is not supported.
    """
    folder = resolve(str(source))
    config = GlinerConfig.from_folder(folder)
    state = read_weights(folder)
    structure = read_structure(used_weights(state, is_bi=config.is_bi), is_token=config.is_token)
    config = replace(
        config, encoder_config=config.encoder_config or _fetch_config(config.model_name, source)
    )
    with tempfile.TemporaryDirectory() as name:
        text, labels = Path(name) / "text", Path(name) / "labels"
        _fetch_tokenizer(folder, config.model_name, text, source)
        if not config.is_bi:
            _add_markers(text / TOKENIZER, config, vocabulary=structure.vocabulary)
        tokenizer = PieceTokenizer.from_folder(text, markers=marker_names(config))
        labels_tokenizer = None
        if config.labels_encoder is not None and structure.has_labels_encoder:
            own = config.labels_encoder_config
            own = own or _fetch_config(config.labels_encoder, source)
            config = replace(config, labels_encoder_config=own)
            _fetch_tokenizer(folder / LABELS_TOKENIZER, config.labels_encoder, labels, source)
            labels_tokenizer = PieceTokenizer.from_folder(labels)
    network = build_network(config, state, source=folder, precision=precision)
    return GlinerModel(network, tokenizer, labels_tokenizer)


def _fetch_config(name: str | None, source: str | Path) -> Mapping[str, Any]:
    """Return the ``config.json`` of a backbone, with all defaults written out."""
    transformers = _import_transformers(source)
    try:
        text = transformers.AutoConfig.from_pretrained(name).to_json_string(use_diff=False)
    except Exception as error:  # transformers and the hub have no common type
        raise ValueError(_missing(source, "the configuration", name, error)) from error
    content: dict[str, Any] = json.loads(text)
    return content


def _fetch_tokenizer(folder: Path, name: str | None, target: Path, source: str | Path) -> None:
    """Write tokenizer files to ``target``: the folder's own, or else those of the backbone."""
    target.mkdir()
    if (folder / TOKENIZER).is_file():
        for file in _TOKENIZER_FILES:
            if (folder / file).is_file():
                shutil.copyfile(folder / file, target / file)
        return
    transformers = _import_transformers(source)
    # A folder may hold the tokenizer in its older form alone, which transformers converts.
    is_own = (folder / "tokenizer_config.json").is_file()
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder) if is_own else name)
        tokenizer.save_pretrained(target)
    except Exception as error:
        raise ValueError(_missing(source, "the tokenizer", name, error)) from error


def _import_transformers(source: str | Path) -> Any:
    """Import transformers, which only checkpoints that are not self-contained need."""
    try:
        import transformers
    except ImportError as error:
        raise ImportError(Errors.SM032.format(source=source, reason=error)) from error
    return transformers


def _add_markers(path: Path, config: GlinerConfig, *, vocabulary: int) -> None:
    """Add the markers to a backbone's tokenizer, with the ids of their embeddings.

    Older releases added three tokens to the vocabulary, the first of them never used; some
    checkpoints were made with two.
    """
    tokenizer = Tokenizer.from_file(str(path))
    names = [config.ent_token, config.sep_token]
    if all(tokenizer.token_to_id(name) is not None for name in names):
        return
    size = tokenizer.get_vocab_size(with_added_tokens=True)
    ent = config.class_token_index
    has_two = ent == size or (ent < 0 and vocabulary - size == 2)
    if not has_two:
        names.insert(0, UNUSED_MARKER)
    tokenizer.add_special_tokens([AddedToken(n, special=True, normalized=False) for n in names])
    tokenizer.save(str(path))


def _missing(source: str | Path, what: str, name: str | None, error: Exception) -> str:
    return Errors.SM112.format(source=source, what=what, name=name, reason=error)
