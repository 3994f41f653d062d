"""The configs: valid with every override that their page names, and without any weights."""

import re
import shlex

import pytest
from spacy.cli._util import app
from typer.testing import CliRunner

from tests.conftest import ROOT

PAGE = (ROOT / "configs" / "README.md").read_text(encoding="utf8")
COMMANDS = re.findall(r"^python -m spacy (debug config .*)$", PAGE, flags=re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_command_of_the_page_runs(command, root, tmp_path, monkeypatch):
    """In a folder where none of the checkpoints is, with a cache that is empty."""
    from spacy_modernbert.encoder import hub

    def forbidden(name, revision):
        raise AssertionError(f"debug config looked for the weights of {name}")

    monkeypatch.setattr(hub, "_download", forbidden)
    monkeypatch.chdir(tmp_path)
    # Phrasings are read with the config: the step before the training writes them.
    (tmp_path / "corpus" / "generalist").mkdir(parents=True)
    (tmp_path / "corpus" / "generalist" / "phrases.json").write_text("{}")
    words = [str(root / w) if w.startswith("configs/") else w for w in shlex.split(command)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "Config is valid" in result.output


def test_page_names_every_config_and_checkpoint(root):
    for path in (root / "configs").glob("*.cfg"):
        assert f"| `{path.name}` |" in PAGE
    readme = (root / "README.md").read_text(encoding="utf8")
    section = readme.split("## Supported checkpoints")[1].split("\n## ")[0]
    for name in re.findall(r"`([\w-]+/[\w.-]+)`", section):
        if not name.startswith(("configs/", "assets/")):
            assert name in PAGE


def test_every_config_says_its_overrides(root):
    """What to change for another checkpoint stands at the top, where one looks first."""
    for path in (root / "configs").glob("*.cfg"):
        comment = path.read_text(encoding="utf8").split("[paths]")[0]
        assert comment.startswith("# ")
        assert "--paths." in comment or path.stem in ("textcat", "shared")


@pytest.mark.parametrize("config", ["ner_textcat.cfg"])
def test_empty_text_goes_through_the_pipeline(config, root, checkpoint):
    from spacy.training import Example
    from spacy.util import load_config, load_model_from_config

    overrides = {"paths.encoder": str(checkpoint)}
    loaded = load_config(root / "configs" / config, overrides=overrides, interpolate=True)
    nlp = load_model_from_config(loaded, auto_fill=True)
    doc = nlp.make_doc("Maria works")
    example = Example.from_dict(doc, {"cats": {"a": 1.0, "b": 0.0}, "entities": [(0, 5, "PER")]})
    nlp.initialize(lambda: [example])
    texts = ["Maria works", "", "   ", "It doesn't."]
    docs = list(nlp.pipe(texts, batch_size=4))
    assert [doc.text for doc in docs] == texts
    assert all(doc.cats for doc in docs)
    nlp.update([Example.from_dict(nlp.make_doc(""), {}), example])
