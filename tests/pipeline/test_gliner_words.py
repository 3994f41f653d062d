"""Spans of a Doc: within sentences, of whole tokens, whatever the words are."""

import itertools
import warnings

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_modernbert.gliner.checkpoint.serialization import save_gliner
from spacy_modernbert.pipeline.gliner.annotations import read_examples
from spacy_modernbert.pipeline.gliner.config import GlinerPipeConfig
from spacy_modernbert.pipeline.gliner.doc_words import DocWords
from tests.gliner.tiny import tiny_model

from .gliner_tiny import LABELS, TEXT, make, spans

# Words and tokens differ in all of these, in one direction or the other.
TOKENS = [
    "ann@acme.org",
    "Systems(Rotterdam).",
    "Bo</b>&nbsp;at",
    "O'Neill's",
    "e-mail",
    "我住在上海",
    ".",
]
TEXTS = st.lists(st.sampled_from([*TOKENS, *TEXT.split()]), min_size=1, max_size=12).map(" ".join)


@pytest.fixture(scope="module")
def nlps(folders):
    return {
        words: make(folders, words=words, threshold=0.02) for words in ("spacy", "char", "gliner")
    }


@pytest.mark.filterwarnings("ignore:.SMW103")
@pytest.mark.parametrize("words", ["spacy", "char", "gliner"])
@settings(max_examples=25, deadline=None)
@given(text=TEXTS, nested=st.booleans(), multi_label=st.booleans())
def test_spans_are_compatible_in_tokens(nlps, words, text, nested, multi_label):
    nlp = nlps[words]
    cfg = nlp.get_pipe("gliner").cfg
    cfg.update(decoding="nested" if nested else "flat", multi_label=multi_label)
    doc = nlp(text)
    found = [(span.start, span.end, span.label) for span in doc.spans["sc"]]
    assert len(set(found)) == len(found)
    for one, other in itertools.combinations(found, 2):
        if one[:2] == other[:2]:
            assert multi_label
            continue
        apart = one[1] <= other[0] or other[1] <= one[0]
        holds = one[0] <= other[0] and other[1] <= one[1]
        is_held = other[0] <= one[0] and one[1] <= other[1]
        assert apart or (nested and (holds or is_held))


def test_an_address_is_one_entity_with_upstream_s_words(folders):
    """Its words are ``ann @ acme . org``."""
    nlp = make(folders, words="gliner", threshold=0.02)
    doc = nlp("Write to ann@acme.org today")
    assert [span.text for span in doc.spans["sc"]].count("ann@acme.org") == 1


def test_glued_tokens_have_words(folders):
    nlp = make(folders)
    doc = nlp("Meridian Systems(Rotterdam). Oberholzer</b>&nbsp;at example.com/a(b")
    assert doc[1].text == "Systems(Rotterdam"
    read = DocWords.read(doc, "spacy")
    assert read.words[:6] == ["Meridian", "Systems", "(", "Rotterdam", ")", "."]
    assert read.first.tolist()[:6] == [0, 1, 1, 1, 2, 3]
    assert [doc.text[a:b] for a, b in zip(read.starts, read.ends, strict=True)] == read.words
    assert read.words[-1] == "example.com/a(b", "an address stays whole"


def test_words_of_a_shared_encoder_are_tokens():
    doc = spacy.blank("en")("Meridian Systems(Rotterdam).")
    assert DocWords.read(doc, "tokens").words == [token.text for token in doc]


def test_gold_spans_of_glued_tokens_hold_all_their_words(folders):
    nlp = make(folders, labels=["ORG"])
    doc = nlp.make_doc("Meridian Systems(Rotterdam). grew")
    doc.ents = [Span(doc, 0, 4, label="ORG")]
    config = GlinerPipeConfig(labels=["ORG"])
    (text,) = read_examples([Example(nlp.make_doc(doc.text), doc)], config).texts
    assert [(span.start, span.end) for span in text.spans] == [(0, 6)]


