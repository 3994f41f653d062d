"""spaCy's own commands on a pipeline with our encoder: a partial config to an installed wheel."""

import json
import subprocess
import sys

import pytest
import spacy
from spacy.tokens import DocBin

from .conftest import examples

pytestmark = pytest.mark.slow

CONFIG = """
[nlp]
lang = "en"
pipeline = ["transformer","tagger","textcat_multilabel"]

[components]

[components.transformer]
factory = "transformer"

[components.transformer.model]
@architectures = "spacy_modernbert.ModernBertModel.v1"
name = "{checkpoint}"

[components.tagger]
factory = "tagger"

[components.tagger.model]
@architectures = "spacy.Tagger.v2"

[components.tagger.model.tok2vec]
@architectures = "spacy-transformers.TransformerListener.v1"
pooling = {{"@layers":"reduce_mean.v1"}}

[components.textcat_multilabel]
factory = "textcat_multilabel"

[components.textcat_multilabel.model]
@architectures = "spacy.TextCatReduce.v1"
exclusive_classes = false
use_reduce_first = false
use_reduce_last = false
use_reduce_max = true
use_reduce_mean = true

[components.textcat_multilabel.model.tok2vec]
@architectures = "spacy-transformers.TransformerListener.v1"
pooling = {{"@layers":"spacy_modernbert.reduce_pieces.v1","mode":"first"}}

[corpora]

[corpora.train]
@readers = "spacy.Corpus.v1"
path = "{corpus}"

[corpora.dev]
@readers = "spacy.Corpus.v1"
path = "{corpus}"

[training]
max_steps = 10
eval_frequency = 5
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory, checkpoint):
    """A folder with a corpus and a partial config."""
    folder = tmp_path_factory.mktemp("commands")
    corpus = DocBin(store_user_data=True)
    nlp = spacy.blank("en")
    for example in examples(nlp) * 30:  # `debug data` calls fewer than a hundred an error
        doc = example.reference
        doc.cats = {"long": float(len(doc) > 5), "apple": float("Apple" in doc.text)}
        corpus.add(doc)
    corpus.to_disk(folder / "corpus.spacy")
    config = CONFIG.format(checkpoint=checkpoint, corpus=folder / "corpus.spacy")
    (folder / "base.cfg").write_text(config)
    return folder


def run(work, *command):
    done = subprocess.run(
        [sys.executable, "-m", "spacy", *command],
        cwd=work,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def trained(work):
    """The folder, after `fill-config` and `train`."""
    run(work, "init", "fill-config", "base.cfg", "config.cfg")
    run(work, "train", "config.cfg", "--output", "training")
    return work


def test_fill_config_completes_our_settings(trained):
    config = spacy.util.load_config(trained / "config.cfg")
    model = config["components"]["transformer"]["model"]
    assert (model["max_length"], model["overlap"], model["precision"]) == (None, None, "float32")


def test_debug_commands(trained):
    run(trained, "debug", "config", "config.cfg")
    run(trained, "debug", "data", "config.cfg")
    printed = run(trained, "debug", "model", "config.cfg", "tagger", "-P0", "-P3")
    assert "STEP 3" in printed


def test_init_labels(trained):
    run(trained, "init", "labels", "config.cfg", "labels")
    assert json.loads((trained / "labels" / "tagger.json").read_text())


def test_evaluate_and_benchmark(trained):
    run(trained, "evaluate", "training/model-best", "corpus.spacy", "--output", "scores.json")
    assert "tag_acc" in json.loads((trained / "scores.json").read_text())
    run(trained, "benchmark", "accuracy", "training/model-best", "corpus.spacy")
    speed = ["speed", "training/model-best", "corpus.spacy", "--batches", "30", "--warmup", "1"]
    run(trained, "benchmark", *speed)


def test_find_threshold(trained):
    where = ["training/model-best", "corpus.spacy", "textcat_multilabel", "threshold"]
    printed = run(trained, "find-threshold", *where, "cats_macro_f", "--n_trials", "3")
    assert "Best threshold" in printed


def test_apply_and_assemble(trained):
    (trained / "texts.jsonl").write_text('{"text": "Maria works"}\n{"text": ""}\n')
    run(trained, "apply", "training/model-best", "texts.jsonl", "applied.spacy")
    docs = DocBin().from_disk(trained / "applied.spacy").get_docs(spacy.blank("en").vocab)
    assert [doc.text for doc in docs] == ["Maria works", ""]
    config = spacy.util.load_config(trained / "config.cfg")
    config["components"] = {
        name: {"source": "training/model-best"} for name in config["nlp"]["pipeline"]
    }
    config.to_disk(trained / "sourced.cfg")
    run(trained, "assemble", "sourced.cfg", "assembled")
    first, second = spacy.load(trained / "assembled"), spacy.load(trained / "training/model-best")
    text = "Maria Lopez works at Apple ."
    assert [t.tag_ for t in first(text)] == [t.tag_ for t in second(text)]


def test_package_names_what_it_needs(trained):
    command = ["package", "training/model-best", ".", "--name", "try", "--build", "wheel"]
    run(trained, *command, "--force")
    (wheel,) = trained.rglob("*.whl")
    meta = json.loads(next(trained.glob("en_try-*/meta.json")).read_text())
    needed = {requirement.split(">")[0] for requirement in meta["requirements"]}
    assert {"spacy-modernbert", "spacy-transformers"} <= needed
    assert wheel.stat().st_size > 100_000
