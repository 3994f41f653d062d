"""The table of all benchmarks: what is read out of their output, and what they are fed with."""

import gzip
import json
import sys

import pytest

PRINTED = """4 threads

| rows | ours | speed-up |
|---|---|---|
a warning
| 32 rows | 1.2 s | 2.1x |
| 1 row | 5 s | |

gliner 1.2 s a step, ours 0.6 s: 2.00x
| accuracy | ours |
|---|---|
| town | 67.3 |
"""


@pytest.fixture(autouse=True)
def benchmarks(root, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(root / "benchmarks")])
    yield
    for name in ("all", "inputs"):
        sys.modules.pop(name, None)


def test_rows_are_read_from_any_table():
    from all import read_rows, to_markdown

    rows = list(read_rows(PRINTED))
    assert rows == [
        ("rows: 32 rows", "ours 1.2 s; speed-up 2.1x"),
        ("rows: 1 row", "ours 5 s"),
        ("", "gliner 1.2 s a step, ours 0.6 s: 2.00x"),
        ("accuracy: town", "ours 67.3"),
    ]
    assert list(to_markdown([("a", *rows[0])]))[-1] == f"| a | {rows[0][0]} | {rows[0][1]} |"


def test_every_benchmark_is_listed(root, tmp_path):
    from all import list_benchmarks

    scripts = {one.script for one in list_benchmarks(tmp_path, tmp_path, tmp_path)}
    files = (root / "benchmarks").glob("*.py")
    runnable = {path.name for path in files if "__main__" in path.read_text(encoding="utf8")}
    assert runnable - {"all.py"} == scripts


def test_what_is_missing_is_named(root, tmp_path, monkeypatch):
    import all as table

    monkeypatch.setattr(table, "make_inputs", lambda corpus, folder: None)
    monkeypatch.setattr(table, "find_spec", lambda package: None)
    monkeypatch.setattr(table, "run", lambda one, quick: [("case", one.script)])
    table.main(tmp_path / "table.md", corpus=tmp_path, progress=False)
    lines = (tmp_path / "table.md").read_text().splitlines()
    assert "| encoder | case | encoder.py |" in lines
    assert "| gliner | not run | needs gliner, see the command |" in lines


def test_inputs_are_made_of_the_corpus(root, tmp_path):
    import convert
    import convert_requests
    from inputs import WORDS, make_inputs

    convert.main(root / "assets" / "sentences.txt", tmp_path / "corpus")
    convert_requests.main(root / "assets" / "requests.txt", tmp_path / "corpus")
    make_inputs(tmp_path / "corpus", tmp_path / "inputs")
    assert len((tmp_path / "inputs" / "texts.txt").read_text().split()) >= WORDS
    for folder, key in (("ner/sentences", "entities"), ("textcat/town", "label")):
        with gzip.open(tmp_path / "inputs" / folder / "test.jsonl.gz", "rt") as file:
            rows = [json.loads(line) for line in file]
        assert len(rows) > 70
        assert all({"text", key} <= set(row) for row in rows)
