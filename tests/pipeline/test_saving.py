"""A pipeline's folder is there whole, or as it was."""

import shutil
import signal
import subprocess
import sys
import time

import pytest
import spacy
from spacy.tokens import DocBin, Span
from spacy.training import loop

from spacy_modernbert.pipeline.atomic_saving import save_whole


@pytest.fixture
def nlp():
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    return save_whole(nlp)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_it_saves_what_spacy_saves(nlp, tmp_path):
    nlp.to_disk(tmp_path / "model")
    assert names(tmp_path) == ["model"]
    assert spacy.load(tmp_path / "model").pipe_names == ["sentencizer"]
    assert save_whole(nlp) is nlp


def test_what_is_there_is_replaced_all_of_it(nlp, tmp_path):
    nlp.to_disk(str(tmp_path / "model"))
    (tmp_path / "model" / "left over").touch()
    nlp.to_disk(tmp_path / "model", exclude=["vocab"])
    assert names(tmp_path) == ["model"]
    assert not {"left over", "vocab"} & set(names(tmp_path / "model"))


def test_an_error_leaves_the_old_folder(nlp, tmp_path, monkeypatch):
    nlp.to_disk(tmp_path / "model")
    before = names(tmp_path / "model")

    def fail(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(nlp.get_pipe("sentencizer"), "to_disk", fail, raising=False)
    with pytest.raises(KeyboardInterrupt):
        nlp.to_disk(tmp_path / "model")
    assert names(tmp_path / "model") == before
    spacy.load(tmp_path / "model")
    monkeypatch.undo()
    nlp.to_disk(tmp_path / "model")
    assert names(tmp_path) == ["model"]


def test_a_process_that_ended_between_the_moves_is_cleaned_up_after(nlp, tmp_path):
    nlp.to_disk(tmp_path / "model")
    (tmp_path / "model").rename(tmp_path / ".model.old")
    (tmp_path / ".model.new").mkdir()
    nlp.to_disk(tmp_path / "model")
    assert names(tmp_path) == ["model"]


@pytest.mark.parametrize("told", ["No space left on device", "[SM047] Can't write a file"])
def test_a_full_disk_has_a_number(nlp, tmp_path, monkeypatch, told):
    """Whichever component or table of spaCy meets it; what was written so far makes room again."""
    nlp.to_disk(tmp_path / "model")

    def fail(*args, **kwargs):
        raise OSError(28, told) if told.startswith("No") else OSError(told)

    monkeypatch.setattr(nlp.get_pipe("sentencizer"), "to_disk", fail, raising=False)
    with pytest.raises(OSError, match=r"^\[SM047\]") as caught:
        nlp.to_disk(tmp_path / "model")
    assert str(caught.value).count("SM047") == 1
    assert names(tmp_path) == ["model"]
    spacy.load(tmp_path / "model")


def test_the_best_model_is_a_whole_copy_or_none(nlp, tmp_path, monkeypatch):
    nlp.to_disk(tmp_path / "model-last")
    loop.shutil.copytree(tmp_path / "model-last", tmp_path / "model-best")
    spacy.load(tmp_path / "model-best")

    def fail(source, target):
        target.mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "copytree", fail)
    loop.shutil.rmtree(tmp_path / "model-best")
    with pytest.raises(KeyboardInterrupt):
        loop.shutil.copytree(tmp_path / "model-last", tmp_path / "model-best")
    assert names(tmp_path) == [".model-best.new", "model-last"]
    monkeypatch.undo()
    loop.shutil.copytree(tmp_path / "model-last", tmp_path / "model-best")
    assert names(tmp_path) == ["model-best", "model-last"]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_training_is_interrupted_at_any_time(tmp_path, how):
    """Folders that are there can be loaded, whenever it was."""
    config = tmp_path / "config.cfg"
    config.write_text(CONFIG.format(data=tmp_path / "data.spacy"))
    nlp = spacy.blank("en")
    doc = nlp.make_doc("It rained in Lisbon")
    doc.set_ents([Span(doc, 3, 4, "city")])
    DocBin(docs=[doc] * 4).to_disk(tmp_path / "data.spacy")
    command = [
        sys.executable,
        "-m",
        "spacy",
        "train",
        str(config),
        "--output",
        str(tmp_path / "out"),
    ]
    for delay in (0.0, 0.05, 0.13, 0.29):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not (tmp_path / "out" / "model-last").exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(delay)
        process.send_signal(how)
        process.wait(60)
        for folder in (tmp_path / "out").glob("model-*"):
            assert spacy.load(folder).pipe_names == ["ner"]


CONFIG = """
[nlp]
lang = "en"
pipeline = ["ner"]

[components.ner]
factory = "ner"

[corpora.train]
@readers = "spacy.Corpus.v1"
path = "{data}"

[corpora.dev]
@readers = "spacy.Corpus.v1"
path = "{data}"

[training]
train_corpus = "corpora.train"
dev_corpus = "corpora.dev"
max_steps = 20000
patience = 0
eval_frequency = 1

[training.before_to_disk]
@callbacks = "spacy_modernbert.atomic_save.v1"
"""
