"""Texts of `setfit_textcat` that come in several calls teach what they teach in one."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .setfit_data import PAIRS, cats, gold, make

NAMES = ("food", "money", "sport")
answers = st.one_of(
    st.lists(st.sampled_from(NAMES), max_size=3, unique=True),
    st.dictionaries(st.sampled_from(NAMES), st.sampled_from((0.0, 1.0)), min_size=1),
)
texts = st.sampled_from(["bread", "soup", "pay by card", "a match", "the team lost"])
rounds_of_several = st.lists(st.lists(st.tuples(texts, answers), max_size=4), max_size=4)
rounds_of_one = st.lists(st.lists(st.tuples(texts, st.sampled_from(NAMES)), max_size=4), max_size=4)


def support(folder, calls, **config):
    """The support set after some calls: text -> labels, NaN where unknown."""
    pipe = make(folder, **config).get_pipe("setfit")
    for examples in calls:
        pipe.set_support(examples, clear=False)
    labels = pipe.support.labels(multi_label=pipe.cfg["multi_label"])
    return pipe.labels, pipe.support.texts, labels, pipe.support.n_conflicts


def check_rounds(folder, rounds, **config):
    together = [example for examples in rounds for example in examples]
    one, many = support(folder, [together], **config), support(folder, rounds, **config)
    assert (one[0], one[1], one[3]) == (many[0], many[1], many[3])
    np.testing.assert_array_equal(one[2], many[2])


fast = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.mark.filterwarnings("ignore:.*SMW23")
@fast
@given(rounds=rounds_of_several, room=st.sampled_from((3, 100)))
def test_several_labels_in_rounds_are_those_at_once(checkpoint, rounds, room):
    check_rounds(checkpoint, rounds, multi_label=True, max_support=room)


@pytest.mark.filterwarnings("ignore:.*SMW23")
@fast
@given(rounds=rounds_of_one, room=st.sampled_from((3, 100)))
def test_one_label_in_rounds_is_that_at_once(checkpoint, rounds, room):
    check_rounds(checkpoint, rounds, max_support=room)


A = [("bread and butter", ["food"]), ("soup and bread", ["food"]), ("the team lost", [])]
B = [("pay by card", ["money"]), ("the bill was charged", ["money"]), ("by card", ["money"])]


@pytest.mark.parametrize("steps", [0, 4])
def test_list_answers_for_labels_that_come_later(checkpoint, steps):
    nlp, other = (make(checkpoint, multi_label=True) for _ in range(2))
    nlp.get_pipe("setfit").fit(A, steps=0).fit(B, steps=steps, progress_bar=False)
    other.get_pipe("setfit").fit([*A, *B], steps=steps, progress_bar=False)
    assert cats(nlp) == cats(other)
    labels = nlp.get_pipe("setfit").support.labels(multi_label=True)
    assert labels[:3, 1].tolist() == [0.0, 0.0, 0.0]


def test_text_without_any_label_counts(checkpoint):
    pipe = make(checkpoint, multi_label=True).get_pipe("setfit")
    pipe.set_support([("the weather is fine", [])])
    pipe.fit([*B, *A[:2]], steps=0).fit([("a wet day", [])], steps=0)
    labels = dict(zip(pipe.support.texts, pipe.support.labels(multi_label=True), strict=True))
    assert labels["the weather is fine"].tolist() == [0.0, 0.0]
    assert labels["a wet day"].tolist() == [0.0, 0.0]


def test_mapping_says_nothing_of_labels_that_it_lacks(checkpoint):
    pipe = make(checkpoint, multi_label=True).get_pipe("setfit")
    pipe.fit([*A, ("bread by card", {"food": 1.0})], steps=0).fit(B, steps=0)
    labels = dict(zip(pipe.support.texts, pipe.support.labels(multi_label=True), strict=True))
    assert labels["bread by card"].tolist() == pytest.approx([1.0, np.nan], nan_ok=True)
    pipe.set_support([("bread by card", {"money": 1.0})], clear=False)
    labels = dict(zip(pipe.support.texts, pipe.support.labels(multi_label=True), strict=True))
    assert labels["bread by card"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("multi_label", [False, True])
def test_correction_replaces_what_was_said_before(checkpoint, multi_label):
    nlp, other = (make(checkpoint, multi_label=multi_label) for _ in range(2))
    wrong = [(PAIRS[0][0], ["money"]), *PAIRS[1:]]
    pipe = nlp.get_pipe("setfit").fit(wrong, steps=0)
    with pytest.warns(UserWarning, match=r"SMW232.*1 of 12 texts came again.*last ones"):
        pipe.fit(PAIRS[:1], steps=0)
    other.get_pipe("setfit").fit([(PAIRS[0][0], "money"), *PAIRS[1:], PAIRS[0]], steps=0)
    assert len(pipe.support) == len(PAIRS)
    assert cats(nlp) == cats(other)


@pytest.mark.parametrize("keep", ["vectors", "texts"])
def test_corrections_and_later_labels_after_loading(checkpoint, keep):
    def fit(reload):
        nlp = make(checkpoint, multi_label=True, keep_support=keep)
        nlp.get_pipe("setfit").fit(A, steps=0)
        if reload:
            nlp = make(checkpoint, multi_label=True).from_bytes(nlp.to_bytes())
        nlp.get_pipe("setfit").fit([*B, (A[0][0], ["money"])], steps=0)
        return nlp.get_pipe("setfit").support.labels(multi_label=True), cats(nlp)

    one, two = fit(False), fit(True)
    np.testing.assert_array_equal(one[0], two[0])
    for before, after in zip(one[1], two[1], strict=True):
        assert before == pytest.approx(after, abs=1e-5)


def test_corrections_in_updates(checkpoint):
    nlp = make(checkpoint)
    sgd = nlp.initialize(lambda: gold(nlp))
    text = PAIRS[0][0]
    for _ in range(2):
        nlp.update(gold(nlp, [(text, "money")], ["food", "sport", "money"]), sgd=sgd)
    support = nlp.get_pipe("setfit").support
    found = dict(zip(support.texts, support.labels(multi_label=False).tolist(), strict=True))
    assert found[text] == [0.0, 0.0, 1.0]
    assert (len(support), support.n_conflicts) == (len(PAIRS), 1)
