"""The manual's examples run as they stand. The hub name in them is found in a cache made here."""

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import spacy_modernbert.errors
from spacy_modernbert.cli import app
from spacy_modernbert.gliner.checkpoint.convert import convert
from spacy_modernbert.gliner.checkpoint.serialization import save_gliner

from .conftest import ROOT
from .gliner.tiny import tiny_model

README = (ROOT / "README.md").read_text(encoding="utf8")
NAME = "answerdotai/ModernBERT-base"
GLINER = "urchade/gliner_small-v2.1"
SENTENCES = "sentence-transformers/all-MiniLM-L6-v2"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def add_to_cache(cache, name, folder):
    """Put a copy of a folder into a cache, as if it had been downloaded."""
    repository = cache / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    shutil.copytree(folder, repository / "snapshots" / ("0" * 40))


@pytest.fixture(scope="session")
def minilm(tmp_path_factory):
    """The label encoder of the bundled model, as the manual takes it out."""
    folder = tmp_path_factory.mktemp("minilm")
    convert("bundled", folder / "gliner", labels_encoder=folder / "labels")
    return folder / "labels"


@pytest.fixture
def hub_cache(checkpoint, minilm, tmp_path, monkeypatch):
    """A cache of the hub that holds our small checkpoints under the published names."""
    save_gliner(tiny_model(), tmp_path / "gliner")
    for name, folder in (
        (NAME, checkpoint),
        (GLINER, tmp_path / "gliner"),
        (SENTENCES, checkpoint),
    ):
        add_to_cache(tmp_path, name, folder)
    for constant in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.setenv(constant, str(tmp_path))
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "minilm").symlink_to(minilm)
    return tmp_path


@pytest.mark.parametrize("code", blocks("python"))
def test_python_block_runs(code, hub_cache):
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=hub_cache, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_what_setfit_prints_is_what_is_said(tmp_path):
    """With the bundled model. Probabilities move a little from one processor to the next."""
    (code,) = [code for code in blocks("python") if "textcat.fit(" in code]
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    printed = [ast.literal_eval(line) for line in done.stdout.splitlines()]
    said = [ast.literal_eval(line) for line in re.findall(r"^# (\{.*\})$", code, re.MULTILINE)]
    assert len(printed) == len(said) == 2
    for one, other in zip(printed, said, strict=True):
        assert one == pytest.approx(other, abs=0.05)


def test_what_gliner_prints_is_what_is_said(hub_cache):
    """With the bundled model. Scores move a little from one processor to the next."""
    (code,) = [code for code in blocks("python") if "Steve Jobs" in code]
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=hub_cache, capture_output=True, text=True, check=True)
    printed = [ast.literal_eval(line) for line in done.stdout.splitlines()]
    said = [ast.literal_eval(line) for line in re.findall(r"^# (\[.*\])$", code, re.MULTILINE)]
    assert len(said) == 4
    assert all(said)
    assert printed[1] == pytest.approx(said[1], abs=0.05)
    assert printed[:1] + printed[2:] == said[:1] + said[2:]


def test_what_vectors_print_is_what_is_said(hub_cache):
    (code,) = [code for code in blocks("python") if "annotate_tensor" in code]
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=hub_cache, capture_output=True, text=True, check=True)
    printed = done.stdout.splitlines()
    said = re.findall(r"^# (.*)$", code, re.MULTILINE)
    assert printed[0] == said[0]
    for one, other in zip(printed[1:], said[1:], strict=True):
        numbers = [[float(number) for number in line.split()] for line in (one, other)]
        assert numbers[0] == pytest.approx(numbers[1], abs=0.02)


def test_training_block_begins_a_training(checkpoint, tmp_path, monkeypatch):
    import spacy
    from spacy.tokens import DocBin
    from spacy.util import registry
    from thinc.api import Config

    (text,) = [text for text in blocks("ini") if "[corpora" in text]
    config = Config().from_str(
        "[components]\n[initialize]\n[initialize.components]\n[corpora]\n[training]\n"
        + text.replace(
            "[corpora.train.sources.", "[corpora.train.sources]\n\n[corpora.train.sources.", 1
        )
    )
    monkeypatch.chdir(tmp_path)
    nlp = spacy.blank("en")
    (tmp_path / "corpus").mkdir()
    doc = nlp.make_doc("Steve Jobs founded Apple")
    doc.set_ents([doc.char_span(0, 10, label="PERSON"), doc.char_span(19, 24, label="ORG")])
    for source in config["corpora"]["train"]["sources"].values():
        DocBin(docs=[doc] * 3).to_disk(source["path"])
    component = dict(config["components"]["gliner"])
    nlp.add_pipe(component.pop("factory"), config=component)
    settings = config["initialize"]["components"]
    assert settings["gliner"]["new_head"]["encoder"] == NAME
    settings["gliner"]["new_head"]["encoder"] = str(checkpoint)
    nlp.config["initialize"]["components"] = settings
    reader = registry.resolve(config["corpora"])["train"]
    nlp.initialize(lambda: reader(nlp))
    assert nlp.update(list(reader(nlp)))["gliner"] > 0
    save = registry.resolve({"save": config["training"]["before_to_disk"]})["save"]
    save(nlp).to_disk(tmp_path / "model-last")
    assert spacy.load(tmp_path / "model-last").pipe_names == nlp.pipe_names


