import json

import numpy as np
import pytest
import spacy
from typer.testing import CliRunner

from spacy_modernbert.cli import app

TEXT = "def tokenize(text):\n        return text.split()\n\nMaria Lopez works in Zürich, 日本.\n"
SMALL = ["--hidden-size", "32", "--intermediate-size", "32", "--heads", "4", "--layers", "3"]


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT * 5, encoding="utf8")
    return path


def test_new_modernbert_is_a_checkpoint_like_any_other(text, tmp_path):
    folder = tmp_path / "encoder"
    result = run("new-modernbert", text, "-o", folder, *SMALL, "--vocab-size", "400")
    assert result.exit_code == 0, result.output
    nlp = spacy.blank("en")
    nlp.add_pipe("modernbert", config={"model": {"name": str(folder)}})
    data = nlp(TEXT)._.trf_data
    assert np.isfinite(data.model_output.last_hidden_state).all()
    assert "        " in data.wordpieces.strings[0]  # indentation is one piece

    from transformers import AutoModel, AutoTokenizer

    assert AutoModel.from_pretrained(folder).config.num_hidden_layers == 3
    tokens = AutoTokenizer.from_pretrained(folder).tokenize("Zürich")
    assert "".join(tokens) == "ZÃ¼rich"


def test_new_modernbert_is_repeatable(text, tmp_path):
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        assert run("new-modernbert", text, "-o", folder, *SMALL).exit_code == 0
    for file in ("config.json", "model.safetensors", "tokenizer.json"):
        assert (folders[0] / file).read_bytes() == (folders[1] / file).read_bytes()
    assert run("new-modernbert", text, "-o", folders[1], *SMALL, "--seed", "1").exit_code == 0
    weights = [(folder / "model.safetensors").read_bytes() for folder in folders]
    assert weights[0] != weights[1]


def test_new_modernbert_writes_every_size(text, tmp_path):
    options = ["--local-attention", "32", "--global-every", "2", "--max-length", "64"]
    assert run("new-modernbert", text, "-o", tmp_path, *SMALL, *options).exit_code == 0
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["layer_types"] == ["full_attention", "sliding_attention", "full_attention"]
    assert (config["local_attention"], config["max_position_embeddings"]) == (32, 64)


def test_missing_text_and_impossible_sizes(text, tmp_path):
    result = run("new-modernbert", tmp_path / "nothing.txt", "-o", tmp_path)
    assert result.exit_code == 1
    assert "nothing.txt" in result.output
    result = run("new-modernbert", text, "-o", tmp_path / "no", "--hidden-size", "33")
    assert result.exit_code == 1
    assert "SM022" in result.output
    assert not (tmp_path / "no").exists()


def test_inspect_alignment_shows_every_token_with_its_own_pieces(checkpoint):
    result = run("inspect-alignment", "Zürich buys 🙂", "--model", checkpoint)
    assert result.exit_code == 0, result.output
    rows = [line.split(maxsplit=2) for line in result.output.splitlines() if ".." in line]
    assert [row[:2] for row in rows] == [["Zürich", "0..6"], ["buys", "7..11"], ["🙂", "12..13"]]
    # The space before a word is in its first piece, and in nobody else's.
    assert "6.." in rows[1][2]
    assert "6.." not in rows[0][2]


def test_inspect_alignment_says_what_it_cannot_find(checkpoint, tmp_path):
    result = run("inspect-alignment", "a", "--model", "no/such-model")
    assert result.exit_code == 1
    assert "SM040" in result.output
    result = run("inspect-alignment", "a", "--model", checkpoint, "--lang", "no_such_pipeline")
    assert result.exit_code == 1
    assert "E050" in result.output


def test_info_names_versions_devices_and_cached_checkpoints(tmp_path, monkeypatch):
    result = run("info")
    assert result.exit_code == 0, result.output
    assert spacy.__version__ in result.output
    assert "processor" in result.output
    (row,) = [line for line in result.output.splitlines() if line.startswith("bundled")]
    assert row.split()[1:4] == ["gliner-minilm", "gliner,", "setfit_textcat"]
    assert "MIT" in row
    assert "Apache-2.0" in row

    from spacy_modernbert.encoder.kinds import find_kind

    for name, kind in (("gliner_config.json", "gliner"), ("modules.json", "setfit_textcat")):
        assert find_kind(tmp_path) is None
        (tmp_path / name).write_text("{}")
        assert find_kind(tmp_path) == kind
        (tmp_path / name).unlink()


def test_info_checks_a_gpu_that_was_asked_for(monkeypatch):
    """What `spacy train --gpu-id` would say, with the next step."""
    import thinc.api

    def absent(number):
        raise ValueError(f"no GPU {number}")

    monkeypatch.setattr(thinc.api, "require_gpu", absent)
    result = run("info", "--gpu-id", 3)
    assert result.exit_code == 1
    words = " ".join(result.output.split())
    assert "[SM063] Can't use the GPU 3: no GPU 3" in words
    assert "--vars.gpu_id -1" in words
    assert run("info", "--gpu-id", -1).exit_code == 0
    monkeypatch.setattr(thinc.api, "require_gpu", bool)
    assert run("info", "--gpu-id", 0).exit_code == 0


def test_a_full_disk_ends_in_a_message(text, tmp_path, monkeypatch):
    import safetensors.torch

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    result = run("new-modernbert", text, "-o", tmp_path / "encoder", *SMALL)
    assert result.exit_code == 1
    assert "SM047" in result.output


def test_the_commands_are_spacys_too():
    from spacy.cli._util import app as spacy_app

    import spacy_modernbert.cli.plugin  # noqa: F401

    result = CliRunner().invoke(spacy_app, ["modernbert", "info"])
    assert result.exit_code == 0, result.output
    assert "processor" in result.output
