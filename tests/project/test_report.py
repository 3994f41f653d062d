"""The report: one page that shows what a pipeline does."""

import json
import re
import shutil
import subprocess
from pathlib import Path

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


def make(inputs, output, log=False):
    import report
    import typer

    app = typer.Typer()
    app.command()(report.main)
    paths = [inputs / "pipeline", inputs / "gold.spacy", *[inputs / "log.jsonl"] * log]
    section = "All & everything=" + ",".join(map(str, paths))
    result = CliRunner().invoke(app, [str(output), section, section, "--no-progress"])
    assert result.exit_code == 0, result.output
    return output.read_text(encoding="utf8")


def test_report_has_scores_pictures_and_texts(inputs, tmp_path):
    page = make(inputs, tmp_path / "new" / "page.html", log=True)
    assert "<td>PLACE</td><td>100.0</td><td>50.0</td><td>66.7</td>" in page
    for picture in ("confusion-matrix", "category-scores", "losses", "scores"):
        assert len(re.findall(f'<figure class="{picture}"><svg.*?</svg>', page, re.DOTALL)) == 2
    assert "Lisbon <small" in page
    assert "&lt;now&gt;" in page
    assert "missed: Turin PLACE" in page
    assert "ents_f" in page
    assert page.count("<h2>All &amp; everything</h2>") == 2


def test_report_needs_nothing_else(inputs, tmp_path):
    page = make(inputs, tmp_path / "page.html")
    links = re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', page)
    assert links == []
    assert not re.search(r"@import|url\((?!#)|<script|<link", page)
    assert "losses" not in page


def test_report_names_a_section_it_cannot_read():
    import typer
    from report import read_section

    assert read_section("A = b=c,d") == ("A = b", "c", Path("d"), None)
    for text in ("a,b", "t=a", "t=a,b,c,d"):
        with pytest.raises(typer.BadParameter, match="TITLE=PIPELINE"):
            read_section(text)


def test_scores_of_spans_are_shown_and_drawn(inputs):
    import predictions
    import report

    nlp = spacy.load(inputs / "pipeline")
    gold = next(DocBin().from_disk(inputs / "gold.spacy").get_docs(nlp.vocab))
    doc = nlp.make_doc(gold.text)
    doc.ents = [doc.char_span(0, 5, label="PLACE"), doc.char_span(15, 21, label="PLACE")]
    doc.spans["sc"] = list(doc.ents)
    doc.spans["sc"].attrs["scores"] = [0.25, 0.75]
    found = predictions.span_predictions([doc], [gold])
    assert (found.correct, found.wrong) == ([0.75], [0.25])
    text = report.describe(Example(doc, gold), {})["entities"]
    assert re.findall(r'<mark class="(\w+)".*?PLACE (0.\d+)', text) == [
        ("wrong", "0.25"),
        ("right", "0.75"),
    ]


def test_spans_of_gliner_below_its_threshold_are_drawn_too(tmp_path):
    """Else a picture of what is found would begin at the threshold."""
    from predictions import LOW, predict_below_threshold

    from spacy_modernbert.gliner.checkpoint.serialization import save_gliner
    from tests.gliner.tiny import LABELS, TEXTS, tiny_model

    save_gliner(tiny_model(), tmp_path / "gliner")
    nlp = spacy.blank("en")
    config = {"labels": LABELS, "threshold": 0.9, "model": {"name": str(tmp_path / "gliner")}}
    nlp.add_pipe("gliner", config=config)
    docs, threshold = predict_below_threshold(nlp, [nlp.make_doc(text) for text in TEXTS])
    scores = [score for doc in docs for score in doc.spans["sc"].attrs["scores"]]
    assert threshold == 0.9
    assert LOW < min(scores) < 0.9
    assert predict_below_threshold(spacy.blank("en"), docs) == ([], None)


def test_terminal_shows_found_and_missed(inputs, monkeypatch, capsys):
    import terminal

    monkeypatch.setattr(terminal, "color", lambda text, fg: f"{fg}:{text}")
    terminal.main(str(inputs / "pipeline"), inputs / "gold.spacy", progress=False)
    printed = capsys.readouterr().out
    assert "green:[Lisbon PLACE]" in printed
    assert "missed: Turin PLACE" in printed


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)")
def test_report_opens_in_a_browser(inputs, tmp_path):
    make(inputs, tmp_path / "page.html", log=True)
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
    assert done.stdout.count("<svg") == 8
    assert done.stdout.count("<section") == 2
    for words in ("Lisbon", "annotated as", "missed: Turin PLACE", "score of the best category"):
        assert words in done.stdout
