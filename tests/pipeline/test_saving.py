"""A pipeline's folder is complete, or as it was."""

import copy
import shutil
import signal
import subprocess
import sys
import time

import pytest
import spacy
from spacy.tokens import DocBin, Span
from spacy.training import loop
from thinc.api import Config

from spacy_modernbert.pipeline.atomic_saving import make_atomic_save


@pytest.fixture
def nlp():
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    return make_atomic_save()(nlp)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_it_saves_what_spacy_saves(nlp, tmp_path):
    nlp.to_disk(tmp_path / "model")
    assert names(tmp_path) == ["model"]
    assert spacy.load(tmp_path / "model").pipe_names == ["sentencizer"]
    assert make_atomic_save()(nlp) is nlp


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


def test_nothing_else_is_changed(tmp_path):
    modules = [vars(module).copy() for module in (loop, shutil, spacy.language.Language)]
    nlp = spacy.blank("en")
    before = vars(nlp).copy()
    make_atomic_save()(nlp).to_disk(tmp_path / "model-last")
    assert vars(nlp) == before
    assert type(nlp).to_disk is spacy.language.Language.to_disk
    assert modules == [vars(m) for m in (loop, shutil, spacy.language.Language)]


def test_a_copy_writes_itself(nlp, tmp_path):
    copied = copy.copy(nlp)
    copied._meta = {**nlp.meta, "name": "copied"}
    copied.to_disk(tmp_path / "copied")
    assert spacy.load(tmp_path / "copied").meta["name"] == "copied"
    assert nlp.meta["name"] != "copied"


def stop_after(function, n_files):
    """A `copytree` or `rmtree` that is interrupted after some files."""

    def stop(folder, *args):
        for path in sorted(path for path in folder.rglob("*") if path.is_file())[:n_files]:
            if function == "rmtree":
                path.unlink()
            else:
                target = args[0] / path.relative_to(folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, target)
        raise KeyboardInterrupt

    return stop


@pytest.mark.parametrize("function", ["rmtree", "copytree"])
@pytest.mark.parametrize("n_files", [0, 1, 3, 99])
def test_the_save_after_an_interruption_completes_the_best_model(nlp, tmp_path, function, n_files):
    """The steps of spaCy's loop: save, remove the best model, copy; then the last save."""
    last, best = tmp_path / "model-last", tmp_path / "model-best"
    nlp.meta["performance"] = {"score": 0.5}
    nlp.to_disk(last)
    shutil.copytree(last, best)
    nlp.meta["performance"] = {"score": 0.75}
    nlp.to_disk(last)
    if function == "copytree":
        shutil.rmtree(best)
    with pytest.raises(KeyboardInterrupt):
        stop_after(function, n_files)(*((best,) if function == "rmtree" else (last, best)))
    nlp.meta["performance"] = {"score": 0.125}
    nlp.to_disk(last)
    untouched = function == "rmtree" and n_files == 0
    score = spacy.load(best).meta["performance"]["score"]
    assert score == (0.5 if untouched else 0.75)
    assert spacy.load(last).meta["performance"]["score"] == 0.125
    assert names(tmp_path) == ["model-best", "model-last"]


def test_the_first_copy_is_interrupted(nlp, tmp_path):
    nlp.to_disk(tmp_path / "model-last")
    nlp.to_disk(tmp_path / "model-last")
    assert names(tmp_path) == ["model-last"]
    (tmp_path / "model-best").mkdir()
    nlp.to_disk(tmp_path / "model-last")
    assert spacy.load(tmp_path / "model-best").pipe_names == ["sentencizer"]


def test_a_best_model_with_files_of_the_user_is_left_alone(nlp, tmp_path):
    nlp.to_disk(tmp_path / "model-last")
    shutil.copytree(tmp_path / "model-last", tmp_path / "model-best")
    nlp.to_disk(tmp_path / "model-last")
    (tmp_path / "model-best" / "notes.txt").write_text("mine")
    nlp.to_disk(tmp_path / "model-last")
    assert (tmp_path / "model-best" / "notes.txt").read_text() == "mine"


