"""Settings that change after a component was created: in nlp.config, on disk, and when loaded."""

import copy
import pickle

import pytest
import spacy

from . import gliner_tiny, setfit_data


@pytest.fixture
def gliner(folders):
    return gliner_tiny.make(folders, labels=["person"], threshold=0.4)


@pytest.fixture
def setfit(checkpoint):
    nlp = setfit_data.make(checkpoint)
    nlp.get_pipe("setfit").fit(setfit_data.PAIRS, steps=0, progress_bar=False)
    return nlp


def shown(nlp, name="gliner"):
    return nlp.config["components"][name]


def change_labels(pipe):
    pipe.set_labels({"RIVER": "river"})


def add_label(pipe):
    pipe.add_label("river")


def update_settings(pipe):
    pipe.cfg.update(labels=["river"], window=20)


def change_threshold(pipe):
    pipe.cfg["threshold"] = 0.3


CHANGES = [change_labels, add_label, update_settings, change_threshold]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_shows_in_the_config_and_is_saved(gliner, tmp_path, change):
    pipe = gliner.get_pipe("gliner")
    change(pipe)
    assert all(shown(gliner)[name] == value for name, value in pipe.cfg.items())
    gliner.to_disk(tmp_path / "nlp")
    loaded = spacy.load(tmp_path / "nlp")
    assert loaded.get_pipe("gliner").cfg == pipe.cfg
    assert shown(loaded) == shown(gliner)
    again = spacy.util.load_model_from_config(gliner.config).from_bytes(gliner.to_bytes())
    assert again.get_pipe("gliner").cfg == pipe.cfg


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("pickled", [False, True], ids=["as it is", "pickled"])
def test_what_a_caller_passes_wins(gliner, tmp_path, change, pickled):
    """In a pipeline that was pickled, the config no longer follows; the values still do."""
    nlp = pickle.loads(pickle.dumps(gliner)) if pickled else gliner
    change(nlp.get_pipe("gliner"))
    nlp.to_disk(tmp_path / "nlp")
    passed = {"labels": ["city", "lake"], "threshold": 0.7}
    loaded = spacy.load(tmp_path / "nlp", config={"components": {"gliner": passed}})
    pipe = loaded.get_pipe("gliner")
    assert {name: pipe.cfg[name] for name in passed} == passed
    assert pipe.labels == ("city", "lake")
    assert {name: shown(loaded)[name] for name in passed} == passed
    assert pipe.cfg["window"] == nlp.get_pipe("gliner").cfg["window"]
    kept = spacy.load(tmp_path / "nlp").get_pipe("gliner")
    assert kept.cfg == nlp.get_pipe("gliner").cfg


def test_the_original_value_can_be_passed(gliner, tmp_path):
    gliner.get_pipe("gliner").add_label("river")
    gliner.to_disk(tmp_path / "nlp")
    loaded = spacy.load(tmp_path / "nlp", config={"components.gliner.labels": ["person"]})
    assert loaded.get_pipe("gliner").labels == ("person",)


@pytest.mark.parametrize("threshold", [0.3, 0.1, 0.7, 1 / 3])
def test_thresholds_are_loaded_exactly(gliner, tmp_path, threshold):
    pipe = pickle.loads(pickle.dumps(gliner)).get_pipe("gliner")
    pipe.cfg["threshold"], pipe.cfg["label_thresholds"] = threshold, {"person": threshold}
    pipe.to_disk(tmp_path / "gliner")
    for loaded in (
        gliner.get_pipe("gliner").from_disk(tmp_path / "gliner"),
        gliner.get_pipe("gliner").from_bytes(pipe.to_bytes()),
    ):
        assert loaded.cfg["threshold"] == threshold
        assert loaded.cfg["label_thresholds"] == {"person": threshold}


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda nlp: pickle.loads(pickle.dumps(nlp))])
def test_a_copy_does_not_change_the_original(gliner, copied):
    before = dict(shown(gliner))
    copied(gliner).get_pipe("gliner").set_labels(["river"])
    assert shown(gliner) == before


def test_a_sourced_component_keeps_its_changes(gliner, tmp_path):
    gliner.get_pipe("gliner").add_label("river")
    nlp = spacy.blank("en")
    nlp.add_pipe("gliner", source=gliner)
    assert shown(nlp)["labels"] == ["person", "river"]
    nlp.to_disk(tmp_path / "nlp")
    assert spacy.load(tmp_path / "nlp").get_pipe("gliner").labels == ("person", "river")


def test_settings_of_setfit_textcat(setfit, tmp_path):
    pipe = setfit.get_pipe("setfit")
    pipe.cfg["threshold"] = 0.3
    pipe.head_config = pipe.head_config.model_copy(update={"C": 1.0})
    pipe.training_config = pipe.training_config.model_copy(update={"seed": 7})
    entry = shown(setfit, "setfit")
    assert (entry["threshold"], entry["training"]["seed"]) == (0.3, 7)
    assert entry["head"] == pipe.head_config.model_dump(mode="json")
    setfit.to_disk(tmp_path / "nlp")
    loaded = spacy.load(tmp_path / "nlp")
    assert loaded.get_pipe("setfit").cfg == pipe.cfg
    assert loaded.get_pipe("setfit").training_config == pipe.training_config
    config = {"components": {"setfit": {"threshold": 0.9, "training": {"seed": 3}}}}
    other = spacy.load(tmp_path / "nlp", config=config).get_pipe("setfit")
    assert (other.cfg["threshold"], other.training_config.seed) == (0.9, 3)
    assert other.labels == pipe.labels
