"""The package as a whole: what importing it costs, and that every registered name resolves."""

import importlib.metadata
import subprocess
import sys

import pytest
import spacy

import spacy_modernbert

HEAVY = ("torch", "transformers", "sklearn")


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def entry_points():
    groups = importlib.metadata.distribution("spacy-modernbert").entry_points
    return sorted((point.group, point.name, point.value) for point in groups)


def test_version_is_the_distribution_s():
    assert importlib.metadata.version("spacy-modernbert") == spacy_modernbert.__version__


def test_importing_the_package_imports_nothing_heavy():
    code = f"import sys, spacy_modernbert; print([m for m in {HEAVY!r} if m in sys.modules])"
    assert run(code).stdout.strip() == "[]"


def test_factories_import_nothing_heavy():
    """spaCy imports every factory for every pipeline, ours must not be what makes that slow.

    thinc imports torch and spacy-transformers imports the rest, which is theirs to decide: here
    the three are taken away, and our factory modules load all the same.
    """
    modules = {value.split(":")[0] for group, _, value in entry_points() if "factories" in group}
    code = (
        "import sys\n"
        f"for name in {HEAVY!r}: sys.modules[name] = None\n"
        "import importlib\n"
        f"for name in {sorted(modules)!r}: importlib.import_module(name)\n"
        "print('light')"
    )
    done = run(code)
    assert done.stdout.strip() == "light", done.stderr
    assert modules


def test_blank_pipeline_imports_nothing_heavy_through_us():
    """Whoever imports torch first when a pipeline is made, it is none of our files."""
    code = f"""
import builtins, sys, traceback
blamed, real = [], builtins.__import__
def spy(name, *args, **kwargs):
    if name.split(".")[0] in {HEAVY!r} and name.split(".")[0] not in sys.modules:
        frames = [f for f in traceback.extract_stack() if "spacy_modernbert" in f.filename]
        blamed.extend((name, f.filename) for f in frames)
    return real(name, *args, **kwargs)
builtins.__import__ = spy
import spacy
spacy.blank("en")
print(blamed)
"""
    done = run(code)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize(("group", "name", "value"), entry_points())
def test_registered_name_resolves(group, name, value):
    if group == "spacy_factories":
        assert spacy.blank("en").has_factory(name)
        return
    registry = group.removeprefix("spacy_").removeprefix("thinc_")
    found = spacy.registry.get(registry, name)
    assert found is importlib.metadata.EntryPoint(name, value, group).load()


def test_every_registration_has_an_entry_point():
    """A name registered in the code but not in pyproject.toml would only work after an import."""
    import re
    from pathlib import Path

    code = "".join(p.read_text() for p in Path(spacy_modernbert.__file__).parent.rglob("*.py"))
    names = set(re.findall(r'"(spacy_modernbert\.\w+\.v\d+)"', code))
    assert names == {name for _, name, _ in entry_points() if "." in name}


def test_errors_are_numbered():
    from spacy_modernbert.errors import Errors, Warnings

    for messages, prefix in ((Errors, "SM"), (Warnings, "SMW")):
        names = [name for name in vars(messages) if not name.startswith("__")]
        assert names == sorted(names)
        for name in names:
            assert name.startswith(prefix)
            assert getattr(messages, name).startswith(f"[{name}] ")
