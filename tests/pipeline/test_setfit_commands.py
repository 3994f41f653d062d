"""`setfit_textcat` outside this process: workers, commands of spaCy, a wheel, other packages."""

import json
import shutil
import subprocess
import sys

import joblib
import numpy as np
import pytest
import spacy
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from spacy.tokens import DocBin

from spacy_modernbert.setfit.checkpoint.read import load_sentence_encoder

from ..conftest import ROOT
from .setfit_data import FAST, PAIRS, TEXTS, TOPICS, cats, gold, make

LABELS = list(TOPICS)

SCRIPT = """
import multiprocessing, sys
if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[2])
    import spacy, torch
    torch.set_num_threads(2)
    nlp = spacy.load(sys.argv[1])
    texts = {texts!r} * 3
    expected = [nlp(text).cats for text in texts]
    docs = list(nlp.pipe(texts, n_process=2, batch_size=4))
    for doc, wanted in zip(docs, expected, strict=True):
        assert doc.cats.keys() == wanted.keys()
        assert all(abs(doc.cats[label] - wanted[label]) < 1e-5 for label in wanted)
    print("as one process")
"""


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_two_processes_agree_with_one(checkpoint, tmp_path, method):
    nlp = make(checkpoint)
    nlp.get_pipe("setfit").fit(PAIRS, progress_bar=False)
    nlp.to_disk(tmp_path / "pipeline")
    script = tmp_path / "run.py"
    script.write_text(SCRIPT.format(texts=TEXTS), encoding="utf8")
    command = [sys.executable, str(script), str(tmp_path / "pipeline"), method]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert "as one process" in done.stdout, done.stderr


def setfit_folder(checkpoint, folder, head, **settings):
    shutil.copytree(checkpoint, folder)
    joblib.dump(head, folder / "model_head.pkl")
    (folder / "config_setfit.json").write_text(json.dumps(settings))
    return folder


@pytest.mark.parametrize("multi_label", [False, True])
def test_checkpoint_of_setfit(checkpoint, tmp_path, multi_label):
    vectors = load_sentence_encoder(checkpoint).encode_texts([text for text, _ in PAIRS])
    classes = np.array([LABELS.index(label) for _, label in PAIRS])
    head = LogisticRegression().fit(vectors, classes)
    if multi_label:
        head = OneVsRestClassifier(LogisticRegression()).fit(vectors, np.eye(3, dtype=int)[classes])
    settings = {"labels": LABELS, "normalize_embeddings": False}
    folder = setfit_folder(checkpoint, tmp_path / "setfit", head, **settings)
    nlp = make("nowhere")
    pipe = nlp.get_pipe("setfit")
    assert pipe.from_setfit(folder) is pipe
    wanted = head.predict_proba(vectors)
    found = [list(nlp(text).cats.values()) for text, _ in PAIRS]
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert pipe.labels == tuple(LABELS)
    nlp.to_disk(tmp_path / "saved")
    assert cats(spacy.load(tmp_path / "saved")) == cats(nlp)
    with pytest.raises(ValueError, match="SM235"):
        pipe.abstain_scores([nlp.make_doc("text")])
    pipe.set_support(PAIRS)
    assert pipe.abstain_scores([nlp.make_doc("text")]).shape == (1,)


def test_checkpoint_of_setfit_with_code_in_it(checkpoint, tmp_path):
    folder = setfit_folder(checkpoint, tmp_path / "setfit", print)
    with pytest.raises(ValueError, match="SM220"):
        make("nowhere").get_pipe("setfit").from_setfit(folder)


def test_saved_encoder_loads_in_sentence_transformers(checkpoint, tmp_path):
    peer = pytest.importorskip("sentence_transformers")
    nlp = make(checkpoint)
    nlp.get_pipe("setfit").fit(PAIRS, progress_bar=False)
    nlp.to_disk(tmp_path)
    texts = [text for text, _ in PAIRS]
    found = nlp.get_pipe("setfit").model.predict([nlp.make_doc(text) for text in texts])
    wanted = peer.SentenceTransformer(str(tmp_path / "setfit" / "model"), device="cpu").encode(
        texts
    )
    np.testing.assert_allclose(found, wanted, atol=1e-5)


CONFIG = """
[nlp]
lang = "en"
pipeline = ["setfit"]

[components]

[components.setfit]
factory = "{factory}"
keep_support = "texts"
abstain_label = {abstain}

[components.setfit.training]

[components.setfit.training.optimizer]
learn_rate = 2e-3
warmup_steps = 0
total_steps = 8

[components.setfit.model]
@architectures = "spacy_modernbert.SentenceEncoder.v1"
name = "{checkpoint}"

[corpora]

[corpora.train]
@readers = "spacy.Corpus.v1"
path = "{corpus}"

[corpora.dev]
@readers = "spacy.Corpus.v1"
path = "{corpus}"

[training]
max_steps = 8
eval_frequency = 4
"""


