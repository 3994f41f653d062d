"""With many texts, `setfit_textcat` holds some out to choose the weight interpolation."""

import numpy as np
import pytest

from spacy_modernbert.setfit.training import fine_tuning
from spacy_modernbert.setfit.training.trainer import SentenceEncoderTrainer
from spacy_modernbert.setfit.training.weight_interpolation import MIN_TEXTS, hold_out

from .setfit_data import PAIRS, TOPICS, make

MANY = [(f"{text} {number}", label) for number in range(22) for text, label in PAIRS]


def weights(pipe):
    return [p.detach().clone() for p in pipe.model.shim.checkpoint.parameters()]


@pytest.fixture
def trained_on(monkeypatch):
    """The texts that steps were taken on."""
    rows = set()
    step = SentenceEncoderTrainer.step

    def spy(self, texts, labels):
        rows.update(tuple(row.tolist()) for row in texts)
        return step(self, texts, labels)

    monkeypatch.setattr(SentenceEncoderTrainer, "step", spy)
    return rows


def fit(checkpoint, pairs, **options):
    pipe = make(checkpoint, training=options.pop("training", {})).get_pipe("setfit")
    return pipe.fit(pairs, progress_bar=False, **options)


def test_a_quarter_of_many_texts_is_not_trained_on(checkpoint, trained_on):
    assert len(MANY) >= MIN_TEXTS
    pipe = fit(checkpoint, MANY, steps=24)
    rows = [tuple(row.tolist()) for row in pipe.learner.source.tokenize([text for text, _ in MANY])]
    columns = np.array([list(TOPICS).index(label) for _, label in MANY])
    held = hold_out(np.eye(len(TOPICS), dtype=np.float32)[columns], seed=0)
    assert trained_on == {row for row, is_held in zip(rows, held, strict=True) if not is_held}
    assert len(pipe.support) == len(MANY)  # all of them make the classifier


@pytest.mark.parametrize("case", ["few texts", "a share is set", "other texts to evaluate with"])
def test_otherwise_all_texts_are_trained_on(checkpoint, trained_on, case):
    options = {
        "few texts": {},
        "a share is set": {"training": {"weight_interpolation": 0.5}},
        "other texts to evaluate with": {"dev": PAIRS},
    }[case]
    pairs = MANY[: MIN_TEXTS - 1] if case == "few texts" else MANY
    fit(checkpoint, pairs, steps=24, **options)
    assert len(trained_on) == len(pairs)


def test_the_encoder_stays_as_it_was_where_that_suits_best(checkpoint, monkeypatch):
    start = make(checkpoint).get_pipe("setfit")
    start.model.initialize()
    for share, stays in ((0.0, True), (0.9, False)):
        monkeypatch.setattr(
            fine_tuning, "choose_weight_interpolation", lambda *_, share=share, **__: share
        )
        pipe = fit(checkpoint, MANY, steps=2)
        pairs = zip(weights(pipe), weights(start), strict=True)
        assert all(np.array_equal(one, other) for one, other in pairs) == stays
        assert pipe.classifier.labels == tuple(TOPICS)
