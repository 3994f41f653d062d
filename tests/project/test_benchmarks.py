"""The benchmarks: their table, their inputs, and how their modules import each other."""

import ast
import gzip
import json
import sys
from graphlib import TopologicalSorter
from importlib.machinery import PathFinder
from pathlib import Path

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
    for path in (root / "benchmarks").glob("*.py"):
        sys.modules.pop(path.stem, None)


def test_rows_are_read_from_any_table():
    from markdown_table import format_row, read_tables

    rows = list(read_tables(PRINTED))
    assert rows == [
        ("rows: 32 rows", "ours 1.2 s; speed-up 2.1x"),
        ("rows: 1 row", "ours 5 s"),
        ("", "gliner 1.2 s a step, ours 0.6 s: 2.00x"),
        ("accuracy: town", "ours 67.3"),
    ]
    assert format_row(("a", *rows[0])) == f"| a | {rows[0][0]} | {rows[0][1]} |"


def test_printed_table_is_read_again():
    from markdown_table import format_header, format_row, read_tables

    printed = f"{format_header(['case', 'F1'])}\n{format_row(['town', 67.3])}\n"
    assert list(read_tables(printed)) == [("case: town", "F1 67.3")]


def test_every_benchmark_is_listed(root, tmp_path):
    from run_all import list_benchmarks

    scripts = {one.script for one in list_benchmarks(tmp_path, tmp_path, tmp_path)}
    assert {path.name for path in (root / "benchmarks").glob("bench_*.py")} == scripts


def test_benchmarks_shadow_no_package(root):
    """Python looks into the folder of a script first."""
    folder = root / "benchmarks"
    path = [entry for entry in sys.path if Path(entry) not in (folder, root)]
    for file in folder.glob("*.py"):
        assert PathFinder.find_spec(file.stem, path) is None, file.name


@pytest.mark.parametrize("folder", ["benchmarks", "scripts"])
def test_imports_have_no_cycle(root, folder):
    files = {path.stem: path for path in (root / folder).glob("*.py")}
    graph = {name: imported_modules(path) & set(files) for name, path in files.items()}
    list(TopologicalSorter(graph).static_order())


def imported_modules(path):
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf8"))))
    found = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return found | {node.module for node in nodes if isinstance(node, ast.ImportFrom)}


def test_missing_peers_are_named(root, tmp_path, monkeypatch):
    import run_all

    monkeypatch.setattr(run_all, "make_inputs", lambda corpus, folder: None)
    monkeypatch.setattr(run_all, "find_spec", lambda package: None)
    monkeypatch.setattr(run_all, "run", lambda benchmark, quick: [("case", benchmark.script)])
    run_all.main(tmp_path / "table.md", corpus=tmp_path, progress=False)
    lines = (tmp_path / "table.md").read_text().splitlines()
    assert "| encoder | case | bench_encoder.py |" in lines
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


@pytest.mark.parametrize(("name", "frozen"), [("ours", ("embeddings",)), ("probe", ("encoder",))])
def test_few_shot_systems_take_their_seed(name, frozen, checkpoint):
    from textcat_systems import make_system
    from textcat_tasks import Task

    task = Task([("hot bread", ("food",)), ("a goal", ("sport",))], [], ["food", "sport"], False)
    config = {"training": {"batch_size": 32}, "max_support": 8}
    system = make_system(name, checkpoint, task, seed=3, cap=0, stop=0, config=config)
    training = system.pipe.training_config
    assert (training.seed, training.batch_size, training.freeze) == (3, 32, frozen)
    assert system.pipe.cfg["max_support"] == 8
    system.fit(task)
    assert system.probabilities(["bread"]).shape == (1, 2)
