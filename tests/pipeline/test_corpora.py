"""Several corpora as one: who is drawn how often, and whose labels are asked."""

from collections import Counter

import pytest
import spacy
from spacy.tokens import DocBin, Span
from spacy.util import registry

from spacy_modernbert.pipeline.gliner.annotations import install_extension
from spacy_modernbert.pipeline.gliner.corpus import make_mixed_corpus


@pytest.fixture
def folder(tmp_path):
    """Two corpora: 12 Docs with entities of two schemes, and 4 with spans that overlap."""
    nlp = spacy.blank("en")
    news, code = DocBin(), DocBin()
    for i in range(12):
        doc = nlp.make_doc(f"Number {i} : Angela Merkel met Apple")
        doc.set_ents([Span(doc, 3, 5, "PERSON"), Span(doc, 6, 7, "ORG")], default="outside")
        news.add(doc)
    for i in range(4):
        doc = nlp.make_doc(f"Call {i} Sort List")
        doc.spans["sc"] = [Span(doc, 2, 4, "function"), Span(doc, 3, 4, "data structure")]
        code.add(doc)
    news.to_disk(tmp_path / "news.spacy")
    code.to_disk(tmp_path / "code.spacy")
    return tmp_path


def mix(folder, **given):
    news = {"path": str(folder / "news.spacy"), **given.pop("news", {})}
    code = {"path": str(folder / "code.spacy"), **given.pop("code", {})}
    return make_mixed_corpus({"news": news, "code": code}, **given)


def texts(reader, nlp=None):
    return [example.reference.text for example in reader(nlp or spacy.blank("en"))]


def test_an_epoch_has_as_many_examples_as_there_are_docs(folder):
    nlp, reader = spacy.blank("en"), mix(folder)
    first, second = texts(reader, nlp), texts(reader, nlp)
    assert len(first) == len(second) == 16
    assert first != second
    assert texts(mix(folder)) == first
    assert texts(mix(folder, seed=1)) != first


def test_weights_and_turns(folder):
    reader = mix(folder, size=400, news={"weight": 1.0}, code={"weight": 3.0})
    drawn = Counter(texts(reader))
    code = {text: count for text, count in drawn.items() if text.startswith("Call")}
    assert 0.65 < sum(code.values()) / 400 < 0.85
    # Each Doc of a corpus comes once before any comes again.
    assert max(code.values()) - min(code.values()) <= 1


def test_every_doc_brings_the_labels_of_its_corpus(folder):
    reader = mix(folder, news={"labels": ["PERSON", "ORG", "DATE"]})
    for example in reader(spacy.blank("en")):
        for doc in (example.predicted, example.reference):
            if doc.text.startswith("Number"):
                words = {"PERSON": "person", "ORG": "organization", "DATE": "date"}
            else:
                words = {"data structure": "data structure", "function": "function"}
            assert doc._.gliner_labels == words
        assert not example.predicted.ents
        assert not example.predicted.spans
    given = mix(folder, news={"labels": {"PERSON": "human being"}})
    seen = [eg.reference._.gliner_labels for eg in given(spacy.blank("en"))]
    assert {"PERSON": "human being"} in seen


def test_a_doc_may_bring_its_own_labels(folder):
    nlp = spacy.blank("en")
    install_extension()
    docs = DocBin(store_user_data=True)
    for labels in (("band",), {"ALBUM": "music album"}, None):
        doc = nlp.make_doc("Abbey Road is by the Beatles")
        doc.spans["sc"] = [Span(doc, 5, 6, "band")]
        doc._.gliner_labels = labels
        docs.add(doc)
    docs.to_disk(folder / "own.spacy")
    reader = make_mixed_corpus({"own": {"path": str(folder / "own.spacy")}}, shuffle=False)
    found = [[one._.gliner_labels for one in (eg.predicted, eg.reference)] for eg in reader(nlp)]
    assert found == [
        [labels] * 2 for labels in (("band",), {"ALBUM": "music album"}, {"band": "band"})
    ]


def test_a_development_set_comes_once_and_in_order(folder):
    found = texts(mix(folder, shuffle=False))
    assert found == sorted(found[:12], key=lambda t: int(t.split()[1])) + sorted(found[12:])
    assert len(set(found)) == 16


def test_small_letters_keep_the_annotation(folder):
    for example in mix(folder, lower=1.0)(spacy.blank("en")):
        doc = example.reference
        assert doc.text == doc.text.lower() == example.predicted.text
        if doc.spans:
            assert [(s.text, s.label_) for s in doc.spans["sc"]] == [
                ("sort list", "function"),
                ("list", "data structure"),
            ]
        else:
            assert [(e.text, e.label_) for e in doc.ents] == [
                ("angela merkel", "PERSON"),
                ("apple", "ORG"),
            ]


@pytest.mark.parametrize(
    "source", [{}, {"path": "x", "weight": 0}, {"path": "x", "wait": 1}, {"weight": 1.0}]
)
def test_sources_that_cannot_be_used(source):
    with pytest.raises(ValueError, match="SM151"):
        make_mixed_corpus({"news": source})


def test_a_source_without_docs(tmp_path):
    DocBin().to_disk(tmp_path / "none.spacy")
    reader = make_mixed_corpus({"news": {"path": str(tmp_path / "none.spacy")}})
    with pytest.raises(ValueError, match="SM152"):
        next(reader(spacy.blank("en")))


def test_it_is_registered():
    assert registry.get("readers", "spacy_modernbert.MixedCorpus.v1") is make_mixed_corpus
