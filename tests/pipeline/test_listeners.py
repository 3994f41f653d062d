"""What listening components read: of which encoder, and whether it is there and up to date."""

import copy
import gc
import pickle
import subprocess
import sys
import warnings
import weakref

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc, DocBin
from spacy.training import Example
from spacy.util import fix_random_seed

from .conftest import LISTENER, MODEL, add_listeners, examples, make_nlp, ner_model
from .test_training import step

OWN = {**LISTENER, "@architectures": "spacy_modernbert.TransformerListener.v1"}


def tagger(listener=LISTENER, **settings):
    tok2vec = {**listener, **settings}
    return {"@architectures": "spacy.Tagger.v2", "nO": None, "tok2vec": tok2vec}


def tagging_nlp(checkpoint, listener=LISTENER):
    """An encoder named `transformer` and a tagger."""
    nlp = make_nlp(checkpoint, factory="modernbert")
    nlp.add_pipe("tagger", config={"model": tagger(listener)})
    data = examples(nlp)
    nlp.initialize(lambda: data)
    return nlp


@pytest.fixture(params=[LISTENER, OWN], ids=["stock", "own"])
def listener(request):
    return request.param


@pytest.fixture(scope="module")
def wide_checkpoint(checkpoint, tmp_path_factory):
    """Another encoder, with wider vectors."""
    from spacy_modernbert.encoder.checkpoint import Checkpoint, load_encoder, save_encoder
    from spacy_modernbert.encoder.initialization import new_encoder

    loaded = load_encoder(checkpoint)
    settings = {**loaded.encoder.config.to_dict(), "hidden_size": 48}
    config = type(loaded.encoder.config).from_dict(settings)
    folder = tmp_path_factory.mktemp("wide")
    save_encoder(Checkpoint(new_encoder(config, seed=7), loaded.tokenizer), folder)
    return folder


# A component by itself


@pytest.mark.parametrize("duplicate", [lambda o: pickle.loads(pickle.dumps(o)), copy.deepcopy])
def test_copied_tagger_does_not_take_the_encoder_along(checkpoint, listener, duplicate):
    nlp = tagging_nlp(checkpoint, listener)
    pipe, encoder = nlp.get_pipe("tagger"), nlp.get_pipe("transformer").model.shim.checkpoint
    size = len(pickle.dumps(pipe.model))
    weights = sum(p.nbytes for p in encoder.encoder.parameters())
    assert size < weights / 4
    copied = duplicate(pipe.model)
    doc = nlp("Maria works")
    np.testing.assert_array_equal(copied.predict([doc])[0], pipe.model.predict([doc])[0])


def test_pickled_pipeline_still_listens_and_learns(checkpoint, listener):
    nlp = pickle.loads(pickle.dumps(tagging_nlp(checkpoint, listener)))
    data, sgd = examples(nlp), nlp.resume_training()
    losses = [step(nlp, data, sgd)["tagger"] for _ in range(20)]
    assert losses[-1] < losses[0] / 2


def test_sourced_component_lets_its_old_encoder_go(checkpoint):
    """Frozen or trained on, it has the encoder of its new pipeline."""
    old = tagging_nlp(checkpoint)
    gone = weakref.ref(old.get_pipe("transformer").model)
    nlp = make_nlp(checkpoint, factory="modernbert")
    nlp.add_pipe("tagger", source=old)
    nlp._link_components()
    del old
    gc.collect()
    assert gone() is None
    expected = nlp("Maria works")[0].tag_
    assert pickle.loads(pickle.dumps(nlp))("Maria works")[0].tag_ == expected


# Two encoders


def two_encoders(first, second, *, order=("a", "b", "tagger", "ner"), names=("a", "b")):
    """An encoder `a`, an encoder `b`, a tagger that listens to one and an ner to the other."""
    nlp = spacy.blank("en")
    pipes = {
        "a": ("modernbert", {"model": {"@architectures": MODEL, "name": str(first)}}),
        "b": ("modernbert", {"model": {"@architectures": MODEL, "name": str(second)}}),
        "tagger": ("tagger", {"model": tagger(upstream=names[0])}),
        "ner": ("ner", {"model": ner_model({**LISTENER, "upstream": names[1]})}),
    }
    for name in order:
        factory, config = pipes[name]
        nlp.add_pipe(factory, name=name, config=config)
    return nlp


