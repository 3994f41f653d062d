"""Blocks of settings: frozen, validated, and described where they are defined."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from typing_extensions import Self

from .errors import Errors


class Settings(BaseModel):
    """Base class of the blocks of settings that a config can hold.

    A subclass says everything about a setting once: its type and range in the annotation, its
    default, and its meaning in the docstring below it. Configs are validated against it, the
    default configs of the factories come from it, and so do the tables in the manual.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, protected_namespaces=()
    )

    @classmethod
    def read(cls, values: Mapping[str, Any] | Self, *, path: str) -> Self:
        """Validate a block of a config.

        Args:
            values: Names and values of settings, nested blocks included; or a valid block.
            path: Where the block stands in the config, for the message: ``training``.

        Raises:
            ValueError: SM065, with every setting that is unknown or out of range.
        """
        if isinstance(values, cls):
            return values
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            problems = [_describe(cls, path, problem) for problem in error.errors()]
            raise ValueError(Errors.SM065.format(problems="\n".join(problems))) from error

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Return the default of every setting, nested blocks included, as a config holds them."""
        return cls().model_dump(mode="json")


def _describe(block: type[Settings], path: str, problem: Any) -> str:
    """Describe one problem in a line: the setting, what is wrong, and what would be right."""
    location = [str(part) for part in problem["loc"]]
    # Members of a union add their type's name to the location, which is no part of the config.
    names = location[: _depth(block, location)]
    setting = ".".join(part for part in (path, *names) if part)
    if problem["type"] != "extra_forbidden":
        return f"- {setting} = {problem['input']!r}: {problem['msg']}."
    known = sorted(_block_at(block, location[:-1]).model_fields)
    near = difflib.get_close_matches(location[-1], known, n=1)
    hint = f"Did you mean '{near[0]}'?" if near else f"Choose from: {', '.join(known)}."
    return f"- {setting}: there is no such setting. {hint}"


def _depth(block: type[Settings], location: Sequence[str]) -> int:
    """Count the leading parts of a location that are names of settings."""
    nested: type[BaseModel] | None = block
    for depth, name in enumerate(location):
        if nested is None:
            return depth
        field = nested.model_fields.get(name)
        nested = None if field is None else _as_block(field.annotation)
    return len(location)


def _block_at(block: type[Settings], names: Sequence[str]) -> type[BaseModel]:
    nested: type[BaseModel] = block
    for name in names:
        nested = _as_block(nested.model_fields[name].annotation) or nested
    return nested


def _as_block(annotation: Any) -> type[BaseModel] | None:
    is_block = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return annotation if is_block else None
