"""ScoredSpans and the choice among them, against slow code that says what is meant."""

import time

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_modernbert.gliner.inference.decoding import choose_spans
from spacy_modernbert.gliner.inference.scored_spans import (
    ScoredSpans,
    candidates_above_threshold,
    chains_above_threshold,
    spans_above_threshold,
    token_probabilities,
)


def brute_force(spans, *, nested, multi_label):
    """Greedy choice, each span against all that were kept; ends are inclusive here."""

    def conflict(one, other):
        if one[:2] == other[:2]:
            return not multi_label
        if one[0] > other[1] or other[0] > one[1]:
            return False
        holds = one[0] <= other[0] and one[1] >= other[1]
        is_held = other[0] <= one[0] and other[1] >= one[1]
        return not (nested and (holds or is_held))

    kept = []
    for span in sorted(spans, key=lambda span: -span[3]):
        if span[:3] not in {other[:3] for other in kept} and not any(
            conflict(span, other) for other in kept
        ):
            kept.append(span)
    return sorted(kept, key=lambda span: span[0])


@st.composite
def spans_of_a_text(draw):
    spans = draw(
        st.lists(
            st.tuples(
                st.integers(0, 20),
                st.integers(0, 8),
                st.integers(0, 3),
                st.sampled_from([0.25, 0.5, 0.75, 0.875, 1.0]),
            ),
            max_size=40,
        )
    )
    return [(start, start + width, label, score) for start, width, label, score in spans]


@settings(max_examples=400, deadline=None)
@given(spans_of_a_text(), st.booleans(), st.booleans())
def test_the_choice(spans, nested, multi_label):
    columns = [np.array(column) for column in zip(*spans, strict=True)] or [np.array([])] * 4
    candidates = ScoredSpans.of(columns[0], columns[1] + 1, columns[2], columns[3])
    chosen = candidates.take(choose_spans(candidates, nested=nested, multi_label=multi_label))
    rows = zip(chosen.starts, chosen.ends - 1, chosen.labels, chosen.scores, strict=True)
    expected = brute_force(spans, nested=nested, multi_label=multi_label)
    assert [tuple(map(float, row)) for row in rows] == [tuple(map(float, e)) for e in expected]


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 9), st.integers(1, 3), st.integers(0, 10_000))
def test_chains_of_words(n_words, n_labels, seed):
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(0.5, 1.5, (n_words, n_labels, 3)).astype(np.float32))
    limits = rng.uniform(0.2, 0.7, n_labels).astype(np.float32)
    scores = logits.sigmoid().numpy()
    expected = []
    for start in range(n_words):
        for label in range(n_labels):
            for last in range(start, n_words):
                inside = scores[start : last + 1, label, 2]
                ends = scores[start, label, 0], scores[last, label, 1]
                if min(ends) > limits[label] and (inside >= limits[label]).all():
                    expected.append((start, last + 1, label, min(*ends, inside.min())))
    found = chains_above_threshold(logits, limits)
    rows = zip(found.starts, found.ends, found.labels, found.scores, strict=True)
    assert list(rows) == expected


def test_a_word_of_a_chain_may_be_at_the_threshold_but_not_its_ends():
    sure, even = 5.0, 0.0  # the sigmoid of 0 is one half, exactly
    logits = torch.full((3, 1, 3), sure)
    logits[1, 0, 2] = even
    assert len(chains_above_threshold(logits, 0.5)) == 6
    logits[0, 0, 0] = even
    assert chains_above_threshold(logits, 0.5).starts.min() == 1


def test_spans_above_the_threshold_of_their_label():
    # The first word, the second word, and both of them.
    logits = torch.tensor([[0.0, 1.0], [0.5, 0.5], [2.0, -1.0]])
    found = spans_above_threshold(logits, 2, 2, [0.5, 0.7])
    assert found.starts.tolist() == [0, 0, 1]
    assert found.ends.tolist() == [1, 2, 2]
    assert found.labels.tolist() == [1, 0, 0]
    assert (found.scores > 0.5).all()
    assert len(spans_above_threshold(logits, 2, 2, 1.0)) == 0


def test_given_spans():
    probabilities = torch.tensor([[0.9, 0.1], [0.2, 0.8]])
    found = candidates_above_threshold(probabilities, [3, 0], [9, 2], 0.5)
    assert found.starts.tolist() == [3, 0]
    assert found.ends.tolist() == [9, 2]
    assert found.labels.tolist() == [0, 1]


def test_given_spans_of_a_token_model():
    logits = torch.randn((8, 3, 3), generator=torch.Generator().manual_seed(1))
    scores = logits.sigmoid()
    found = token_probabilities(logits, [0, 2, 5], [8, 3, 7])
    for row, (start, end) in zip(found, [(0, 8), (2, 3), (5, 7)], strict=True):
        inside = scores[start:end, :, 2].amin(0)
        expected = torch.minimum(torch.minimum(scores[start, :, 0], scores[end - 1, :, 1]), inside)
        torch.testing.assert_close(row, expected)


def test_a_thousand_candidates_take_no_time():
    """On one core, in milliseconds; an encoder needs tens of them for such a text."""
    rng = np.random.default_rng(0)
    starts = np.sort(rng.integers(0, 100, 1000))
    candidates = ScoredSpans.of(
        starts, starts + rng.integers(1, 13, 1000), rng.integers(0, 20, 1000), rng.random(1000)
    )
    for nested in (False, True):
        spent = []
        for _ in range(5):
            begin = time.process_time()
            choose_spans(candidates, nested=nested, multi_label=True)
            spent.append(time.process_time() - begin)
        assert min(spent) < 0.01
