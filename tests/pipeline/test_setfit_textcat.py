"""The `setfit_textcat` pipe under spaCy's contract, on tiny random encoders."""

import copy
import json
import pickle
import warnings

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc
from spacy.training import Example

from spacy_modernbert.pipeline.setfit_textcat.config import SetfitTextcatConfig
from spacy_modernbert.setfit.checkpoint.read import load_sentence_encoder
from spacy_modernbert.setfit.head.config import HeadConfig
from spacy_modernbert.setfit.training.config import SetfitTrainingConfig

from .setfit_data import PAIRS, TEXTS, TOPICS, cats, gold, make

LABELS = tuple(TOPICS)


@pytest.fixture
def nlp(checkpoint):
    nlp = make(checkpoint)
    nlp.get_pipe("setfit").fit(PAIRS, progress_bar=False)
    return nlp


@pytest.fixture(scope="module")
def saved(checkpoint, tmp_path_factory):
    """A trained pipeline that kept its texts."""
    folder = tmp_path_factory.mktemp("setfit") / "pipeline"
    nlp = make(checkpoint, keep_support="texts")
    nlp.get_pipe("setfit").fit(PAIRS, progress_bar=False)
    nlp.to_disk(folder)
    return folder


def test_fit_is_all_it_takes(nlp):
    pipe = nlp.get_pipe("setfit")
    assert pipe.labels == LABELS
    right = [max(nlp(text).cats, key=nlp(text).cats.get) == label for text, label in PAIRS]
    assert np.mean(right) > 0.9
    assert sum(nlp("hot bread").cats.values()) == pytest.approx(1.0, abs=1e-5)


def test_fit_returns_the_component_and_shows_a_bar(checkpoint, capsys):
    pipe = make(checkpoint).get_pipe("setfit")
    assert pipe.fit(PAIRS, steps=2) is pipe
    assert "2/2" in capsys.readouterr().err
    pipe.fit(PAIRS, steps=2, progress_bar=False)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("form", ["label", "list", "cats", "doc", "example"])
def test_fit_takes_examples_in_many_forms(checkpoint, form):
    nlp = make(checkpoint)
    one_hot = [(text, {n: float(n == label) for n in LABELS}) for text, label in PAIRS]
    given = {
        "label": PAIRS,
        "list": [(text, [label]) for text, label in PAIRS],
        "cats": one_hot,
        "doc": [(nlp.make_doc(text), cats) for text, cats in one_hot],
        "example": gold(nlp),
    }
    nlp.get_pipe("setfit").fit(given[form], steps=0)
    other = make(checkpoint)
    other.get_pipe("setfit").fit(PAIRS, steps=0)
    assert cats(nlp) == cats(other)


@pytest.mark.parametrize("item", ["text", ("text",), ("text", 3.5), (3, "label"), None])
def test_fit_refuses_what_is_no_example(checkpoint, item):
    with pytest.raises(ValueError, match="SM233"):
        make(checkpoint).get_pipe("setfit").fit([item])


def test_fit_refuses_bad_annotation(checkpoint):
    pipe = make(checkpoint).get_pipe("setfit")
    with pytest.raises(ValueError, match="E895"):
        pipe.fit([("text", ["a", "b"])])
    with pytest.raises(ValueError, match="E851"):
        pipe.fit([("text", {"a": 0.5})])


def test_one_label_only_is_refused(checkpoint):
    with pytest.raises(ValueError, match="E867"):
        make(checkpoint).get_pipe("setfit").fit([("a text", "a"), ("another", "a")])
    nlp = make(checkpoint)
    with pytest.raises(ValueError, match="E867"):
        nlp.initialize(lambda: gold(nlp, [("a text", "a"), ("another", "a")]))


def test_class_with_one_example(checkpoint):
    nlp = make(checkpoint)
    nlp.get_pipe("setfit").fit([*PAIRS, ("a song", "music")], progress_bar=False)
    assert set(nlp("a song").cats) == {*LABELS, "music"}