def encoder_weights(nlp, name):
    return copy.deepcopy(nlp.get_pipe(name).model.shim.checkpoint.encoder.state_dict())


ORDERS = [
    (("a", "b", "tagger", "ner"), ("a", "b")),
    (("a", "b", "ner", "tagger"), ("a", "b")),
    (("a", "tagger", "b", "ner"), ("*", "*")),
    (("a", "tagger", "b", "ner"), ("a", "*")),
    (("b", "a", "tagger", "ner"), ("*", "b")),
]


@pytest.mark.parametrize(("order", "names"), ORDERS)
def test_each_component_learns_from_its_own_encoder(
    checkpoint, wide_checkpoint, tmp_path, order, names
):
    fix_random_seed(0)
    nlp = two_encoders(checkpoint, wide_checkpoint, order=order, names=names)
    data = examples(nlp)
    sgd = nlp.initialize(lambda: data)
    before = {name: encoder_weights(nlp, name) for name in "ab"}
    for _ in range(40):
        losses = step(nlp, data, sgd)
    scores = nlp.evaluate(data)
    assert scores["tag_acc"] > 0.9
    assert scores["ents_f"] > 0.9
    assert losses["tagger"] < 1
    for name in "ab":  # the gradient of both components has arrived
        after = encoder_weights(nlp, name)
        assert all(not after[key].equal(old) for key, old in before[name].items())
    assert nlp.get_pipe("a").listening_components == ["tagger"]
    assert nlp.get_pipe("b").listening_components == ["ner"]
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    assert again.evaluate(examples(again))["ents_f"] == scores["ents_f"]
    assert again.evaluate(examples(again))["tag_acc"] == scores["tag_acc"]
    again = pickle.loads(pickle.dumps(nlp))
    assert again.evaluate(examples(again))["tag_acc"] == scores["tag_acc"]


def test_two_encoders_that_are_frozen_and_annotate(checkpoint, wide_checkpoint):
    nlp = two_encoders(checkpoint, wide_checkpoint)
    data = examples(nlp)
    sgd = nlp.initialize(lambda: data)
    before = {name: encoder_weights(nlp, name) for name in "ab"}
    empty = Example.from_dict(nlp.make_doc(""), {"tags": [], "entities": []})
    losses = [
        step(nlp, [*data, empty], sgd, exclude=["a", "b"], annotates=["a", "b"]) for _ in range(30)
    ]
    assert losses[-1]["tagger"] < losses[0]["tagger"]
    assert losses[-1]["ner"] < losses[0]["ner"]
    for name in "ab":
        after = encoder_weights(nlp, name)
        assert all(after[key].equal(old) for key, old in before[name].items())


def test_vectors_of_each_encoder_are_kept_where_there_are_two(checkpoint, wide_checkpoint):
    nlp = two_encoders(checkpoint, wide_checkpoint)
    data = examples(nlp)
    nlp.initialize(lambda: data)
    doc = nlp("Maria Lopez works at Apple.")
    assert {name: one.width for name, one in doc._.trf_data_by_encoder.items()} == {
        "a": 32,
        "b": 48,
    }
    assert doc._.trf_data is doc._.trf_data_by_encoder["b"]
    assert tagging_nlp(checkpoint)("Maria")._.trf_data_by_encoder is None


def test_vectors_of_two_encoders_are_saved_with_docs(checkpoint, wide_checkpoint):
    nlp = two_encoders(checkpoint, wide_checkpoint)
    data = examples(nlp)
    nlp.initialize(lambda: data)
    doc = nlp("Maria Lopez works at Apple.")
    stored = DocBin(docs=[doc], store_user_data=True).to_bytes()
    (binned,) = DocBin().from_bytes(stored).get_docs(nlp.vocab)
    for again in (Doc(nlp.vocab).from_bytes(doc.to_bytes()), binned):
        for name, own in doc._.trf_data_by_encoder.items():
            np.testing.assert_array_equal(
                again._.trf_data_by_encoder[name].model_output["last_hidden_state"],
                own.model_output.last_hidden_state,
            )
        with nlp.select_pipes(enable=["tagger", "ner"]):
            assert [t.tag_ for t in nlp(again)] == [t.tag_ for t in doc]


