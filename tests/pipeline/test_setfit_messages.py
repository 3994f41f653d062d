"""What `setfit_textcat` says about what it does, and about arguments of the wrong kind."""

import re
import warnings

import numpy as np
import pytest

from spacy_modernbert.pipeline.setfit_textcat import progress
from spacy_modernbert.setfit.head import logistic_regression
from spacy_modernbert.setfit.head.config import HeadConfig
from spacy_modernbert.setfit.head.head import fit_head
from spacy_modernbert.setfit.modeling.sentence_encoder import SentenceEncoder
from spacy_modernbert.setfit.training.weight_interpolation import SHARES

from .setfit_data import PAIRS, TOPICS, cats, gold, make

MANY = [(f"{text} {number}", label) for number in range(22) for text, label in PAIRS]


@pytest.fixture
def encoded(monkeypatch):
    """Numbers of sequences that were encoded at a time."""
    counts = []
    real = SentenceEncoder.encode

    def encode(self, sequences, **options):
        counts.append(len(sequences))
        return real(self, sequences, **options)

    monkeypatch.setattr(SentenceEncoder, "encode", encode)
    return counts


def test_texts_are_encoded_once_under_each_weights(checkpoint, encoded):
    pipe = make(checkpoint).get_pipe("setfit").fit(MANY, steps=4, progress_bar=False)
    assert encoded.count(len(MANY)) == len(SHARES)
    assert sum(encoded) - len(SHARES) * len(MANY) <= 64  # the batch that shows a divergence
    encoded.clear()
    pipe.fit_classifier()
    pipe.to_bytes()
    assert encoded == []


def test_texts_are_encoded_once_in_an_evaluation(checkpoint, encoded):
    dev = PAIRS[:5]
    make(checkpoint).get_pipe("setfit").fit(PAIRS, dev=dev, steps=4, progress_bar=False)
    # At the start, after each quarter, and at the end, the texts and those of `dev`; then the
    # batch that shows a divergence, and the texts again if the best weights were not the last.
    assert encoded[:10] == [len(PAIRS), len(dev)] * 5
    assert set(encoded[10:]) == {len(PAIRS)}
    assert len(encoded) <= 12


def test_without_steps_texts_are_encoded_once(checkpoint, encoded):
    pipe = make(checkpoint).get_pipe("setfit").fit(MANY, steps=0, progress_bar=False)
    assert encoded == [len(MANY)]
    pipe.fit([("one more", "food")], steps=0)
    assert encoded == [len(MANY), 1]


def test_bars_cover_all_that_is_done(checkpoint, encoded, capsys, monkeypatch):
    monkeypatch.setattr(progress, "_DELAY", 0.0)
    pipe = make(checkpoint).get_pipe("setfit")
    pipe.fit(MANY, steps=4)
    shown = capsys.readouterr().err
    assert "4/4" in shown
    full = f"{len(MANY)}/{len(MANY)}"
    assert len(re.findall(rf"setfit: encoding: 100%[^\r\n]*{full}", shown)) >= len(SHARES)
    assert re.search(rf"setfit: reading: 100%[^\r\n]*{full}", shown)
    assert re.search(rf"setfit: classifier: {len(SHARES)}fit", shown)
    assert re.search(
        r"setfit: classifier: 11fit", shown
    )  # all texts, and five folds of each weights
    pipe.fit([("one more", "food")], progress_bar=False)
    assert capsys.readouterr().err == ""
    pipe.fit_classifier()
    assert capsys.readouterr().err == ""


def test_bars_end_with_a_call_that_fails(checkpoint, capsys, monkeypatch):
    monkeypatch.setattr(progress, "_DELAY", 0.0)
    nlp = make(checkpoint)
    with pytest.raises(ValueError, match="E867"):
        nlp.get_pipe("setfit").fit([("a text", "food")])
    nlp.get_pipe("setfit").fit(PAIRS, steps=0, progress_bar=False)
    capsys.readouterr()
    nlp("text")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("call", ["fit", "set_support", "initialize", "update"])
