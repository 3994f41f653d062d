import numpy as np
import pytest
import torch

from spacy_modernbert.setfit.checkpoint.read import load_sentence_encoder
from spacy_modernbert.setfit.checkpoint.serialization import from_bytes, to_bytes
from spacy_modernbert.setfit.training.config import SetfitTrainingConfig
from spacy_modernbert.setfit.training.losses import cosine_loss, similarities
from spacy_modernbert.setfit.training.trainer import SentenceEncoderTrainer


def config(loss="cosine", dropout=0.0, freeze=("embeddings",), share=None, seed=0, **optimizer):
    return SetfitTrainingConfig(
        loss=loss,
        dropout=dropout,
        freeze=freeze,
        weight_interpolation=share,
        seed=seed,
        optimizer=optimizer,
    )


FAST = config(learn_rate=2e-3, warmup_steps=0, total_steps=None)


def train(model, topics, settings=FAST, steps=8):
    texts, labels, _ = topics
    trainer = SentenceEncoderTrainer(model, settings)
    sequences = model.tokenize(texts).sequences
    return [trainer.step(sequences, labels) for _ in range(steps)]


def test_the_loss_falls(any_folder, topics):
    losses = train(load_sentence_encoder(any_folder), topics)
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("loss", ["cosine", "supcon"])
def test_the_same_seed_gives_the_same_weights(any_folder, topics, loss):
    state = torch.random.get_rng_state()
    models = [load_sentence_encoder(any_folder) for _ in range(3)]
    for model, seed in zip(models, [3, 3, 4], strict=True):
        train(model, topics, config(loss, 0.2, seed=seed, learn_rate=1e-3), steps=3)
    one, two, other = (to_bytes(model) for model in models)
    assert one == two
    assert one != other
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_large_batch_in_parts_has_the_gradient_of_the_whole(any_folder, topics):
    texts, labels, _ = topics
    gradients = []
    for pieces in (8192, 16):
        model = load_sentence_encoder(any_folder)
        trainer = SentenceEncoderTrainer(model, FAST, backward_pieces=pieces)
        trainer.accumulate(model.tokenize(texts).sequences, labels)
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    whole, parts = gradients
    assert whole.keys() == parts.keys()
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, atol=1e-6, rtol=1e-4)


def test_parts_are_encoded_twice_with_the_same_dropout(checkpoint, topics):
    texts, _, _ = topics
    model = load_sentence_encoder(checkpoint)
    model.train()
    trainer = SentenceEncoderTrainer(model, config(dropout=0.5))
    from spacy_modernbert.encoder.packing import PackedBatch

    batch = PackedBatch.from_sequences(model.tokenize(texts).sequences)
    first, second, other = (trainer._encode(batch, part, 0.5) for part in (0, 0, 1))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_piece_embeddings_stay_unless_wanted(any_folder, topics):
    for freeze in (True, False):
        model = load_sentence_encoder(any_folder)
        before = model.encoder.input_embeddings.weight.detach().clone()
        train(model, topics, config(freeze=("embeddings",) * freeze, learn_rate=1e-3), steps=2)
        assert torch.equal(model.encoder.input_embeddings.weight, before) == freeze


def test_the_learn_rate_rises_and_falls():
    rates = [config(warmup_steps=2, total_steps=10).optimizer.factor(s) for s in range(12)]
    assert rates[:3] == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert rates[2:11] == pytest.approx([(10 - s) / 8 for s in range(2, 11)])
    assert rates[11] == 0
    assert config(total_steps=None).optimizer.factor(1000) == 1.0


@pytest.mark.parametrize("n", [0, 1])
def test_a_batch_without_pairs_changes_nothing_and_fails_nothing(encoder, topics, n):
    texts, labels, _ = topics
    trainer = SentenceEncoderTrainer(encoder, config(weight_decay=0.0))
    before = to_bytes(encoder)
    assert trainer.step(encoder.tokenize(texts).sequences[:n], labels[:n]) == 0.0
    assert to_bytes(encoder) == before
    assert trainer.n_updates == 0  # where nothing contrasts, there is no gradient, and no step


def test_a_model_from_bytes_is_trained_without_touching_them(checkpoint, topics):
    data = to_bytes(load_sentence_encoder(checkpoint))
    copy = bytes(bytearray(data))
    model = from_bytes(data)
    train(model, topics, steps=2)
    assert data == copy
    assert to_bytes(model) != data


def test_training_separates_topics(checkpoint, topics):
    texts, labels, _ = topics
    model = load_sentence_encoder(checkpoint)
    targets = similarities(torch.from_numpy(labels))
    before = cosine_loss(torch.from_numpy(model.encode_texts(texts)), targets)
    train(model, topics, steps=20)
    after = cosine_loss(torch.from_numpy(model.encode_texts(texts)), targets)
    assert float(after) < 0.5 * float(before)
    assert not model.training
    assert np.isfinite(model.encode_texts(texts)).all()


def flat(model):
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


def test_interpolated_weights_lie_between_those_of_start_and_training(checkpoint, topics):
    texts, labels, _ = topics
    model = load_sentence_encoder(checkpoint)
    start = flat(model)
    trainer = SentenceEncoderTrainer(model, config(share=0.25, learn_rate=1e-3))
    sequences = model.tokenize(texts).sequences
    trainer.step(sequences, labels)
    trained = flat(model)
    for _ in range(2):
        trainer.interpolate_()
        torch.testing.assert_close(flat(model), start.lerp(trained, 0.25))
    assert not torch.equal(start, trained)


def test_training_goes_on_from_where_it_was_before_interpolation(any_folder, topics):
    texts, labels, _ = topics
    found = []
    for interpolates in (True, False):
        model = load_sentence_encoder(any_folder)
        trainer = SentenceEncoderTrainer(model, config(learn_rate=1e-3))
        for _ in range(3):
            trainer.step(model.tokenize(texts).sequences, labels)
            if interpolates:
                trainer.interpolate_()
        trainer.interpolate_()
        found.append(to_bytes(model))
    assert found[0] == found[1]


def test_without_dropout_the_network_has_none_of_its_own_either(bert, topics):
    texts, labels, _ = topics
    model = load_sentence_encoder(bert)
    sequences = model.tokenize(texts).sequences
    targets = similarities(torch.from_numpy(labels))
    dropped = config(dropout=0.1)
    plain = float(cosine_loss(torch.from_numpy(model.encode(sequences)), targets))
    assert SentenceEncoderTrainer(model, config()).step(sequences, labels) == pytest.approx(
        plain, abs=1e-6
    )
    assert (
        SentenceEncoderTrainer(load_sentence_encoder(bert), dropped).step(sequences, labels)
        != plain
    )
