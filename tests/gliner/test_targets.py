"""Targets: each annotated span at its place, and no word about what nobody knows."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spacy_modernbert.gliner.inference.sequences import SplitText
from spacy_modernbert.gliner.modeling.span_edges import add_edges, span_count
from spacy_modernbert.gliner.training.collator import collate, measure
from spacy_modernbert.gliner.training.dataset import AnnotatedSpan, AnnotatedText
from spacy_modernbert.gliner.training.label_sampling import LabelSample
from spacy_modernbert.gliner.training.losses import LossConfig
from spacy_modernbert.gliner.training.targets import make_targets, span_places
from tests.gliner.tiny import TEXTS, tiny_model

PLAIN = LossConfig()
LABELS = ("person", "location")


def targets(spans, labels=LABELS, **given):
    given = {"n_words": 6, "max_width": 3, **given}
    rng = np.random.default_rng(0)
    return make_targets(spans, labels, objective=PLAIN, rng=rng, **given)


@given(st.integers(0, 12), st.integers(1, 6))
def test_places_count_through_all_spans(n_words, max_width):
    bounds = [
        (start, start + width)
        for width in range(1, min(max_width, n_words) + 1)
        for start in range(n_words - width + 1)
    ]
    places = span_places([b[0] for b in bounds], [b[1] for b in bounds], n_words)
    assert places.tolist() == list(range(len(bounds)))
    assert span_count(n_words, max_width) == len(bounds)


@pytest.mark.parametrize("relu", [True, False])
def test_edges_add_up_and_so_do_their_gradients(relu):
    generator = torch.Generator().manual_seed(0)
    lengths, max_width = [4, 0, 1, 6], 3
    starts, ends = (torch.randn(11, 5, generator=generator).double() for _ in range(2))
    starts.requires_grad_()
    ends.requires_grad_()
    sums = add_edges(starts, ends, lengths, max_width, relu=relu)
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
    asked = [LabelSample(("person", "location"), ("person", "location"))] * 3
    asked += [
        LabelSample(("award", "date", "city")[:n], ("award", "date", "city")[:n]) for n in (3, 1)
    ]
    if model.config.is_bi:
        asked = asked[:1] * len(words)
    texts = [AnnotatedText(SplitText(text), []) for text in words]
    lessons = collate(model, texts, asked, objective=PLAIN, rng=np.random.default_rng(0))
    with torch.no_grad():
        vectors = None
        if model.config.is_bi:
            vectors = model.encode_labels(list(asked[0].words))
        features = model.network.encode([lesson.row for lesson in lessons], vectors)
        rows, full = model.network.score_rows(features), model.network(features)
    for row, grid, lesson in zip(rows, full, lessons, strict=True):
        assert row.shape == lesson.targets.values.shape
        valid = grid[..., 0].isfinite().nonzero()
        places = span_places(valid[:, 0], valid[:, 0] + valid[:, 1] + 1, len(grid))
        torch.testing.assert_close(row[places], grid[valid[:, 0], valid[:, 1]])


def test_a_span_of_a_span_model():
    made = targets(
        [
            AnnotatedSpan(1, 3, "location"),
            AnnotatedSpan(0, 6, "person"),
            AnnotatedSpan(0, 1, "date"),
        ]
    )
    assert np.argwhere(made.values).tolist() == [[span_places([1], [3], 6)[0], 1]]
    assert made.weights.min() == 1
    assert made.count == span_count(6, 3)


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
    places = span_places(*zip(*touches, strict=True), 6)
    away = np.setdiff1d(np.arange(span_count(6, 3)), places)
    assert made.weights[places].sum() == 1
    assert made.weights[away].min() == 1


def test_labels_nobody_looked_for_are_no_negatives():
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
    asked = [LabelSample(("person", "award"), ("person", "award"))]
    rng = np.random.default_rng(0)
    lessons = collate(model, [text], asked, objective=PLAIN, rng=rng, max_words=24)
    assert len(lessons) > 5
    assert max(lesson.row.n_words for lesson in lessons) <= 24
    found = sum(int(lesson.targets.values[:, 0].sum()) for lesson in lessons)
    each = 5 if model.config.is_token else 1
    assert found >= each * len(spans)
    for lesson in lessons:
        if lesson.given is not None:
            values = lesson.given_targets.values
            positive = values[:, 0].sum()
            assert len(lesson.given.starts) == len(values)
            assert positive < len(values) <= 2 * positive


def test_parts_of_spans_at_the_edge_of_a_window_are_masked():
    model = tiny_model()
    words = ["word"] * 12
    text = AnnotatedText(SplitText(words), [AnnotatedSpan(6, 10, "person")])
    asked = [LabelSample(("person",), ("person",))]
    rng = np.random.default_rng(0)
    first, *_ = collate(model, [text], asked, objective=PLAIN, rng=rng, max_words=8)
    assert first.row.n_words == 8
    assert first.targets.values.sum() == 0
    inside = span_places([6, 6, 7], [7, 8, 8], 8)
    assert first.targets.weights[inside].max() == 0
    assert first.targets.weights[span_places([2], [6], 8)] == 1


def test_what_cannot_be_learnt_is_counted():
    model = tiny_model()
    spans = [
        AnnotatedSpan(0, 2, "a"),
        AnnotatedSpan(0, 9, "a"),
        AnnotatedSpan(3, 9, "b"),
        AnnotatedSpan(0, 7, "b"),
    ]
    coverage = measure(
        model, [AnnotatedText(SplitText(["w"] * 9), spans), AnnotatedText(SplitText([]), [])]
    )
    assert (coverage.learnt, coverage.too_wide, coverage.cut) == (1, {"a": 1, "b": 2}, {})
    coverage = measure(
        tiny_model("uni_token"),
        [AnnotatedText(SplitText(["w"] * 400), [AnnotatedSpan(0, 300, "a")])],
    )
    assert (coverage.learnt, coverage.cut, coverage.lost) == (0, {"a": 1}, 1)


def test_labels_that_leave_no_room_are_left_out():
    model = tiny_model(max_length=64)
    labels = tuple(f"label number {i}" for i in range(40))
    text = AnnotatedText(SplitText(list("abcdefghijklmnop")), [])
    rng = np.random.default_rng(0)
    (lesson,) = collate(model, [text], [LabelSample(labels, labels)], objective=PLAIN, rng=rng)
    assert 0 < lesson.targets.values.shape[1] < 40
    assert len(lesson.row.ids) <= 64


def test_texts_without_words_or_labels_give_nothing():
    model = tiny_model()
    texts = [AnnotatedText(SplitText([]), []), AnnotatedText(SplitText(["a"]), [])]
    asked = [LabelSample(("x",), ("x",)), LabelSample((), ())]
    rng = np.random.default_rng(0)
    assert collate(model, texts, asked, objective=PLAIN, rng=rng) == []
