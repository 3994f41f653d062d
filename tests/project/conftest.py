import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="session")
def root():
    return ROOT


@pytest.fixture(autouse=True)
def project_modules(monkeypatch):
    """Let the tests import `run` and the scripts, as Python does when it runs them."""
    monkeypatch.syspath_prepend(ROOT)
    monkeypatch.syspath_prepend(ROOT / "scripts")
    yield
    for name in ["run", *(path.stem for path in (ROOT / "scripts").glob("*.py"))]:
        sys.modules.pop(name, None)