def test_every_label_is_there_and_other_cats_stay(nlp):
    doc = nlp.make_doc("hot bread")
    doc.cats = {"OTHER": 0.3}
    doc = nlp.get_pipe("setfit")(doc)
    assert set(doc.cats) == {"OTHER", *LABELS}
    assert doc.cats["OTHER"] == 0.3


def test_empty_docs_have_no_label(nlp):
    for text in ("", "   "):
        assert nlp(text).cats == dict.fromkeys(LABELS, 0.0)


def test_pipe_is_one_by_one_in_order(nlp):
    docs = list(nlp.pipe(TEXTS * 3, batch_size=4))
    assert [doc.text for doc in docs] == TEXTS * 3
    for doc in docs:
        assert doc.cats == pytest.approx(nlp(doc.text).cats, abs=1e-5)


def test_predict_changes_nothing_and_takes_nothing(nlp):
    pipe, doc = nlp.get_pipe("setfit"), nlp.make_doc("hot bread")
    scores = pipe.predict([doc, nlp.make_doc("")])
    assert scores.shape == (2, 3)
    assert doc.cats == {}
    assert pipe.predict([]).shape == (0, 3)
    assert pipe.model.predict([]).shape == (0, 32)


@pytest.mark.parametrize("folder", ["checkpoint"])
def test_model_predicts_the_sentence_vectors(request, folder):
    folder = request.getfixturevalue(folder)
    nlp = make(folder)
    texts = [text for text, _ in PAIRS]
    found = nlp.get_pipe("setfit").model.predict([nlp.make_doc(text) for text in texts])
    np.testing.assert_allclose(found, load_sentence_encoder(folder).encode_texts(texts), atol=1e-6)


def test_model_settings_win_over_the_checkpoint(checkpoint):
    model = {"name": str(checkpoint), "pooling": "cls", "normalize": True, "max_length": 64}
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("setfit_textcat", config={"model": {**model, "prompt": "query: "}})
    vectors = pipe.model.predict([nlp.make_doc("hot bread"), nlp.make_doc("hot bread")])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    sentences = pipe.model.shim.checkpoint
    assert (sentences.input_config.prompt, sentences.input_config.max_length) == ("query: ", 64)
    assert sentences.pooling.modes == ("cls",)


def test_creating_needs_no_checkpoint(tmp_path):
    nlp = make(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"SM040.*nowhere"):
        nlp.initialize()
    with pytest.raises(ValueError, match="E143"):
        nlp("text")


def test_defaults_are_those_of_the_blocks():
    pipe = spacy.blank("en").add_pipe("setfit_textcat")
    assert pipe.training_config == SetfitTrainingConfig()
    assert pipe.head_config == HeadConfig()
    assert pipe.settings == SetfitTextcatConfig()


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("training.batch_size", {"training": {"batch_size": -1}}),
        ("training.weight_interpolation", {"training": {"weight_interpolation": 1.5}}),
        ("training.seed", {"training": {"seed": -1}}),
        ("training.freeze", {"training": {"freeze": ["head"]}}),
        ("training.optimizer.total_steps", {"training": {"optimizer": {"total_steps": 0}}}),
        ("training.optimizer.rate", {"training": {"optimizer": {"rate": 1}}}),
        ("head.C", {"head": {"C": -1.0}}),
        ("max_support", {"max_support": 0}),
        ("abstain_threshold", {"abstain_threshold": 3.0}),
    ],
)
def test_impossible_settings_are_refused(checkpoint, name, settings):
    with pytest.raises(ValueError, match=rf"(?s)SM065.*{name}"):
        make(checkpoint, **settings)


def test_settings_are_checked_when_they_are_used(checkpoint):
    pipe = make(checkpoint).get_pipe("setfit").fit(PAIRS, steps=0)
    pipe.cfg["abstain_threshold"] = 3.0
    with pytest.raises(ValueError, match=r"(?s)SM065.*abstain_threshold"):
        pipe.predict([])


