"""The configuration files of a sentence-transformers folder.

Both generations of the format are read. They differ in the names of the classes, in how pooling
is written, and in where the length limit stands; see `read_folder_config`. Classes are matched by
the last part of their name against a list, and never imported.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import Errors
from ..modeling.modules import POOLING_MODES, ModuleSpec, require_one_of, unsupported

MODULES = "modules.json"
PROMPTS = "config_sentence_transformers.json"
TRANSFORMER, POOLING = "Transformer", "Pooling"
KINDS = (TRANSFORMER, POOLING, "Dense", "LayerNorm", "Normalize", "Dropout")
# Every kind of network once had a file of its own.
_TRANSFORMER_CONFIGS = tuple(
    f"sentence_{name}_config.json"
    for name in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
# The older way to write the pooling, in the order in which the results are concatenated.
POOLING_FLAGS = {
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "mean": "pooling_mode_mean_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}


@dataclass(frozen=True)
class FolderConfig:
    """The content of a folder's configuration files.

    Attributes:
        transformer: Path of the network and the tokenizer in the folder.
        modules: The modules that follow it, pooling first.
        max_length: Pieces of the longest sequence, special tokens included; None where only the
            tokenizer or the network sets a limit.
        lower_case: Whether texts are lower-cased before anything else.
        prompts: Name to text of the prompts the checkpoint was trained with.
        prompt_name: Which of them is put before every text; None for no prompt.
    """

    transformer: str
    modules: tuple[ModuleSpec, ...]
    max_length: int | None = None
    lower_case: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)
    prompt_name: str | None = None


def read_folder_config(folder: Path) -> FolderConfig:
    """Read the configuration files of a folder.

    A folder without ``modules.json`` is a plain checkpoint; its pieces are averaged.

    Raises:
        ValueError: SM043 where a file is not JSON, SM200 where a module is of a kind that is not
            supported, SM201 where the modules are in an unsupported order, SM202 where a setting
            has an unsupported value.
    """
    entries = read_json(folder / MODULES, default=None)
    if entries is None:
        pooling = ModuleSpec(POOLING, {"modes": ["mean"], "include_prompt": True})
        return FolderConfig("", (pooling,), **_prompts(folder))
    kinds = [_kind(entry, folder) for entry in entries]
    if kinds[:2] != [TRANSFORMER, POOLING] or kinds.count(TRANSFORMER) + kinds.count(POOLING) != 2:
        raise ValueError(Errors.SM201.format(source=folder, found=", ".join(kinds) or "none"))
    paths = [str(entry.get("path", "")) for entry in entries]
    modules = tuple(
        _module(kind, path, folder) for kind, path in zip(kinds[1:], paths[1:], strict=True)
    )
    limit, lower_case = _transformer(folder / paths[0])
    return FolderConfig(paths[0], modules, limit, lower_case, **_prompts(folder))


def _kind(entry: Mapping[str, Any], folder: Path) -> str:
    name = str(entry.get("type", ""))
    kind = name.rpartition(".")[2]
    if kind not in KINDS or not name.startswith("sentence_transformers."):
        supported = ", ".join(KINDS)
        raise ValueError(Errors.SM200.format(source=folder, name=name, supported=supported))
    return kind


def _module(kind: str, path: str, folder: Path) -> ModuleSpec:
    if kind == "Normalize":  # it has no file, and version control drops its empty folder
        return ModuleSpec(kind, {}, path)
    file = folder / path / "config.json"
    settings = read_json(file, default={})
    if kind == POOLING:
        settings = {
            "modes": _modes(settings, file),
            "include_prompt": bool(settings.get("include_prompt", True)),
        }
    return ModuleSpec(kind, settings, path)


def _modes(settings: Mapping[str, Any], file: Path) -> list[str]:
    """Return the pooling modes in the order of their results."""
    named = settings.get("pooling_mode")
    if named is None:
        flagged = [mode for mode, flag in POOLING_FLAGS.items() if settings.get(flag)]
        return flagged or ["mean"]
    modes = [named] if isinstance(named, str) else list(named)
    return check_modes(modes, file)


def check_modes(modes: list[str], source: Path | str) -> list[str]:
    """Return the modes if all of them are supported; ValueError SM202 where one is not."""
    for mode in modes:
        require_one_of(POOLING_MODES, "pooling", mode, source)
    return modes


def _transformer(folder: Path) -> tuple[int | None, bool]:
    """Read the length limit, and whether to lower-case texts."""
    file = next((folder / n for n in _TRANSFORMER_CONFIGS if (folder / n).is_file()), None)
    settings = {} if file is None else read_json(file, default={})
    task = settings.get("transformer_task", "feature-extraction")
    if task != "feature-extraction":
        raise unsupported("transformer_task", task, "'feature-extraction'", file)
    # The newer form keeps arguments of the tokenizer under one of these names.
    given = settings.get("processor_kwargs") or settings.get("tokenizer_args") or {}
    limit = settings.get("max_seq_length") or given.get("model_max_length")
    return (None if limit is None else int(limit)), bool(settings.get("do_lower_case", False))


def _prompts(folder: Path) -> dict[str, Any]:
    settings = read_json(folder / PROMPTS, default={})
    prompts = {name: text for name, text in (settings.get("prompts") or {}).items() if text}
    name = settings.get("default_prompt_name")
    if name is not None and name not in (settings.get("prompts") or {}):
        need = "the name of one of its prompts"
        raise unsupported("default_prompt_name", name, need, folder / PROMPTS)
    return {"prompts": prompts, "prompt_name": name}


def read_json(path: Path, *, default: Any) -> Any:
    """Read a file of JSON of the type of the default, which stands for a list if it is None.

    Raises:
        ValueError: SM043 where it is not JSON, or of another type.
    """
    if not path.is_file():
        return default
    try:
        content = json.loads(path.read_text(encoding="utf8"))
    except ValueError as error:
        raise ValueError(Errors.SM043.format(path=path, reason=error)) from error
    if not isinstance(content, type(default) if default is not None else list):
        raise ValueError(Errors.SM043.format(path=path, reason="it holds JSON of another form"))
    return content
