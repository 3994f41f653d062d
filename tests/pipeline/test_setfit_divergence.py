"""Trainings of `setfit_textcat` that can't teach anything, or go wrong."""

import warnings

import numpy as np
import pytest

from spacy_modernbert.pipeline.setfit_textcat import notices
from spacy_modernbert.setfit.training.losses import can_contrast, labels_differ, similarities
from spacy_modernbert.setfit.training.trainer import SentenceEncoderTrainer

from .setfit_data import FAST, PAIRS, TEXTS, TOPICS, cats, gold, make

FOOD = [(text, ["food"]) for text in TOPICS["food"]]


def vectors(nlp):
    pipe = nlp.get_pipe("setfit")
    return pipe.model.predict([nlp.make_doc(text) for text in TEXTS])


@pytest.fixture
def steps(monkeypatch):
    taken = []
    real = SentenceEncoderTrainer.update

    def update(self, *args):
        taken.append(self.has_gradients)
        return real(self, *args)

    monkeypatch.setattr(SentenceEncoderTrainer, "update", update)
    return taken


ALIKE = {
    "one class": FOOD,
    "one class in a mapping": [(text, {"food": 1.0}) for text, _ in FOOD],
    "the same two labels": [(text, ["food", "money"]) for text, _ in FOOD],
    "no label at all, and names": [(text, {"food": 0.0, "money": 0.0}) for text, _ in FOOD],
}


@pytest.mark.parametrize("case", ALIKE)
@pytest.mark.parametrize("loss", ["cosine", "supcon"])
def test_no_step_where_nothing_contrasts(checkpoint, case, loss, steps):
    nlp = make(checkpoint, multi_label=True, training={"loss": loss})
    pipe = nlp.get_pipe("setfit")
    pipe.model.initialize()
    before = vectors(nlp)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pipe.fit(ALIKE[case], progress_bar=False)
    assert any("SMW236" in str(warning.message) for warning in caught)
    assert not any(steps)
    np.testing.assert_array_equal(vectors(nlp), before)


def test_no_step_of_an_update_where_nothing_contrasts(checkpoint):
    nlp = make(checkpoint, multi_label=True)
    examples = gold(nlp, [(text, "food") for text, _ in FOOD], ["food"])
    sgd = nlp.initialize(lambda: examples)
    before = vectors(nlp)
    with pytest.warns(UserWarning, match="SMW236"):
        assert nlp.update(examples, sgd=sgd)["setfit"] == 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            assert nlp.update(examples, sgd=sgd)["setfit"] == 0.0
    np.testing.assert_array_equal(vectors(nlp), before)
    nlp.update(gold(nlp, [("the team lost", "sport")], ["food"]), sgd=sgd)
    assert not np.array_equal(vectors(nlp), before)


@pytest.mark.parametrize("case", ["two classes", "one class and others", "a label more"])
def test_some_contrast_is_enough(checkpoint, case, steps):
    given = {
        "two classes": [FOOD[0], ("pay by card", ["money"])],
        "one class and others": [*FOOD, ("pay by card", [])],
        "a label more": [FOOD[0], ("bread by card", ["food", "money"])],
    }
    make(checkpoint, multi_label=True).get_pipe("setfit").fit(given[case], progress_bar=False)
    assert steps == [True] * FAST["total_steps"]


def test_contrast_of_a_set_is_that_of_its_pairs():
    import torch

    generator = np.random.default_rng(0)
    for _ in range(300):
        shape = generator.integers(1, 5), generator.integers(1, 3)
        labels = generator.choice([0.0, 1.0, np.nan], size=shape).astype(np.float32)
        pairs = can_contrast(similarities(torch.from_numpy(labels)))
        # A set may hold texts that are alike and some that are not: only the latter contrast.
        assert labels_differ(labels) == pairs or (not pairs and np.isnan(labels).any())


@pytest.mark.parametrize("n", [12, 300])
def test_diverged_training_returns_to_the_start(checkpoint, n):
    optimizer = {**FAST, "learn_rate": 30.0, "grad_clip": 1e6}
    training = {"optimizer": optimizer, "weight_interpolation": 1.0}
    nlp, probe = make(checkpoint, training=training), make(checkpoint)
    pairs = [(f"{text} {i // 12}", label) for i, (text, label) in enumerate(PAIRS * (n // 12))]
    with pytest.warns(UserWarning, match=r"SMW237.*learn_rate` \(30\)"):
        nlp.get_pipe("setfit").fit(pairs, progress_bar=False)
    probe.get_pipe("setfit").fit(pairs, steps=0)
    np.testing.assert_array_equal(vectors(nlp), vectors(probe))
    for one, two in zip(cats(nlp), cats(probe), strict=True):
        assert one == pytest.approx(two, abs=1e-5)


@pytest.mark.parametrize("after", [(9.0, False), (0.0, True), (np.nan, False)])
def test_higher_loss_or_equal_vectors_are_a_divergence(checkpoint, monkeypatch, after):
    nlp = make(checkpoint)
    pipe = nlp.get_pipe("setfit")
    pipe.model.initialize()
    before = vectors(nlp)
    monkeypatch.setattr(SentenceEncoderTrainer, "evaluate", lambda *_: after)
    with pytest.warns(UserWarning, match="SMW237"):
        pipe.fit(PAIRS, progress_bar=False)
    np.testing.assert_array_equal(vectors(nlp), before)


def test_loss_that_is_not_finite_ends_the_training(checkpoint, monkeypatch):
    nlp = make(checkpoint)
    pipe, taken = nlp.get_pipe("setfit"), []
    pipe.model.initialize()
    before, real = vectors(nlp), SentenceEncoderTrainer.step

    def step(self, *args):
        taken.append(real(self, *args))
        return np.nan if len(taken) == 3 else taken[-1]

    monkeypatch.setattr(SentenceEncoderTrainer, "step", step)
    with pytest.warns(UserWarning, match="SMW237"):
        pipe.fit(PAIRS, dev=PAIRS, progress_bar=False)
    assert len(taken) == 3
    np.testing.assert_array_equal(vectors(nlp), before)


def test_gradient_that_is_not_finite_is_said_in_a_loop(checkpoint, monkeypatch):
    nlp = make(checkpoint)
    examples = gold(nlp)
    sgd = nlp.initialize(lambda: examples)
    monkeypatch.setattr("spacy_modernbert.encoder.optimizer.Optimizer.step", lambda _: np.inf)
    with pytest.warns(UserWarning, match=r"SMW238.*step 1 is not finite"):
        nlp.update(examples, sgd=sgd)


def test_collapse_is_said_once_in_a_loop(checkpoint, monkeypatch):
    monkeypatch.setattr(notices, "are_alike", lambda _: True)
    nlp = make(checkpoint)
    examples = gold(nlp)
    sgd = nlp.initialize(lambda: examples)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(4):
            nlp.update(examples, sgd=sgd)
            nlp("text")
    said = [str(warning.message) for warning in caught if "SMW238" in str(warning.message)]
    assert len(said) == 1
    assert "same vector" in said[0]


def test_ordinary_training_says_nothing(checkpoint):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for loss in ("cosine", "supcon"):
            nlp = make(checkpoint, training={"loss": loss})
            nlp.get_pipe("setfit").fit(PAIRS, dev=PAIRS, progress_bar=False)
            nlp.get_pipe("setfit").fit(PAIRS, steps=1, progress_bar=False)