def test_blocks_of_settings_can_be_replaced_and_are_saved(checkpoint, tmp_path):
    nlp = make(checkpoint)
    pipe = nlp.get_pipe("setfit")
    pipe.head_config = HeadConfig(C=2.0, calibrate=False)
    pipe.training_config = SetfitTrainingConfig(batch_size=7)
    pipe.fit(PAIRS, steps=0)
    assert pipe.classifier.head.temperature == 1.0
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path).get_pipe("setfit")
    assert (again.head_config, again.training_config) == (pipe.head_config, pipe.training_config)


def test_unknown_device_is_refused(checkpoint):
    with pytest.raises(ValueError, match="SM132"):
        make(checkpoint, device="nonsense").get_pipe("setfit").fit(PAIRS, steps=0)


def test_labels(nlp):
    pipe = nlp.get_pipe("setfit")
    assert pipe.label_data == list(LABELS)
    assert (pipe.add_label("music"), pipe.add_label("music")) == (1, 0)
    assert "music" in nlp.vocab.strings
    with pytest.raises(ValueError, match="E187"):
        pipe.add_label(3)


def test_label_that_comes_later_costs_no_training(nlp):
    pipe = nlp.get_pipe("setfit")
    before = pipe.model.predict([nlp.make_doc("hot bread")])
    songs = [("sing a song", "music"), ("a song on the radio", "music"), ("sing late", "music")]
    pipe.fit(songs, steps=0)
    np.testing.assert_array_equal(pipe.model.predict([nlp.make_doc("hot bread")]), before)
    assert pipe.labels == (*LABELS, "music")
    assert max(nlp("sing a song").cats, key=nlp("sing a song").cats.get) == "music"
    right = [max(nlp(text).cats, key=nlp(text).cats.get) == label for text, label in PAIRS]
    assert np.mean(right) > 0.8


def test_label_without_examples_is_known_by_its_name(nlp):
    pipe = nlp.get_pipe("setfit")
    pipe.add_label("match_report")
    with pytest.warns(UserWarning, match=r"SMW230.*match_report"):
        found = nlp("match report").cats
    assert found["match_report"] > 0.05
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipe.set_support(PAIRS)
        nlp("match report")


def test_start_from_names_alone(checkpoint):
    nlp = make(checkpoint)
    for label in ("bread", "match"):
        nlp.get_pipe("setfit").add_label(label)
    assert nlp("bread").cats["bread"] > 0.5 > nlp("match").cats["bread"]
    nlp = make(checkpoint)
    nlp.config["initialize"]["components"]["setfit"] = {"labels": ["bread", "match"]}
    nlp.initialize()
    assert nlp("bread").cats["bread"] > 0.5 > nlp("match").cats["bread"]


def test_initialize_without_labels_loads_the_encoder(checkpoint):
    nlp = make(checkpoint)
    nlp.initialize()
    assert nlp.get_pipe("setfit").model.shim.checkpoint is not None
    with pytest.raises(ValueError, match="E143"):
        nlp("text")


def test_initialize_takes_the_texts_and_trains_nothing(checkpoint):
    nlp = make(checkpoint)
    examples = gold(nlp)
    nlp.initialize(lambda: examples)
    pipe = nlp.get_pipe("setfit")
    assert pipe.labels == LABELS
    other = make(checkpoint)
    other.get_pipe("setfit").fit(PAIRS, steps=0)
    assert cats(nlp) == cats(other)
    nlp.initialize(lambda: gold(nlp, [("one", "a"), ("two", "b")]))
    assert len(pipe.support) == 2


