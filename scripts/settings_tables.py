"""Write docs/settings.md: the tables of all settings, made of the classes that define them.

python scripts/settings_tables.py docs/settings.md
"""

from __future__ import annotations

import json
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from spacy_modernbert.gliner.training.config import TrainingConfig
from spacy_modernbert.pipeline.gliner.config import GlinerPipeConfig, NewHeadConfig
from spacy_modernbert.pipeline.setfit_textcat.config import SetfitTextcatConfig
from spacy_modernbert.setfit.head.config import HeadConfig
from spacy_modernbert.setfit.training.config import SetfitTrainingConfig

HEAD = """# Settings

All settings of `gliner` and `setfit_textcat`, block by block as they stand in a config. This page
is made by `python scripts/settings_tables.py docs/settings.md` from the classes that validate them.
Settings that are functions or models (`model`, `scorer`, `ents_filter`, `candidates`) are described
in the README.
"""
# Where a block stands in the config, and the class that defines it.
BLOCKS: list[tuple[str, type[BaseModel]]] = [
    ("components.gliner", GlinerPipeConfig),
    ("components.gliner.training", TrainingConfig),
    ("initialize.components.gliner.new_head", NewHeadConfig),
    ("components.setfit_textcat", SetfitTextcatConfig),
    ("components.setfit_textcat.training", SetfitTrainingConfig),
    ("components.setfit_textcat.head", HeadConfig),
]
BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def main(output: Path) -> None:
    """Write the page."""
    output.write_text(render(), encoding="utf8")


def render() -> str:
    """Return the page."""
    sections = [section for path, block in BLOCKS for section in tables(path, block)]
    return "\n".join([HEAD, *sections])


def tables(path: str, block: type[BaseModel]) -> Iterator[str]:
    """Yield the table of a block, then those of the blocks in it."""
    rows, nested = [], []
    for name, field in block.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            nested.append((f"{path}.{name}", field.annotation))
            continue
        default = json.dumps(field.get_default(call_default_factory=True), default=list)
        rows.append(f"| `{name}` | {kind(field)} | `{default}` | {cell(field.description)} |")
    summary = (block.__doc__ or "").strip().splitlines()[0]
    header = "| setting | values | default | meaning |\n|---|---|---|---|"
    yield "\n".join([f"## `[{path}]`\n", f"{summary}\n", header, *rows, ""])
    for inner, inner_block in nested:
        yield from tables(inner, inner_block)


def kind(field: FieldInfo) -> str:
    """Return the values that a setting takes."""
    bounds = [bound_of(item) for item in field.metadata]
    return cell(", ".join([type_name(field.annotation), *filter(None, bounds)]))


def type_name(annotation: Any) -> str:
    """Return a type in the words of a config."""
    if annotation is type(None):
        return "null"
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{json.dumps(value)}`" for value in arguments)
    if origin is Annotated:
        bounds = [bound_of(bound) for item in arguments[1:] for bound in metadata_of(item)]
        return ", ".join([type_name(arguments[0]), *filter(None, bounds)])
    if origin in (Union, types.UnionType):
        return " or ".join(type_name(argument) for argument in arguments)
    names = {bool: "true or false", int: "integer", float: "number", str: "text"}
    if annotation in names:
        return names[annotation]
    if issubclass(origin, Mapping):
        return f"mapping of {type_name(arguments[1])}"
    return f"list of {type_name(arguments[0])}"


def metadata_of(item: Any) -> list[Any]:
    """Return the bounds that a ``Field`` stands for."""
    return list(item.metadata) if isinstance(item, FieldInfo) else [item]


def bound_of(item: Any) -> str:
    """Return a bound in words, "" for what is none."""
    found = [
        f"{word} {getattr(item, name):g}" for name, word in BOUNDS.items() if hasattr(item, name)
    ]
    return ", ".join(found)


def cell(text: str | None) -> str:
    """Return a text that fits into a cell of a table."""
    return " ".join((text or "").split()).replace("|", "\\|")


if __name__ == "__main__":
    typer.run(main)
