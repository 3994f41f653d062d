"""What may be put into a `gliner` pipe: texts in any company and script, broken checkpoints."""

import json
import pickle
import shutil
import warnings

import numpy as np
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc

from spacy_modernbert.encoder.storage import read_tensors, write_tensors
from spacy_modernbert.gliner.checkpoint.serialization import save_gliner
from spacy_modernbert.gliner.modeling.network import Gliner
from tests.gliner.tiny import tiny_model

from .gliner_tiny import LABELS, TEXT, TEXTS, make, same, spans

MARKERS = ["<<ENT>>", "<<SEP>>", "[SEP]", "[CLS]"]
WORDS = [*TEXT.split(), *MARKERS, "日本語", "\u200b", "\n", "O'Neill", "🙂"]
SENTENCES = st.lists(st.sampled_from(WORDS), max_size=20).map(" ".join)
KINDS = ["uni_span", "bi_span"]


@pytest.fixture(scope="module")
def nlps(folders):
    return {kind: make(folders, kind) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=10, deadline=None)
@given(texts=st.lists(SENTENCES, min_size=1, max_size=5), size=st.integers(1, 4), data=st.data())
def test_alone_in_any_batch_and_any_order(nlps, kind, texts, size, data):
    nlp = nlps[kind]
    alone = [spans(nlp(text)) for text in texts]
    order = data.draw(st.permutations(range(len(texts))))
    docs = list(nlp.pipe([texts[i] for i in order], batch_size=size))
    for doc, index in zip(docs, order, strict=True):
        assert doc.text == texts[index]
        assert same(spans(doc), alone[index])


@settings(max_examples=10, deadline=None)
@given(text=SENTENCES, some=st.sets(st.sampled_from([*LABELS, "award", "date of birth"])))
def test_labels_of_a_bi_encoder_are_independent(nlps, text, some):
    """Single words with several labels: nothing has to make room for anything else."""
    nlp = nlps["bi_span"]
    every = [*LABELS, "award", "date of birth"]
    suggester = spacy.registry.get("misc", "spacy.ngram_suggester.v1")([1])
    pipe = nlp.get_pipe("gliner")
    pipe.candidates, pipe.cfg["multi_label"] = suggester, True
    try:
        cfg = {"labels": every, "threshold": 0.05}
        whole = spans(nlp(text, component_cfg={"gliner": cfg}))
        part = spans(nlp(text, component_cfg={"gliner": {**cfg, "labels": sorted(some)}}))
    finally:
        pipe.candidates, pipe.cfg["multi_label"] = None, False
    assert same(sorted(part), sorted(span for span in whole if span[2] in some))


@pytest.mark.parametrize("words", ["spacy", "gliner"])
def test_a_text_can_not_write_a_label(folders, monkeypatch, words):
    nlp = make(folders, words=words, threshold=0.05)
    rows = []
    encode = Gliner.encode

    def seen(self, some, *rest):
        rows.extend(some)
        return encode(self, some, *rest)

    monkeypatch.setattr(Gliner, "encode", seen)
    doc = Doc(nlp.vocab, words=["<<ENT>>", "award", "<<SEP>>", "Steve", "[SEP]", "Jobs", "<<ENT>>"])
    doc = nlp(doc)
    ent = nlp.get_pipe("gliner").model.shim.checkpoint.prompt_builder.markers.ent
    assert [(row.ids == ent).sum() for row in rows] == [len(LABELS)]
    assert {span.label_ for span in doc.spans["sc"]} <= set(LABELS)
    assert len(doc.spans["sc"])


def test_chinese_is_read_token_by_token(folders):
    """Upstream's expression takes a whole clause for one word; tokens are characters here."""
    text = "史蒂夫·乔布斯在库比蒂诺创立了苹果公司。"
    nlp = make(folders, nlp=spacy.blank("zh"), threshold=0.05)
    doc = nlp(text)
    assert len(doc) == len(text)
    starts = {span.start for span in doc.spans["sc"]}
    assert len(starts) > len(doc) / 2
    for span, (start, end) in zip(doc.spans["sc"], doc.spans["sc"].attrs["chars"], strict=True):
        assert span.text == text[start:end]
    regex = make(folders, nlp=spacy.blank("zh"), threshold=0.05, words="gliner")(text)
    assert {span.start for span in regex.spans["sc"]} <= {0, 3, 4, len(doc) - 1}


@pytest.mark.parametrize(
    "words",
    [
        ["สตีฟ", "จอบส์", "ก่อตั้ง", "บริษัท", "แอปเปิล", "ใน", "แคลิฟอร์เนีย"],
        ["スティーブ", "・", "ジョブズ", "は", "アップル", "を", "創業", "し", "た", "。"],
    ],
)
def test_words_of_languages_without_spaces(folders, words):
    nlp = make(folders, nlp=spacy.blank("xx"), threshold=0.0, decoding="nested")
    doc = nlp(Doc(nlp.vocab, words=words, spaces=[False] * len(words)))
    assert doc.text == "".join(words)
    found = {(span.start, span.end) for span in doc.spans["sc"]}
    assert found
    assert all(end - start <= 4 for start, end in found)
    for span, (start, end) in zip(doc.spans["sc"], doc.spans["sc"].attrs["chars"], strict=True):
        assert doc.text[start:end] == "".join(words[span.start : span.end])


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """A GLiNER with room for 96 pieces a row."""
    root = tmp_path_factory.mktemp("short")
    save_gliner(tiny_model("uni_span", max_length=96), root / "uni_span")
    return root