def test_positive_label(checkpoint):
    nlp = make(checkpoint)
    examples = gold(nlp, PAIRS[:8])
    settings = nlp.config["initialize"]["components"]
    settings["setfit"] = {"positive_label": "sport"}
    nlp.initialize(lambda: examples)
    assert nlp.evaluate(examples)["cats_score_desc"] == "F (sport)"
    settings["setfit"] = {"positive_label": "nothing"}
    with pytest.raises(ValueError, match="E920"):
        nlp.initialize(lambda: examples)
    settings["setfit"] = {"positive_label": "sport"}
    with pytest.raises(ValueError, match="E919"):
        nlp.initialize(lambda: gold(nlp))


def test_scores(nlp):
    scores = nlp.evaluate(gold(nlp))
    assert scores["cats_score"] > 0.8
    assert scores["cats_score_desc"] == "macro F"
    assert set(scores["cats_f_per_type"]) == set(LABELS)
    nlp.get_pipe("setfit").scorer = None
    assert "cats_score" not in nlp.evaluate(gold(nlp))


def test_scorer_of_spacy(checkpoint):
    nlp = make(checkpoint, scorer={"@scorers": "spacy.textcat_scorer.v2"})
    nlp.get_pipe("setfit").fit(PAIRS, steps=0)
    assert nlp.evaluate(gold(nlp))["cats_score_desc"] == "macro F"


MULTI = [
    ("bread paid by card", ["food", "money"]),
    ("soup and bread", ["food"]),
    ("the bill was charged", ["money"]),
    ("a late match", []),
    ("the team lost", []),
    ("butter, by card", ["food", "money"]),
]


@pytest.mark.parametrize("factory", ["setfit_textcat_multilabel", "setfit_textcat"])
def test_several_labels(checkpoint, factory):
    nlp = make(checkpoint, factory, multi_label=True)
    pipe = nlp.get_pipe("setfit").fit(MULTI, progress_bar=False)
    assert pipe.classifier.head.multi_label
    docs = [nlp(text) for text, _ in MULTI]
    right = [
        [label in wanted for label in pipe.labels] == [p >= 0.5 for p in doc.cats.values()]
        for doc, (_, wanted) in zip(docs, MULTI, strict=True)
    ]
    assert np.mean(right) > 0.8
    examples = [
        Example.from_dict(nlp.make_doc(t), {"cats": {n: float(n in a) for n in pipe.labels}})
        for t, a in MULTI
    ]
    assert nlp.evaluate(examples)["cats_score_desc"] == "macro AUC"
    pipe.cfg["threshold"] = 1.0
    assert nlp.evaluate(examples)["cats_macro_f"] == 0.0


def test_one_label_is_enough_where_several_are_possible(checkpoint):
    nlp = make(checkpoint, multi_label=True)
    nlp.get_pipe("setfit").fit([("bread", ["food"]), ("match", [])], steps=0)
    assert nlp("bread").cats["food"] > nlp("match").cats["food"]


def test_unknown_labels_are_left_out(checkpoint):
    """A text that is annotated for one label says nothing of the others."""
    nlp = make(checkpoint, multi_label=True)
    given = [
        ("bread and butter", {"food": 1.0, "money": 0.0}),
        ("pay by card", {"food": 0.0, "money": 1.0}),
        ("soup", {"food": 1.0}),
    ]
    pipe = nlp.get_pipe("setfit").fit(given, steps=0)
    labels = pipe.support.labels(multi_label=True)
    assert np.isnan(labels[2]).tolist() == [False, True]