@pytest.mark.parametrize("kind", ["uni_span", "bi_span"])
def test_no_span_crosses_a_sentence_start(folders, kind):
    nlp = make(folders, kind, threshold=0.0, decoding="nested", multi_label=True)
    doc = nlp.make_doc(TEXT * 2)
    for token in doc:
        token.is_sent_start = token.i % 3 == 0
    crossing = Doc(nlp.vocab).from_bytes(doc.to_bytes())
    found = {(span.start, span.end) for span in nlp(doc).spans["sc"]}
    assert found
    assert all(start // 3 == (end - 1) // 3 for start, end in found)
    nlp.get_pipe("gliner").cfg["cross_sentences"] = True
    every = {(span.start, span.end) for span in nlp(crossing).spans["sc"]}
    assert any(start // 3 != (end - 1) // 3 for start, end in every)


def test_candidates_do_not_cross_either(folders):
    nlp = make(folders, threshold=0.0, candidates="given", decoding="nested")
    doc = nlp.make_doc("One two. Three four.")
    doc[3].is_sent_start = True
    doc.spans["given"] = [doc[0:2], doc[1:5], doc[3:5]]
    assert {(span.start, span.end) for span in nlp(doc).spans["sc"]} == {(0, 2), (3, 5)}


def test_annotation_across_sentences_is_reported(folders):
    nlp = make(folders, labels=["person"])
    reference = nlp.make_doc("Tom. Hillary was second.")
    reference.ents = [Span(reference, 0, 3, label="person")]
    predicted = nlp.make_doc(reference.text)
    predicted[2].is_sent_start = True
    with pytest.warns(UserWarning, match=r"SMW150.* 1 contain the start of a sentence"):
        nlp.initialize(lambda: [Example(predicted, reference)])
    nlp.get_pipe("gliner").cfg["cross_sentences"] = True
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nlp.initialize(lambda: [Example(predicted, reference)])


@pytest.mark.parametrize("language", ["en", "xx"])
def test_characters_can_be_words_in_any_language(folders, language):
    nlp = make(folders, nlp=spacy.blank(language), words="char", threshold=0.02)
    with pytest.warns(UserWarning, match="SMW103.*'chars'"):
        doc = nlp("我住在上海")
    read = DocWords.read(doc, "char")
    assert (len(doc), read.words) == (1, list("我住在上海"))
    assert [(span.start, span.end) for span in doc.spans["sc"]] == [(0, 1)]
    (chars,) = doc.spans["sc"].attrs["chars"]
    assert 0 < chars[1] - chars[0] <= 4


@pytest.mark.parametrize("words", ["spacy", "gliner"])
def test_tokens_that_cannot_be_cut_are_reported_once(folders, words):
    nlp = make(folders, nlp=spacy.blank("xx"), words=words)
    with pytest.warns(UserWarning, match=r"SMW103.*'我住在上海'.*'char'"):
        list(nlp.pipe(["fine", "我住在上海"]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nlp("我住在北京")
        make(folders, nlp=spacy.blank("zh"), words=words)("我住在上海")


def test_labels_of_annotation_schemes_are_read_in_words(folders):
    named = make(folders, labels=["PERSON", "LOC"], threshold=0.02)
    plain = make(folders, labels={"PERSON": "person", "LOC": "location"}, threshold=0.02)
    assert spans(named(TEXT))
    assert spans(named(TEXT)) == spans(plain(TEXT))
    assert named.get_pipe("gliner").label_data == {"PERSON": "person", "LOC": "location"}
    as_given = make(folders, labels={"PERSON": "PERSON", "LOC": "LOC"}, threshold=0.02)
    assert spans(as_given(TEXT)) != spans(plain(TEXT))
    doc = named.make_doc(TEXT)
    doc._.gliner_labels = ["LOC", "PERSON"]
    assert {span.label_ for span in named(doc).spans["sc"]} <= {"PERSON", "LOC"}


def test_a_name_and_its_words_are_two_labels(folders):
    nlp = make(folders, labels=["PERSON", "person"])
    assert nlp.get_pipe("gliner").label_data == {"PERSON": "PERSON", "person": "person"}


@pytest.fixture
def stating(tmp_path):
    """A checkpoint that says which threshold and window suit it."""
    model = tiny_model(inference_threshold=0.6, inference_window=16)
    save_gliner(model, tmp_path / "uni_span")
    return tmp_path


def test_the_checkpoint_s_threshold_and_window(stating, folders):
    stated = make(stating, threshold=None)
    given = make(folders, threshold=0.6, window=16)
    text = TEXT * 4
    assert spans(stated(text)) == spans(given(text))
    assert spans(make(stating, window=48)(text)) == spans(make(folders, window=48)(text))
    assert spans(
        make(stating, threshold=None)(text, component_cfg={"gliner": {"threshold": 0.3}})
    ) == spans(make(folders, window=16)(text))
    assert spans(make(folders, threshold=None)(TEXT)) == spans(make(folders, threshold=0.5)(TEXT))


def test_the_statement_is_saved(stating, tmp_path):
    make(stating, threshold=None).to_disk(tmp_path / "pipeline")
    nlp = spacy.load(tmp_path / "pipeline")
    assert nlp.get_pipe("gliner").threshold == 0.6
    assert nlp.get_pipe("gliner").model.checkpoint.config.inference_window == 16


def test_the_group_is_scored_on_entities_where_there_is_no_group(folders):
    nlp = make(folders, labels=LABELS, threshold=0.02)
    doc = nlp(TEXT)
    gold = nlp.make_doc(TEXT)
    gold.ents = [Span(gold, ent.start, ent.end, label=ent.label) for ent in doc.ents]
    scores = nlp.evaluate([Example(nlp.make_doc(TEXT), gold)])
    assert scores["spans_sc_f"] == scores["ents_f"] == 1.0
    empty = nlp.evaluate([Example(nlp.make_doc(TEXT), nlp.make_doc(TEXT))])
    assert empty["spans_sc_f"] is None
