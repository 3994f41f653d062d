"""The floors of the house: imports go down, never up and never sideways."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import spacy_modernbert

PACKAGE = "spacy_modernbert"
GROUND = -1
FLOORS = {
    "__init__": GROUND,
    "errors": GROUND,
    "settings": GROUND,
    "text": 0,
    "encoder": 1,
    "gliner": 2,
    "setfit": 2,
    "pipeline": 3,
    "scale": 4,
    "cli": 4,
    "__main__": 5,
}
TYPES_ONLY = ("TYPE_CHECKING", "typing.TYPE_CHECKING")
# Third-party package: the lowest floor that may import it.
LOWEST = {"torch": 1, "transformers": 1, "spacy": 3, "thinc": 3, "spacy_transformers": 3}


def find_breaches(root: Path) -> list[str]:
    """Return a line for each import under the package folder that breaks the house rules."""
    breaches = []
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        room = parts[0]
        where = f"{path.relative_to(root)}"
        if room not in FLOORS:
            breaches.append(f"{where}: the room {room} has no floor")
            continue
        tree = ast.parse(path.read_text(encoding="utf8"))
        for target, types_only in imported_modules(tree, (PACKAGE, *parts[:-1])):
            if problem := judge(room, target, types_only=types_only):
                breaches.append(f"{where}: {problem}")
    return breaches


def judge(room: str, target: str, *, types_only: bool) -> str | None:
    """Say what is wrong with one import, None if nothing is."""
    top, *rest = target.split(".")
    floor = FLOORS[room]
    if top != PACKAGE:
        wrong = not types_only and floor < LOWEST.get(top, GROUND)
        return f"{top} on floor {floor}" if wrong else None
    # `from spacy_modernbert import __version__` names no room.
    other = rest[0] if rest and rest[0] in FLOORS else "__init__"
    if other == room or FLOORS[other] == GROUND or FLOORS[other] < floor:
        return None
    return f"{'sideways' if FLOORS[other] == floor else 'upward'} import of {target}"


def imported_modules(tree: ast.AST, package: tuple[str, ...]) -> Iterator[tuple[str, bool]]:
    """Yield the full names of all imports, wherever they stand, and whether for types only."""
    for_types = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) in TYPES_ONLY
        for statement in node.body
        for child in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            # One dot is the own package, each further dot its parent.
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from ((name, id(node) in for_types) for name in names)


def test_imports_go_down():
    assert find_breaches(Path(spacy_modernbert.__file__).parent) == []


@pytest.mark.parametrize(
    ("file", "source", "expected"),
    [
        ("text/a.py", "from ..encoder import packing", "upward import of spacy_modernbert.encoder"),
        ("text/a.py", "import spacy_modernbert.pipeline.transformer.shim", "upward import"),
        ("text/a.py", "from spacy_modernbert import encoder", "upward import"),
        ("text/deep/a.py", "from ...encoder.packing import x", "upward import"),
        ("gliner/a.py", "from ..setfit import pairs", "sideways import"),
        ("setfit/a.py", "def f():\n    from ..gliner import loss", "sideways import"),
        ("scale/a.py", "from ..cli import app", "sideways import"),
        ("errors.py", "from .text import pieces", "upward import"),
        ("__init__.py", "from .pipeline import shim", "upward import"),
        ("text/a.py", "import torch", "torch on floor 0"),
        ("text/a.py", "def f():\n    import torch.nn.functional as F", "torch on floor 0"),
        ("text/a.py", "try:\n    from transformers import x\nexcept E:\n    pass", "transformers"),
        ("encoder/a.py", "class C:\n    from spacy.tokens import Doc", "spacy on floor 1"),
        ("encoder/a.py", "import numpy, thinc.api", "thinc on floor 1"),
        ("gliner/a.py", "from spacy_transformers import x", "spacy_transformers on floor 2"),
        ("text/a.py", "if TYPE_CHECKING:\n    from ..encoder import packing", "upward import"),
        ("text/a.py", "if TYPE_CHECKING:\n    x = 1\nelse:\n    import torch", "torch on floor 0"),
        ("text/a.py", "if not TYPE_CHECKING:\n    import torch", "torch on floor 0"),
        ("attic/a.py", "", "the room attic has no floor"),
        ("attic.py", "import os", "the room attic has no floor"),
    ],
)
def test_a_breach_is_found(tmp_path, file, source, expected):
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(source, encoding="utf8")
    breaches = find_breaches(tmp_path)
    assert len(breaches) == 1
    assert expected in breaches[0]


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("text/a.py", "from .pieces import x\nfrom . import windows\nfrom ..errors import Errors"),
        ("text/a.py", "from .. import __version__\nimport numpy, json, tokenizers"),
        ("text/a.py", "import typing\nif typing.TYPE_CHECKING:\n    import torch"),
        ("encoder/a.py", "import torch\nfrom ..text.windows import x\nimport transformers"),
        ("gliner/a.py", "from ..encoder import packing\nfrom ..text import pieces"),
        ("pipeline/a.py", "import spacy\nfrom ..gliner import loss\nfrom ..setfit import loss"),
        ("cli.py", "import spacy\nfrom .pipeline import shim\nfrom . import __version__"),
        ("__init__.py", "from .errors import Errors"),
    ],
)
def test_what_is_allowed_is_not_a_breach(tmp_path, file, source):
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(source, encoding="utf8")
    assert find_breaches(tmp_path) == []
