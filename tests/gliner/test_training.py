import numpy as np
import pytest
import torch

from spacy_modernbert.gliner.checkpoint.serialization import (
    gliner_to_bytes,
    load_gliner,
    save_gliner,
)
from spacy_modernbert.gliner.inference.sequences import SplitText
from spacy_modernbert.gliner.training.batch_loss import distillation_targets
from spacy_modernbert.gliner.training.collator import collate
from spacy_modernbert.gliner.training.config import (
    GlinerOptimizerConfig,
    LabelSamplingConfig,
    LossConfig,
    TrainingConfig,
)
from spacy_modernbert.gliner.training.dataset import AnnotatedSpan, AnnotatedText
from spacy_modernbert.gliner.training.label_sampling import LabelSample
from spacy_modernbert.gliner.training.trainer import GlinerTrainer
from tests.gliner.answers import predict
from tests.gliner.tiny import tiny_model

GOLD = {
    "Steve Jobs founded Apple in Cupertino": [(0, 2, "person"), (3, 4, "company"), (5, 6, "city")],
    "Angela Merkel met Bill Clinton in Berlin": [
        (0, 2, "person"),
        (3, 5, "person"),
        (6, 7, "city"),
    ],
    "Apple hired Maria Lopez": [(0, 1, "company"), (2, 4, "person")],
    "It rained in Lisbon and in Zürich": [(3, 4, "city"), (6, 7, "city")],
    "Nothing to see here": [],
}
LABELS = ["person", "company", "city"]
TEXTS = [
    AnnotatedText(SplitText(text.split()), [AnnotatedSpan(*span) for span in spans], LABELS)
    for text, spans in GOLD.items()
]
# All labels in every text: the same as in prediction.
FIXED = LabelSamplingConfig(negative_ratio=None, drop_types=0.0)
FAST = GlinerOptimizerConfig(learn_rate=3e-3, head_learn_rate=5e-3, warmup_steps=0)
KINDS = ["uni_span", "uni_marker", "uni_token_spans", "bi_token"]


def config(**settings):
    return TrainingConfig(**{"optimizer": FAST, "sampling": FIXED, **settings})


def learned(model):
    """Whether the model now finds just what was annotated."""
    found = predict(model, list(GOLD), LABELS)
    for (text, spans), entities in zip(GOLD.items(), found, strict=True):
        words = text.split()
        begins = np.cumsum([0, *(len(word) + 1 for word in words)])
        wanted = {(begins[s], begins[e] - 1, label) for s, e, label in spans}
        if {entity[:3] for entity in entities} != wanted:
            return False
    return True


@pytest.mark.parametrize("kind", KINDS)
def test_a_handful_of_texts_is_learned_by_heart(kind):
    model = tiny_model(kind, dropout=0.0)
    trainer = GlinerTrainer(model, config())
    losses = [trainer.step(TEXTS) for _ in range(80)]
    assert losses[-1] < 0.05 * losses[0]
    assert learned(model)
    assert not model.network.training


def test_with_the_paper_s_regularization_the_loss_falls_too():
    model = tiny_model(dropout=0.4)
    trainer = GlinerTrainer(model, TrainingConfig(optimizer=FAST, dropout=0.1))
    losses = [trainer.step(TEXTS) for _ in range(30)]
    assert np.mean(losses[-5:]) < 0.4 * np.mean(losses[:5])


def weights_after(kind="uni_span", *, seed=0, steps=3):
    model = tiny_model(kind, dropout=0.3)
    settings = config(seed=seed, dropout=0.1, sampling=LabelSamplingConfig())
    trainer = GlinerTrainer(model, settings)
    for _ in range(steps):
        trainer.step(TEXTS)
    return gliner_to_bytes(model)


@pytest.mark.parametrize("kind", ["uni_span", "bi_token"])
def test_a_seed_gives_the_same_weights_bit_by_bit(kind):
    first = weights_after(kind)
    assert weights_after(kind) == first
    assert weights_after(kind, seed=1) != first


