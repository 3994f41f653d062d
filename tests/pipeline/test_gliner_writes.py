"""What `gliner` writes on Docs: plain data, that stays with the Doc wherever it goes."""

import json
import pickle
import warnings

import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span

from spacy_modernbert.pipeline.gliner.extensions import install_extension

from .gliner_tiny import TEXT, TEXTS, make

LOW = 0.05


@pytest.fixture
def nlp(folders):
    return make(folders)


def found(doc):
    return [(span.text, span.label_, span._.score) for span in doc.spans["sc"]]


@pytest.mark.parametrize("words", ["spacy", "gliner"])
def test_attributes_are_plain_data(folders, words):
    doc = make(folders, words=words)(TEXT)
    assert json.loads(json.dumps(doc.spans["sc"].attrs)) == doc.spans["sc"].attrs
    assert {type(score) for score in doc.spans["sc"].attrs["scores"]} == {float}


def test_spans_and_entities_have_scores(nlp):
    doc = nlp(TEXT)
    assert [span._.score for span in doc.spans["sc"]] == doc.spans["sc"].attrs["scores"]
    assert [entity._.score for entity in doc.ents] == doc.spans["sc"].attrs["scores"]
    assert doc[:]._.score is None


def test_a_span_of_several_labels_has_several_scores(folders):
    doc = make(folders, threshold=0.0, multi_label=True, annotate_ents=False)("Berlin")
    scores = [span._.score for span in doc.spans["sc"]]
    assert len({span.label_ for span in doc.spans["sc"]}) == 2
    assert scores == doc.spans["sc"].attrs["scores"]


def through_bytes(doc, vocab):
    return Doc(vocab).from_bytes(doc.to_bytes())


def through_a_bin(doc, vocab):
    (loaded,) = DocBin().from_bytes(DocBin(docs=[doc]).to_bytes()).get_docs(vocab)
    return loaded


def through_a_bin_with_user_data(doc, vocab):
    (loaded,) = DocBin(docs=[doc], store_user_data=True).get_docs(vocab)
    return loaded


def through_a_pickle(doc, vocab):
    return pickle.loads(pickle.dumps(doc))


def through_a_copy(doc, vocab):
    return doc.copy()