def is_complete(folder, whole):
    """Whether a folder has all files of another, none of them cut off."""
    files = [path for path in whole.rglob("*") if path.is_file()]
    for path in files:
        own = folder / path.relative_to(whole)
        if not own.is_file():
            return False
        content, expected = own.read_bytes(), path.read_bytes()
        if len(content) < len(expected) and expected.startswith(content):
            return False
    return True


def write_config(folder, steps=20000):
    nlp = spacy.blank("en")
    doc = nlp.make_doc("It rained in Lisbon")
    doc.set_ents([Span(doc, 3, 4, "city")])
    DocBin(docs=[doc] * 4).to_disk(folder / "data.spacy")
    config = Config().from_str(CONFIG.format(data=folder / "data.spacy", steps=steps))
    filled = spacy.util.load_model_from_config(config, auto_fill=True).config
    filled.to_disk(folder / "config.cfg")
    return folder / "config.cfg"


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_training_is_interrupted_at_any_time(tmp_path, how):
    """`model-last` is complete, and `model-best` is or was being replaced by `model-last`."""
    config, out = write_config(tmp_path), tmp_path / "out"
    command = [sys.executable, "-m", "spacy", "train", str(config), "--output", str(out)]
    for delay in (0.0, 0.05, 0.13, 0.29):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not (out / "model-last").exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(delay)
        process.send_signal(how)
        process.wait(60)
        assert out.exists()
        if (out / "model-last").exists():
            assert spacy.load(out / "model-last").pipe_names == ["ner"]
        else:
            assert spacy.load(out / ".model-last.old").pipe_names == ["ner"]
            assert spacy.load(out / ".model-last.new").pipe_names == ["ner"]
        best = out / "model-best"
        if best.exists() and (how == signal.SIGINT or is_complete(best, out / "model-last")):
            assert spacy.load(best).pipe_names == ["ner"]


KILLED_IN_THE_COPY = """
import os, shutil, signal, sys
from pathlib import Path
from spacy import util
from spacy.training import initialize, loop

real, n_copies = shutil.copy2, 0

def copy2(source, target, **kwargs):
    global n_copies
    if "model-best" in str(target) and ".model-best" not in str(target):
        n_copies += 1
        if n_copies == 4:
            os.kill(os.getpid(), getattr(signal, sys.argv[3]))
    return real(source, target, **kwargs)

copytree = shutil.copytree
class Killing:  # only in this test: the moment has to be hit
    def __getattr__(self, name):
        return getattr(shutil, name)
    def copytree(self, source, target):
        return copytree(source, target, copy_function=copy2)
loop.shutil = Killing()
config = util.load_config(sys.argv[1], interpolate=False)
nlp = initialize.init_nlp(config)
Path(sys.argv[2]).mkdir()
loop.train(nlp, Path(sys.argv[2]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["SIGINT", "SIGKILL"])
def test_a_training_is_interrupted_in_the_copy_to_the_best_model(tmp_path, how):
    config, out = write_config(tmp_path, steps=3), tmp_path / "out"
    command = [sys.executable, "-c", KILLED_IN_THE_COPY, str(config), str(out), how]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode != 0
    assert spacy.load(out / "model-last").pipe_names == ["ner"]
    assert is_complete(out / "model-best", out / "model-last") == (how == "SIGINT")
    if how == "SIGINT":
        assert spacy.load(out / "model-best").pipe_names == ["ner"]
        return
    for path in (out / "model-best").rglob("*"):  # all that was copied is of `model-last`
        if path.is_file():
            source = out / "model-last" / path.relative_to(out / "model-best")
            assert path.read_bytes() == source.read_bytes()[: path.stat().st_size]


CONFIG = """
[nlp]
lang = "en"
pipeline = ["ner"]

[components]

[components.ner]
factory = "ner"

[corpora]

[corpora.train]
@readers = "spacy.Corpus.v1"
path = "{data}"

[corpora.dev]
@readers = "spacy.Corpus.v1"
path = "{data}"

[training]
train_corpus = "corpora.train"
dev_corpus = "corpora.dev"
max_steps = {steps}
patience = 0
eval_frequency = 1

[training.before_to_disk]
@callbacks = "spacy_modernbert.atomic_save.v1"
"""
