"""Which labels may be drawn, with any seed."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spacy_modernbert.gliner.inference.sequences import SplitText
from spacy_modernbert.gliner.training.config import LabelSamplingConfig
from spacy_modernbert.gliner.training.dataset import AnnotatedSpan, AnnotatedText
from spacy_modernbert.gliner.training.label_sampling import sample_labels, sample_shared_labels

NAMES = st.sampled_from([f"label {i}" for i in range(8)])
SAMPLING = st.builds(
    LabelSamplingConfig,
    max_types=st.integers(1, 6),
    negative_ratio=st.one_of(st.none(), st.integers(0, 3)),
    drop_types=st.floats(0, 1),
    shuffle=st.booleans(),
)


@st.composite
def texts(draw):
    made = []
    for _ in range(draw(st.integers(1, 4))):
        labels = draw(st.lists(NAMES, max_size=4))
        known = draw(st.one_of(st.none(), st.lists(NAMES, max_size=5, unique=True)))
        spans = [AnnotatedSpan(i, i + 1, label) for i, label in enumerate(labels)]
        made.append(AnnotatedText(SplitText(["w"] * 4), spans, known))
    return made


def draw(*args, seed=0, **kwargs):
    return sample_labels(*args, np.random.default_rng(seed), **kwargs)


@given(texts(), SAMPLING, st.lists(NAMES, max_size=3), st.integers(0, 99))
def test_only_labels_that_may_be_drawn(batch, sampling, pool, seed):
    everything = {span.label for text in batch for span in text.spans} | set(pool)
    for text, sample in zip(batch, draw(batch, sampling, seed=seed, label_pool=pool), strict=True):
        present = {span.label for span in text.spans}
        allowed = present | (everything if text.labels is None else set(text.labels))
        assert set(sample.labels) <= allowed
        assert len(set(sample.labels)) == len(sample) <= sampling.max_types
        assert sample.label_texts == sample.labels
        absent = set(sample.labels) - present
        if sampling.negative_ratio is not None:
            assert len(absent) <= sampling.negative_ratio * max(1, len(text.spans))
        if present:
            assert len(sample) > 0


@given(texts(), SAMPLING, st.integers(0, 99))
def test_a_seed_is_a_seed(batch, sampling, seed):
    assert draw(batch, sampling, seed=seed) == draw(batch, sampling, seed=seed)


@given(texts(), st.integers(0, 99))
def test_nothing_is_left_out_unless_wanted(batch, seed):
    sampling = LabelSamplingConfig(max_types=99, negative_ratio=None, drop_types=0.0, shuffle=False)
    everything = {span.label for text in batch for span in text.spans}
    for text, sample in zip(batch, draw(batch, sampling, seed=seed), strict=True):
        known = everything if text.labels is None else set(text.labels)
        assert set(sample.labels) == {span.label for span in text.spans} | known


def test_types_are_dropped_from_the_end_of_a_shuffled_list():
    """As in the paper: the number that stays is uniform, and so is who stays."""
    labels = [f"label {i}" for i in range(4)]
    text = AnnotatedText(
        SplitText(["w"] * 4), [AnnotatedSpan(i, i + 1, x) for i, x in enumerate(labels)]
    )
    drawn = draw([text] * 4000, LabelSamplingConfig(negative_ratio=0))
    lengths = np.bincount([len(sample) for sample in drawn])
    np.testing.assert_allclose(lengths[1:] / 4000, 0.25, atol=0.04)
    firsts = [sum(sample.labels[0] == label for sample in drawn) for label in labels]
    np.testing.assert_allclose(np.array(firsts) / 4000, 0.25, atol=0.04)


def test_negatives_of_the_batch_and_of_the_pool():
    batch = [
        AnnotatedText(SplitText(["w"]), [AnnotatedSpan(0, 1, "one")]),
        AnnotatedText(SplitText(["w"]), [AnnotatedSpan(0, 1, "two")]),
        AnnotatedText(SplitText(["w"]), [AnnotatedSpan(0, 1, "three")], labels=["three", "four"]),
    ]
    sampling = LabelSamplingConfig(negative_ratio=9, drop_types=0.0)
    seen = [set(), set(), set()]
    for seed in range(60):
        for labels, sample in zip(
            seen, draw(batch, sampling, seed=seed, label_pool=["five"]), strict=True
        ):
            labels.update(sample.labels)
    assert seen[0] == seen[1] == {"one", "two", "three", "five"}
    assert seen[2] == {"three", "four"}


def test_phrasings_are_drawn_and_never_twice():
    phrases = {"ORG": ["organization", "company"], "FIRM": ["company"], "PER": ["person"]}
    spans = [AnnotatedSpan(0, 1, "ORG"), AnnotatedSpan(1, 2, "FIRM"), AnnotatedSpan(2, 3, "PER")]
    text = AnnotatedText(SplitText(["w"] * 3), spans)
    drawn = draw(
        [text] * 200, LabelSamplingConfig(drop_types=0.0, negative_ratio=0, phrases=phrases)
    )
    assert {word for sample in drawn for word in sample.label_texts} == {
        "organization",
        "company",
        "person",
    }
    for sample in drawn:
        assert len(set(sample.label_texts)) == len(sample.label_texts) == len(sample.labels)
        for label, word in zip(sample.labels, sample.label_texts, strict=True):
            assert word in phrases[label]


def test_all_texts_of_a_bi_encoder_share_labels():
    batch = [
        AnnotatedText(SplitText(["w"]), [AnnotatedSpan(0, 1, "one")]),
        AnnotatedText(SplitText(["w"]), [AnnotatedSpan(0, 1, "two")], labels=["two", "three"]),
    ]
    sampling = LabelSamplingConfig(drop_types=0.0, negative_ratio=None)
    sample = sample_shared_labels(batch, sampling, np.random.default_rng(0))
    assert set(sample.labels) == {"one", "two", "three"}
