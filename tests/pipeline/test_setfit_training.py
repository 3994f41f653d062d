"""`setfit_textcat` in spaCy's training loop: steps, heads, optimizers, a shared encoder."""

import numpy as np
import pytest
import spacy
import torch
from spacy.training import Example
from spacy.training.loop import train_while_improving

from spacy_modernbert.pipeline.setfit_textcat import embedding_sources, learner

from .conftest import LISTENER, make_nlp
from .setfit_data import PAIRS, TEXTS, TOPICS, cats, gold, make

LABELS = tuple(TOPICS)


def ready(checkpoint, **config):
    nlp = make(checkpoint, **config)
    examples = gold(nlp)
    sgd = nlp.initialize(lambda: examples)
    return nlp, examples, sgd


def vectors(nlp):
    pipe = nlp.get_pipe("setfit")
    return pipe.model.predict([nlp.make_doc(text) for text in TEXTS])


def loop(nlp, examples, sgd, *, steps, evaluate=None, every=2, annotates=(), accumulate=1):
    """spaCy's own training loop, over the whole set at each step."""
    return list(
        train_while_improving(
            nlp,
            sgd,
            iter(
                (0, [Example(nlp.make_doc(e.text), e.reference) for e in examples])
                for _ in range(99)
            ),
            evaluate or (lambda: (nlp.evaluate(examples)["cats_score"], {})),
            dropout=0.0,
            eval_frequency=every,
            accumulate_gradient=accumulate,
            patience=0,
            max_steps=steps,
            exclude=[],
            annotating_components=list(annotates),
            before_update=None,
        )
    )


def test_every_step_moves_the_weights_the_first_one_too(checkpoint):
    nlp, examples, sgd = ready(checkpoint)
    probe = vectors(nlp)
    seen = []
    loop(nlp, examples, sgd, steps=4, evaluate=lambda: (seen.append(vectors(nlp)) or 0.0, {}))
    assert not np.allclose(seen[0], probe)
    assert not np.allclose(seen[1], seen[0])
    assert not np.allclose(seen[2], seen[1])


def test_gradients_of_parts_make_one_step(checkpoint):
    nlp, examples, sgd = ready(checkpoint)
    seen = []
    evaluate = lambda: (seen.append(vectors(nlp)) or 0.0, {})  # noqa: E731
    loop(nlp, examples, sgd, steps=2, accumulate=3, evaluate=evaluate)
    assert nlp.get_pipe("setfit").learner.source.version[0] == 3
    assert not np.allclose(seen[1], seen[0])


def test_loop_takes_the_steps_of_the_schedule_and_learns(checkpoint):
    nlp, examples, sgd = ready(checkpoint)
    infos = [info for _, info, _ in loop(nlp, examples, sgd, steps=12, every=4)]
    scores = [info["score"] for info in infos if info["score"] is not None]
    assert scores[-1] >= scores[0]
    assert scores[-1] > 0.9
    losses = [info["losses"]["setfit"] for info in infos if info["score"] is not None]
    assert losses[0] > 0
    assert losses[-1] < losses[0]
    before = vectors(nlp)
    nlp.update(gold(nlp), sgd=sgd)  # the schedule is over
    np.testing.assert_array_equal(vectors(nlp), before)


def test_loop_and_fit_agree(checkpoint):
    """The whole set is in each batch of either: one takes the steps of the other."""
    nlp, examples, sgd = ready(checkpoint)
    loop(nlp, examples, sgd, steps=8)
    other = make(checkpoint)
    other.get_pipe("setfit").fit(PAIRS, progress_bar=False)
    nlp("use the weights")
    np.testing.assert_allclose(vectors(nlp), vectors(other), atol=1e-3)


@pytest.fixture
def fitted(monkeypatch):
    """Counts how often a classifier is made."""
    counted = []
    real = learner.fit_head
    monkeypatch.setattr(
        learner,
        "fit_head",
        lambda *args, **kwargs: [counted.append(1), real(*args, **kwargs)][1],
    )
    return counted


def test_classifier_is_made_once_an_evaluation(checkpoint, fitted):
    nlp, examples, sgd = ready(checkpoint)
    assert len(fitted) == 0
    many = examples * 30
    loop(nlp, examples, sgd, steps=5, evaluate=lambda: (nlp.evaluate(many)["cats_score"], {}))
    assert len(fitted) == 3  # at steps 0, 2 and 4
    nlp.to_bytes()
    nlp.to_bytes()
    assert len(fitted) == 4


