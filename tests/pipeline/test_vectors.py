"""`annotate_tensor`: the vectors of an encoder where spaCy looks for vectors."""

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from spacy.vectors import Vectors

from .conftest import MODEL, make_nlp
from .test_listeners import two_encoders, warned

TEXT = "Maria Lopez works  at Apple in Lisbon."


def tensor_nlp(checkpoint, **settings):
    nlp = spacy.blank("en")
    model = {"@architectures": MODEL, "name": str(checkpoint), **settings}
    nlp.add_pipe("modernbert", config={"model": model, "annotate_tensor": True})
    return nlp


def pooled(doc):
    """The mean of each token's pieces, computed once more."""
    data = doc._.trf_data
    vectors = data.model_output.last_hidden_state.reshape(-1, 32)
    means = np.zeros((len(doc), 32), dtype="float32")
    for token in doc:
        positions = data.align[token.i].dataXd.reshape(-1)
        if len(positions):
            means[token.i] = vectors[positions].mean(axis=0)
    return means


def test_default_leaves_the_tensor_alone(checkpoint):
    assert make_nlp(checkpoint, factory="modernbert")(TEXT).tensor.size == 0


@pytest.mark.parametrize("settings", [{}, {"max_length": 16, "overlap": 4}, {"mode": "words"}])
def test_tensor_is_the_mean_of_the_pieces(checkpoint, settings):
    nlp = tensor_nlp(checkpoint, **settings)
    docs = list(nlp.pipe([TEXT, "", TEXT * 9, "   ", "Lisbon"]))
    for doc in docs:
        if len(doc):
            assert doc.tensor.shape == (len(doc), 32)
            assert doc.tensor.dtype == np.float32
            np.testing.assert_allclose(doc.tensor, pooled(doc), atol=1e-6)


def test_spacy_finds_the_vectors(checkpoint):
    nlp = tensor_nlp(checkpoint)
    doc, other = nlp(TEXT), nlp("Tom lives in Berlin.")
    assert doc.has_vector
    assert doc[0].has_vector
    np.testing.assert_array_equal(doc[1].vector, doc.tensor[1])
    np.testing.assert_allclose(doc[1:3].vector, doc.tensor[1:3].mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(doc.vector, doc.tensor.mean(axis=0), atol=1e-6)
    norms = np.linalg.norm(doc.vector) * np.linalg.norm(other.vector)
    with pytest.warns(UserWarning, match="W007"):
        assert doc.similarity(other) == pytest.approx(doc.vector @ other.vector / norms, abs=1e-5)
    with pytest.warns(UserWarning, match="W007"):
        assert -1.001 <= doc[0].similarity(other[0]) <= 1.001
    part = doc[1:3].as_doc()
    np.testing.assert_array_equal(part.tensor, doc.tensor[1:3])


def test_static_vectors_of_the_vocabulary_come_first(checkpoint):
    """As spaCy has it; the encoder's are then in doc.tensor and token.tensor."""
    nlp = tensor_nlp(checkpoint)
    nlp.vocab.vectors = Vectors(data=np.ones((1, 5), dtype="f"), keys=["Maria"])
    doc = nlp(TEXT)
    assert doc[0].vector.shape == (5,)
    assert doc[0].tensor.shape == (32,)


def test_tensor_survives_saving(checkpoint, tmp_path):
    nlp = tensor_nlp(checkpoint)
    doc = nlp(TEXT)
    again = Doc(nlp.vocab).from_bytes(doc.to_bytes())
    np.testing.assert_array_equal(again.tensor, doc.tensor)
    np.testing.assert_array_equal(doc.copy().tensor, doc.tensor)
    nlp.to_disk(tmp_path)
    np.testing.assert_array_equal(spacy.load(tmp_path)(TEXT).tensor, doc.tensor)
    with pytest.warns(UserWarning, match="W101"):
        joined = Doc.from_docs([doc, nlp("Lisbon"), nlp("")])
    assert joined.tensor.shape == (len(joined), 32)


def test_tensor_of_docs_from_a_doc_bin(checkpoint):
    """DocBin does not store tensors. Those of stored data are computed without the encoder."""
    from spacy_modernbert.pipeline.transformer.component import set_tensors

    nlp = tensor_nlp(checkpoint)
    docs = list(nlp.pipe([TEXT, "", "Lisbon"]))
    stored = DocBin(docs=docs, store_user_data=True).to_bytes()
    again = list(DocBin().from_bytes(stored).get_docs(nlp.vocab))
    assert again[0].tensor.size == 0
    set_tensors(again)
    for one, other in zip(again, docs, strict=True):
        np.testing.assert_array_equal(one.tensor, other.tensor)


@Language.component("drop_trf_data")
def drop_trf_data(doc):
    """spaCy's `doc_cleaner` would clear doc.tensor, too."""
    doc._.trf_data = None
    return doc


@pytest.mark.slow
def test_tensor_comes_back_from_other_processes(checkpoint):
    nlp = tensor_nlp(checkpoint)
    expected = nlp(TEXT).tensor
    nlp.add_pipe("drop_trf_data")
    for doc in nlp.pipe([TEXT] * 4, n_process=2, batch_size=2):
        np.testing.assert_allclose(doc.tensor, expected, atol=1e-5)
        assert doc._.trf_data is None


def test_memory_of_a_doc_does_not_hold_its_neighbours(checkpoint):
    docs = list(tensor_nlp(checkpoint).pipe([TEXT, TEXT * 20]))
    assert docs[0].tensor.base is None


def test_listeners_of_the_stock_tok2vec_are_warned_of(checkpoint):
    nlp = tensor_nlp(checkpoint)
    nlp.add_pipe("tok2vec", first=True)
    tok2vec = {"@architectures": "spacy.Tok2VecListener.v1", "width": 96}
    nlp.add_pipe(
        "tagger", config={"model": {"@architectures": "spacy.Tagger.v2", "tok2vec": tok2vec}}
    )
    (message,) = warned(nlp._link_components)
    assert "SMW042" in message
    assert "'tagger'" in message


def test_last_of_two_encoders_has_the_tensor(checkpoint):
    nlp = two_encoders(checkpoint, checkpoint, order=("a", "b"))
    for name in "ab":
        nlp.get_pipe(name).annotate_tensor = True
    nlp._link_components()
    doc = nlp(TEXT)
    np.testing.assert_allclose(doc.tensor, pooled(doc), atol=1e-6)