def test_texts_that_are_too_long_are_counted_once(checkpoint):
    nlp = make(checkpoint, model={"name": str(checkpoint), "max_length": 64})
    pipe = nlp.get_pipe("setfit")
    long = "bread and butter " * 20
    with pytest.warns(UserWarning, match=r"SMW231.*1 of 13 texts.*64 pieces"):
        pipe.fit([*PAIRS, (long, "food")], progress_bar=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nlp(long)


def test_text_of_ten_thousand_words(nlp):
    with pytest.warns(UserWarning, match="SMW231"):
        assert set(nlp("bread " * 10_000).cats) == set(LABELS)


def test_contradictions_are_counted(checkpoint):
    pipe = make(checkpoint).get_pipe("setfit")
    given = [*PAIRS, ("pay by card", "food"), ("the team lost", "food"), ("pay by card", "money")]
    with pytest.warns(UserWarning, match=r"SMW232.*2 of 12 texts"):
        pipe.fit(given, steps=0)


def test_failed_doc_alone_goes_to_the_handler(nlp):
    pipe, failed = nlp.get_pipe("setfit"), []
    real = pipe.predict

    def predict(docs):
        if any("match" in doc.text for doc in docs):
            raise ValueError("no match")
        return real(docs)

    pipe.predict = predict
    with pytest.raises(ValueError, match="no match"):
        list(nlp.pipe(TEXTS))
    nlp.set_error_handler(lambda name, pipe, docs, error: failed.extend(docs))
    assert [doc.text for doc in nlp.pipe(TEXTS)] == [t for t in TEXTS if "match" not in t]
    assert [doc.text for doc in failed] == [TEXTS[2]]
    failed.clear()
    pipe(nlp.make_doc("a match"))
    assert [doc.text for doc in failed] == ["a match"]


def test_renamed_disabled_and_in_a_memory_zone(nlp):
    expected = cats(nlp)
    with nlp.select_pipes(disable="setfit"):
        assert nlp("hot bread").cats == {}
    with nlp.memory_zone():
        assert [dict(doc.cats) for doc in nlp.pipe(TEXTS)] == expected
    nlp.rename_pipe("setfit", "topics")
    assert cats(nlp) == expected
    assert nlp.get_pipe("topics").is_trainable


def test_the_same_seed_gives_the_same_pipeline(checkpoint, nlp):
    again = make(checkpoint)
    again.get_pipe("setfit").fit(PAIRS, progress_bar=False)
    assert again.get_pipe("setfit").to_bytes() == nlp.get_pipe("setfit").to_bytes()


def test_frozen_encoder(checkpoint):
    nlp = make(checkpoint, training={"freeze": ["encoder"]})
    nlp.get_pipe("setfit").fit(PAIRS, progress_bar=False)
    other = make(checkpoint)
    other.get_pipe("setfit").fit(PAIRS, steps=0)
    assert cats(nlp) == cats(other)


def test_training_that_hurts_is_not_kept(checkpoint):
    """With labels turned round in the texts to evaluate with, the untrained encoder is the best."""
    turned = {"food": "sport", "sport": "money", "money": "food"}
    dev = [(text, turned[label]) for text, label in PAIRS]
    nlp, probe = make(checkpoint), make(checkpoint)
    nlp.get_pipe("setfit").fit(PAIRS, dev=dev, progress_bar=False)
    probe.get_pipe("setfit").fit(PAIRS, steps=0)
    docs = [nlp.make_doc(text) for text in TEXTS]
    vectors = [n.get_pipe("setfit").model.predict(docs) for n in (nlp, probe)]
    np.testing.assert_array_equal(*vectors)
    helped = make(checkpoint)
    helped.get_pipe("setfit").fit(PAIRS, dev=PAIRS, progress_bar=False)
    assert not np.allclose(helped.get_pipe("setfit").model.predict(docs), vectors[1])


def test_abstaining(checkpoint):
    nlp = make(checkpoint, abstain_label="other")
    pipe = nlp.get_pipe("setfit").fit([*PAIRS, ("zzz", "other")], progress_bar=False)
    assert pipe.labels == (*LABELS, "other")
    assert len(pipe.support) == len(PAIRS)
    docs = [nlp.make_doc(text) for text in ["bread and butter", "日本語のテキスト 🙂"]]
    near, far = pipe.abstain_scores(docs)
    assert near < far
    pipe.cfg["abstain_threshold"] = float(near + far) / 2
    found = pipe.predict(docs)
    assert (found.argmax(axis=1) == 3).tolist() == [False, True]
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-5)
    plain = make(checkpoint)
    plain.get_pipe("setfit").fit(PAIRS, progress_bar=False)
    ratio = found[:, :3] / plain.get_pipe("setfit").predict(docs)
    np.testing.assert_allclose(ratio, ratio[:, :1].repeat(3, axis=1), rtol=1e-3)
    again = spacy.blank("en").from_config(nlp.config).from_bytes(nlp.to_bytes())
    np.testing.assert_allclose(again.get_pipe("setfit").predict(docs), found, atol=1e-6)