def test_sample_is_announced_once(checkpoint, call):
    nlp = make(checkpoint, max_support=6, training={"freeze": ["encoder"]})
    pipe = nlp.get_pipe("setfit")
    examples = gold(nlp)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if call in ("fit", "set_support"):
            getattr(pipe, call)(PAIRS)
        elif call == "initialize":
            nlp.initialize(lambda: examples)
        else:
            nlp.initialize(lambda: examples[:5])
            nlp.update(examples)
        nlp.update(gold(nlp, [("another text", "food")], list(TOPICS)))
    said = [str(w.message) for w in caught if "SMW239" in str(w.message)]
    assert len(said) == 1
    assert re.search(r"Of 1\d texts, a class-balanced sample of 6 .*`max_support`", said[0])


def test_sample_is_not_announced_where_all_fit(checkpoint):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(checkpoint, max_support=len(PAIRS)).get_pipe("setfit").fit(PAIRS, steps=0)


@pytest.mark.parametrize("n", [2, 3, 40])
def test_warnings_of_scikit_learn_do_not_leak(n):
    """One text for each of many classes is no regression on numbers."""
    vectors = np.random.default_rng(0).normal(size=(n, 8)).astype(np.float32)
    names = [str(i) for i in range(n)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for multi_label in (False, True):
            labels = np.eye(n, dtype=np.float32)
            fit_head(vectors, labels, names=names, config=HeadConfig(), multi_label=multi_label)


def test_regression_that_does_not_converge_is_said_once(monkeypatch):
    monkeypatch.setattr(logistic_regression, "_MAX_ITERATIONS", 2)
    vectors = np.random.default_rng(0).normal(size=(60, 30)).astype(np.float32)
    labels = np.eye(3, dtype=np.float32)[np.arange(60) % 3]
    for multi_label in (False, True):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            fit_head(
                vectors, labels, names=list("abc"), config=HeadConfig(), multi_label=multi_label
            )
        assert [str(warning.message)[:8] for warning in caught] == ["[SMW240]"]


@pytest.mark.parametrize("steps", [-3, 2.5, "4", True])
def test_steps_are_a_number(checkpoint, steps):
    nlp = make(checkpoint)
    with pytest.raises(ValueError, match="SM214"):
        nlp.get_pipe("setfit").fit(PAIRS, steps=steps)
    assert nlp.get_pipe("setfit").labels == ()


@pytest.mark.parametrize("method", ["predict", "abstain_scores"])
def test_only_docs_are_predicted(checkpoint, method):
    nlp = make(checkpoint)
    call = getattr(nlp.get_pipe("setfit").fit(PAIRS, steps=0), method)
    doc = nlp.make_doc("hot bread")
    for wrong in ("hot bread", "", ["hot bread"], doc, [doc, "text"], doc[:1], [3]):
        with pytest.raises(ValueError, match=r"SM216.*nlp\(text\)"):
            call(wrong)
    assert len(call(iter([doc, doc]))) == 2


def test_messages_of_spacy_name_our_components(checkpoint):
    pipe = make(checkpoint).get_pipe("setfit")
    for examples, number in (
        ([("a text", "food")], "E867"),
        ([("a text", ["food", "sport"])], "E895"),
        ([("a text", {"food": 0.5})], "E851"),
    ):
        with pytest.raises(ValueError, match=number) as caught:
            pipe.fit(examples)
        assert "'setfit_textcat'" in str(caught.value)
        assert "'textcat" not in str(caught.value)


def test_checkpoint_of_setfit_by_its_name_on_the_hub(checkpoint, tmp_path, monkeypatch):
    pipe = make(checkpoint).get_pipe("setfit")
    with pytest.raises(FileNotFoundError, match=r"SM040.*someone/x.*download"):
        pipe.from_setfit("someone/x")
    with pytest.raises(FileNotFoundError, match=r"SM040.*no such folder"):
        pipe.from_setfit(tmp_path / "nowhere")
    found = []
    module = "spacy_modernbert.pipeline.setfit_textcat.component"
    monkeypatch.setattr(
        f"{module}.resolve", lambda name, extra: found.append((name, extra)) or tmp_path
    )
    with pytest.raises(FileNotFoundError, match="SM041"):
        pipe.from_setfit("someone/x")
    assert found == [("someone/x", ["model_head.pkl"])]


def test_fit_is_the_same_with_and_without_bars(checkpoint):
    one, two = make(checkpoint), make(checkpoint)
    one.get_pipe("setfit").fit(MANY, steps=3)
    two.get_pipe("setfit").fit(MANY, steps=3, progress_bar=False)
    assert cats(one) == cats(two)
