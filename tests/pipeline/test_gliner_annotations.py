"""Annotated Docs to what a GLiNER learns from."""

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_modernbert.gliner.inference.label_texts import readable_label_texts
from spacy_modernbert.pipeline.gliner.annotations import (
    find_labels,
    install_extension,
    read_examples,
)
from spacy_modernbert.pipeline.gliner.config import GlinerPipeConfig
from spacy_modernbert.pipeline.gliner.doc_words import DocWords

LABELS = {"PER": "person", "ORG": "company"}
install_extension()


@pytest.fixture
def nlp():
    return spacy.blank("en")


def example(nlp, words, ents=(), *, predicted=None, missing=()):
    doc = Doc(nlp.vocab, words=words)
    spans = [Span(doc, *ent) for ent in ents]
    doc.set_ents(spans, missing=[doc[i : i + 1] for i in missing], default="outside")
    return Example(Doc(nlp.vocab, words=predicted or words), doc)


def read(examples, labels, **settings):
    return read_examples(examples, GlinerPipeConfig(labels=labels, **settings))


def only(gold):
    (text,) = gold.texts
    return text


def test_entities(nlp):
    eg = example(nlp, ["Ann", "Lee", "\n", "of", "Apple"], [(0, 2, "PER"), (4, 5, "ORG")])
    text = only(read([eg], LABELS, spans_key="sc"))
    assert text.text.words == ["Ann", "Lee", "of", "Apple"]
    found = [(s.start, s.end, s.label) for s in text.spans]
    assert found == [(0, 2, "person"), (3, 4, "company")]
    assert text.labels == ["person", "company"]
    assert text.unknown is None


def test_a_group_of_spans_goes_before_entities(nlp):
    eg = example(nlp, ["Ann", "Lee"], [(0, 2, "PER")])
    eg.reference.spans["sc"] = [Span(eg.reference, 0, 1, "ORG"), Span(eg.reference, 0, 2, "ORG")]
    text = only(read([eg], LABELS, spans_key="sc"))
    assert [(s.start, s.end) for s in text.spans] == [(0, 1), (0, 2)]
    assert only(read([eg], LABELS, spans_key="other")).spans[0].label == "person"


def test_no_annotation_is_no_text_and_none_found_is_one(nlp):
    doc = nlp.make_doc("It rains")
    assert read([Example(doc, doc.copy())], LABELS, spans_key="sc").texts == []
    assert only(read([example(nlp, ["It", "rains"])], LABELS, spans_key="sc")).spans == []


def test_tokens_without_annotation_are_unknown(nlp):
    eg = example(nlp, ["Ann", "\n", "and", "Bob"], [(0, 1, "PER")], missing=[2, 3])
    text = only(read([eg], LABELS, spans_key="sc"))
    assert text.unknown.tolist() == [False, True, True]
    other = example(nlp, ["Ann", "is", "Bob"], missing=[2], predicted=["Ann", "is", "B", "ob"])
    assert only(read([other], LABELS, spans_key="sc")).unknown.tolist() == [0, 0, 1, 1]


def test_other_tokens(nlp):
    eg = example(
        nlp, ["Ann-Lee", "of", "U.K", "."], [(0, 1, "PER"), (2, 3, "ORG")],
        predicted=["Ann", "-", "Lee", "of", "U.K."],
    )  # fmt: skip
    gold = read([eg], LABELS, spans_key="sc")
    assert [(s.start, s.end, s.label) for s in only(gold).spans] == [(0, 3, "person")]
    assert gold.unaligned == {"ORG": 1}


def test_upstream_s_words(nlp):
    eg = example(nlp, ["Write", "a@b.org", "now"], [(1, 2, "PER")])
    text = only(read([eg], LABELS, spans_key="sc", words="gliner"))
    assert text.text.words == ["Write", "a", "@", "b", ".", "org", "now"]
    assert [(s.start, s.end) for s in text.spans] == [(1, 6)]


def test_a_doc_s_own_labels(nlp):
    eg = example(nlp, ["Ann", "of", "Apple"], [(0, 1, "PER"), (2, 3, "ORG")])
    eg.reference._.gliner_labels = {"PER": "human being", "CITY": "city"}
    text = only(read([eg], LABELS, spans_key="sc"))
    assert [s.label for s in text.spans] == ["human being"]
    assert text.labels == ["human being", "city"]
    found = find_labels([eg, example(nlp, ["x"], [(0, 1, "ORG")])], spans_key="sc")
    assert found == {"PER": "human being", "CITY": "city", "ORG": "organization"}


def test_words_alone(nlp):
    texts = [DocWords.read(nlp.make_doc(text), "spacy").text() for text in ("Ann of Apple", "")]
    assert [text.words for text in texts] == [["Ann", "of", "Apple"], []]


def test_labels_become_words():
    labels = ["PERSON", "PER", "JOB_TITLE", "programming language", "X", "Person_Name", "GPE"]
    assert readable_label_texts(labels, {"GPE": "place"}) == {
        "PERSON": "person",
        "PER": "PER",
        "JOB_TITLE": "job title",
        "programming language": "programming language",
        "X": "X",
        "Person_Name": "Person Name",
        "GPE": "place",
    }
    assert np.unique(list(readable_label_texts(labels).values())).size == len(labels)
