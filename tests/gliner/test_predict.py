"""Predictions depend on no other text, and on no limit of length or number of labels."""

import copy
import pickle
import warnings
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_modernbert.gliner.inference.decoding import choose_spans
from spacy_modernbert.gliner.inference.predict import find_spans
from spacy_modernbert.gliner.inference.scored_spans import CandidateSpans
from spacy_modernbert.gliner.inference.sequences import SplitText
from spacy_modernbert.gliner.inference.words import split_words
from spacy_modernbert.gliner.modeling.span_layout import span_indices
from tests.gliner.answers import logits, predict, same
from tests.gliner.tiny import KINDS, LABELS, TEXTS, tiny_model

model_of = cache(tiny_model)
WORDS = sorted({word for text in TEXTS for word in split_words(text).words})
NASTY = ["<<ENT>>", "<<SEP>>", "[SEP]", "\u200b", "日本語", "🙂", "x" * 40]
WORD_LISTS = st.lists(st.sampled_from(WORDS + NASTY), max_size=25)


def scores(model, texts, labels=tuple(LABELS), **options):
    """All candidates of texts, as one dictionary a text."""
    found = find_spans(
        model, [SplitText(words) for words in texts], list(labels), thresholds=0.0, **options
    )
    return [
        {
            (int(start), int(end), labels[label]): float(score)
            for start, end, label, score in zip(c.starts, c.ends, c.labels, c.scores, strict=True)
        }
        for c in found
    ]


def assert_close(one, other):
    assert one.keys() == other.keys()
    assert all(abs(one[key] - other[key]) < 2e-4 for key in one)


@pytest.mark.parametrize(
    "kind", ["uni_span", "uni_v1", "uni_fuse", "uni_token", "bi_span", "bi_poly"]
)
@settings(max_examples=12, deadline=None)
@given(texts=st.lists(WORD_LISTS, min_size=1, max_size=4), seed=st.integers(0, 99))
def test_a_text_does_not_depend_on_others(kind, texts, seed):
    model = model_of(kind)
    together = scores(model, texts)
    order = np.random.default_rng(seed).permutation(len(texts))
    shuffled = scores(model, [texts[i] for i in order], batch_pieces=40)
    for place, index in enumerate(order):
        assert_close(shuffled[place], together[index])
    for text, found in zip(texts, together, strict=True):
        assert_close(scores(model, [text])[0], found)


@pytest.mark.parametrize("kind", ["bi_span", "bi_token"])
@settings(max_examples=15, deadline=None)
@given(words=WORD_LISTS, order=st.permutations(LABELS), count=st.integers(1, 5))
def test_labels_of_a_bi_encoder_do_not_compete(kind, words, order, count):
    model = model_of(kind)
    whole = scores(model, [words])[0]
    some = scores(model, [words], tuple(order[:count]))[0]
    # At a threshold of 0 a token model, too, has every span.
    assert_close(some, {key: score for key, score in whole.items() if key[2] in order[:count]})


@pytest.mark.parametrize("kind", ["uni_span", "uni_last"])
@settings(max_examples=15, deadline=None)
@given(words=WORD_LISTS, marker=st.sampled_from(["<<ENT>>", "<<SEP>>"]), place=st.integers(0, 25))
def test_a_text_cannot_write_a_label(kind, words, marker, place):
    model = model_of(kind)
    words = [*words[:place], marker, *words[place:]]
    found = scores(model, [words])[0]
    n = len(words)
    widths = range(1, model.config.max_width + 1)
    expected = {
        (s, s + w, label) for s in range(n) for w in widths if s + w <= n for label in LABELS
    }
    assert found.keys() == expected


@pytest.mark.parametrize("kind", list(KINDS))
def test_kept_label_vectors_copies_and_pickles(kind):
    model = model_of(kind)
    expected = predict(model, TEXTS, LABELS)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert same(predict(other, TEXTS, LABELS), expected)
    if model.config.is_bi:
        vectors = model.encode_labels(LABELS)
        assert same(predict(model, TEXTS, LABELS, label_vectors=vectors), expected)
        assert model.encode_labels([]).shape == (0, 32)


