"""The report: one page that shows what a pipeline does."""

import json
import re
import shutil
import subprocess

import pytest
import spacy
from spacy.tokens import DocBin
from spacy.training import Example
from typer.testing import CliRunner

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
TEXTS = [
    ("Maria lives in Lisbon <now>.", [(15, 21, "PLACE")], "life"),
    ("Tom sold a car in Turin.", [(18, 23, "PLACE")], "trade"),
    ("Ann bought bread.", [], "trade"),
]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A pipeline with rules and an (almost) untrained textcat, annotated texts, and a log."""
    root = tmp_path_factory.mktemp("report")
    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("entity_ruler")
    nlp.add_pipe("textcat")
    docs = []
    for text, entities, category in TEXTS:
        doc = nlp.make_doc(text)
        doc.ents = [doc.char_span(*span[:2], label=span[2]) for span in entities]
        doc.cats = {name: float(name == category) for name in ("life", "trade")}
        docs.append(doc)
    nlp.initialize(lambda: [Example(nlp.make_doc(doc.text), doc) for doc in docs])
    ruler.add_patterns([{"label": "PLACE", "pattern": "Lisbon"}])
    nlp.to_disk(root / "pipeline")
    DocBin(docs=docs, store_user_data=True).to_disk(root / "gold.spacy")
    lines = [
        {"step": step, "losses": {"textcat": 1.0 / (step + 1)}, "scores": {"ents_f": 10.0 * step}}
        for step in range(3)
    ]
    (root / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return root


def make(inputs, output, *options):
    import report
    import typer

    app = typer.Typer()
    app.command()(report.main)
    arguments = [inputs / "pipeline", inputs / "gold.spacy", output, *options]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return output.read_text(encoding="utf8")


def test_report_has_scores_pictures_and_texts(inputs, tmp_path):
    page = make(inputs, tmp_path / "new" / "page.html", "--log", inputs / "log.jsonl")
    assert "<td>PLACE</td><td>100.0</td><td>50.0</td><td>66.7</td>" in page
    for picture in ("confusion-matrix", "category-scores", "losses", "scores"):
        assert re.search(f'<figure id="{picture}"><svg.*?</svg>', page, re.DOTALL)
    assert "Lisbon <small" in page
    assert "&lt;now&gt;" in page
    assert "ents_f" in page


def test_report_needs_nothing_else(inputs, tmp_path):
    page = make(inputs, tmp_path / "page.html")
    links = re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', page)
    assert links == []
    assert "losses" not in page


def test_scores_of_spans_are_shown_and_drawn(inputs):
    import report

    nlp = spacy.load(inputs / "pipeline")
    gold = next(DocBin().from_disk(inputs / "gold.spacy").get_docs(nlp.vocab))
    doc = nlp.make_doc(gold.text)
    doc.ents = [doc.char_span(0, 5, label="PLACE"), doc.char_span(15, 21, label="PLACE")]
    doc.spans["sc"] = list(doc.ents)
    doc.spans["sc"].attrs["scores"] = [0.25, 0.75]
    example = Example(doc, gold)
    answers = report.span_answers([example])
    assert (answers.right, answers.wrong) == ([0.75], [0.25])
    assert "PLACE 0.25" in report.describe(example)["entities"]


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_report_opens_in_a_browser(inputs, tmp_path):
    make(inputs, tmp_path / "page.html", "--log", inputs / "log.jsonl")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    url = (tmp_path / "page.html").as_uri()
    done = subprocess.run(
        [CHROMIUM, *flags, profile, "--dump-dom", url],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.count("<svg") == 4
    assert "Lisbon" in done.stdout
    assert "annotated as" in done.stdout