@pytest.mark.parametrize("text", [text for text in blocks("ini") if "[corpora" not in text])
def test_config_block_makes_a_pipeline(text, hub_cache):
    import spacy
    from thinc.api import Config

    nlp = spacy.blank("en")
    config = Config().from_str("[components]\n\n" + text)
    for name, component in config["components"].items():
        component = dict(component)
        nlp.add_pipe(component.pop("factory"), name=name, config=component)
    model = nlp.get_pipe("transformer").model
    given = dict(config["components"]["transformer"]["model"])
    assert given.pop("@architectures")
    assert given.pop("name") == model.shim.name
    windows = model.attrs["windows"]
    assert {key: getattr(windows, key) for key in given} == given


def check_run(words):
    """`python run.py NAME`."""
    assert f'"{words[0]}": [[' in (ROOT / "run.py").read_text(encoding="utf8")


def check_project(words):
    """`python -m spacy project run NAME`."""
    from weasel.util import load_project_config

    project = load_project_config(ROOT)
    assert words[0] in {*project["workflows"], *(c["name"] for c in project["commands"])}


def check_pip(words):
    """`pip install`: what is pinned is pinned as in the constraints."""
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf8").splitlines()
    assert all(word in constraints for word in words if "==" in word)


def check_pytest(words):
    """`python -m pytest PATH --slow`: paths exist, options are known."""
    assert all(
        word == "--slow" if word.startswith("-") else (ROOT / word).exists() for word in words
    )


def check_own(words):
    """`python -m spacy_modernbert COMMAND`: run, on a checkpoint of ours."""
    if words[0] == "new-modernbert":
        return  # see below
    Path("models/minilm").unlink()  # a line may write that folder itself
    source = "SOURCE" if "SOURCE" in words else GLINER
    folder = Path.cwd() / "gliner"
    if "--encoder" in words:
        save_gliner(tiny_model("bi_span", subtoken_pooling="mean"), folder)
    result = CliRunner().invoke(app, [str(folder) if w == source else w for w in words])
    assert result.exit_code == 0, result.output


KINDS = {
    "python run.py": check_run,
    "python -m spacy project run": check_project,
    "python -m spacy_modernbert": check_own,
    "python -m pytest": check_pytest,
    "pip install": check_pip,
}


@pytest.mark.parametrize("line", [line for block in blocks("bash") for line in block.splitlines()])
def test_shell_line_can_be_run(line, hub_cache, monkeypatch):
    """What is ours is run here, or named in the files that would run it."""
    monkeypatch.chdir(hub_cache)
    (kind,) = [kind for kind in KINDS if line.startswith(kind)]
    KINDS[kind](line.removeprefix(kind).split("#")[0].split())


def test_new_modernbert_command_runs(tmp_path):
    """The README's command line, on another text and with a smaller network."""
    (line,) = [line for line in README.splitlines() if "spacy_modernbert new-modernbert" in line]
    arguments = line.split("spacy_modernbert ")[1].split()
    text = tmp_path / "text.txt"
    text.write_text("A few words to learn pieces from.\n" * 3)
    arguments = [
        {"corpus/train.txt": str(text), "models/encoder": str(tmp_path / "encoder")}.get(word, word)
        for word in arguments
    ]
    small = ["--hidden-size", "16", "--intermediate-size", "16", "--heads", "2", "--layers", "2"]
    result = CliRunner().invoke(app, [*arguments, *small])
    assert result.exit_code == 0, result.output
    config = json.loads((tmp_path / "encoder" / "config.json").read_text())
    assert (config["num_hidden_layers"], config["hidden_size"]) == (2, 16)


def test_every_message_is_in_the_troubleshooting_table():
    numbers = set(re.findall(r"\bSMW?\d{3}\b", README))
    for first, last in re.findall(r"\b(SMW?\d{3})-(SMW?\d{3})\b", README):
        letters = first.rstrip("0123456789")
        low, high = int(first[len(letters) :]), int(last[len(letters) :])
        numbers |= {f"{letters}{number:03}" for number in range(low, high + 1)}
    messages = (spacy_modernbert.errors.Errors, spacy_modernbert.errors.Warnings)
    known = {name for table in messages for name in vars(table) if not name.startswith("__")}
    assert known <= numbers


def test_no_unfinished_words():
    assert not re.search(r"TODO|TBD|XXX|BENCHMARKS", README)
