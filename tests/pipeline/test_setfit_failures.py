"""A call of `setfit_textcat` that fails, or is interrupted, leaves the component as it was."""

import itertools
import warnings

import numpy as np
import pytest
import spacy
from spacy.training import Example

from spacy_modernbert.pipeline.setfit_textcat import learner
from spacy_modernbert.setfit.training.trainer import SentenceEncoderTrainer

from .conftest import LISTENER, make_nlp
from .setfit_data import PAIRS, TOPICS, cats, gold, make

LABELS = tuple(TOPICS)
NEW = [("sing a song", "music"), ("a song on the radio", "music")]


def saved(checkpoint, folder, keep):
    nlp = make(checkpoint, keep_support=keep)
    nlp.get_pipe("setfit").fit(PAIRS, progress_bar=False)
    nlp.to_disk(folder)
    return spacy.load(folder)


def state(nlp):
    """All that a user can see of the component."""
    pipe = nlp.get_pipe("setfit")
    return cats(nlp), pipe.labels, len(pipe.support), pipe.to_bytes(exclude=["vocab"])


def test_vectors_are_kept_by_default_so_that_labels_can_be_added(checkpoint, tmp_path):
    nlp = make(checkpoint)
    nlp.get_pipe("setfit").fit(PAIRS, progress_bar=False)
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    assert again.get_pipe("setfit").cfg["keep_support"] == "vectors"
    again.get_pipe("setfit").fit(NEW, steps=0)
    assert set(again("text").cats) == {*LABELS, "music"}
    content = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"a bowl of hot soup" not in content


CALLS = {
    "fit": lambda pipe, nlp: pipe.fit(NEW, progress_bar=False),
    "fit without steps": lambda pipe, nlp: pipe.fit(NEW, steps=0),
    "add_label": lambda pipe, nlp: pipe.add_label("music"),
    "set_support": lambda pipe, nlp: pipe.set_support(NEW, clear=False),
    "update": lambda pipe, nlp: nlp.update(gold(nlp, PAIRS[:2], LABELS)),
}


@pytest.mark.parametrize("call", CALLS)
def test_without_the_earlier_examples_nothing_changes(checkpoint, tmp_path, call, monkeypatch):
    nlp = saved(checkpoint, tmp_path / "a", "none")
    before = state(nlp)
    monkeypatch.setattr(SentenceEncoderTrainer, "step", lambda *_: pytest.fail("trained first"))
    with pytest.raises(ValueError, match=r"SM231.*(food|money)"):
        CALLS[call](nlp.get_pipe("setfit"), nlp)
    assert state(nlp) == before
    nlp.to_disk(tmp_path / "b")
    assert cats(spacy.load(tmp_path / "b")) == before[0]


@pytest.mark.parametrize(
    "examples",
    [
        [*NEW, ("text",)],
        [*NEW, ("text", {"food": 0.5})],
        [*NEW, ("text", ["food", "music"])],
        [*NEW, ("text", "  ")],
        {"music": "sing a song"},
    ],
)
@pytest.mark.parametrize("method", ["fit", "set_support"])
def test_bad_examples_change_nothing(checkpoint, examples, method):
    nlp = make(checkpoint)
    nlp.get_pipe("setfit").fit(PAIRS, progress_bar=False)
    before = state(nlp)
    with pytest.raises(ValueError, match=r"SM233|SM212|E851|E895"):
        getattr(nlp.get_pipe("setfit"), method)(examples)
    assert state(nlp) == before


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("where", ["step", "classifier"])
def test_interrupted_training_restores_the_encoder(checkpoint, monkeypatch, error, where):
    nlp = make(checkpoint)
    pipe = nlp.get_pipe("setfit").fit(PAIRS, progress_bar=False)
    before, real = state(nlp), SentenceEncoderTrainer.step

    def interrupt(self, *args, **options):
        if where == "classifier" or self.n_updates == 3:
            raise error("stop")
        return real(self, *args, **options)

    if where == "step":
        monkeypatch.setattr(SentenceEncoderTrainer, "step", interrupt)
    else:
        monkeypatch.setattr(learner, "make_prototypes", lambda *_: interrupt(None))
    with pytest.raises(error, match="stop"):
        pipe.fit([*NEW, (PAIRS[0][0], "music")], progress_bar=False)
    monkeypatch.undo()
    assert state(nlp) == before
    assert pipe.fit(NEW, progress_bar=False).labels == (*LABELS, "music")


