"""Each test runs in a process of its own: a hang must not take the suite with it."""

import os
import subprocess
import sys

import pytest
import spacy

TEXTS = ["Maria Lopez works at Apple.", "", "Lisbon is old."] * 6

SCRIPT = f"""
import multiprocessing, os, sys
import torch
torch.set_num_threads(2)  # more than one in the parent is what makes a forked child hang
import spacy
from spacy.language import Language

@Language.component("count_threads")
def count_threads(doc):
    doc.user_data["threads"] = torch.get_num_threads()
    return doc

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[2])
    environment = dict(os.environ)
    nlp = spacy.load(sys.argv[1])
    nlp.add_pipe("count_threads")
    texts = {TEXTS!r}
    tags = [[token.tag_ for token in nlp(text)] for text in texts]
    docs = list(nlp.pipe(texts, n_process=2, batch_size=4))
    assert [doc.text for doc in docs] == texts
    assert [[token.tag_ for token in doc] for doc in docs] == tags
    if sys.argv[2] == "fork":
        assert {{doc.user_data["threads"] for doc in docs}} == {{1}}
    assert torch.get_num_threads() == 2
    assert dict(os.environ) == environment
    print("as one process")
"""

# A forked process that is no worker of ours: it keeps its threads and its environment.
OTHER = """
import os, sys
import torch
torch.set_num_threads(2)
import spacy
nlp = spacy.load(sys.argv[1])
nlp("Maria Lopez works at Apple.")
environment = dict(os.environ)
pid = os.fork()
if not pid:
    is_same = torch.get_num_threads() == 2 and dict(os.environ) == environment
    os._exit(0 if is_same else 3)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"""


@pytest.fixture
def pipeline(full_nlp, tmp_path):
    from .conftest import examples

    full_nlp.update(examples(full_nlp), sgd=full_nlp.create_optimizer())
    full_nlp.to_disk(tmp_path / "pipeline")
    assert spacy.load(tmp_path / "pipeline")
    return tmp_path / "pipeline"


def run(script, *arguments, without=()):
    environment = {name: value for name, value in os.environ.items() if name not in without}
    return subprocess.run(
        [sys.executable, str(script), *map(str, arguments)],
        capture_output=True, text=True, timeout=120, check=False, env=environment,
    )  # fmt: skip


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that can fork")
def test_two_processes_agree_with_one(pipeline, tmp_path, method):
    script = tmp_path / "run.py"
    script.write_text(SCRIPT)
    done = run(script, pipeline, method)
    assert done.returncode == 0, done.stderr
    assert "as one process" in done.stdout
    assert "parallelism" not in done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that can fork")
def test_tokenizers_is_left_to_its_own_precaution(pipeline, tmp_path):
    """Without the variable, tokenizers turns its threads off in a forked process by itself."""
    script = tmp_path / "run.py"
    script.write_text(SCRIPT)
    done = run(script, pipeline, "fork", without=("TOKENIZERS_PARALLELISM",))
    assert done.returncode == 0, done.stderr
    assert "as one process" in done.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that can fork")
def test_another_forked_process_keeps_its_threads(pipeline, tmp_path):
    script = tmp_path / "run.py"
    script.write_text(OTHER)
    done = run(script, pipeline)
    assert done.returncode == 0, done.stderr
