"""A new bi-encoder whose scores begin as similarity."""

import numpy as np
import pytest
import torch

from spacy_modernbert.gliner.training.config import TrainingConfig
from spacy_modernbert.gliner.training.new_model import new_gliner
from spacy_modernbert.gliner.training.similarity_init import init_by_similarity
from spacy_modernbert.gliner.training.trainer import GlinerTrainer
from tests.gliner.test_new import backbone
from tests.gliner.test_training import FAST, FIXED, LABELS
from tests.gliner.test_training import TEXTS as GOLD
from tests.gliner.tiny import TEXTS

WORDS = [*LABELS, *(word for text in TEXTS for word in text.split())]


def make(width=None, **settings):
    model = new_gliner(backbone(), backbone(), width=width, dropout=0.0)
    init_by_similarity(model, WORDS, **settings)
    return model


def scores(model, words, labels):
    """Scores of the spans of one word, and the vectors they come from."""
    builder = model.prompt_builder
    pieces = builder.encode([words])[0]
    sequence = builder.sequence(builder.prompt(labels[:1]), pieces, 0, len(words))
    with torch.no_grad():
        features = model.network.encode([sequence], model.encode_labels(labels))
        found = model.network(features)[0][: len(words)]
    return found, features


def test_a_span_of_one_word_scores_its_similarity():
    words, labels = TEXTS[0].split(), LABELS
    found, features = scores(make(strength=0.5, offset=0.0), words, labels)
    expected = 0.5 * features.words @ features.labels.T
    # What is left of the random weights makes a small difference.
    assert float((found - expected).std()) < 0.15 * float(expected.std())


def test_the_offset_is_that_of_the_average_label():
    model = make(strength=0.0, offset=-3.0)
    found, _ = scores(model, TEXTS[0].split(), list(dict.fromkeys(WORDS)))
    assert float(found.mean()) == pytest.approx(-3.0, abs=0.3)


def test_a_narrow_head_keeps_most_of_the_similarity():
    wide, _ = scores(make(), TEXTS[1].split(), LABELS)
    narrow, _ = scores(make(width=16), TEXTS[1].split(), LABELS)
    assert np.corrcoef(wide.flatten(), narrow.flatten())[0, 1] > 0.9


def test_it_learns_on():
    trainer = GlinerTrainer(make(), TrainingConfig(optimizer=FAST, sampling=FIXED))
    losses = [trainer.step(GOLD) for _ in range(30)]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("settings", [{"labels": None}, {"head": "token"}])
def test_other_kinds_are_refused(settings):
    labels = settings.pop("labels", backbone())
    with pytest.raises(TypeError):
        init_by_similarity(new_gliner(backbone(), labels, **settings), LABELS)