WAYS = [
    through_bytes, through_a_bin, through_a_bin_with_user_data, through_a_pickle, through_a_copy
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_scores_stay_with_the_doc(nlp, way):
    doc = nlp(TEXT)
    loaded = way(doc, nlp.vocab)
    assert found(loaded) == found(doc) != []
    assert [ent._.score for ent in loaded.ents] == [ent._.score for ent in doc.ents]
    assert loaded._.gliner_entities == doc._.gliner_entities


@pytest.mark.parametrize("way", [way for way in WAYS if way is not through_a_bin])
def test_without_a_group_entities_have_scores(folders, way):
    nlp = make(folders, spans_key=None)
    doc = nlp(TEXT)
    assert not doc.spans
    expected = make(folders)(TEXT)
    for one in (doc, way(doc, nlp.vocab)):
        assert [ent._.score for ent in one.ents] == [ent._.score for ent in expected.ents]
        assert one._.gliner_entities == expected._.gliner_entities != []


def test_without_a_group_entities_are_scored_and_learned(folders):
    nlp = make(folders, spans_key=None)
    doc = nlp.make_doc(TEXT)
    doc.ents = [Span(doc, 5, 7, "person")]
    example = spacy.training.Example(nlp.make_doc(TEXT), doc)
    assert "ents_f" in nlp.evaluate([example])
    assert nlp.update([example], sgd=nlp.create_optimizer())["gliner"] > 0


def test_scores_come_back_from_other_processes(nlp):
    docs = list(nlp.pipe(TEXTS, n_process=2, batch_size=2))
    expected = [doc._.gliner_entities for doc in nlp.pipe(TEXTS)]
    assert [len(doc._.gliner_entities) for doc in docs] == [len(dicts) for dicts in expected]
    for doc, dicts in zip(docs, expected, strict=True):
        assert found(doc) == [
            (one["text"], one["label"], pytest.approx(one["score"], abs=1e-4)) for one in dicts
        ]


def test_entities_as_dicts_go_through_json(folders):
    nlp = make(folders, threshold=LOW, words="gliner", decoding="nested")
    text = "Write to maria.lopez@example.com, or call Dr. O'Neill; 12/03/2021 can't do"
    doc = nlp(text)
    dicts = json.loads(json.dumps(doc._.gliner_entities))
    assert dicts == doc._.gliner_entities
    assert len(dicts) == len(doc.spans["sc"]) > 0
    assert all(one["text"] == text[one["start"] : one["end"]] for one in dicts)
    assert [set(one) for one in dicts] == [{"text", "label", "start", "end", "score"}] * len(dicts)
    assert [one["start"] for one in dicts] == sorted(one["start"] for one in dicts)
    assert nlp("")._.gliner_entities == []
    assert Doc(nlp.vocab, words=["never", "read"])._.gliner_entities == []


def test_an_extension_of_the_user_stays():
    removed = Span.remove_extension("score")
    try:
        Span.set_extension("score", default="mine")
        install_extension()
        assert spacy.blank("en")("one")[:]._.score == "mine"
    finally:
        Span.set_extension("score", getter=removed[2], force=True)


@pytest.mark.parametrize("way", [None, *WAYS])
def test_the_group_follows_merged_tokens(folders, way):
    nlp = make(folders)
    before = nlp(TEXT)
    nlp.add_pipe("merge_entities")
    doc = nlp(TEXT)
    assert len(doc) < len(before)
    doc = doc if way is None else way(doc, nlp.vocab)
    assert found(doc) == found(before)
    assert doc._.gliner_entities == before._.gliner_entities
    assert all(doc[span.start : span.end].text == span.text for span in doc.spans["sc"])


def test_the_group_follows_split_tokens_and_as_many_merged(nlp):
    doc = nlp(TEXT)
    expected = [(span.text, span.label_) for span in doc.spans["sc"]]
    size = len(doc)
    with doc.retokenize() as retokenizer:
        retokenizer.split(doc[0], ["App", "le"], [(doc[0], 1), doc[1]])
        retokenizer.merge(doc[1:3])
    assert len(doc) == size
    assert [(span.text, span.label_) for span in doc.spans["sc"]] == expected
    assert [doc.spans["sc"][-1].text] == [expected[-1][0]]
    with pytest.raises(IndexError):
        doc.spans["sc"][len(expected)]


def test_a_group_of_another_component_is_not_replaced_silently(folders):
    nlp = make(folders, threshold=LOW)
    model = {"name": str(folders / "uni_span")}
    config = {"labels": ["award"], "model": model, "annotate_ents": False}
    nlp.add_pipe("gliner", "awards", config=config)
    with pytest.warns(UserWarning, match=r"SMW131.*'awards'.*'gliner'.*spans_key") as caught:
        list(nlp.pipe([TEXT] * 3))
    assert len(caught) == 1
    with warnings.catch_warnings():  # once
        warnings.simplefilter("error")
        nlp(TEXT)


def test_groups_of_any_component_count(folders):
    nlp = spacy.blank("en")
    nlp.add_pipe("span_ruler", config={"spans_key": "sc"}).add_patterns(
        [{"label": "x", "pattern": "Apple"}]
    )
    with pytest.warns(UserWarning, match="SMW131"):
        make(folders, nlp=nlp)(TEXT)


def test_its_own_group_another_group_and_candidates_are_replaced_silently(folders):
    nlp = make(folders)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nlp(nlp(TEXT))
        ruler = spacy.blank("en")
        patterns = [{"label": "x", "pattern": "Apple Inc."}]
        ruler.add_pipe("span_ruler", config={"spans_key": "sc"}).add_patterns(patterns)
        make(folders, nlp=ruler, candidates="sc")(TEXT)
        other = make(folders)
        other.add_pipe(
            "gliner",
            "second",
            config={
                "labels": ["award"],
                "spans_key": "second",
                "annotate_ents": False,
                "model": {"name": str(folders / "uni_span")},
            },
        )
        assert set(other(TEXT).spans) == {"sc", "second"}


def with_ruler(folders, pattern, **config):
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "RULE", "pattern": pattern}])
    return make(folders, nlp=nlp, **config)


def test_a_hidden_entity_is_named_once(folders):
    first = make(folders)(TEXT).ents[0]
    nlp = with_ruler(folders, first.text)
    with pytest.warns(UserWarning, match="SMW132.*overwrite") as caught:
        list(nlp.pipe([TEXT] * 3))
    assert len(caught) == 1
    assert first.text in str(caught[0].message)


@pytest.mark.parametrize(
    ("pattern", "config"),
    [("nowhere", {}), ("Apple Inc.", {"overwrite": True}), (".", {}), ("Inc.", {"labels": []})],
)
def test_entities_that_hide_nothing_are_not_mentioned(folders, pattern, config):
    nlp = with_ruler(folders, pattern, **config)
    doc = nlp.make_doc(TEXT)
    if "labels" in config:
        doc._.gliner_labels = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nlp(doc)
