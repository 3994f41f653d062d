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
