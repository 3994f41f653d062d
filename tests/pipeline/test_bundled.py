"""`name = "bundled"`: the default of `gliner` and `setfit_textcat`, the same on every machine."""

import numpy as np
import pytest
import spacy

from spacy_modernbert.encoder import bundled
from spacy_modernbert.encoder.hub import resolve
from spacy_modernbert.gliner.checkpoint.convert import convert
from spacy_modernbert.pipeline.gliner.model import gliner_v1
from spacy_modernbert.pipeline.setfit_textcat.model import sentence_encoder_v1
from spacy_modernbert.setfit.checkpoint.read import Overrides, load_sentence_encoder
from spacy_modernbert.setfit.checkpoint.write import save_sentence_encoder

TEXT = "Anna Schmidt bakes bread in Vienna."
PAIRS = [("a loaf of bread", "food"), ("fresh rolls", "food"), ("a late goal", "sport")]


def make_gliner():
    nlp = spacy.blank("en")
    nlp.add_pipe("gliner", config={"labels": ["person", "city"], "device": "cpu"})
    return nlp


def make_setfit(**model):
    nlp = spacy.blank("en")
    config = {"device": "cpu", **({"model": model} if model else {})}
    return nlp, nlp.add_pipe("setfit_textcat", config=config)


def entities(doc):
    return [(ent.text, ent.label_) for ent in doc.ents]


def test_gliner_without_a_checkpoint_has_the_threshold_that_its_checkpoint_states():
    nlp = make_gliner()
    assert entities(nlp(TEXT)) == [("Anna Schmidt", "person"), ("Vienna", "city")]
    assert nlp.get_pipe("gliner").threshold == 0.25


def test_setfit_without_a_checkpoint_learns():
    nlp, textcat = make_setfit()
    textcat.fit(PAIRS, steps=0)
    assert nlp("a baker's oven").cats["food"] > 0.5 > nlp("the match was lost").cats["food"]


@pytest.mark.parametrize("architecture", [gliner_v1, sentence_encoder_v1])
def test_it_is_the_default_of_the_architectures(architecture):
    assert architecture().shim.name == "bundled"


@pytest.mark.parametrize("name", ["gliner", "setfit_textcat"])
def test_saved_pipelines_name_no_path_and_need_no_bundled_model(name, tmp_path, monkeypatch):
    if name == "gliner":
        nlp = make_gliner()
    else:
        nlp, textcat = make_setfit()
        textcat.fit(PAIRS, steps=0)
    doc = nlp(TEXT)
    nlp.to_disk(tmp_path / "pipeline")
    monkeypatch.setattr(bundled, "FOLDER", tmp_path / "nowhere")
    loaded = spacy.load(tmp_path / "pipeline")
    assert loaded.config["components"][name]["model"]["name"] == "bundled"
    assert entities(loaded(TEXT)) == entities(doc)
    assert loaded(TEXT).cats == pytest.approx(doc.cats)


def test_an_installation_without_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(bundled, "FOLDER", tmp_path)
    for call in (lambda: make_gliner()(TEXT), lambda: make_setfit()[1].fit(PAIRS)):
        with pytest.raises(FileNotFoundError, match=r"SM161.*Install"):
            call()


def test_a_folder_of_this_name_does_not_take_its_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bundled").mkdir()
    assert resolve("bundled") == bundled.FOLDER
    assert resolve("./bundled").samefile(tmp_path / "bundled")


def test_its_sentence_encoder_is_the_label_encoder_and_saves_like_any_other(tmp_path):
    nlp, textcat = make_setfit()
    texts = [nlp.make_doc(text) for text, _ in PAIRS]
    vectors = textcat.model.predict(texts)
    assert vectors.shape == (3, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)

    convert("bundled", tmp_path / "gliner", labels_encoder=tmp_path / "labels")
    plain = load_sentence_encoder(tmp_path / "labels", overrides=Overrides(normalize=True))
    expected = plain.encode_texts([doc.text for doc in texts])
    np.testing.assert_allclose(vectors, expected, atol=1e-5)

    save_sentence_encoder(textcat.model.checkpoint, tmp_path / "sentences")
    _, other = make_setfit(name=str(tmp_path / "sentences"))
    np.testing.assert_allclose(other.model.predict(texts), vectors, atol=1e-6)
    assert other.model.checkpoint.input_config == textcat.model.checkpoint.input_config


def test_sentence_transformers_reads_what_is_saved(tmp_path):
    peer = pytest.importorskip("sentence_transformers")
    _, textcat = make_setfit()
    save_sentence_encoder(textcat.model.checkpoint, tmp_path)
    texts = [text for text, _ in PAIRS]
    theirs = peer.SentenceTransformer(str(tmp_path), device="cpu").encode(texts)
    np.testing.assert_allclose(textcat.model.checkpoint.encode_texts(texts), theirs, atol=1e-5)


def test_settings_of_the_model_win_over_it():
    _, textcat = make_setfit(name="bundled", pooling="cls", normalize=False, max_length=64)
    encoder = textcat.model.checkpoint
    assert encoder.pooling.modes == ("cls",)
    assert list(encoder.layers) == []
    assert encoder.input_config.max_length == 64
    assert np.linalg.norm(encoder.encode_texts(["bread"])) != pytest.approx(1.0, abs=1e-3)