def test_annotating_within_updates_makes_no_classifiers(checkpoint, fitted):
    nlp, examples, sgd = ready(checkpoint)
    loop(nlp, examples, sgd, steps=6, every=6, annotates=["setfit"])
    assert len(fitted) == 3  # the first one of all, and those of the two evaluations


def test_update_without_a_step_changes_no_weights(checkpoint):
    nlp, examples, sgd = ready(checkpoint)
    pipe = nlp.get_pipe("setfit")
    nlp.update(examples, sgd=sgd)
    before = vectors(nlp)
    losses = pipe.update(examples, losses={"other": 1.0})
    assert losses["setfit"] > 0
    assert losses["other"] == 1.0
    np.testing.assert_array_equal(vectors(nlp), before)
    pipe.finish_update(sgd)
    assert not np.array_equal(vectors(nlp), before)


def test_gradients_add_up(checkpoint):
    def gradients(parts):
        nlp, examples, _ = ready(checkpoint, training={"batch_size": 0})
        pipe = nlp.get_pipe("setfit")
        for part in parts:
            pipe.update([examples[i] for i in part])
        network = pipe.model.shim.checkpoint
        return {n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}

    first, second = gradients([range(0, 6)]), gradients([range(6, 12)])
    for name, gradient in gradients([range(0, 6), range(6, 12)]).items():
        torch.testing.assert_close(gradient, first[name] + second[name], atol=1e-5, rtol=1e-4)


def test_small_batches_are_filled_up_from_the_other_texts(checkpoint):
    """A batch of one class has nothing to tell apart."""
    nlp, examples, sgd = ready(checkpoint)
    nlp.update(examples[:2], sgd=sgd)
    assert nlp.update(examples[:1], sgd=sgd)["setfit"] > 0
    nlp, examples, sgd = ready(checkpoint, training={"batch_size": 0})
    nlp.update(examples[:2], sgd=sgd)
    assert nlp.update(examples[:1], sgd=sgd)["setfit"] == 0


def test_texts_that_come_with_updates_are_learnt(checkpoint):
    nlp, _, sgd = ready(checkpoint)
    more = gold(nlp, [("a new soup", "food"), ("unpaid bill", "money")], LABELS)
    nlp.update(more, sgd=sgd)
    nlp.update(more, sgd=sgd)
    assert len(nlp.get_pipe("setfit").support) == len(PAIRS) + 2
    nlp("text")


def test_examples_of_no_use(checkpoint):
    nlp, examples, sgd = ready(checkpoint)
    empty = Example.from_dict(nlp.make_doc(""), {"cats": dict.fromkeys(LABELS, 0.0)})
    bare = Example.from_dict(nlp.make_doc("no annotation"), {})
    unknown = Example.from_dict(nlp.make_doc("text"), {"cats": {"other": 1.0}})
    for batch in ([], [empty], [bare], [unknown], [empty, bare, *examples]):
        losses = nlp.update(batch, sgd=sgd)
        assert np.isfinite(losses.get("setfit", 0.0))
    assert len(nlp.get_pipe("setfit").support) == len(PAIRS)
    several = Example.from_dict(nlp.make_doc("t"), {"cats": {"food": 1.0, "money": 1.0}})
    with pytest.raises(ValueError, match="E895"):
        nlp.update([several], sgd=sgd)


def test_get_loss_has_the_gradient_of_the_vectors(checkpoint):
    nlp, examples, _ = ready(checkpoint)
    pipe = nlp.get_pipe("setfit")
    found, backprop = pipe.model.begin_update([eg.predicted for eg in examples])
    loss, gradient = pipe.get_loss(examples, found)
    assert gradient.shape == found.shape
    moved, _ = pipe.get_loss(examples, found - 1e-2 * gradient / np.abs(gradient).max())
    assert moved < loss
    backprop(gradient)
    network = pipe.model.shim.checkpoint
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_optimizer_of_the_training_if_wanted(checkpoint):
    nlp, examples, sgd = ready(checkpoint, training={"use_training_optimizer": True})
    sgd.learn_rate = 1e-3
    sgd.averages = {}
    before = vectors(nlp)
    nlp.update(examples, sgd=sgd)
    assert not np.array_equal(vectors(nlp), before)
    for _ in range(4):
        nlp.update(examples, sgd=sgd)
    trained = vectors(nlp)
    assert not np.allclose(trained, before)
    expected = cats(nlp)
    with nlp.use_params(sgd.averages):
        averaged = vectors(nlp)
        assert not np.allclose(averaged, trained)
        inside = cats(nlp)
        data = nlp.to_bytes()
    np.testing.assert_array_equal(vectors(nlp), trained)
    assert cats(nlp) == expected != inside
    again = make(checkpoint).from_bytes(data)
    assert cats(again) == inside
    np.testing.assert_array_equal(vectors(again), averaged)