def run(folder, *command):
    done = subprocess.run(
        [sys.executable, "-m", "spacy", *command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def write_corpus(folder, checkpoint, factory, *, abstain="null", labels=LABELS, pairs=PAIRS):
    nlp = spacy.blank("en")
    docs = []
    for example in gold(nlp, pairs, labels):
        docs.append(example.reference)
    DocBin(docs=docs).to_disk(folder / "corpus.spacy")
    settings = {"factory": factory, "checkpoint": checkpoint, "abstain": abstain}
    config = CONFIG.format(corpus=folder / "corpus.spacy", **settings)
    (folder / "base.cfg").write_text(config)
    run(folder, "init", "fill-config", "base.cfg", "config.cfg")


@pytest.mark.slow
def test_commands_of_spacy(checkpoint, tmp_path):
    # `debug data` calls fewer than a hundred an error.
    write_corpus(tmp_path, checkpoint, "setfit_textcat_multilabel", pairs=PAIRS * 9)
    config = spacy.util.load_config(tmp_path / "config.cfg")["components"]["setfit"]
    assert config["multi_label"]
    assert config["training"]["optimizer"]["total_steps"] == FAST["total_steps"]
    run(tmp_path, "debug", "config", "config.cfg")
    run(tmp_path, "debug", "data", "config.cfg")
    assert "STEP 3" in run(tmp_path, "debug", "model", "config.cfg", "setfit", "-P3")
    run(tmp_path, "init", "labels", "config.cfg", "labels")
    assert json.loads((tmp_path / "labels" / "setfit.json").read_text()) == LABELS
    config = spacy.util.load_config(tmp_path / "config.cfg")
    reader = {"@readers": "spacy.read_labels.v1", "path": "labels/setfit.json"}
    config["initialize"]["components"]["setfit"] = {"labels": reader}
    config.to_disk(tmp_path / "config.cfg")
    run(tmp_path, "train", "config.cfg", "--output", "out")
    for model in ("model-best", "model-last"):
        run(tmp_path, "evaluate", f"out/{model}", "corpus.spacy", "--output", f"{model}.json")
        scores = json.loads((tmp_path / f"{model}.json").read_text())
        assert scores["cats_score"] > 0.8
    trials = ["setfit", "threshold", "cats_macro_f", "--n_trials", "5"]
    assert "Best threshold" in run(
        tmp_path, "find-threshold", "out/model-best", "corpus.spacy", *trials
    )
    run(tmp_path, "benchmark", "accuracy", "out/model-best", "corpus.spacy")
    (tmp_path / "texts.jsonl").write_text('{"text": "hot bread"}\n{"text": ""}\n')
    run(tmp_path, "apply", "out/model-best", "texts.jsonl", "applied.spacy")
    docs = list(DocBin().from_disk(tmp_path / "applied.spacy").get_docs(spacy.blank("en").vocab))
    assert [set(doc.cats) for doc in docs] == [set(LABELS)] * 2


@pytest.mark.slow
def test_config_of_init_config_learns_as_much_as_the_shipped_one(checkpoint, tmp_path):
    write_corpus(tmp_path, checkpoint, "setfit_textcat", pairs=PAIRS * 2)
    run(tmp_path, "init", "config", "-p", "setfit_textcat", "init.cfg")
    shutil.copy(ROOT / "configs" / "setfit.cfg", tmp_path / "shipped.cfg")
    overrides = ["--paths.train", "corpus.spacy", "--paths.dev", "corpus.spacy"]
    path = "components.setfit_textcat"
    overrides += [f"--{path}.model.name", str(checkpoint)]
    overrides += [f"--{path}.training.optimizer.learn_rate", "2e-3"]
    found = {}
    for name, own in (("init", []), ("shipped", ["--paths.log", "null"])):
        run(tmp_path, "train", f"{name}.cfg", "--output", name, *overrides, *own)
        run(tmp_path, "evaluate", f"{name}/model-best", "corpus.spacy", "--output", f"{name}.json")
        found[name] = json.loads((tmp_path / f"{name}.json").read_text())["cats_score"]
    assert found["init"] >= found["shipped"] - 0.01
    assert found["shipped"] > 0.8


@pytest.mark.slow
def test_find_threshold_for_abstaining(checkpoint, tmp_path):
    pairs = [*PAIRS, ("日本語のテキスト", "other"), ("привет мир 🙂", "other")]
    labels = [*LABELS, "other"]
    given = {"abstain": '"other"', "labels": labels, "pairs": pairs}
    write_corpus(tmp_path, checkpoint, "setfit_textcat", **given)
    run(tmp_path, "train", "config.cfg", "--output", "out")
    trials = ["setfit", "abstain_threshold", "cats_micro_f", "--n_trials", "11"]
    printed = run(tmp_path, "find-threshold", "out/model-last", "corpus.spacy", *trials)
    assert "Best threshold" in printed


@pytest.mark.slow
def test_wheel(checkpoint, tmp_path):
    nlp = make(checkpoint)
    nlp.get_pipe("setfit").fit(PAIRS, progress_bar=False)
    nlp.to_disk(tmp_path / "pipeline")
    run(tmp_path, "package", "pipeline", ".", "--name", "try", "--build", "wheel", "--force")
    (wheel,) = tmp_path.rglob("*.whl")
    target = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(target), str(wheel)]
    subprocess.run(pip, check=True, capture_output=True)
    code = "import en_try, json; print(json.dumps(en_try.load()('hot bread').cats))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=target, capture_output=True, text=True, check=False
    )
    assert json.loads(done.stdout) == pytest.approx(nlp("hot bread").cats, abs=1e-6), done.stderr
