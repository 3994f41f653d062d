"""Texts that are longer than the encoder of `setfit_textcat` reads at a time."""

import warnings

import numpy as np
import pytest
import spacy

from spacy_modernbert.setfit.checkpoint.read import Overrides, load_sentence_encoder
from spacy_modernbert.setfit.head.window_scores import most_confident

from .conftest import LISTENER, make_nlp
from .setfit_data import PAIRS, TOPICS, make

LIMIT = 24
LONG = "it is a long day " * 12
TEXT = f"{LONG}{TOPICS['money'][1]}, the card was charged"


def model(checkpoint, **settings):
    return {"name": str(checkpoint), "max_length": LIMIT, **settings}


def fitted(checkpoint, windows, pairs=PAIRS, steps=0, **config):
    nlp = make(checkpoint, model=model(checkpoint), windows=windows, **config)
    nlp.get_pipe("setfit").fit(pairs, steps=steps, progress_bar=False)
    return nlp


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("prompt", ["", "query: "])
def test_windows_cover_the_text_and_repeat_its_edges(checkpoint, normalize, prompt):
    overrides = Overrides(None, normalize, prompt, LIMIT)
    encoder = load_sentence_encoder(checkpoint, overrides=overrides)
    (whole,) = encoder.tokenize([TEXT], whole=True).sequences
    windows = encoder.cut(whole)
    before, after = encoder._edges
    assert len(windows) > 3
    assert all(len(window) == LIMIT for window in windows)
    assert all((window[:before] == whole[:before]).all() for window in windows)
    assert all((window[-after:] == whole[-after:]).all() for window in windows)
    inner = whole[before:-after].tolist()
    starts = [window[before:-after].tolist() for window in windows]
    assert starts[0] == inner[: LIMIT - before - after]
    assert starts[-1] == inner[-(LIMIT - before - after) :]
    (first,) = encoder.tokenize([TEXT]).sequences
    np.testing.assert_array_equal(windows[0], first)
    found, parts = encoder.encode([whole])[0], encoder.encode(windows)
    mean = parts.mean(axis=0)
    np.testing.assert_allclose(
        found / np.linalg.norm(found), mean / np.linalg.norm(mean), atol=1e-5
    )
    if normalize:
        assert np.linalg.norm(found) == pytest.approx(1.0, abs=1e-5)


def test_off_by_default_and_the_warning_names_the_setting(checkpoint):
    assert spacy.blank("en").add_pipe("setfit_textcat").cfg["windows"] is None
    nlp = fitted(checkpoint, None)
    with pytest.warns(UserWarning, match=r"SMW231.*`windows` to 'mean' or 'max'"):
        cut = nlp(TEXT).cats
    assert cut == nlp(LONG * 2).cats


@pytest.mark.parametrize("windows", ["mean", "max"])
def test_end_of_a_long_text_counts(checkpoint, windows):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nlp = fitted(checkpoint, windows)
        assert nlp(TEXT).cats["money"] > nlp(LONG).cats["money"] + 0.01
        docs = list(nlp.pipe([TEXT, "hot bread", "", LONG]))
    short = fitted(checkpoint, None)
    assert docs[1].cats == pytest.approx(short("hot bread").cats, abs=1e-5)
    assert [doc.cats for doc in docs] == [
        pytest.approx(nlp(doc.text).cats, abs=1e-5) for doc in docs
    ]


def test_most_confident_window_is_that_of_the_label(checkpoint):
    nlp = fitted(checkpoint, "max")
    pipe = nlp.get_pipe("setfit")
    vectors, texts = pipe.learner.source.window_vectors([nlp.make_doc(TEXT)])
    scores = pipe.classifier.head.probabilities(vectors)
    best = scores[scores.max(axis=1).argmax()]
    assert list(nlp(TEXT).cats.values()) == pytest.approx(best.tolist(), abs=1e-5)
    assert set(texts) == {0}


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("windows", ["mean", "max"])
def test_windows_with_abstaining(checkpoint, multi_label, windows):
    config = {"multi_label": multi_label, "abstain_label": "other"}
    nlp = fitted(checkpoint, windows, **config)
    assert set(nlp(TEXT).cats) == {*TOPICS, "other"}


def test_scores_of_windows():
    scores = np.array(
        [[0.2, 0.1, 0.7], [0.5, 0.4, 0.1], [0.1, 0.1, 0.8], [0.9, 0.0, 0.1], [0.3, 0.6, 0.2]], "f4"
    )
    texts = np.array([0, 0, 1, 2, 2])
    one = most_confident(scores, texts, multi_label=False, n_labels=2)
    np.testing.assert_array_equal(one, scores[[1, 2, 3]])
    several = most_confident(scores, texts, multi_label=True, n_labels=2)
    wanted = [[0.5, 0.4, 0.1], [0.1, 0.1, 0.8], [0.9, 0.6, 0.1]]
    np.testing.assert_array_equal(several, np.array(wanted, "f4"))
    plain = most_confident(scores[:, :2], texts, multi_label=True, n_labels=2)
    np.testing.assert_array_equal(plain, several[:, :2])


def test_training_reads_all_windows(checkpoint):
    """Texts that differ in their ends alone can be learned."""
    pairs = [(f"{LONG}{text}", label) for text, label in PAIRS]
    nlp = fitted(checkpoint, "mean", pairs, steps=12)
    found = [max(nlp(text).cats, key=nlp(text).cats.get) for text, _ in pairs]
    assert np.mean([one == label for one, (_, label) in zip(found, pairs, strict=True)]) > 0.9
    nlp = fitted(checkpoint, None, pairs)
    assert len({tuple(nlp(text).cats.values()) for text, _ in pairs}) == 1


def test_one_window_each_is_no_change(checkpoint):
    one, two = (fitted(checkpoint, windows, steps=4) for windows in (None, "mean"))
    assert one("hot bread").cats == two("hot bread").cats


def test_windows_are_saved_and_can_be_changed(checkpoint, tmp_path):
    nlp = fitted(checkpoint, "max", keep_support="texts")
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    assert again(TEXT).cats == pytest.approx(nlp(TEXT).cats, abs=1e-5)
    again.get_pipe("setfit").cfg["windows"] = None
    with pytest.warns(UserWarning, match="SMW231"):
        assert again(TEXT).cats != nlp(TEXT).cats


def test_windows_of_another_components_encoder_are_its_own(checkpoint):
    nlp = make_nlp(checkpoint)
    listener = {
        "@architectures": "spacy_modernbert.SentenceEncoderListener.v1",
        "normalize": True,
        "tok2vec": LISTENER,
    }
    with pytest.raises(ValueError, match=r"SM215.*'mean'"):
        nlp.add_pipe("setfit_textcat", config={"model": listener, "windows": "mean"})
