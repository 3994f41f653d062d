import numpy as np
import pytest
import torch

from spacy_modernbert.setfit.checkpoint.read import load_folder
from spacy_modernbert.setfit.checkpoint.to_bytes import from_bytes, to_bytes
from spacy_modernbert.setfit.training.losses import cosine_loss, similarities
from spacy_modernbert.setfit.training.trainer import Schedule, Trainer

FAST = Schedule(learn_rate=2e-3, warmup_steps=0, total_steps=None)


def train(model, topics, schedule=FAST, steps=8, held=8192):
    texts, labels, _ = topics
    trainer = Trainer(model, schedule, held=held)
    rows = model.tokenize(texts).rows
    return [trainer.step(rows, labels) for _ in range(steps)]


def test_the_loss_falls(any_folder, topics):
    losses = train(load_folder(any_folder), topics)
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("loss", ["cosine", "supcon"])
def test_the_same_seed_gives_the_same_weights(any_folder, topics, loss):
    schedule = Schedule(loss=loss, learn_rate=1e-3, dropout=0.2, seed=3)
    state = torch.random.get_rng_state()
    models = [load_folder(any_folder) for _ in range(3)]
    for model, seed in zip(models, [3, 3, 4], strict=True):
        train(model, topics, Schedule(loss=loss, learn_rate=1e-3, dropout=0.2, seed=seed), steps=3)
    assert schedule.seed == 3
    one, two, other = (to_bytes(model) for model in models)
    assert one == two
    assert one != other
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_large_batch_in_parts_has_the_gradient_of_the_whole(any_folder, topics):
    texts, labels, _ = topics
    gradients = []
    for held in (8192, 16):
        model = load_folder(any_folder)
        trainer = Trainer(model, FAST, held=held)
        trainer.update = lambda: None
        trainer.step(model.tokenize(texts).rows, labels)
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    whole, parts = gradients
    assert whole.keys() == parts.keys()
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, atol=1e-6, rtol=1e-4)


def test_parts_are_encoded_twice_with_the_same_dropout(checkpoint, topics):
    texts, _, _ = topics
    model = load_folder(checkpoint)
    model.train()
    trainer = Trainer(model, Schedule(dropout=0.5))
    from spacy_modernbert.encoder.packing import PackedBatch

    batch = PackedBatch.from_sequences(model.tokenize(texts).rows)
    first, second, other = (trainer._encode(batch, part) for part in (0, 0, 1))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_piece_embeddings_stay_unless_wanted(any_folder, topics):
    for freeze in (True, False):
        model = load_folder(any_folder)
        before = model.word_embeddings.weight.detach().clone()
        train(model, topics, Schedule(freeze_embeddings=freeze, learn_rate=1e-3), steps=2)
        assert torch.equal(model.word_embeddings.weight, before) == freeze


def test_the_rate_rises_and_falls():
    rates = [Schedule(learn_rate=1.0, warmup_steps=2, total_steps=10).rate(s) for s in range(12)]
    assert rates[:3] == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert rates[2:11] == pytest.approx([(10 - s) / 8 for s in range(2, 11)])
    assert rates[11] == 0
    assert Schedule(learn_rate=1.0, total_steps=None).rate(1000) == 1.0


@pytest.mark.parametrize("n", [0, 1])
def test_a_batch_without_pairs_changes_nothing_and_fails_nothing(encoder, topics, n):
    texts, labels, _ = topics
    trainer = Trainer(encoder, Schedule(weight_decay=0.0))
    before = to_bytes(encoder)
    assert trainer.step(encoder.tokenize(texts).rows[:n], labels[:n]) == 0.0
    assert to_bytes(encoder) == before
    assert trainer.steps == 1


def test_a_model_from_bytes_is_trained_without_touching_them(checkpoint, topics):
    data = to_bytes(load_folder(checkpoint))
    copy = bytes(bytearray(data))
    model = from_bytes(data)
    train(model, topics, steps=2)
    assert data == copy
    assert to_bytes(model) != data


def test_training_separates_topics(checkpoint, topics):
    texts, labels, _ = topics
    model = load_folder(checkpoint)
    alike = similarities(torch.from_numpy(labels))
    before = cosine_loss(torch.from_numpy(model.encode_texts(texts)), alike)
    train(model, topics, steps=20)
    after = cosine_loss(torch.from_numpy(model.encode_texts(texts)), alike)
    assert float(after) < 0.5 * float(before)
    assert not model.training
    assert np.isfinite(model.encode_texts(texts)).all()


def flat(model):
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


def test_settled_weights_lie_between_those_of_start_and_training(checkpoint, topics):
    texts, labels, _ = topics
    model = load_folder(checkpoint)
    start = flat(model)
    trainer = Trainer(model, Schedule(learn_rate=1e-3, blend=0.25))
    rows = model.tokenize(texts).rows
    trainer.step(rows, labels)
    tuned = flat(model)
    for _ in range(2):
        trainer.settle()
        torch.testing.assert_close(flat(model), start.lerp(tuned, 0.25))
    assert not torch.equal(start, tuned)


def test_training_goes_on_from_where_it_was_before_settling(any_folder, topics):
    texts, labels, _ = topics
    found = []
    for settles in (True, False):
        model = load_folder(any_folder)
        trainer = Trainer(model, Schedule(learn_rate=1e-3))
        for _ in range(3):
            trainer.step(model.tokenize(texts).rows, labels)
            if settles:
                trainer.settle()
        trainer.settle()
        found.append(to_bytes(model))
    assert found[0] == found[1]


def test_without_dropout_the_network_has_none_of_its_own_either(bert, topics):
    texts, labels, _ = topics
    model = load_folder(bert)
    rows = model.tokenize(texts).rows
    alike = similarities(torch.from_numpy(labels))
    plain = float(cosine_loss(torch.from_numpy(model.encode(rows)), alike))
    assert Trainer(model, Schedule()).step(rows, labels) == pytest.approx(plain, abs=1e-6)
    assert Trainer(load_folder(bert), Schedule(dropout=0.1)).step(rows, labels) != plain
