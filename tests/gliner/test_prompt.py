"""Sequences: their content, its positions, and that no text can write a marker."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_modernbert.gliner.inference.prompt import Markers, PromptBuilder, find_markers
from spacy_modernbert.gliner.inference.words import split_words
from spacy_modernbert.gliner.modeling.config import GlinerConfig
from tests.gliner.tiny import LABELS, TEXTS, tiny_piecer

PIECER = tiny_piecer()
CONFIG = GlinerConfig.from_dict({})
MARKERS = find_markers(CONFIG, PIECER, vocabulary=PIECER.vocab_size)
NASTY = st.lists(
    st.one_of(
        st.sampled_from(["<<ENT>>", "<<SEP>>", "[FLERT]", "[SEP]", "[CLS]", "<<ENT>> x", "\u200b"]),
        st.text(min_size=1, max_size=12).filter(str.strip),
    ),
    min_size=1,
    max_size=8,
)


def make_builder(**options):
    return PromptBuilder(PIECER, MARKERS, **options)


def test_a_sequence_reads_as_it_should():
    prompt_builder = make_builder()
    prompt = prompt_builder.prompt(["person", "date of birth"])
    words = split_words(TEXTS[0]).words
    sequence = prompt_builder.sequence(prompt, prompt_builder.encode([words])[0], 0, len(words))
    strings = PIECER.strings(sequence.ids)
    assert strings[0] == "[CLS]"
    assert strings[-1] == "[SEP]"
    assert [strings[i] for i in sequence.label_positions] == ["<<ENT>>"] * 2
    assert strings[1 : sequence.label_positions[1]] == [
        "<<ENT>>",
        *strings[2 : sequence.label_positions[1]],
    ]
    assert "".join(strings[2 : sequence.label_positions[1]]) == "person"
    assert strings[sequence.first_piece - 1] == "<<SEP>>"
    joined = [""] * sequence.n_words
    for piece, word in zip(strings[sequence.first_piece : -1], sequence.words, strict=True):
        joined[word] += piece
    assert joined == words
    assert prompt_builder.capacity(prompt) is None


def test_a_part_of_a_text_counts_its_own_words():
    prompt_builder = make_builder(max_length=64)
    prompt = prompt_builder.prompt(LABELS)
    words = split_words(TEXTS[1]).words
    pieces = prompt_builder.encode([words])[0]
    whole, part = (
        prompt_builder.sequence(prompt, pieces, 0, len(words)),
        prompt_builder.sequence(prompt, pieces, 3, 7),
    )
    assert part.n_words == 4
    assert part.words.min() == 0
    assert part.words.max() == 3
    held = (whole.words >= 3) & (whole.words < 7)
    assert np.array_equal(part.ids[part.first_piece : -1], whole.ids[whole.first_piece : -1][held])
    assert prompt_builder.capacity(prompt) == 64 - len(prompt) - 1


def test_label_vectors_may_be_beside_the_marker():
    prompt = make_builder(embed_ent_token=False).prompt(LABELS)
    before = PIECER.strings(prompt.ids[prompt.positions - 1])
    assert before == ["<<ENT>>"] * len(LABELS)


@settings(max_examples=200, deadline=None)
@given(NASTY, NASTY)
def test_no_text_writes_a_marker(labels, words):
    prompt_builder = make_builder()
    try:
        prompt = prompt_builder.prompt(labels)
    except ValueError as error:  # a label of which the tokenizer keeps nothing
        assert "SM108" in str(error)  # noqa: PT017
        return
    sequence = prompt_builder.sequence(prompt, prompt_builder.encode([words])[0], 0, len(words))
    special = {*PIECER.prefix_ids, *PIECER.suffix_ids, MARKERS.ent, MARKERS.sep}
    assert (sequence.ids == MARKERS.ent).sum() == len(labels)
    assert (sequence.ids == MARKERS.sep).sum() == 1
    assert np.isin(sequence.ids, list(special)).sum() == len(labels) + 3


@pytest.mark.parametrize("label", ["", "   "])
def test_an_empty_label_is_an_error(label):
    labels = ["person", label]
    with pytest.raises(ValueError, match="SM108"):
        make_builder().prompt(labels)
    with pytest.raises(ValueError, match="SM108"):
        make_builder().group(labels, max_pieces=100)


def test_labels_in_groups():
    prompt_builder = make_builder()
    labels = [f"{label} {number}" for number in range(5) for label in LABELS]
    groups = prompt_builder.group(labels, max_pieces=60)
    assert [index for group in groups for index in group] == list(range(25))
    sizes = [len(group) for group in groups]
    assert max(sizes) - min(sizes) <= 1
    prompts = [prompt_builder.prompt([labels[i] for i in group]) for group in groups]
    assert all(len(prompt) <= 60 for prompt in prompts)
    with pytest.raises(ValueError, match=r"SM109.*a very"):
        prompt_builder.group(["x", "a very " * 40], max_pieces=60)


def test_the_tokenizer_knows_the_markers_best():
    found = find_markers(
        GlinerConfig.from_dict({"class_token_index": 7}), PIECER, vocabulary=PIECER.vocab_size + 64
    )
    assert found == MARKERS


@pytest.mark.parametrize(
    ("class_token_index", "added", "expected"),
    [(-1, 3, 1), (-1, 2, 0), (-1, 64, 1), (0, 2, 0), (1, 3, 1)],
)
def test_older_checkpoints_added_two_or_three_pieces(class_token_index, added, expected):
    tokenizer = tiny_piecer(markers=False)
    size = tokenizer.vocab_size
    index = class_token_index if class_token_index < 0 else size + class_token_index
    config = GlinerConfig.from_dict({"class_token_index": index})
    found = find_markers(config, tokenizer, vocabulary=size + added)
    assert found == Markers(size + expected, size + expected + 1)


def test_markers_without_embeddings_are_an_error():
    with pytest.raises(ValueError, match="SM107"):
        find_markers(CONFIG, PIECER, vocabulary=MARKERS.sep)
    tokenizer = tiny_piecer(markers=False)
    with pytest.raises(ValueError, match="SM107"):
        find_markers(CONFIG, tokenizer, vocabulary=tokenizer.vocab_size)


def test_words_of_upstream():
    spans = split_words(" state-of-the-art (2021)\u00a0a_b 日本語 don't…")
    assert spans.words == [
        "state-of-the-art", "(", "2021", ")", "a_b", "日本語", "don", "'", "t", "…",
    ]  # fmt: skip
    text = " state-of-the-art (2021)\u00a0a_b 日本語 don't…"
    assert [text[s:e] for s, e in zip(spans.starts, spans.ends, strict=True)] == spans.words
    assert len(split_words("").words) == 0