@pytest.mark.parametrize("kind", ["uni_span", "uni_token", "bi_span"])
def test_nothing_to_do(kind):
    model = model_of(kind)
    assert predict(model, [], LABELS) == []
    assert predict(model, TEXTS, []) == [[]] * len(TEXTS)
    assert predict(model, ["", "  ", TEXTS[0], ""], LABELS)[::3] == [[], []]
    # Words of which the tokenizer keeps nothing still are words.
    found = scores(model, [["\u0000", "x"], []])
    assert found[1] == {}


@pytest.mark.parametrize("kind", ["uni_span", "bi_span"])
def test_equal_labels_count_once(kind):
    model = model_of(kind)
    twice = predict(model, TEXTS, LABELS[:2])
    labels = [LABELS[0], LABELS[0], LABELS[1]]
    words = [SplitText(split_words(text).words) for text in TEXTS]
    found = find_spans(model, words, labels, thresholds=[0.5, 0.1, 0.5])
    assert [len(choose_spans(c)) for c in found] == [len(entities) for entities in twice]
    assert all(1 not in c.labels for c in found)


@pytest.mark.parametrize("kind", ["uni_span", "uni_token", "uni_token_spans", "bi_span"])
def test_long_texts_are_read_to_their_ends(kind):
    model = model_of(kind)
    words = [word for text in TEXTS * 6 for word in split_words(text).words]
    assert len(words) > 4 * model.config.max_len
    found = find_spans(model, [SplitText(words, breaks=range(0, 400, 15))], LABELS, thresholds=0.0)
    covered = np.unique(found[0].starts)
    if kind != "uni_token_spans":
        assert covered.tolist() == list(range(len(words)))
    width = model.config.max_width
    assert {(s, s + width) for s in range(len(words) - width)} <= set(
        zip(found[0].starts.tolist(), found[0].ends.tolist(), strict=True)
    )
    keys = np.stack([found[0].starts, found[0].ends, found[0].labels])
    assert len(np.unique(keys, axis=1).T) == len(found[0])


def test_windows_agree_where_they_show_the_same():
    """Far from any edge a window gives what it would give as a text of its own."""
    model = model_of("bi_span")
    words = [word for text in TEXTS * 4 for word in split_words(text).words]
    found = scores(model, [words], max_words=40, overlap=10)[0]
    first = scores(model, [words[:40]])[0]
    early = {key: score for key, score in first.items() if key[1] <= 30}
    assert_close({key: found[key] for key in early}, early)


def test_labels_that_overflow_are_read_in_groups():
    model = model_of("uni_span", max_length=96)
    labels = [f"{label} {number}" for number in range(6) for label in LABELS]
    with pytest.warns(UserWarning, match="SMW100"):
        many = scores(model, [split_words(text).words for text in TEXTS], tuple(labels))
    for text, found in zip(TEXTS, many, strict=True):
        n = len(split_words(text).words)
        assert {key[2] for key in found} == set(labels)
        assert {key[0] for key in found} == set(range(n))
    with pytest.raises(ValueError, match="SM114"):
        scores(model, [split_words(TEXTS[0]).words], tuple(labels), on_overflow="error")
    with pytest.raises(ValueError, match="SM109"):
        scores(model, [["x"]], (*labels, "long " * 60))


def test_groups_have_thresholds_of_their_own():
    model = model_of("uni_span", max_length=96)
    labels = [f"{label} {number}" for number in range(6) for label in LABELS]
    limits = np.linspace(0.9, 0.1, len(labels))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = find_spans(
            model, [SplitText(split_words(t).words) for t in TEXTS], labels, thresholds=limits
        )
        every = scores(model, [split_words(t).words for t in TEXTS], tuple(labels))
    for text, all_of_it in zip(found, every, strict=True):
        assert (text.scores > limits.astype(np.float32)[text.labels]).all()
        limit_of = dict(zip(labels, limits, strict=True))
        assert len(text) == sum(score > limit_of[key[2]] for key, score in all_of_it.items())


