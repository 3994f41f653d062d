"""Targets: each annotated span at its place, and weights of 0 for all that is unknown."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spacy_modernbert.gliner.inference.sequences import SplitText, make_sequences
from spacy_modernbert.gliner.modeling.span_layout import count_spans, span_bounds, span_indices
from spacy_modernbert.gliner.modeling.span_sums import add_bounds
from spacy_modernbert.gliner.training.collator import collate, count_coverage
from spacy_modernbert.gliner.training.config import LossConfig
from spacy_modernbert.gliner.training.dataset import AnnotatedSpan, AnnotatedText
from spacy_modernbert.gliner.training.label_sampling import LabelSample
from spacy_modernbert.gliner.training.targets import make_targets
from tests.gliner.tiny import TEXTS, tiny_model

PLAIN = LossConfig()
LABELS = ("person", "location")


def targets(spans, labels=LABELS, **options):
    options = {"n_words": 6, "max_width": 3, **options}
    rng = np.random.default_rng(0)
    return make_targets(spans, labels, config=PLAIN, rng=rng, **options)


@given(st.integers(0, 12), st.integers(1, 6))
def test_places_count_through_all_spans(n_words, max_width):
    bounds = [
        (start, start + width)
        for width in range(1, min(max_width, n_words) + 1)
        for start in range(n_words - width + 1)
    ]
    starts, ends = span_bounds(n_words, max_width)
    assert list(zip(starts.tolist(), ends.tolist(), strict=True)) == bounds
    places = span_indices(starts, ends, n_words)
    assert places.tolist() == list(range(len(bounds)))
    assert count_spans(n_words, max_width) == len(bounds)


@pytest.mark.parametrize("relu", [True, False])
def test_sums_and_their_gradients(relu):
    generator = torch.Generator().manual_seed(0)
    lengths, max_width = [4, 0, 1, 6], 3
    starts, ends = (torch.randn(11, 5, generator=generator).double() for _ in range(2))
    starts.requires_grad_()
    ends.requires_grad_()
    sequences = zip(starts.split(lengths), ends.split(lengths), strict=True)
    sums = torch.cat([add_bounds(*parts, max_width, relu=relu) for parts in sequences])
    expected, first = [], 0
    for n_words in lengths:
        for width in range(min(max_width, n_words)):
            for start in range(n_words - width):
                total = starts[first + start] + ends[first + start + width]
                expected.append(total.relu() if relu else total)
        first += n_words
    torch.testing.assert_close(sums, torch.stack(expected))
    weights = torch.randn(sums.shape, generator=generator).double()
    slow = torch.autograd.grad((torch.stack(expected) * weights).sum(), (starts, ends))
    fast = torch.autograd.grad((sums * weights).sum(), (starts, ends))
    torch.testing.assert_close(fast, slow)


@pytest.mark.parametrize("kind", ["uni_span", "uni_marker", "uni_v1", "bi_span", "bi_poly"])
def test_training_scores_what_prediction_scores(kind):
    model = tiny_model(kind)
    words = [text.split() for text in TEXTS]
    samples = [LabelSample(("person", "location"), ("person", "location"))] * 3
    samples += [
        LabelSample(("award", "date", "city")[:n], ("award", "date", "city")[:n]) for n in (3, 1)
    ]
    if model.config.is_bi:
        samples = samples[:1] * len(words)
    texts = [AnnotatedText(SplitText(text), []) for text in words]
    sequences = collate(model, texts, samples, config=PLAIN, rng=np.random.default_rng(0))
    with torch.no_grad():
        vectors = None
        if model.config.is_bi:
            vectors = model.encode_labels(list(samples[0].label_texts))
        features = model.network.encode([one.sequence for one in sequences], vectors)
        predicted = model.network(features)
    # With gradients scores come from all spans at once, without them width by width.
    trained = model.network(features)
    for scores, expected, one in zip(trained, predicted, sequences, strict=True):
        assert scores.requires_grad
        assert scores.shape == one.targets.values.shape
        torch.testing.assert_close(scores.detach(), expected)


def test_a_span_of_a_span_model():
    made = targets(
        [
            AnnotatedSpan(1, 3, "location"),
            AnnotatedSpan(0, 6, "person"),
            AnnotatedSpan(0, 1, "date"),
        ]
    )
    assert np.argwhere(made.values).tolist() == [[span_indices([1], [3], 6)[0], 1]]
    assert made.weights.min() == 1
    assert made.count == count_spans(6, 3)


def test_a_span_of_a_token_model():
    made = targets([AnnotatedSpan(1, 4, "location")], max_width=None)
    assert np.argwhere(made.values).tolist() == [
        [1, 1, 0],
        [1, 1, 2],
        [2, 1, 2],
        [3, 1, 1],
        [3, 1, 2],
    ]
    assert made.count == 12


@pytest.mark.parametrize("max_width", [3, None])
def test_unknown_words_are_no_negatives(max_width):
    unknown = np.array([0, 0, 1, 1, 0, 0], dtype=bool)
    made = targets([AnnotatedSpan(1, 3, "person")], max_width=max_width, unknown=unknown)
    assert np.all(made.weights[made.values > 0] == 1)
    if max_width is None:
        assert made.weights[2:4][made.values[2:4] == 0].max() == 0
        assert made.weights[[0, 1, 4, 5]].min() == 1
        return
    touches = {(s, e) for s in range(6) for e in range(s + 1, min(s + 3, 6) + 1) if s < 4 and e > 2}
    places = span_indices(*zip(*touches, strict=True), 6)
    away = np.setdiff1d(np.arange(count_spans(6, 3)), places)
    assert made.weights[places].sum() == 1
    assert made.weights[away].min() == 1


def test_labels_that_were_not_looked_for_are_no_negatives():
    made = targets(
        [AnnotatedSpan(0, 1, "person")], ("person", "location", "date"), known_labels=["date"]
    )
    assert made.weights.min(axis=0).tolist() == [1, 0, 1]


@pytest.mark.parametrize("kind", ["uni_span", "uni_token", "uni_token_spans", "bi_span"])
def test_long_texts_are_windows_and_every_span_is_in_one(kind):
    model = tiny_model(kind)
    words = " ".join(TEXTS).split() * 6
    spans = [AnnotatedSpan(start, start + 3, "person") for start in range(0, len(words) - 3, 5)]
    text = AnnotatedText(SplitText(words), spans)
    samples = [LabelSample(("person", "award"), ("person", "award"))]
    rng = np.random.default_rng(0)
    sequences = collate(model, [text], samples, config=PLAIN, rng=rng, max_words=24)
    assert len(sequences) > 5
    assert max(one.sequence.n_words for one in sequences) <= 24
    found = sum(int(one.targets.values[:, 0].sum()) for one in sequences)
    each = 5 if model.config.is_token else 1
    assert found >= each * len(spans)
    for one in sequences:
        if one.candidates is not None:
            values = one.candidate_targets.values
            positive = values[:, 0].sum()
            assert len(one.candidates.starts) == len(values)
            assert positive < len(values) <= 2 * positive


@pytest.mark.parametrize("kind", ["uni_span", "uni_token", "bi_span"])
@pytest.mark.parametrize("max_words", [None, 40])
def test_training_and_prediction_cut_the_same_windows(kind, max_words):
    model = tiny_model(kind, max_length=128)
    words = " ".join(TEXTS).split() * 5
    words[7] = "qxz" * 200  # fits no sequence
    text = SplitText(words, breaks=range(0, len(words), 9))
    sample = LabelSample(LABELS, LABELS)
    trained = collate(
        model,
        [AnnotatedText(text, [])],
        [sample],
        config=PLAIN,
        rng=np.random.default_rng(0),
        max_words=max_words,
    )
    with pytest.warns(UserWarning, match="SMW101"):
        (made,) = make_sequences(model, [text], list(LABELS), max_words=max_words)
    assert len(made.windows) > 4
    (group,) = made.groups
    predicted = [
        model.prompt_builder.sequence(group.prompt, made.pieces, start, end)
        for start, end in made.bounds()
    ]
    for one, expected in zip(trained, predicted, strict=True):
        assert np.array_equal(one.sequence.ids, expected.ids)
        assert np.array_equal(one.sequence.words, expected.words)
        assert one.sequence.n_words == expected.n_words


def test_parts_of_spans_at_the_edge_of_a_window_are_masked():
    model = tiny_model()
    words = ["word"] * 12
    text = AnnotatedText(SplitText(words), [AnnotatedSpan(6, 10, "person")])
    samples = [LabelSample(("person",), ("person",))]
    rng = np.random.default_rng(0)
    first, *_ = collate(model, [text], samples, config=PLAIN, rng=rng, max_words=8)
    assert first.sequence.n_words == 8
    assert first.targets.values.sum() == 0
    inside = span_indices([6, 6, 7], [7, 8, 8], 8)
    assert first.targets.weights[inside].max() == 0
    assert first.targets.weights[span_indices([2], [6], 8)] == 1


def test_spans_across_a_border_are_no_negatives():
    """The words are ``0 1 2 | 3 4 5``: 2-4 contains the border, 3-5 starts with it."""
    made = targets([AnnotatedSpan(0, 1, "person")], borders=[3])
    crossing = span_indices([2, 1, 2], [4, 4, 5], 6)
    assert made.weights[crossing].max() == 0
    assert made.weights.sum() == 2 * (count_spans(6, 3) - 3)
    assert made.weights[span_indices([3, 1], [5, 3], 6)].min() == 1


def test_borders_count_from_the_start_of_a_window():
    text = SplitText(["word"] * 12, borders=[2, 9])
    samples = [LabelSample(("person",), ("person",))]
    rng = np.random.default_rng(0)
    annotated = AnnotatedText(text, [])
    windows = collate(tiny_model(), [annotated], samples, config=PLAIN, rng=rng, max_words=8)
    assert [one.sequence.n_words for one in windows] == [8, 8]
    for window, border in zip(windows, (2, 5), strict=True):
        starts, ends = span_bounds(8, tiny_model().config.max_width)
        crossing = (starts < border) & (ends > border)
        assert (window.targets.weights[:, 0] == ~crossing).all()


def test_drawn_candidates_stay_within_borders():
    words, spans = ["w"] * 20, [AnnotatedSpan(0, 1, "a"), AnnotatedSpan(1, 2, "a")]
    text = AnnotatedText(SplitText(words, borders=range(1, 20)), spans)
    rng = np.random.default_rng(0)
    (one,) = collate(
        tiny_model("uni_token_spans"), [text], [LabelSample(("a",), ("a",))], config=PLAIN, rng=rng
    )
    assert len(one.candidates) > 2
    assert (one.candidates.ends - one.candidates.starts == 1).all()


def test_what_cannot_be_learned_is_counted():
    model = tiny_model()
    spans = [
        AnnotatedSpan(0, 2, "a"),
        AnnotatedSpan(0, 9, "a"),
        AnnotatedSpan(3, 9, "b"),
        AnnotatedSpan(0, 7, "b"),
    ]
    coverage = count_coverage(
        model, [AnnotatedText(SplitText(["w"] * 9), spans), AnnotatedText(SplitText([]), [])]
    )
    assert (coverage.learned, coverage.too_wide, coverage.cut) == (1, {"a": 1, "b": 2}, {})
    coverage = count_coverage(
        tiny_model("uni_token"),
        [AnnotatedText(SplitText(["w"] * 400), [AnnotatedSpan(0, 300, "a")])],
    )
    assert (coverage.learned, coverage.cut, coverage.lost) == (0, {"a": 1}, 1)
    coverage = count_coverage(model, [AnnotatedText(SplitText(["w"] * 9, borders=[1]), spans[:1])])
    assert (coverage.learned, coverage.crossing, coverage.lost) == (0, {"a": 1}, 1)


def test_labels_that_leave_no_room_are_left_out():
    model = tiny_model(max_length=64)
    labels = tuple(f"label number {i}" for i in range(40))
    text = AnnotatedText(SplitText(list("abcdefghijklmnop")), [])
    rng = np.random.default_rng(0)
    (one,) = collate(model, [text], [LabelSample(labels, labels)], config=PLAIN, rng=rng)
    assert 0 < one.targets.values.shape[1] < 40
    assert len(one.sequence.ids) <= 64


def test_texts_without_words_or_labels_give_nothing():
    model = tiny_model()
    texts = [AnnotatedText(SplitText([]), []), AnnotatedText(SplitText(["a"]), [])]
    samples = [LabelSample(("x",), ("x",)), LabelSample((), ())]
    rng = np.random.default_rng(0)
    assert collate(model, texts, samples, config=PLAIN, rng=rng) == []
