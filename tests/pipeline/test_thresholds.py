"""The command that finds a threshold for each label."""

import pytest
import spacy
from spacy.tokens import DocBin, Span
from typer.testing import CliRunner

from spacy_modernbert.cli import app
from spacy_modernbert.gliner.checkpoint.serialization import save_gliner
from tests.gliner.tiny import TEXTS, tiny_model

# What the annotated texts are made with. The command has to find thresholds that do the same.
GOLD = {"person": 0.55, "location": 0.48}


def run(*arguments):
    return CliRunner().invoke(app, ["thresholds", *map(str, arguments)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A pipeline that finds far too much, and texts with what it should find."""
    root = tmp_path_factory.mktemp("thresholds")
    save_gliner(tiny_model("uni_span"), root / "checkpoint")
    nlp = spacy.blank("en")
    model = {"name": str(root / "checkpoint")}
    nlp.add_pipe("gliner", config={"labels": list(GOLD), "threshold": 0.1, "model": model})
    nlp.to_disk(root / "pipeline")
    nlp.get_pipe("gliner").cfg["label_thresholds"] = GOLD
    docs = DocBin()
    for doc in nlp.pipe(TEXTS):
        gold = nlp.make_doc(doc.text)
        gold.spans["sc"] = [Span(gold, s.start, s.end, label=s.label_) for s in doc.spans["sc"]]
        docs.add(gold)
    assert {s.label_ for d in docs.get_docs(nlp.vocab) for s in d.spans["sc"]} == set(GOLD)
    docs.to_disk(root / "dev.spacy")
    return root


def test_each_label_gets_the_threshold_that_suits_it(folder, tmp_path):
    result = run(folder / "pipeline", folder / "dev.spacy", "--output", tmp_path / "tuned")
    assert result.exit_code == 0, result.output
    tuned = spacy.load(tmp_path / "tuned")
    assert set(tuned.config["components"]["gliner"]["label_thresholds"]) == set(GOLD)
    for gold in DocBin().from_disk(folder / "dev.spacy").get_docs(tuned.vocab):
        doc = tuned(gold.text)
        assert [(s.start, s.end, s.label_) for s in doc.spans["sc"]] == [
            (s.start, s.end, s.label_) for s in gold.spans["sc"]
        ]


def test_nothing_is_saved_that_is_no_better(folder, tmp_path):
    run(folder / "pipeline", folder / "dev.spacy", "--output", tmp_path / "tuned")
    result = run(tmp_path / "tuned", folder / "dev.spacy", "--output", tmp_path / "again")
    assert result.exit_code == 0, result.output
    assert "nothing is saved" in result.output
    assert not (tmp_path / "again").exists()


def test_what_cannot_be_used_is_named(folder, tmp_path):
    for arguments, words in (
        ((folder / "pipeline", tmp_path / "none.spacy"), "none.spacy"),
        ((tmp_path / "none", folder / "dev.spacy"), "E050"),
        ((folder / "pipeline", folder / "dev.spacy", "-c", "ner"), "E001"),
    ):
        result = run(*arguments)
        assert result.exit_code == 1
        assert words in result.output