def test_without_its_own_encoder_a_listener_does_not_read_another(checkpoint):
    nlp = two_encoders(checkpoint, checkpoint)
    data = examples(nlp)
    nlp.initialize(lambda: data)
    with nlp.select_pipes(disable=["b"]), pytest.warns(UserWarning, match="SMW041.*'ner'.*'b'"):
        nlp("Maria works")
    with nlp.select_pipes(disable=["a"]), pytest.warns(UserWarning, match="SMW041.*'tagger'.*'a'"):
        nlp("Maria works")


def test_second_encoder_that_is_removed(checkpoint, wide_checkpoint):
    nlp = two_encoders(checkpoint, wide_checkpoint, names=("*", "*"))
    nlp._link_components()
    assert nlp.get_pipe("a").listening_components == []
    nlp.remove_pipe("b")
    assert nlp.get_pipe("a").listening_components == ["tagger", "ner"]
    data = examples(nlp)
    nlp.initialize(lambda: data)
    assert nlp("Maria works")._.trf_data_by_encoder is None
    nlp.rename_pipe("a", "encoder")
    assert warned(lambda: nlp("Maria works")) == []


# Vectors that are missing or stale


def warned(action):
    """The texts of our warnings."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        action()
    return [str(one.message) for one in found if "SMW" in str(one.message)]


def copy_of(nlp):
    """Docs that no longer have the vectors of their tokens, by how they were made."""
    doc = nlp("Maria Lopez works at Apple . The bridge is old .")
    merged, split = nlp(doc.text), nlp(doc.text)
    with merged.retokenize() as retokenizer:
        retokenizer.merge(merged[0:2])
    with split.retokenize() as retokenizer:
        retokenizer.split(split[0], ["Ma", "ria"], heads=[split[1], split[1]])
    return {
        "made by hand": Doc(nlp.vocab, words=["Maria", "works"]),
        "part of another": doc[2:5].as_doc(copy_user_data=True),
        "joined": Doc.from_docs([doc, doc]),
        "merged": merged,
        "split": split,
        "copied without user data": doc[:].as_doc(),
    }


CASES = ["made by hand", "part of another", "joined", "merged", "split", "copied without user data"]


@pytest.mark.filterwarnings("ignore:.*W101")
@pytest.mark.parametrize("case", CASES)
def test_missing_and_stale_vectors_are_reported_once(checkpoint, listener, case):
    nlp = tagging_nlp(checkpoint, listener)
    pipe, doc = nlp.get_pipe("tagger"), copy_of(nlp)[case]
    (message,) = warned(lambda: list(pipe.pipe([doc.copy() for _ in range(5)], batch_size=2)))
    assert "SMW041" in message
    assert "'tagger' reads zeros" in message
    assert "2 of 2 Docs" in message
    # It is reported again when something was right in between, and not before.
    assert warned(lambda: pipe(doc.copy())) == []
    assert warned(lambda: nlp("Maria works")) == []
    assert len(warned(lambda: pipe(doc.copy()))) == 1


@pytest.mark.parametrize("how", ["disable", "exclude"])
def test_pipeline_without_its_encoder_warns(checkpoint, tmp_path, how):
    nlp = tagging_nlp(checkpoint, OWN)
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path, **{how: ["transformer"]})
    texts = ["Maria works", "Tom left"] * 5
    (message,) = warned(lambda: list(again.pipe(texts, batch_size=3)))
    assert "SMW041" in message
    if how == "disable":
        again.enable_pipe("transformer")
        assert warned(lambda: again("Maria works")) == []


@pytest.mark.slow
def test_fresh_process_without_the_encoder_warns(checkpoint, tmp_path):
    """Nothing but the listener of the loaded pipeline brings this package in."""
    tagging_nlp(checkpoint, OWN).to_disk(tmp_path)
    code = (
        "import spacy, sys\n"
        "nlp = spacy.load(sys.argv[1], exclude=['transformer'])\n"
        "print([len(doc) for doc in nlp.pipe(['Maria works', '', 'Tom'])])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[2, 0, 1]"
    assert done.stderr.count("SMW041") == 1


def test_stock_listener_warns_where_the_encoder_is_switched_off(checkpoint):
    nlp = tagging_nlp(checkpoint)
    with nlp.select_pipes(disable=["transformer"]):
        assert len(warned(lambda: list(nlp.pipe(["Maria works"] * 5, batch_size=2)))) == 1


def test_doc_that_the_error_handler_took_is_reported(checkpoint, monkeypatch):
    nlp = tagging_nlp(checkpoint)

    def broken(docs):
        raise RuntimeError("not today")

    monkeypatch.setattr(nlp.get_pipe("transformer"), "predict", broken)
    nlp.set_error_handler(lambda *args: None)
    (message,) = warned(lambda: nlp("Maria works"))
    assert "SMW041" in message


def test_initialization_and_training_report_nothing(checkpoint, listener):
    def train():
        nlp = add_listeners(make_nlp(checkpoint, factory="modernbert"))
        nlp.add_pipe("tagger", name="other", config={"model": tagger(listener)})
        data = examples(nlp)
        sgd = nlp.initialize(lambda: data)
        nlp.update(data, sgd=sgd)
        nlp.evaluate(data)
        nlp("")

    assert warned(train) == []


def test_training_without_vectors_is_refused(checkpoint, listener):
    nlp = tagging_nlp(checkpoint, listener)
    with pytest.raises(ValueError, match=r"SM071.*'tagger'.*4 of 4.*annotating_components"):
        nlp.update(examples(nlp), exclude=["transformer"])


def test_vectors_of_another_width_are_refused(checkpoint, wide_checkpoint, listener):
    old = tagging_nlp(checkpoint, listener)
    nlp = make_nlp(wide_checkpoint, factory="modernbert")
    nlp.add_pipe("tagger", source=old)
    nlp._link_components()
    with pytest.raises(ValueError, match=r"SM072.*'tagger'.*32.*'transformer'.*48"):
        nlp("Maria works")


@pytest.mark.parametrize("texts", [[""], ["", ""], ["", "Maria works", ""]])
@pytest.mark.parametrize("factory", ["modernbert", "transformer"])
def test_empty_doc_has_vectors_of_the_right_width(checkpoint, texts, factory):
    nlp = make_nlp(checkpoint, factory=factory)
    if factory == "modernbert":
        docs = [*nlp.pipe(texts), nlp("")]
    else:  # spacy-transformers leaves the model out if all Docs are empty
        docs = list(nlp.pipe(["Maria", *texts]))
    for doc in docs:
        if not len(doc):
            assert doc._.trf_data.model_output.last_hidden_state.shape == (0, 0, 32)
            assert doc._.trf_data.width == 32


def test_empty_docs_go_through_listeners(checkpoint, listener):
    nlp = tagging_nlp(checkpoint, listener)
    docs = list(nlp.pipe(["", "Maria works", ""]))
    assert [len(doc) for doc in docs] == [0, 2, 0]
    assert [len(doc) for doc in nlp.pipe(["", ""])] == [0, 0]
    (array,) = nlp.get_pipe("tagger").model.get_ref("tok2vec").predict([docs[1]])
    assert array.shape == (2, 32)


# Names


@pytest.mark.parametrize("is_first", [True, False])
def test_encoder_of_another_name_is_named(checkpoint, listener, is_first):
    nlp = spacy.blank("en")
    model = {"@architectures": MODEL, "name": str(checkpoint)}
    nlp.add_pipe("tagger", config={"model": tagger(listener, upstream="transformer")})
    nlp.add_pipe("modernbert", config={"model": model}, first=is_first or None)
    data = examples(nlp)
    if not is_first and listener is LISTENER:
        return  # nothing of ours is before the tagger
    with pytest.raises(ValueError, match=r"SM070.*'transformer'.*") as error:
        nlp.initialize(lambda: data)
    assert ("'tagger' listens" in str(error.value)) == is_first
    assert ("has 'modernbert'" in str(error.value)) == is_first


def test_error_handlers_beside_components_that_cannot_have_one(checkpoint, monkeypatch):
    """As the manual shows it: spaCy's `ner` and `parser` have no room for a handler."""
    from spacy.pipeline.transition_parser import Parser

    nlp = add_listeners(make_nlp(checkpoint, factory="modernbert"))
    data = examples(nlp)
    nlp.initialize(lambda: data)
    seen = []
    with pytest.raises(AttributeError):
        nlp.set_error_handler(lambda *args: None)
    for _, pipe in nlp.pipeline:
        if not isinstance(pipe, Parser):
            pipe.set_error_handler(lambda name, pipe, docs, error: seen.append(name))
    encoder = nlp.get_pipe("transformer")
    predict = encoder.predict

    def moody(docs):
        if any("Lisbon" in doc.text for doc in docs):
            raise RuntimeError("not that one")
        return predict(docs)

    monkeypatch.setattr(encoder, "predict", moody)
    assert [doc.text for doc in nlp.pipe(["one", "Lisbon", "two"])] == ["one", "two"]
    assert seen == ["transformer"]