def test_interrupted_fit_goes_back_to_the_middle_of_a_training(checkpoint, monkeypatch):
    nlp = make(checkpoint)
    examples = gold(nlp)
    sgd = nlp.initialize(lambda: examples)
    for _ in range(3):
        nlp.update(examples, sgd=sgd)
    before = cats(nlp)
    monkeypatch.setattr(learner, "fine_tune", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        nlp.get_pipe("setfit").fit(NEW)
    assert cats(nlp) == before
    assert nlp.update(examples, sgd=sgd)["setfit"] > 0


def test_update_that_fails_changes_nothing(checkpoint, monkeypatch):
    nlp = make(checkpoint)
    nlp.get_pipe("setfit").fit(PAIRS, progress_bar=False)
    before = state(nlp)
    monkeypatch.setattr(SentenceEncoderTrainer, "accumulate", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        nlp.update(gold(nlp, [("a new text", "food")], LABELS))
    assert state(nlp) == before


def test_initialize_that_fails_changes_nothing(checkpoint):
    nlp = make(checkpoint)
    pipe = nlp.get_pipe("setfit").fit(PAIRS, progress_bar=False)
    before = state(nlp)
    bad = Example.from_dict(nlp.make_doc("text"), {"cats": {"music": 0.5}})
    with pytest.raises(ValueError, match=r"E851.*'setfit_textcat'"):
        pipe.initialize(lambda: [*gold(nlp), bad])
    with pytest.raises(ValueError, match="E920"):
        pipe.initialize(lambda: gold(nlp), labels=["music"], positive_label="x")
    assert state(nlp) == before


def test_label_of_a_shared_encoder_without_examples_has_probability_zero(checkpoint):
    nlp = make_nlp(checkpoint)
    model = {
        "@architectures": "spacy_modernbert.SentenceEncoderListener.v1",
        "normalize": True,
        "tok2vec": LISTENER,
    }
    nlp.add_pipe("setfit_textcat", name="setfit", config={"model": model})
    examples = gold(nlp)
    nlp.initialize(lambda: examples)
    before = nlp("hot bread").cats
    nlp.get_pipe("setfit").add_label("music")
    with pytest.warns(UserWarning, match=r"SMW241.*music"):
        found = nlp("hot bread").cats
    assert found == pytest.approx({**before, "music": 0.0}, abs=1e-5)
    nlp.update(gold(nlp, NEW, [*LABELS, "music"]))
    assert nlp("sing a song").cats["music"] > 0.1


def test_removed_label_is_gone_with_its_texts(checkpoint):
    nlp, other = make(checkpoint), make(checkpoint)
    pipe = nlp.get_pipe("setfit").fit([*NEW, *PAIRS], steps=0)
    assert (pipe.remove_label("music"), pipe.remove_label("music")) == (1, 0)
    other.get_pipe("setfit").fit(PAIRS, steps=0)
    assert pipe.labels == LABELS
    assert len(pipe.support) == len(PAIRS)
    for one, two in zip(cats(nlp), cats(other), strict=True):
        assert one == pytest.approx(two, abs=1e-6)
    pipe.fit(NEW, steps=0)
    assert pipe.labels == (*LABELS, "music")


def test_removed_label_where_several_are_possible(checkpoint):
    pipe = make(checkpoint, multi_label=True).get_pipe("setfit")
    pipe.fit([("bread by card", ["food", "money"]), ("pay", ["money"]), ("soup", {"food": 1})])
    pipe.remove_label("food")
    assert pipe.labels == ("money",)
    assert [text[-4:] for text in pipe.support.texts] == ["card", "pay"]
    pipe.model.predict([])


@pytest.mark.parametrize("keep", ["none", "vectors", "texts"])
def test_label_of_a_loaded_pipeline_can_be_removed(checkpoint, tmp_path, keep):
    nlp = saved(checkpoint, tmp_path / "a", keep)
    before = nlp("hot bread").cats
    nlp.get_pipe("setfit").remove_label("money")
    found = nlp("hot bread").cats
    assert set(found) == {"food", "sport"}
    if keep == "none":  # the same classifier, without a row
        ratio = before["food"] / before["sport"]
        assert found["food"] / found["sport"] == pytest.approx(ratio, rel=1e-4)
    nlp.to_disk(tmp_path / "b")
    assert spacy.load(tmp_path / "b")("hot bread").cats == found


def test_no_label_is_removed_that_is_needed(checkpoint):
    nlp = make(checkpoint)
    pipe = nlp.get_pipe("setfit").fit(PAIRS, steps=0)
    pipe.remove_label("food")
    before = cats(nlp)
    with pytest.raises(ValueError, match=r"SM218.*'sport'.*money"):
        pipe.remove_label("sport")
    assert cats(nlp) == before


def test_every_update_of_a_plain_loop_takes_a_step(checkpoint):
    nlp = make(checkpoint)
    examples = gold(nlp)
    sgd = nlp.initialize(lambda: examples)
    pipe = nlp.get_pipe("setfit")
    doc, seen = nlp.make_doc("hot bread"), []
    for start in range(0, 12, 3):
        assert nlp.update(examples[start : start + 3], sgd=sgd)["setfit"] > 0
        seen.append(pipe.model.predict([doc]))
    assert pipe.learner.source.version[0] == 4
    assert all(not np.array_equal(*pair) for pair in itertools.pairwise(seen))


def test_updates_after_the_end_of_the_schedule_are_announced(checkpoint):
    nlp = make(checkpoint)
    examples = gold(nlp)
    sgd = nlp.initialize(lambda: examples)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(14):
            nlp.update(examples, sgd=sgd)
    said = [str(warning.message) for warning in caught if "SMW242" in str(warning.message)]
    assert len(said) == 1
    assert "after 8 steps" in said[0]


@pytest.mark.parametrize("keep", ["none", "vectors", "texts"])
@pytest.mark.parametrize("multi_label", [False, True])
def test_pipeline_of_names_alone_learns_after_loading(checkpoint, tmp_path, keep, multi_label):
    """As `spacy assemble` makes it of a config with `[initialize]` labels."""
    nlp = make(checkpoint, keep_support=keep, multi_label=multi_label)
    nlp.config["initialize"]["components"]["setfit"] = {"labels": ["bread", "match"]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nlp.initialize()
    expected = cats(nlp)
    nlp.to_disk(tmp_path / "a")
    again = spacy.load(tmp_path / "a")
    assert cats(again) == expected
    again.to_disk(tmp_path / "b")
    again = spacy.load(tmp_path / "b")
    pipe = again.get_pipe("setfit")
    pipe.add_label("music")
    assert again("sing music").cats["music"] > 0.1
    with pytest.warns(UserWarning, match=r"SMW230.*bread, match"):
        pipe.fit(NEW, steps=0)
    assert max(again("sing a song").cats, key=again("sing a song").cats.get) == "music"
    assert pipe.remove_label("match") == 1


def test_labels_of_a_checkpoint_of_setfit_keep_their_classifier(checkpoint, tmp_path):
    nlp = make(checkpoint)
    pipe = nlp.get_pipe("setfit").fit(PAIRS, steps=0)
    pipe.learner.reset(pipe.learning_settings, pipe.classifier)  # as `from_setfit` does
    before = cats(nlp)
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    assert cats(again) == before
    with pytest.raises(ValueError, match="SM231"):
        again.get_pipe("setfit").add_label("music")