def test_abstaining_where_several_labels_are_possible(checkpoint):
    nlp = make(checkpoint, abstain_label="other", multi_label=True)
    pipe = nlp.get_pipe("setfit").fit(MULTI, steps=0)
    docs = [nlp.make_doc(text) for text in ["bread paid by card", "日本語のテキスト 🙂"]]
    near, far = pipe.abstain_scores(docs)
    pipe.cfg["abstain_threshold"] = float(near + far) / 2
    assert (pipe.predict(docs)[:, -1] > 0.5).tolist() == [False, True]


@pytest.mark.parametrize("keep", ["none", "vectors", "texts"])
def test_disk_round_trip(checkpoint, tmp_path, keep):
    nlp = make(checkpoint, keep_support=keep)
    nlp.get_pipe("setfit").fit(PAIRS, progress_bar=False)
    nlp.to_disk(tmp_path / "one")
    again = spacy.load(tmp_path / "one")
    assert cats(again) == cats(nlp)
    again.to_disk(tmp_path / "two")
    one, two = tmp_path / "one" / "setfit", tmp_path / "two" / "setfit"
    files = sorted(p.relative_to(one) for p in one.rglob("*") if p.is_file())
    for file in files:
        assert (one / file).read_bytes() == (two / file).read_bytes(), file
    assert ("support.safetensors" in map(str, files)) == (keep != "none")
    content = b"".join((one / file).read_bytes() for file in files)
    assert (b"a bowl of hot soup" in content) == (keep == "texts")
    assert not any(file.suffix in (".pkl", ".pickle", ".bin", ".pt") for file in files)


def test_saved_encoder_is_a_sentence_encoder(saved, checkpoint):
    nlp = spacy.load(saved)
    texts = [text for text, _ in PAIRS]
    expected = nlp.get_pipe("setfit").model.predict([nlp.make_doc(text) for text in texts])
    encoder = load_sentence_encoder(saved / "setfit" / "model")
    np.testing.assert_allclose(encoder.encode_texts(texts), expected, atol=1e-6)
    assert not np.allclose(
        load_sentence_encoder(checkpoint).encode_texts(texts), expected, atol=1e-3
    )


@pytest.mark.parametrize("keep", ["vectors", "texts"])
def test_label_for_a_loaded_pipeline(checkpoint, tmp_path, keep):
    nlp = make(checkpoint, keep_support=keep)
    nlp.get_pipe("setfit").fit(PAIRS, progress_bar=False)
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    songs = [("sing a song", "music"), ("a song on the radio", "music"), PAIRS[0]]
    for pipeline in (nlp, again):
        pipeline.get_pipe("setfit").fit(songs, steps=0)
        assert len(pipeline.get_pipe("setfit").support) == len(PAIRS) + 2
    for one, two in zip(cats(nlp), cats(again), strict=True):
        assert one == pytest.approx(two, abs=2e-3)


def test_label_for_a_loaded_pipeline_without_texts(checkpoint, tmp_path):
    nlp = make(checkpoint, keep_support="none")
    nlp.get_pipe("setfit").fit(PAIRS, progress_bar=False)
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    pipe = again.get_pipe("setfit")
    with pytest.raises(ValueError, match=r"SM231.*food, sport, money"):
        pipe.add_label("music")
    assert set(again("text").cats) == set(LABELS)
    pipe.fit([*PAIRS, ("sing a song", "music")], progress_bar=False)
    assert set(again("text").cats) == {*LABELS, "music"}


