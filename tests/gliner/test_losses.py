"""Losses and gradients: those of upstream, wherever upstream computes what it says."""

import copy
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spacy_modernbert.gliner.inference.sequences import SplitText
from spacy_modernbert.gliner.training.batch_loss import batch_loss, loss_scales
from spacy_modernbert.gliner.training.collator import collate
from spacy_modernbert.gliner.training.config import LossConfig
from spacy_modernbert.gliner.training.dataset import AnnotatedSpan, AnnotatedText
from spacy_modernbert.gliner.training.label_sampling import LabelSample
from spacy_modernbert.gliner.training.losses import element_losses
from spacy_modernbert.gliner.training.targets import draw_weights, make_targets

RATES = [
    ({"alpha": 0.75, "gamma": 2.0}, {"alpha": 0.75, "gamma": 2.0}),
    ({}, {}),
    ({"margin": 0.1, "gamma": 1.0}, {"prob_margin": 0.1, "gamma": 1.0, "alpha": -1}),
    ({"label_smoothing": 0.2, "gamma": 2.0}, {"label_smoothing": 0.2, "gamma": 2.0, "alpha": -1}),
]
# The script's losses, in our words; upstream's least probability comes on top.
LOSSES = {
    "bce": LossConfig(),
    "focal": LossConfig(alpha=0.75, gamma=2.0),
    "margin": LossConfig(alpha=0.75, gamma=2.0, margin=0.1),
    "smooth": LossConfig(label_smoothing=0.1),
    "mean": LossConfig(reduction="mean"),
    "width": LossConfig(width_weight=True),
    "dice": LossConfig(name="dice", gamma=1.0),
}
# What upstream really computes where that is something else: a bi-encoder of the span kind takes
# its smoothing for a margin and knows no other, and token models know neither of the last two.
REALLY = {
    "bi_span": {
        "margin": LOSSES["focal"],
        "smooth": LossConfig(margin=0.1),
        "width": LOSSES["bce"],
        "dice": LOSSES["bce"],
    },
    "uni_token": {"width": LOSSES["bce"], "dice": LOSSES["bce"]},
    "bi_token": {"width": LOSSES["bce"], "dice": LOSSES["bce"]},
    "uni_token_spans": {"width": LOSSES["bce"], "dice": LOSSES["bce"]},
}
CASES = [
    ("uni_span", "bert"),
    ("uni_span", "modernbert"),
    ("uni_span_marker", "bert"),
    ("uni_span_proj", "bert"),
    ("uni_token", "bert"),
    ("uni_token_spans", "bert"),
    ("bi_span", "modernbert"),
    ("bi_token", "bert"),
]


def gold(example, labels):
    spans = [AnnotatedSpan(start, end + 1, label) for start, end, label in example["ner"]]
    return AnnotatedText(SplitText(example["tokenized_text"]), spans, labels)


def our_loss(model, oracle, objective):
    """The script's three texts, each with its own labels in its own order."""
    rng = np.random.default_rng(0)
    texts = [gold(*pair) for pair in zip(oracle.TRAIN, oracle.TRAIN_LABELS, strict=True)]
    samples = [LabelSample(tuple(labels), tuple(labels)) for labels in oracle.TRAIN_LABELS]
    is_bi = model.config.is_bi
    if is_bi:  # the labels of each text are those of the batch that were looked for in it
        names = tuple(dict.fromkeys(label for one in oracle.TRAIN_LABELS for label in one))
        samples = [LabelSample(names, names)] * len(texts)
    sequences = collate(model, texts, samples, config=objective, rng=rng)
    vectors = model.encode_labels(samples[0].label_texts) if is_bi else None
    return batch_loss(model, sequences, objective, vectors, loss_scales(sequences, objective))


def theirs(one, oracle, name):
    """Upstream's loss and gradients, or None where it stops with an error."""
    kwargs = oracle.LOSSES[name]
    core = one.theirs.model.eval()
    # Without the spans that upstream draws at random.
    core.config.neg_spans_ratio = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        batch = one.theirs._create_data_collator()(oracle.TRAIN, entity_types=oracle.TRAIN_LABELS)
        core.zero_grad(set_to_none=True)
        try:
            loss = core(**batch, **kwargs).loss
        except RuntimeError:
            return None
        loss.backward()
    gradients = {n: p.grad.clone() for n, p in core.named_parameters() if p.grad is not None}
    core.zero_grad(set_to_none=True)
    return float(loss.detach()), gradients


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(("arch", "backbone"), CASES)
def test_losses_and_gradients_are_upstream_s(case, oracle, monkeypatch, arch, backbone, name):
    one = case(arch, backbone)
    expected = theirs(one, oracle, name)
    really = REALLY.get(arch, {}).get(name, LOSSES[name])
    objective = really.model_copy(update={"min_probability": 1e-6})
    if expected is None:
        # Upstream can't compute this one: what it would give follows from its own formula.
        assert (arch.startswith("uni_span"), name) == (True, "width")
    monkeypatch.setattr("spacy_modernbert.gliner.training.collator._draw_candidates", only_gold)
    network = copy.deepcopy(one.ours.network).requires_grad_(True).eval()
    model = type(one.ours)(network, one.ours.tokenizer, one.ours.labels_tokenizer)
    loss = our_loss(model, oracle, objective)
    if expected is None:
        assert loss.item() > our_loss(model, oracle, LOSSES["bce"]).item()
        return
    loss.backward()
    assert float(loss.detach()) == pytest.approx(expected[0], rel=2e-6, abs=2e-4)
    ours = {n: p.grad for n, p in network.named_parameters() if p.grad is not None}
    largest = max(float(gradient.abs().max()) for gradient in expected[1].values())
    for key, gradient in ours.items():
        # Some are zero on paper, and what rounding makes of that differs.
        torch.testing.assert_close(gradient, expected[1][key], atol=1e-4 * largest, rtol=1e-2)


