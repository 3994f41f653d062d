"""The command that shows what corpora hold for our components."""

import re

import pytest
import spacy
from spacy.tokens import DocBin
from typer.testing import CliRunner

from spacy_modernbert.cli import app

from . import gliner_tiny
from .setfit_data import PAIRS, TOPICS, make


def run(*arguments):
    result = CliRunner().invoke(app, ["debug-data", *map(str, arguments)])
    return result.exit_code, " ".join(result.output.split())


def write(folder, checkpoint, train, dev, **config):
    """A config with two corpora of texts and their labels."""
    nlp = make(checkpoint, **config)
    corpora = []
    for given in (train, dev):
        docs = []
        for text, labels in given:
            doc = nlp.make_doc(text)
            doc.cats = labels if isinstance(labels, dict) else {n: n == labels for n in TOPICS}
            docs.append(doc)
        corpora.append(docs)
    return save(nlp, folder, *corpora)


def save(nlp, folder, train, dev):
    """A config with two corpora of Docs."""
    config = nlp.config.copy()
    for name, docs in (("train", train), ("dev", dev)):
        DocBin(docs=docs).to_disk(folder / f"{name}.spacy")
        corpus = {"@readers": "spacy.Corpus.v1", "path": str(folder / f"{name}.spacy")}
        config["corpora"][name] = corpus
    config.to_disk(folder / "config.cfg")
    return folder / "config.cfg"


def test_examples_of_each_label_are_counted(checkpoint, tmp_path):
    dev = [("hot bread", "food"), ("pay for it", "money"), (PAIRS[0][0], "food")]
    code, shown = run(write(tmp_path, checkpoint, PAIRS * 2, dev))
    assert code == 0, shown
    assert "24 training examples, 3 to evaluate with" in shown
    assert "food 8 2 sport 8 0 money 8 1" in shown
    assert "8 examples or more for every label" in shown
    assert "No examples to evaluate with: sport" in shown
    assert "12 training texts come again with the same labels" in shown
    assert "1 texts are in both corpora" in shown
    assert "other labels" not in shown


def test_examples_that_need_a_look_are_named(checkpoint, tmp_path):
    train = [
        *PAIRS,
        ("   ", "food"),
        ("no annotation", {}),
        ("weather", {"other": 1.0}),
        (PAIRS[0][0], "money"),
        ("bread and butter " * 300, "food"),
    ]
    path = write(tmp_path, checkpoint, train, PAIRS, abstain_label="other")
    with pytest.warns(UserWarning, match="SMW23"):
        code, shown = run(path)
    assert code == 0, shown
    assert "Fewer than 8 examples: food, sport, money" in shown
    assert "1 of 17 training texts have no text" in shown
    assert "1 of 17 training texts have none of the labels" in shown
    assert "1 of 17 training texts have the label 'other', which is not learned" in shown
    assert f"1 training texts come again with other labels: '{PAIRS[0][0]}'" in shown
    assert "1 training texts are longer than the 512 pieces of the encoder, and lose" in shown


def test_labels_that_are_given_and_settings_that_are_overridden(checkpoint, tmp_path):
    path = write(tmp_path, checkpoint, PAIRS, PAIRS)
    config = spacy.util.load_config(path)
    config["initialize"]["components"]["setfit"] = {"labels": ["food", "sport", "music"]}
    config.to_disk(path)
    with pytest.warns(UserWarning, match="SMW235"):
        code, shown = run(path, "--components.setfit.model.max_length", 16)
    assert code == 0, shown
    assert "No examples, names stand in for them: music" in shown
    assert "Labels that the component does not have (training): money" in shown
    assert "2 evaluation texts are longer than the 16 pieces of the encoder" in shown


def test_several_labels(checkpoint, tmp_path):
    train = [*PAIRS, ("bread by card", {"food": 1, "money": 1, "sport": 0})]
    code, shown = run(write(tmp_path, checkpoint, train, PAIRS, multi_label=True))
    assert code == 0, shown
    assert "1 training texts have more than one label" in shown


def test_what_stops_a_training_is_said(checkpoint, tmp_path):
    code, shown = run(tmp_path / "nowhere.cfg")
    assert code == 1
    assert "Can't find the config" in shown
    path = write(tmp_path, checkpoint, [("bread", {"food": 1.0})], [])
    code, shown = run(path)
    assert code == 1
    assert "A training with this config can't begin" in shown
    assert "E867" in shown
    code, shown = run(path, "--corpora.train.path", tmp_path / "none.spacy")
    assert code == 1
    assert "can't begin" in shown


def test_pipeline_without_our_components(checkpoint, tmp_path):
    path = write(tmp_path, checkpoint, PAIRS, PAIRS)
    config = spacy.util.load_config(path)
    config["components"]["setfit"] = {"factory": "sentencizer"}
    config.to_disk(path)
    code, shown = run(path)
    assert code == 0, shown
    assert "Use `spacy debug data`" in shown


def test_spans_are_counted_too(folders, tmp_path):
    nlp = gliner_tiny.make(folders, labels=["person", "LOC"], words="spacy")
    wide = "The " + "very " * 40 + "long name"
    given = [
        ("Tom lives in Lisbon", [(0, 3, "person"), (13, 19, "LOC")]),
        ("Maria left", [(0, 5, "person"), (6, 10, "EVENT")]),
        ("nothing here", []),
        ("not annotated", None),
        (wide, [(0, len(wide), "LOC")]),
    ]
    docs = []
    for text, spans in given:
        doc = nlp.make_doc(text)
        if spans is not None:
            doc.spans["sc"] = [doc.char_span(*bounds) for bounds in spans]
        docs.append(doc)
    with pytest.warns(UserWarning, match="SMW150"):
        code, shown = run(save(nlp, tmp_path, docs, docs[:2]))
    assert code == 0, shown
    assert "Fewer than 8 spans: person, LOC" in shown
    assert re.search(r"person person 2 2 LOC \w+ 2 1", shown)
    assert "1 of 5 training Docs have no annotation" in shown
    assert "1 of 5 training Docs are annotated, and have no spans" in shown
    assert "Labels that the component does not have (training): EVENT" in shown
    assert "1 training spans are wider than the" in shown