def test_own_optimizer_leaves_that_of_the_training_alone(checkpoint):
    nlp, examples, sgd = ready(checkpoint)
    sgd.averages = {}
    for _ in range(3):
        nlp.update(examples, sgd=sgd)
    assert sgd.averages == {}


def test_dropout_of_the_training_if_wanted(checkpoint):
    def losses(drop, dropout):
        nlp, examples, sgd = ready(checkpoint, training={"dropout": dropout})
        return [nlp.update(examples, sgd=sgd, drop=drop)["setfit"] for _ in range(2)]

    assert losses(0.5, 0.0) == losses(0.0, 0.0)
    assert losses(0.5, None) != losses(0.0, None)


def test_resume_after_loading(checkpoint, tmp_path):
    nlp, examples, sgd = ready(checkpoint, keep_support="texts")
    loop(nlp, examples, sgd, steps=4)
    nlp.to_disk(tmp_path)
    kept = (tmp_path / "setfit" / "model" / "model.safetensors").read_bytes()
    again = spacy.load(tmp_path)
    start = vectors(again)
    np.testing.assert_allclose(start, vectors(nlp), atol=1e-5)
    sgd = again.resume_training()
    again.update(gold(again), sgd=sgd)
    assert not np.array_equal(vectors(again), start)
    for _ in range(3):
        again.update(gold(again)[:2], sgd=sgd)
    assert not np.allclose(vectors(again), start)
    assert again.evaluate(gold(again))["cats_score"] > 0.8
    assert (tmp_path / "setfit" / "model" / "model.safetensors").read_bytes() == kept


def test_training_a_pipeline_from_bytes_leaves_them_alone(checkpoint):
    nlp, _, _ = ready(checkpoint)
    data = nlp.to_bytes()
    kept = bytes(bytearray(data))
    again = make(checkpoint).from_bytes(data)
    again.get_pipe("setfit").fit(PAIRS, progress_bar=False)
    assert data == kept


@pytest.mark.parametrize("save", ["to_disk", "to_bytes"])
def test_interrupted_training_is_saved_as_it_is(checkpoint, tmp_path, save):
    """spaCy saves in `finally`, after updates that no evaluation has followed."""

    def interrupted(*, saves):
        nlp, examples, sgd = ready(checkpoint)
        loop(nlp, examples, sgd, steps=3)
        nlp.update(examples, sgd=sgd)
        nlp.get_pipe("setfit").update(examples)  # interrupted here
        if saves and save == "to_disk":
            nlp.to_disk(tmp_path)
            return nlp, spacy.load(tmp_path)
        return nlp, make(checkpoint).from_bytes(nlp.to_bytes()) if saves else None

    nlp, again = interrupted(saves=True)
    np.testing.assert_array_equal(vectors(again), vectors(nlp))
    assert cats(again) == cats(nlp)
    # The classifier is that of the weights that were saved.
    pipe = again.get_pipe("setfit")
    pipe.set_support(PAIRS)
    head = pipe.fit_classifier().head
    found = nlp.get_pipe("setfit").classifier.head
    np.testing.assert_allclose(found.coef, head.coef, atol=1e-4)
    # Saving changes nothing about how the training goes on.
    other, _ = interrupted(saves=False)
    for pipeline in (nlp, other):
        pipeline.get_pipe("setfit").finish_update(None)
    assert cats(nlp) == cats(other)
    np.testing.assert_array_equal(vectors(nlp), vectors(other))


def test_loop_is_repeatable(checkpoint):
    def run():
        nlp, examples, sgd = ready(checkpoint)
        infos = loop(nlp, examples, sgd, steps=5)
        return nlp.get_pipe("setfit").to_bytes(), [info["losses"] for _, info, _ in infos]

    assert run() == run()


