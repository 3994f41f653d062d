import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_modernbert.gliner.training.thresholds import choose_threshold

SPANS = st.lists(st.tuples(st.sampled_from([0.1, 0.3, 0.3001, 0.5, 0.8, 0.9]), st.booleans()))


def f_above(threshold, spans, n_gold):
    taken = [right for score, right in spans if score > threshold]
    return 2 * sum(taken) / (len(taken) + n_gold) if taken else 0.0


@given(SPANS, st.integers(0, 5))
def test_no_threshold_is_better(spans, missed):
    n_gold = sum(right for _, right in spans) + missed
    scores = np.array([score for score, _ in spans])
    right = np.array([right for _, right in spans], dtype=bool)
    choice = choose_threshold(scores, right, n_gold, default=0.5)
    tried = [0.0, *(score for score, _ in spans), 0.2, 0.4, 0.6, 0.85]
    assert 0.0 <= choice.threshold <= 1.0
    assert choice.f == pytest.approx(max(f_above(t, spans, n_gold) for t in tried))
    if choice.f:
        assert f_above(choice.threshold, spans, n_gold) == pytest.approx(choice.f)
    else:
        assert choice.threshold == 0.5


def test_the_threshold_is_in_the_middle():
    scores, right = np.array([0.9, 0.7, 0.2]), np.array([True, True, False])
    assert choose_threshold(scores, right, 2, default=0.5).threshold == pytest.approx(0.45)