def test_labels_that_overflow_a_row(short):
    labels = [f"{label} {number}" for number in range(12) for label in LABELS]
    nlp = make(short, labels=labels, threshold=0.05, decoding="nested", multi_label=True)
    with pytest.warns(UserWarning, match="SMW100"):
        doc = nlp(TEXT)
    assert len({span.label_ for span in doc.spans["sc"]}) > len(labels) / 2
    with pytest.raises(ValueError, match="SM114"):
        make(short, labels=labels, on_overflow="error")(TEXT)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(make(short, on_overflow="error")(TEXT * 20).spans["sc"])


def test_a_word_that_no_row_can_hold(short):
    nlp = make(short, threshold=0.05)
    with pytest.warns(UserWarning, match="SMW101"):
        doc = nlp(f"{TEXT} {'qxz' * 400} {TEXT}")
    assert doc.spans["sc"][-1].start > len(doc) - 10


class Evil:
    def __reduce__(self):
        return print, ("unpickled",)


def no_config(folder):
    (folder / "gliner_config.json").unlink()


def no_weights(folder):
    (folder / "model.safetensors").unlink()


def a_pickle(folder):
    no_weights(folder)
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"x": Evil()}))


def cut_short(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def not_numbers(folder):
    state, metadata = read_tensors(folder / "model.safetensors")
    state = {name: tensor.clone() for name, tensor in state.items()}
    state["rnn.lstm.bias_hh_l0"][3] = float("nan")
    write_tensors(folder / "model.safetensors", state, metadata)


def no_tokenizer(folder):
    (folder / "tokenizer.json").unlink()


def another_kind(folder):
    path = folder / "gliner_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "relations_layer": "dot"}))


@pytest.mark.parametrize(
    ("damage", "number"),
    [
        (no_config, "SM100"),
        (no_weights, "SM041"),
        (a_pickle, "SM042"),
        (cut_short, "SM042"),
        (not_numbers, r"SM105.*rnn\.lstm\.bias_hh_l0"),
        (no_tokenizer, "SM112.*tokenizer"),
        (another_kind, "SM101.*relations_layer"),
    ],
)
def test_damaged_checkpoints_are_refused(folders, tmp_path, capsys, damage, number):
    shutil.copytree(folders / "uni_span", tmp_path / "uni_span")
    damage(tmp_path / "uni_span")
    nlp = make(tmp_path)
    with pytest.raises((ValueError, OSError), match=number):
        nlp.initialize()
    with pytest.raises((ValueError, OSError), match=number):
        nlp(TEXT)
    assert "unpickled" not in capsys.readouterr().out


def test_a_damaged_pipeline_is_refused(folders, tmp_path):
    make(folders).to_disk(tmp_path)
    cut_short(tmp_path / "gliner" / "model")
    with pytest.raises(ValueError, match="SM042"):
        spacy.load(tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, 1.01])
def test_thresholds_are_probabilities(folders, value):
    for config in ({"threshold": value}, {"label_thresholds": {"person": value}}):
        # spaCy's own error is for what JSON can't write.
        with pytest.raises(ValueError, match=r"SM065|E961"):
            make(folders, **config)
    nlp = make(folders)
    nlp.get_pipe("gliner").cfg["threshold"] = value
    with pytest.raises(ValueError, match="SM065"):
        nlp(TEXT)


def test_a_threshold_for_no_label_is_a_typo(folders):
    nlp = make(folders, label_thresholds={"persn": 0.9, "location": 0.2})
    with pytest.warns(UserWarning, match=r"SMW130.*persn.*'person'"):
        nlp(TEXT)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nlp(TEXT)  # once is enough
        cfg = {"gliner": {"labels": ["persn"]}}
        assert {span[3] > 0.9 for span in spans(nlp(TEXT, component_cfg=cfg))} <= {True}
        # Labels may come with each call.
        make(folders, labels=[], label_thresholds={"date": 0.9})(TEXT, component_cfg=cfg)


def test_a_threshold_named_after_a_label_text(folders):
    nlp = make(
        folders, labels={"RIVER": "river", "PERSON": "person"}, label_thresholds={"river": 0.9}
    )
    with pytest.warns(UserWarning, match=r"SMW130.*'river' is the label text of 'RIVER'"):
        nlp(TEXT)


@pytest.mark.parametrize("kind", KINDS)
def test_messages_shorten_what_users_wrote(folders, short, kind):
    label = "a very long description " * 130
    folder = short if kind == "uni_span" else folders
    with pytest.raises(ValueError, match=r"SM109.*a very long.*3,120 characters") as raised:
        make(folder, kind, labels=[label.strip() + "."])(TEXT)
    assert len(str(raised.value)) < 300
    with pytest.raises(ValueError, match=r"SM130") as raised:
        make(folders, labels=[label, label])
    assert len(str(raised.value)) < 300


def test_streams_survive_texts_of_every_kind(nlps):
    texts = [*TEXTS, " ".join(WORDS), "a" * 3000, "\x00", "\u202e" * 5]
    for nlp in nlps.values():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            docs = list(nlp.pipe(texts, batch_size=3))
        assert [doc.text for doc in docs] == texts
        scores = [doc.spans["sc"].attrs["scores"] for doc in docs]
        assert np.isfinite(np.concatenate(scores)).all()