def only_gold(part, labels, n_words, max_width, rng):
    from spacy_modernbert.gliner.training.collator import CandidateSpans

    whole = [s for s in part.spans if s.label in labels]
    bounds = [(s.start, s.end) for s in whole]
    values = np.zeros((len(bounds), len(labels)), dtype=np.float32)
    for i, span in enumerate(whole):
        values[i, labels.index(span.label)] = 1.0
    return CandidateSpans.of([b[0] for b in bounds], [b[1] for b in bounds]), values


@pytest.mark.parametrize(("ours", "upstream"), RATES)
def test_elements_are_upstream_s(ours, upstream):
    functions = pytest.importorskip("gliner.modeling.loss_functions")
    logits = torch.linspace(-8, 8, 101).double()
    targets = (torch.arange(101) % 3 == 0).double()
    given = {"alpha": -1, "gamma": 0, **upstream}
    expected = functions.focal_loss_with_logits(logits, targets, **given)
    found = element_losses(logits, targets, LossConfig(**ours))
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-5)


def test_a_wide_span_counts_more():
    """1 + log(k) for the positives of k words, nothing else: checked by hand."""
    spans = [AnnotatedSpan(0, 1, "a"), AnnotatedSpan(1, 4, "a")]
    made = {
        flag: make_targets(
            spans,
            ["a", "b"],
            n_words=5,
            max_width=3,
            config=LossConfig(width_weight=flag),
            rng=np.random.default_rng(0),
        )
        for flag in (True, False)
    }
    assert np.all(made[False].weights == 1)
    expected = np.ones_like(made[True].weights)
    expected[5 + 4 + 1, 0] = 1 + np.log(3)
    np.testing.assert_allclose(made[True].weights, expected, rtol=1e-6)


def test_beyond_doubt_there_is_still_a_slope():
    """Upstream cuts its logarithms off at 1e-6, where a wrong answer no longer learns."""
    logits = torch.tensor([-30.0, 30.0], requires_grad=True)
    for objective in (LossConfig(), LossConfig(alpha=0.75, gamma=2.0)):
        logits.grad = None
        element_losses(logits, torch.tensor([1.0, 0.0]), objective).sum().backward()
        assert logits.grad[0] < -0.2
        assert logits.grad[1] > 0.2


@given(
    st.floats(-60, 60), st.sampled_from([0.0, 1.0]), st.floats(0, 4), st.floats(0, 0.5),
    st.one_of(st.none(), st.floats(0, 1)), st.floats(0, 1), st.sampled_from(["bce", "dice"]),
)  # fmt: skip
def test_losses_and_slopes_are_finite(logit, target, gamma, margin, alpha, smoothing, name):
    objective = LossConfig(
        name=name, alpha=alpha, gamma=gamma, margin=margin, label_smoothing=smoothing
    )
    x = torch.tensor([logit], requires_grad=True)
    loss = element_losses(x, torch.tensor([target]), objective)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert loss.item() >= -1e-6
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("masking", ["element", "label", "span"])
def test_positives_and_their_kin_are_always_kept(masking):
    rng = np.random.default_rng(0)
    values = (rng.random((400, 6)) < 0.02).astype(np.float32)
    values[:, 5] = 0.0
    weights = draw_weights(values, LossConfig(keep_negatives=0.3, masking=masking), rng)
    assert np.all(weights[values > 0] == 1)
    may_go = {
        "element": values == 0,
        "label": np.broadcast_to(values.sum(axis=0) == 0, values.shape),
        "span": np.broadcast_to(values.sum(axis=1, keepdims=True) == 0, values.shape),
    }[masking]
    assert np.all(weights[~may_go] == 1)
    assert weights[may_go].mean() == pytest.approx(0.3, abs=0.05)


def test_words_of_token_models_are_left_out_whole_or_not():
    values = np.zeros((50, 2, 3), dtype=np.float32)
    values[7, 1] = 1.0
    objective = LossConfig(keep_negatives=0.0, masking="span")
    weights = draw_weights(values, objective, np.random.default_rng(0))
    assert np.flatnonzero(weights.sum(axis=(1, 2))).tolist() == [7]