def test_vectors_alone_train_no_encoder(checkpoint, tmp_path):
    nlp = make(checkpoint, keep_support="vectors")
    nlp.get_pipe("setfit").fit(PAIRS, progress_bar=False)
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    pipe = again.get_pipe("setfit")
    before = pipe.model.predict([again.make_doc("bread")])
    with pytest.warns(UserWarning, match="SMW233"):
        pipe.fit(PAIRS[1:], progress_bar=False)
    np.testing.assert_array_equal(pipe.model.predict([again.make_doc("bread")]), before)
    pipe.fit(PAIRS, progress_bar=False)  # now all of the texts are there again
    assert not np.array_equal(pipe.model.predict([again.make_doc("bread")]), before)


def test_settings_of_the_config_win_where_nothing_was_changed(saved):
    config = {"components.setfit.threshold": 0.9}
    config["components.setfit.training.optimizer.total_steps"] = 3
    pipe = spacy.load(saved, config=config).get_pipe("setfit")
    assert (pipe.cfg["threshold"], pipe.training_config.optimizer.total_steps) == (0.9, 3)
    assert pipe.labels == LABELS


def test_bytes_copies_and_pickles(checkpoint, nlp, tmp_path):
    expected = cats(nlp)
    pipe = nlp.get_pipe("setfit")
    assert cats(make(tmp_path / "nowhere").from_bytes(nlp.to_bytes())) == expected
    other = make(tmp_path / "nowhere").get_pipe("setfit")
    other.from_bytes(pipe.to_bytes(exclude=["vocab"]), exclude=["vocab"])
    assert other.to_bytes(exclude=["vocab"]) == pipe.to_bytes(exclude=["vocab"])
    assert len(pipe.to_bytes(exclude=["model", "vocab", "head", "support"])) < 100
    again = pickle.loads(pickle.dumps(pipe))
    assert again.model.shim.checkpoint is not pipe.model.shim.checkpoint
    assert again(nlp.make_doc("hot bread")).cats == nlp("hot bread").cats
    for copied in (copy.deepcopy(pipe.model), pipe.model.copy()):
        assert copied.shims[0].id != pipe.model.shims[0].id
        vectors = [m.predict([nlp.make_doc("a")]) for m in (copied, pipe.model)]
        np.testing.assert_array_equal(*vectors)
        assert copied.to_bytes() == pipe.model.to_bytes()
        assert copied.from_bytes(pipe.model.to_bytes()).get_dim("nO") == pipe.model.get_dim("nO")
    deep = copy.deepcopy(pipe)
    assert deep(nlp.make_doc("hot bread")).cats == nlp("hot bread").cats


def test_pipeline_without_labels_is_saved_too(checkpoint, tmp_path):
    nlp = make(checkpoint)
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    again.get_pipe("setfit").fit(PAIRS, steps=0)
    assert set(again("text").cats) == set(LABELS)


def test_damaged_files_are_refused(saved, tmp_path):
    import shutil

    for file, number in [("head.safetensors", "SM042"), ("support.safetensors", "SM042")]:
        shutil.copytree(saved, tmp_path / file)
        path = tmp_path / file / "setfit" / file
        path.write_bytes(path.read_bytes()[:100])
        with pytest.raises(ValueError, match=number):
            spacy.load(tmp_path / file)
    shutil.copytree(saved, tmp_path / "other")
    folder = tmp_path / "other" / "setfit"
    shutil.copy(folder / "head.safetensors", folder / "support.safetensors")
    with pytest.raises(ValueError, match="SM213"):
        spacy.load(tmp_path / "other")


def test_cats_survive_bytes_and_json(nlp):
    doc = nlp("hot bread")
    assert Doc(nlp.vocab).from_bytes(doc.to_bytes()).cats == doc.cats
    assert json.dumps(doc.to_json())