def test_the_global_generator_stays():
    trainer = GlinerTrainer(tiny_model("bi_span", dropout=0.3), config(dropout=0.1))
    state = torch.random.get_rng_state()
    trainer.step(TEXTS)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("kind", ["uni_span", "uni_token_spans", "bi_span", "bi_poly"])
def test_a_large_batch_in_parts_has_the_gradient_of_the_whole(kind, reduction):
    gradients = []
    for max_pieces in (4096, 24):
        model = tiny_model(kind, dropout=0.0)
        objective = LossConfig(reduction=reduction)
        trainer = GlinerTrainer(model, config(loss=objective), max_pieces=max_pieces)
        trainer.accumulate(TEXTS)
        named = model.network.named_parameters()
        gradients.append({n: p.grad for n, p in named if p.grad is not None})
    whole, parts = gradients
    assert whole.keys() == parts.keys()
    largest = max(float(gradient.abs().max()) for gradient in whole.values())
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, atol=2e-6 * largest, rtol=1e-3)


def test_batches_that_are_accumulated_are_one_step():
    models = [tiny_model(dropout=0.0) for _ in range(2)]
    in_order = LabelSamplingConfig(negative_ratio=None, drop_types=0.0, shuffle=False)
    one, two = (GlinerTrainer(model, config(sampling=in_order)) for model in models)
    losses = [one.accumulate(TEXTS[:2]), one.accumulate(TEXTS[2:])]
    one.update()
    assert two.step(TEXTS) == pytest.approx(sum(losses), rel=1e-5)
    assert (one.optimizer.steps, two.optimizer.steps) == (1, 1)
    ours, others = (dict(model.network.named_parameters()) for model in models)
    for name, parameter in ours.items():
        torch.testing.assert_close(parameter, others[name], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("part", ["embeddings", "encoder", "labels_encoder"])
def test_frozen_parts_stay(part):
    model = tiny_model("bi_span", dropout=0.0)
    before = {n: p.detach().clone() for n, p in model.network.named_parameters()}
    trainer = GlinerTrainer(model, config(freeze=(part,)))
    for _ in range(2):
        trainer.step(TEXTS)
    prefix = {
        "embeddings": "token_rep_layer.bert_layer.model.embeddings.tok_embeddings",
        "encoder": "token_rep_layer.bert_layer.",
        "labels_encoder": "token_rep_layer.labels_encoder.",
    }[part]
    for name, parameter in model.network.named_parameters():
        assert torch.equal(parameter, before[name]) == name.startswith(prefix), name


def test_a_frozen_label_encoder_reads_each_label_once(monkeypatch):
    model = tiny_model("bi_span")
    trainer = GlinerTrainer(model, config(freeze=("labels_encoder",)))
    read = []
    original = type(model).label_sequences

    def record(self, labels):
        read.extend(labels)
        return original(self, labels)

    monkeypatch.setattr(type(model), "label_sequences", record)
    losses = [trainer.step(TEXTS) for _ in range(5)]
    assert sorted(read) == sorted(LABELS)
    assert losses[-1] < losses[0]


def test_two_learning_rates():
    model = tiny_model(dropout=0.0)
    before = {n: p.detach().clone() for n, p in model.network.named_parameters()}
    optimizer = GlinerOptimizerConfig(learn_rate=0.0, head_learn_rate=1e-3, warmup_steps=0)
    GlinerTrainer(model, config(optimizer=optimizer)).step(TEXTS)
    for name, parameter in model.network.named_parameters():
        is_encoder = name.startswith("token_rep_layer.bert_layer.model")
        assert torch.equal(parameter, before[name]) == is_encoder


def test_biases_and_norms_do_not_decay():
    model = tiny_model()
    trainer = GlinerTrainer(model, config())
    groups = trainer.optimizer._adamw.param_groups
    assert {group["weight_decay"] > 0 for group in groups if group["params"][0].dim() > 1} == {True}
    assert {group["weight_decay"] for group in groups if group["params"][0].dim() <= 1} == {0.0}
    assert sum(len(group["params"]) for group in groups) == len(list(model.network.parameters()))


def test_learning_rates_rise_and_fall():
    linear = GlinerOptimizerConfig(warmup_ratio=0.2, total_steps=10, lr_schedule="linear")
    assert [round(linear.factor(s), 3) for s in range(12)] == [
        0.333, 0.667, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0.0, 0.0,
    ]  # fmt: skip
    cosine = GlinerOptimizerConfig(warmup_steps=2, total_steps=10, lr_schedule="cosine")
    assert cosine.factor(6) == pytest.approx(0.5)
    assert cosine.factor(10) == pytest.approx(0.0)
    endless = GlinerOptimizerConfig(warmup_steps=4)
    assert [endless.factor(s) for s in (0, 3, 4, 999)] == [0.2, 0.8, 1.0, 1.0]
    constant = GlinerOptimizerConfig(total_steps=10, lr_schedule="constant", warmup_steps=0)
    assert constant.factor(9) == 1.0


def test_a_gradient_that_is_not_finite_changes_nothing():
    model = tiny_model(dropout=0.0)
    trainer = GlinerTrainer(model, config())
    before = gliner_to_bytes(model)
    trainer.accumulate(TEXTS)
    trainer.optimizer.parameters[0].grad[0] = float("nan")
    assert np.isnan(trainer.update())
    assert gliner_to_bytes(model) == before
    assert np.isfinite(trainer.step(TEXTS))
    assert gliner_to_bytes(model) != before


def test_nothing_to_learn_is_no_step():
    model = tiny_model()
    before = gliner_to_bytes(model)
    trainer = GlinerTrainer(model, config())
    empty = AnnotatedText(SplitText([]), [], LABELS)
    assert trainer.step([empty]) == 0.0
    assert trainer.step([AnnotatedText(SplitText(["word"]), [])]) == 0.0
    assert (gliner_to_bytes(model), trainer.optimizer.steps) == (before, 0)


def test_a_file_that_weights_were_mapped_from_is_not_written_to(tmp_path):
    save_gliner(tiny_model(dropout=0.0), tmp_path / "model")
    file = tmp_path / "model" / "model.safetensors"
    before = file.read_bytes()
    model = load_gliner(tmp_path / "model")
    trainer = GlinerTrainer(model, config())
    trainer.step(TEXTS)
    assert file.read_bytes() == before
    save_gliner(model, tmp_path / "trained")
    assert gliner_to_bytes(load_gliner(tmp_path / "trained")) == gliner_to_bytes(model)


OTHERS = ["animal", "weapon", "language", "river", "song"]


def opinion(model):
    """Probabilities of labels that were not trained, in the texts."""
    samples = [LabelSample(tuple(OTHERS), tuple(OTHERS))] * len(TEXTS)
    rng = np.random.default_rng(0)
    plain = [AnnotatedText(text.text, []) for text in TEXTS]
    sequences = collate(model, plain, samples, config=LossConfig(), rng=rng)
    distilled = distillation_targets(model, sequences, OTHERS)
    return np.concatenate([one.targets.values.ravel() for one in distilled])


@pytest.mark.parametrize("kind", ["uni_span", "bi_token"])
def test_rehearsal_keeps_what_was_known_of_other_labels(kind):
    moved = []
    for weight in (0.0, 1.0):
        model, teacher = (tiny_model(kind, dropout=0.0) for _ in range(2))
        trainer = GlinerTrainer(model, config())
        for _ in range(45):
            loss = trainer.accumulate(TEXTS)
            if weight:
                trainer.rehearse(TEXTS, OTHERS, teacher, weight=weight)
            trainer.update()
        moved.append(np.abs(opinion(model) - opinion(teacher)).mean())
        assert loss < 25
    assert moved[1] < 0.6 * moved[0]