def test_a_word_too_long_for_any_sequence_is_read_in_part():
    model = model_of("uni_span", max_length=96)
    words = [*split_words(TEXTS[0]).words, "qxz" * 400, *split_words(TEXTS[1]).words]
    with pytest.warns(UserWarning, match="SMW101"):
        found = scores(model, [words])[0]
    assert {key[0] for key in found} == set(range(len(words)))


@pytest.mark.parametrize("kind", list(KINDS))
def test_candidates_get_the_scores_they_have_among_all(kind):
    model = model_of(kind)
    words = split_words(TEXTS[0]).words
    candidates = CandidateSpans.of([0, 3, 5, 0], [2, 5, 6, len(words)])
    text = SplitText(words, candidates=candidates)
    found = find_spans(model, [text, SplitText([])], LABELS, thresholds=0.0)[0]
    pairs = list(zip(found.starts.tolist(), found.ends.tolist(), strict=True))
    assert sorted(set(pairs)) == sorted({(0, 2), (3, 5), (5, 6), (0, len(words))})
    if kind == "uni_token_spans":
        return
    every = scores(model, [words])[0]
    for start, end, label, score in zip(
        found.starts, found.ends, found.labels, found.scores, strict=True
    ):
        if end - start <= model.config.max_width:
            assert abs(every[int(start), int(end), LABELS[label]] - float(score)) < 1e-4


def test_words_without_pieces_move_no_other():
    """In a network whose words do not see each other behind the encoder, theirs are the same."""
    model = model_of("uni_last")
    words = split_words(TEXTS[0]).words
    prompt = model.prompt_builder.prompt(LABELS)
    pieces = model.prompt_builder.encode([words])[0]
    # As if the tokenizer had kept nothing of a word between the second and the third.
    gap = type(pieces)(pieces.ids, np.where(pieces.words >= 2, pieces.words + 1, pieces.words))
    sequences = [
        model.prompt_builder.sequence(prompt, pieces, 0, len(words)),
        model.prompt_builder.sequence(prompt, gap, 0, len(words) + 1),
    ]
    with torch.no_grad():
        plain, shifted = model.network.encode(sequences).split()
    torch.testing.assert_close(plain[0], torch.cat([shifted[0][:2], shifted[0][3:]]))
    assert (shifted[0][2] == 0).all()


def test_gradients_reach_every_weight_that_counts():
    for kind in KINDS:
        model = tiny_model(kind)
        network = model.network.train()
        sequences = []
        prompt = model.prompt_builder.prompt(LABELS)
        for text in TEXTS[:2]:
            words = split_words(text).words
            sequences.append(
                model.prompt_builder.sequence(
                    prompt, model.prompt_builder.encode([words])[0], 0, len(words)
                )
            )
        vectors = model.encode_labels(LABELS) if model.config.is_bi else None
        features = network.encode(sequences, vectors, dropout=0.1)
        total = sum(scores.sum() for scores in network(features))
        if model.config.represent_spans:
            words, labels = features.split()[0]
            ends = torch.tensor([2, 3])
            total = total + network.score_spans(words, labels, ends - 1, ends).sum()
        total.backward()
        silent = [name for name, p in network.named_parameters() if p.grad is None]
        # In checkpoints and part of no score: the one always, the norm where layers are fused.
        idle = ("project_first", "final_norm") if kind == "uni_fuse" else ("project_first",)
        assert all(any(part in name for part in idle) for name in silent), (kind, silent)


def test_logits_are_those_of_the_candidates():
    model = model_of("uni_span")
    words = split_words(TEXTS[0]).words
    found = scores(model, [words])[0]
    raw = logits(model, TEXTS[:1], LABELS)[0].sigmoid()
    for (start, end, label), score in found.items():
        place = span_indices([start], [end], len(words))[0]
        assert abs(raw[place, LABELS.index(label)] - score) < 1e-5