def listening_config(kind, listener):
    parser = {
        "@architectures": "spacy.TransitionBasedParser.v2",
        "extra_state_tokens": False,
        "hidden_width": 32,
        "maxout_pieces": 2,
        "use_upper": False,
        "tok2vec": listener,
    }
    reduce = {f"use_reduce_{mode}": mode == "mean" for mode in ("first", "last", "max", "mean")}
    return {
        "tagger": tagger(listener),
        "ner": {**parser, "state_type": "ner"},
        "parser": {**parser, "state_type": "parser"},
        "textcat": {
            "@architectures": "spacy.TextCatReduce.v1",
            "exclusive_classes": True,
            "tok2vec": listener,
            **reduce,
        },
        "setfit_textcat": {
            "@architectures": "spacy_modernbert.SentenceEncoderListener.v1",
            "tok2vec": listener,
        },
    }[kind]


@pytest.mark.parametrize("kind", ["tagger", "ner", "parser", "textcat", "setfit_textcat"])
def test_every_kind_of_component_is_pickled_without_the_encoder(checkpoint, listener, kind):
    nlp = make_nlp(checkpoint, factory="modernbert")
    nlp.add_pipe(kind, config={"model": listening_config(kind, listener)})
    data = examples(nlp)
    for number, example in enumerate(data):
        example.reference.cats = {"a": float(number % 2), "b": float(1 - number % 2)}
        for token in example.reference:
            token.head, token.dep_ = example.reference[0], "dep"
    nlp.initialize(lambda: data)
    pipe = nlp.get_pipe(kind)
    for part in (pipe, pipe.model):
        assert b"Wqkv" not in pickle.dumps(part)
    assert b"Wqkv" in pickle.dumps(nlp)