def test_hundred_thousand_texts_are_sampled(checkpoint, monkeypatch):
    """Memory follows `max_support`; the rare class stays whole."""
    monkeypatch.setattr("spacy_modernbert.pipeline.setfit_textcat.component.EXAMPLE_BATCH", 50)
    nlp = make(checkpoint, max_support=40)
    most = []
    add_to = embedding_sources.SentenceEncoderSource.add_to

    def spy(self, support, given):
        most.append(len(given.texts))
        add_to(self, support, given)

    monkeypatch.setattr(embedding_sources.SentenceEncoderSource, "add_to", spy)

    def examples():
        for i in range(400):
            label = "money" if i % 100 == 7 else ("food", "sport")[i % 2]
            yield from gold(nlp, [(f"{TOPICS[label][i % 4]} {i}", label)], LABELS)

    sgd = nlp.initialize(examples)
    support = nlp.get_pipe("setfit").support
    assert max(most) <= 50
    assert (len(support), support.n_seen) == (40, 400)
    assert support.labels(multi_label=False).sum(axis=0).tolist() == [18, 18, 4]
    later = gold(nlp, [("never seen before", "food")], LABELS)
    for _ in range(2):
        assert np.isfinite(nlp.update(later, sgd=sgd)["setfit"])
    assert set(nlp("text").cats) == set(LABELS)


def listening(checkpoint, **config):
    nlp = make_nlp(checkpoint)
    model = {
        "@architectures": "spacy_modernbert.SentenceEncoderListener.v1",
        "normalize": True,
        "tok2vec": LISTENER,
    }
    nlp.add_pipe("setfit_textcat", name="setfit", config={"model": model, **config})
    return nlp


def weights(nlp):
    encoder = nlp.get_pipe("transformer").model.shims[0].checkpoint.encoder
    return {name: param.detach().clone() for name, param in encoder.named_parameters()}


def is_changed(before, after):
    return any(not torch.equal(before[name], after[name]) for name in before)


def test_shared_encoder_with_a_head_only(checkpoint, tmp_path):
    nlp = listening(checkpoint, training={"freeze": ["encoder"]})
    examples = gold(nlp)
    sgd = nlp.initialize(lambda: examples)
    assert nlp.evaluate(gold(nlp))["cats_score"] > 0.8
    before = weights(nlp)
    sgd.L2 = 0.0
    for _ in range(3):
        losses = nlp.update(gold(nlp), sgd=sgd)
    assert losses["setfit"] > 0
    assert not is_changed(before, weights(nlp))
    doc = nlp("hot bread")
    mean = doc._.trf_data.model_output.last_hidden_state
    assert nlp.get_pipe("setfit").model.predict([doc]).shape == (1, mean.shape[-1])
    assert nlp("").cats == dict.fromkeys(LABELS, 0.0)
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    assert cats(again) == cats(nlp)


def test_shared_encoder_is_trained_with_the_rest(checkpoint):
    nlp = listening(checkpoint)
    examples = gold(nlp)
    sgd = nlp.initialize(lambda: examples)
    sgd.learn_rate = 1e-3
    before = weights(nlp)
    losses = [nlp.update(gold(nlp), sgd=sgd)["setfit"] for _ in range(8)]
    assert is_changed(before, weights(nlp))
    assert losses[-1] < losses[0]
    assert nlp.evaluate(gold(nlp))["cats_score"] > 0.8


def test_shared_encoder_can_be_copied_into_the_component(checkpoint, tmp_path):
    nlp = listening(checkpoint)
    examples = gold(nlp)
    nlp.initialize(lambda: examples)
    expected = cats(nlp)
    nlp.replace_listeners("transformer", "setfit", ["model.tok2vec"])
    for one, two in zip(cats(nlp), expected, strict=True):
        assert one == pytest.approx(two, abs=1e-5)
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path, exclude=["transformer"])
    for one, two in zip(cats(again), expected, strict=True):
        assert one == pytest.approx(two, abs=1e-5)


def test_shared_encoder_takes_docs_and_no_texts(checkpoint):
    nlp = listening(checkpoint)
    nlp.initialize()
    pipe = nlp.get_pipe("setfit")
    with pytest.raises(ValueError, match="SM232"):
        pipe.fit(PAIRS)
    with pytest.raises(ValueError, match="SM232"):
        pipe.from_setfit("anywhere")
    docs = [nlp.get_pipe("transformer")(nlp.make_doc(text)) for text, _ in PAIRS]
    pipe.fit([(doc, label) for doc, (_, label) in zip(docs, PAIRS, strict=True)])
    assert nlp.evaluate(gold(nlp))["cats_score"] > 0.8
