"""With many texts `setfit_textcat` asks some of them how far to go with the tuned encoder."""

import numpy as np
import pytest

from spacy_modernbert.pipeline.setfit_textcat import learner as setfit_learner
from spacy_modernbert.setfit.training.trainer import Trainer
from spacy_modernbert.setfit.training.weight_interpolation import ENOUGH, hold_out

from .setfit_data import PAIRS, TOPICS, make

MANY = [(f"{text} {number}", label) for number in range(22) for text, label in PAIRS]


def weights(pipe):
    return [p.detach().clone() for p in pipe.model.shim.checkpoint.parameters()]


@pytest.fixture
def trained_on(monkeypatch):
    """The texts that steps were taken on."""
    rows = set()
    step = Trainer.step

    def spy(self, texts, labels):
        rows.update(tuple(row.tolist()) for row in texts)
        return step(self, texts, labels)

    monkeypatch.setattr(Trainer, "step", spy)
    return rows


def fit(checkpoint, pairs, **options):
    pipe = make(checkpoint, batch_texts=64, **options.pop("config", {})).get_pipe("setfit")
    return pipe.fit(pairs, progress_bar=False, **options)


def test_a_quarter_of_many_texts_is_not_trained_on(checkpoint, trained_on):
    assert len(MANY) >= ENOUGH
    pipe = fit(checkpoint, MANY, steps=24)
    rows = [tuple(row.tolist()) for row in pipe.learner.tokenize([text for text, _ in MANY])]
    columns = np.array([list(TOPICS).index(label) for _, label in MANY])
    held = hold_out(np.eye(len(TOPICS), dtype=np.float32)[columns], seed=0)
    assert trained_on == {row for row, is_held in zip(rows, held, strict=True) if not is_held}
    assert len(pipe.learner.support) == len(MANY)  # all of them make the classifier


@pytest.mark.parametrize("case", ["few texts", "a blend is given", "other texts to judge by"])
def test_otherwise_all_texts_are_trained_on(checkpoint, trained_on, case):
    options = {
        "few texts": {},
        "a blend is given": {"config": {"blend": 0.5}},
        "other texts to judge by": {"dev": PAIRS},
    }[case]
    pairs = MANY[: ENOUGH - 1] if case == "few texts" else MANY
    fit(checkpoint, pairs, steps=24, **options)
    assert len(trained_on) == len(pairs)


def test_the_encoder_stays_as_it_was_where_that_suits_best(checkpoint, monkeypatch):
    start = make(checkpoint).get_pipe("setfit")
    start.model.initialize()
    for blend, stays in ((0.0, True), (0.9, False)):
        monkeypatch.setattr(
            setfit_learner, "choose_weight_interpolation", lambda *_, blend=blend: blend
        )
        pipe = fit(checkpoint, MANY, steps=2)
        pairs = zip(weights(pipe), weights(start), strict=True)
        assert all(np.array_equal(one, other) for one, other in pairs) == stays
        assert pipe.classifier.labels == tuple(TOPICS)
