"""A pipeline's folder is there whole, or as it was."""

import pytest
import spacy

from spacy_modernbert.pipeline.saving import save_whole


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