def test_frozen_component_drops_what_training_left_for_it(checkpoint, listener):
    nlp = tagging_nlp(checkpoint, listener)
    nlp.update(examples(nlp), exclude=["tagger"], sgd=nlp.create_optimizer())
    nlp("Maria works")
    assert b"Wqkv" not in pickle.dumps(nlp.get_pipe("tagger").model)


def test_copied_pipeline_is_independent(checkpoint, listener):
    nlp = tagging_nlp(checkpoint, listener)
    copied = copy.deepcopy(nlp)
    before = encoder_weights(nlp, "transformer")
    data, sgd = examples(copied), copied.resume_training()
    losses = [step(copied, data, sgd)["tagger"] for _ in range(20)]
    assert losses[-1] < losses[0] / 2
    after = encoder_weights(nlp, "transformer")
    assert all(after[key].equal(old) for key, old in before.items())


def test_encoders_that_are_trained_and_annotate(checkpoint, wide_checkpoint):
    nlp = two_encoders(checkpoint, wide_checkpoint, order=("a", "tagger", "b", "ner"))
    data = examples(nlp)
    sgd = nlp.initialize(lambda: data)
    for _ in range(40):
        step(nlp, data, sgd, annotates=["a", "tagger", "b"])
    scores = nlp.evaluate(data)
    assert scores["tag_acc"] > 0.9
    assert scores["ents_f"] > 0.9


@pytest.mark.parametrize("name", ["a", "b"])
def test_replaced_listener_is_a_copy_of_its_own_encoder(
    checkpoint, wide_checkpoint, tmp_path, name
):
    nlp = two_encoders(checkpoint, wide_checkpoint)
    data = examples(nlp)
    nlp.initialize(lambda: data)
    text = "Maria Lopez works at Apple ."
    listens = {"a": "tagger", "b": "ner"}[name]
    expected = [(t.tag_, t.ent_type_) for t in nlp(text)]
    nlp.replace_listeners(name, listens, ["model.tok2vec"])
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path, disable=[name])
    assert [(t.tag_, t.ent_type_) for t in again(text)] == expected
