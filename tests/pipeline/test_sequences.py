import numpy as np
import pytest
import spacy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_modernbert.pipeline.transformer.sequences import docs_to_sequences, sequences_to_batch
from spacy_modernbert.text.tokenizer import PieceTokenizer

TEXT = "Maria Lopez doesn't work in Lisbon any more; she's moved to Zürich, 日本 and 🙂 places. "


@pytest.fixture(scope="module")
def tokenizer(checkpoint):
    return PieceTokenizer.from_folder(checkpoint)


@pytest.fixture(scope="module")
def blank():
    return spacy.blank("en")


def pieces_of(rows, tokenizer):
    """For each token of the batch the strings of the pieces it is given."""
    padded = np.full((len(rows.ids), rows.width), tokenizer.pad_id)
    for row, ids in enumerate(rows.ids):
        padded[row, : len(ids)] = ids
    flat = padded.reshape(-1)
    ends = np.cumsum(rows.align.lengths)
    return [tokenizer.strings(flat[p]) for p in np.split(rows.align.dataXd.reshape(-1), ends[:-1])]


def test_rows_token_gets_its_own_pieces(blank, tokenizer):
    rows = docs_to_sequences(
        [blank("Apple buys a U.K. startup")], tokenizer, max_length=None, overlap=None
    )
    assert ["".join(p).lstrip("Ġ") for p in pieces_of(rows, tokenizer)] == [
        "Apple",
        "buys",
        "a",
        "U.K.",
        "startup",
    ]


def test_rows_empty_docs_have_none(blank, tokenizer):
    docs = [blank(""), blank("one"), blank(""), blank("two three")]
    rows = docs_to_sequences(docs, tokenizer, max_length=None, overlap=None)
    assert [len(spans) for spans in rows.spans] == [0, 1, 0, 1]
    assert len(rows.lengths) == 3


def test_rows_of_no_docs(tokenizer):
    assert docs_to_sequences([], tokenizer, max_length=None, overlap=None).ids == []


@pytest.mark.parametrize(("max_length", "overlap"), [(16, None), (16, 7), (33, 0), (512, 100)])
def test_rows_windows_give_every_token_its_pieces(blank, tokenizer, max_length, overlap):
    docs = [blank(TEXT * 3), blank("short"), blank(TEXT)]
    whole = docs_to_sequences(docs, tokenizer, max_length=None, overlap=None)
    cut = docs_to_sequences(docs, tokenizer, max_length=max_length, overlap=overlap)
    assert max(map(len, cut.ids)) <= max_length
    assert pieces_of(cut, tokenizer) == pieces_of(whole, tokenizer)


def test_rows_frame_every_window(blank, tokenizer):
    rows = docs_to_sequences([blank(TEXT * 3)], tokenizer, max_length=20, overlap=4)
    assert len(rows.ids) > 3
    for ids in rows.ids:
        assert (ids[0], ids[-1]) == (*tokenizer.prefix_ids, *tokenizer.suffix_ids)


def test_rows_token_is_not_torn_between_windows(blank, tokenizer):
    rows = docs_to_sequences([blank(TEXT * 3)], tokenizer, max_length=24, overlap=12)
    owners = np.split(rows.owners, np.cumsum(rows.lengths)[:-1])
    assert all(len(set(owner)) == 1 for owner in owners if len(owner))


def test_rows_token_longer_than_the_window(blank, tokenizer):
    rows = docs_to_sequences([blank("x" * 300 + " end")], tokenizer, max_length=32, overlap=8)
    assert "".join(pieces_of(rows, tokenizer)[0]) == "x" * 300


def test_rows_overlap_without_progress_is_refused(blank, tokenizer):
    with pytest.raises(ValueError, match=r"SM004.*overlap"):
        docs_to_sequences([blank(TEXT)], tokenizer, max_length=16, overlap=14)


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=60), max_size=4))
def test_rows_keep_the_batch_invariants(blank, tokenizer, texts):
    docs = [blank(text) for text in texts]
    rows = docs_to_sequences(docs, tokenizer, max_length=16, overlap=4)
    assert len(rows.lengths) == sum(len(doc) for doc in docs)
    assert rows.lengths.sum() == len(rows.columns) == len(rows.owners)
    assert [bool(spans) for spans in rows.spans] == [len(doc) > 0 for doc in docs]
    assert sum(map(len, rows.spans)) == len(rows.ids)
    lengths = np.array([len(ids) for ids in rows.ids])
    assert (rows.columns >= len(tokenizer.prefix_ids)).all()
    assert (rows.columns < lengths[rows.owners] - len(tokenizer.suffix_ids)).all()
    tokens = [token for doc in docs for token in doc]
    for token, length in zip(tokens, rows.lengths, strict=True):
        assert length or token.text.isspace() or not token.text.isprintable()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text(alphabet="ab .\n本é", max_size=60), max_size=6),
    st.integers(5, 40),
    st.sampled_from(["text", "words"]),
)
def test_split_arrays_are_those_of_the_padded_batch(blank, tokenizer, texts, max_length, mode):
    """Each Doc has the vectors and pieces of its tokens, without any of its neighbors."""
    docs = [blank(text) for text in texts]
    sequences = docs_to_sequences(docs, tokenizer, max_length=max_length, overlap=None, mode=mode)
    if not sequences.ids:
        return
    hidden = torch.arange(sum(map(len, sequences.ids)))[:, None].float() + 1
    batch = sequences_to_batch(sequences, hidden, tokenizer, split=True)
    whole = batch.model_output.last_hidden_state.reshape(-1)[batch.align.dataXd.reshape(-1)]
    parts = []
    for doc, data in zip(docs, batch.doc_data, strict=True):
        vectors = data.model_output.last_hidden_state
        assert len(data.align.lengths) == len(doc)
        assert vectors.shape[:2] == data.wordpieces.input_ids.shape
        assert (vectors > 0).sum() == sum(data.wordpieces.lengths)
        assert (vectors[..., 0] > 0).sum(axis=1).tolist() == data.wordpieces.lengths
        parts.append(vectors.reshape(-1)[data.align.dataXd.reshape(-1)])
    np.testing.assert_array_equal(np.concatenate(parts), whole.numpy())
