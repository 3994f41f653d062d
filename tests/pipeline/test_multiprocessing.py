"""Each test runs in a process of its own: a hang must not take the suite with it."""

import subprocess
import sys
import textwrap

import pytest
import spacy

TEXTS = ["Maria Lopez works at Apple.", "", "Lisbon is old."] * 6

SCRIPT = """
import multiprocessing, sys, warnings
if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[2])
    import spacy
    nlp = spacy.load(sys.argv[1])
    texts = {texts!r}
    tags = [[token.tag_ for token in nlp(text)] for text in texts]
    docs = list(nlp.pipe(texts, n_process=2, batch_size=4))
    assert [doc.text for doc in docs] == texts
    assert [[token.tag_ for token in doc] for doc in docs] == tags
    import torch
    assert sys.argv[2] == "spawn" or torch.get_num_threads() == int(sys.argv[3])
    print("as one process")
"""


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_two_processes_agree_with_one(full_nlp, tmp_path, method):
    from .conftest import examples

    full_nlp.update(examples(full_nlp), sgd=full_nlp.create_optimizer())
    full_nlp.to_disk(tmp_path / "pipeline")
    assert spacy.load(tmp_path / "pipeline")
    script = tmp_path / "run.py"
    # More than one thread in the parent is what makes a forked child hang.
    setup = "import torch; torch.set_num_threads(2)\n"
    script.write_text(setup + textwrap.dedent(SCRIPT.format(texts=TEXTS)))
    command = [sys.executable, str(script), str(tmp_path / "pipeline"), method, "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert "as one process" in done.stdout
    assert "parallelism" not in done.stderr
