import numpy as np
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_modernbert.pipeline.rows import docs_to_rows
from spacy_modernbert.text.pieces import Piecer

TEXT = "Maria Lopez doesn't work in Lisbon any more; she's moved to Zürich, 日本 and 🙂 places. "


@pytest.fixture(scope="module")
def piecer(checkpoint):
    return Piecer.from_folder(checkpoint)


@pytest.fixture(scope="module")
def blank():
    return spacy.blank("en")


def pieces_of(rows, piecer):
    """For each token of the batch the strings of the pieces it is given."""
    padded = np.full((len(rows.ids), rows.width), piecer.pad_id)
    for row, ids in enumerate(rows.ids):
        padded[row, : len(ids)] = ids
    flat = padded.reshape(-1)
    ends = np.cumsum(rows.align.lengths)
    return [piecer.strings(flat[p]) for p in np.split(rows.align.dataXd.reshape(-1), ends[:-1])]


def test_rows_token_gets_its_own_pieces(blank, piecer):
    rows = docs_to_rows([blank("Apple buys a U.K. startup")], piecer, max_length=None, stride=None)
    assert ["".join(p).lstrip("Ġ") for p in pieces_of(rows, piecer)] == [
        "Apple",
        "buys",
        "a",
        "U.K.",
        "startup",
    ]


def test_rows_empty_docs_have_none(blank, piecer):
    docs = [blank(""), blank("one"), blank(""), blank("two three")]
    rows = docs_to_rows(docs, piecer, max_length=None, stride=None)
    assert [len(spans) for spans in rows.spans] == [0, 1, 0, 1]
    assert len(rows.lengths) == 3


def test_rows_of_no_docs(piecer):
    assert docs_to_rows([], piecer, max_length=None, stride=None).ids == []


@pytest.mark.parametrize(("max_length", "stride"), [(16, None), (16, 7), (33, 0), (512, 100)])
def test_rows_windows_give_every_token_its_pieces(blank, piecer, max_length, stride):
    docs = [blank(TEXT * 3), blank("short"), blank(TEXT)]
    whole = docs_to_rows(docs, piecer, max_length=None, stride=None)
    cut = docs_to_rows(docs, piecer, max_length=max_length, stride=stride)
    assert max(map(len, cut.ids)) <= max_length
    assert pieces_of(cut, piecer) == pieces_of(whole, piecer)


def test_rows_frame_every_window(blank, piecer):
    rows = docs_to_rows([blank(TEXT * 3)], piecer, max_length=20, stride=4)
    assert len(rows.ids) > 3
    for ids in rows.ids:
        assert (ids[0], ids[-1]) == (*piecer.prefix_ids, *piecer.suffix_ids)


def test_rows_token_is_not_torn_between_windows(blank, piecer):
    rows = docs_to_rows([blank(TEXT * 3)], piecer, max_length=24, stride=12)
    owners = np.split(rows.owners, np.cumsum(rows.lengths)[:-1])
    assert all(len(set(owner)) == 1 for owner in owners if len(owner))


def test_rows_token_longer_than_the_window(blank, piecer):
    rows = docs_to_rows([blank("x" * 300 + " end")], piecer, max_length=32, stride=8)
    assert "".join(pieces_of(rows, piecer)[0]) == "x" * 300


def test_rows_stride_without_progress_is_refused(blank, piecer):
    with pytest.raises(ValueError, match=r"SM004.*stride"):
        docs_to_rows([blank(TEXT)], piecer, max_length=16, stride=14)


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=60), max_size=4))
def test_rows_keep_the_batch_invariants(blank, piecer, texts):
    docs = [blank(text) for text in texts]
    rows = docs_to_rows(docs, piecer, max_length=16, stride=4)
    assert len(rows.lengths) == sum(len(doc) for doc in docs)
    assert rows.lengths.sum() == len(rows.columns) == len(rows.owners)
    assert [bool(spans) for spans in rows.spans] == [len(doc) > 0 for doc in docs]
    assert sum(map(len, rows.spans)) == len(rows.ids)
    lengths = np.array([len(ids) for ids in rows.ids])
    assert (rows.columns >= len(piecer.prefix_ids)).all()
    assert (rows.columns < lengths[rows.owners] - len(piecer.suffix_ids)).all()
    tokens = [token for doc in docs for token in doc]
    for token, length in zip(tokens, rows.lengths, strict=True):
        assert length or token.text.isspace() or not token.text.isprintable()
