"""The layers of the package: imports go down, never up, sideways or in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import spacy_modernbert

from .conftest import ROOT

PACKAGE = "spacy_modernbert"
BOTTOM = -1
LAYERS = {
    "__init__": BOTTOM,
    "errors": BOTTOM,
    "settings": BOTTOM,
    "text": 0,
    "encoder": 1,
    "gliner": 2,
    "setfit": 2,
    "pipeline": 3,
    "scale": 4,
    "cli": 4,
    "__main__": 5,
}
# Layers inside a package. Packages of the same number do not import each other.
INNER = {
    "gliner": {"modeling": 0, "inference": 1, "training": 2, "checkpoint": 2},
    "setfit": {"modeling": 0, "head": 1, "training": 2, "checkpoint": 2},
}
TYPES_ONLY = ("TYPE_CHECKING", "typing.TYPE_CHECKING")
# Third-party package: the lowest layer that may import it.
LOWEST = {"torch": 1, "transformers": 1, "spacy": 3, "thinc": 3, "spacy_transformers": 3}
# Third-party package: the only places that may import it.
ONLY = {
    "spacy_transformers": ("pipeline/transformer/stock.py",),
    "transformers": (
        "encoder/hf_encoder.py",
        "gliner/checkpoint/convert.py",
        "pipeline/transformer/stock.py",
    ),
}


def find_breaches(root: Path) -> list[str]:
    """Return a line for each import under the package folder that breaks the rules."""
    breaches = []
    for path in sorted(root.rglob("*.py")):
        where = path.relative_to(root).as_posix()
        parts = path.relative_to(root).with_suffix("").parts
        if parts[0] not in LAYERS:
            breaches.append(f"{where}: {parts[0]} belongs to no layer")
            continue
        tree = ast.parse(path.read_text(encoding="utf8"))
        for target, types_only in imported_modules(tree, (PACKAGE, *parts[:-1])):
            if problem := breach(where, target, types_only=types_only):
                breaches.append(f"{where}: {problem}")
    return breaches


def breach(where: str, target: str, *, types_only: bool) -> str | None:
    """Say what is wrong with one import, None if nothing is."""
    top, *rest = target.split(".")
    own = where.removesuffix(".py").split("/")
    layer = LAYERS[own[0]]
    if top != PACKAGE:
        if types_only:
            return None
        if layer < LOWEST.get(top, BOTTOM):
            return f"{top} in layer {layer}"
        return None if where.startswith(ONLY.get(top, "")) else f"{top} outside {ONLY[top]}"
    # `from spacy_modernbert import __version__` names no package.
    other = rest[0] if rest and rest[0] in LAYERS else "__init__"
    if other != own[0]:
        return direction(LAYERS[own[0]], LAYERS[other], target, allowed=LAYERS[other] == BOTTOM)
    inner = INNER.get(other, {})
    names = own[1], rest[1] if len(rest) > 1 else ""
    if names[0] == names[1] or not set(names) <= set(inner):
        return None
    return direction(inner[names[0]], inner[names[1]], target)


def direction(layer: int, other: int, target: str, *, allowed: bool = False) -> str | None:
    if allowed or other < layer:
        return None
    return f"{'sideways' if other == layer else 'upward'} import of {target}"


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


def find_cycle(root: Path, package: str = "") -> list[str]:
    """Return the modules of a cycle of imports, wherever they stand; nothing if there is none.

    Args:
        root: A folder of modules.
        package: The name that its modules begin with; none for a folder of scripts.
    """
    prefix = (package,) if package else ()
    graph: dict[str, set[str]] = {}
    for path in root.rglob("*.py"):
        parts = (*prefix, *path.relative_to(root).with_suffix("").parts)
        graph[".".join(parts).removesuffix(".__init__")] = set()
    for path in root.rglob("*.py"):
        parts = (*prefix, *path.relative_to(root).with_suffix("").parts)
        name = ".".join(parts).removesuffix(".__init__")
        tree = ast.parse(path.read_text(encoding="utf8"))
        for target, _ in imported_modules(tree, parts[:-1]):
            found = target if target in graph else target.rpartition(".")[0]
            if found in graph and found != name:
                graph[name].add(found)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_imports_go_down():
    assert find_breaches(Path(spacy_modernbert.__file__).parent) == []


def test_no_module_imports_itself_through_others():
    assert find_cycle(Path(spacy_modernbert.__file__).parent, PACKAGE) == []
    assert find_cycle(ROOT / "benchmarks") == []


@pytest.mark.parametrize(
    ("file", "source", "expected"),
    [
        ("text/a.py", "from ..encoder import packing", "upward import of spacy_modernbert.encoder"),
        ("text/a.py", "import spacy_modernbert.pipeline.transformer.model", "upward import"),
        ("text/a.py", "from spacy_modernbert import encoder", "upward import"),
        ("text/deep/a.py", "from ...encoder.packing import x", "upward import"),
        ("gliner/a.py", "from ..setfit import pairs", "sideways import"),
        ("setfit/a.py", "def f():\n    from ..gliner import loss", "sideways import"),
        ("scale/a.py", "from ..cli import app", "sideways import"),
        ("errors.py", "from .text import windows", "upward import"),
        ("__init__.py", "from .pipeline import devices", "upward import"),
        ("gliner/modeling/a.py", "from ..inference import x", "upward import"),
        ("gliner/inference/a.py", "from ..training.config import x", "upward import"),
        ("gliner/inference/a.py", "from ..checkpoint.build import x", "upward import"),
        ("gliner/training/a.py", "from ..checkpoint.build import x", "sideways import"),
        ("setfit/modeling/a.py", "from ..head.head import x", "upward import"),
        ("setfit/head/a.py", "from ..training import x", "upward import"),
        ("text/a.py", "import torch", "torch in layer 0"),
        ("text/a.py", "def f():\n    import torch.nn.functional as F", "torch in layer 0"),
        ("text/a.py", "try:\n    from transformers import x\nexcept E:\n    pass", "transformers"),
        ("encoder/a.py", "class C:\n    from spacy.tokens import Doc", "spacy in layer 1"),
        ("encoder/a.py", "import numpy, thinc.api", "thinc in layer 1"),
        ("encoder/a.py", "import transformers", "transformers outside"),
        ("gliner/a.py", "from spacy_transformers import x", "spacy_transformers in layer 2"),
        ("pipeline/gliner/a.py", "import spacy_transformers", "spacy_transformers outside"),
        ("text/a.py", "if TYPE_CHECKING:\n    from ..encoder import packing", "upward import"),
        ("text/a.py", "if TYPE_CHECKING:\n    x = 1\nelse:\n    import torch", "torch in layer 0"),
        ("text/a.py", "if not TYPE_CHECKING:\n    import torch", "torch in layer 0"),
        ("other/a.py", "", "other belongs to no layer"),
        ("other.py", "import os", "other belongs to no layer"),
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
        ("text/a.py", "from .windows import x\nfrom . import windows\nfrom ..errors import Errors"),
        ("text/a.py", "from .. import __version__\nimport numpy, json, tokenizers"),
        ("text/a.py", "import typing\nif typing.TYPE_CHECKING:\n    import torch"),
        ("encoder/a.py", "import torch\nfrom ..text.windows import x"),
        ("encoder/hf_encoder.py", "import transformers"),
        ("gliner/a.py", "from ..encoder import packing\nfrom ..text import windows"),
        ("gliner/checkpoint/a.py", "from ..inference import x\nfrom ..modeling import y"),
        ("pipeline/a.py", "import spacy\nfrom ..gliner import loss\nfrom ..setfit import loss"),
        ("pipeline/transformer/stock.py", "import spacy_transformers, transformers"),
        ("cli.py", "import spacy\nfrom .pipeline import devices\nfrom . import __version__"),
        ("__init__.py", "from .errors import Errors"),
    ],
)
def test_what_is_allowed_is_not_a_breach(tmp_path, file, source):
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(source, encoding="utf8")
    assert find_breaches(tmp_path) == []


def test_a_cycle_is_found(tmp_path):
    (tmp_path / "a.py").write_text("from . import b")
    (tmp_path / "b.py").write_text("def f():\n    from .c import x")
    (tmp_path / "c.py").write_text("from p.b import y")
    assert set(find_cycle(tmp_path, "p")) == {"p.b", "p.c"}
    (tmp_path / "c.py").write_text("import os")
    assert find_cycle(tmp_path, "p") == []
