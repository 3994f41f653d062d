"""Pipelines and Docs that another process reads, and first texts in many threads of one."""

import pickle
import shutil
import subprocess
import sys

import pytest
from spacy.tokens import DocBin

from . import gliner_tiny, setfit_data
from .conftest import make_nlp

TEXT = gliner_tiny.TEXT

# What a fresh process finds on a Doc, for each component.
SHOW = {
    "gliner": "doc._.gliner_labels, [e._.score for e in doc.ents], doc._.gliner_entities",
    "setfit": "doc.cats",
    "modernbert": "type(doc._.trf_data).__name__",
    "transformer": "type(doc._.trf_data).__name__",
}


def make_gliner(folders, checkpoint):
    return gliner_tiny.make(folders)


def make_setfit(folders, checkpoint):
    nlp = setfit_data.make(checkpoint)
    nlp.get_pipe("setfit").fit(setfit_data.PAIRS, steps=0, progress_bar=False)
    return nlp


def make_modernbert(folders, checkpoint):
    return make_nlp(checkpoint, factory="modernbert")


def make_transformer(folders, checkpoint):
    return make_nlp(checkpoint)


MAKE = {
    "gliner": make_gliner,
    "setfit": make_setfit,
    "modernbert": make_modernbert,
    "transformer": make_transformer,
}


def run(code, *arguments):
    """Run code in a fresh process that has imported nothing of ours."""
    command = [sys.executable, "-W", "error::UserWarning:spacy_modernbert", "-c", code]
    done = subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def dump(way, thing, path):
    if way == "joblib":
        pytest.importorskip("joblib").dump(thing, path)
    else:
        module = pickle if way == "pickle" else pytest.importorskip("cloudpickle")
        path.write_bytes(module.dumps(thing))


LOAD = """
import pickle, sys
from pathlib import Path
def load(way, path):
    if way == "joblib":
        import joblib
        return joblib.load(path)
    return pickle.loads(Path(path).read_bytes())
"""


@pytest.mark.slow
@pytest.mark.parametrize("way", ["pickle", "cloudpickle", "joblib"])
@pytest.mark.parametrize("name", MAKE)
def test_a_pickled_pipeline_works_in_a_fresh_process(folders, checkpoint, tmp_path, name, way):
    nlp = MAKE[name](folders, checkpoint)
    nlp(TEXT)
    dump(way, nlp, tmp_path / "nlp")
    code = (
        f"nlp = load(*sys.argv[1:3])\nfor doc in (nlp.make_doc(''), nlp({TEXT!r})): {SHOW[name]}\n"
    )
    code += f"print(({SHOW[name]}))"
    doc = nlp(TEXT)
    assert run(LOAD + code, way, tmp_path / "nlp").strip() == str(eval(SHOW[name], {"doc": doc}))


@pytest.mark.slow
@pytest.mark.parametrize("way", ["pickle", "cloudpickle", "joblib"])
@pytest.mark.parametrize("name", MAKE)
def test_a_pickled_component_works_in_a_fresh_process(folders, checkpoint, tmp_path, name, way):
    """The component alone is enough: Docs that it annotates have its extensions."""
    nlp = MAKE[name](folders, checkpoint)
    nlp(TEXT)
    dump(way, nlp.get_pipe(nlp.pipe_names[0]), tmp_path / "pipe")
    code = f"""
from spacy.tokens import Doc
pipe = load(*sys.argv[1:3])
doc = pipe(Doc(pipe.vocab, words={TEXT!r}.split()))
{SHOW[name]}
"""
    run(LOAD + code, way, tmp_path / "pipe")


@pytest.mark.slow
def test_a_closure_over_a_pipeline_works_in_a_fresh_process(folders, checkpoint, tmp_path):
    """As Ray and Dask send them."""
    nlp = make_gliner(folders, checkpoint)

    def annotate(text):
        doc = nlp.make_doc(text)
        doc._.gliner_labels = ["person"]
        return [entity._.score for entity in nlp(doc).ents]

    cloudpickle = pytest.importorskip("cloudpickle")
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        dump("cloudpickle", annotate, tmp_path / "closure")
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    code = f"print(load(*sys.argv[1:3])({TEXT!r}))"
    assert run(LOAD + code, "cloudpickle", tmp_path / "closure").strip() == str(annotate(TEXT))


@pytest.mark.slow
@pytest.mark.parametrize("name", MAKE)
def test_docs_in_a_bin_are_read_in_a_fresh_process(folders, checkpoint, tmp_path, name):
    nlp = MAKE[name](folders, checkpoint)
    doc = nlp(TEXT)
    DocBin(docs=[doc], store_user_data=True).to_disk(tmp_path / "docs.spacy")
    nlp.to_disk(tmp_path / "nlp")
    code = f"""
import sys, spacy
from spacy.tokens import DocBin
nlp = spacy.load(sys.argv[1])
(doc,) = DocBin().from_disk(sys.argv[2]).get_docs(nlp.vocab)
print(({SHOW[name]}))
"""
    found = run(code, tmp_path / "nlp", tmp_path / "docs.spacy").strip()
    assert found == str(eval(SHOW[name], {"doc": doc}))


@pytest.mark.slow
def test_docs_in_a_bin_are_read_without_a_gliner(folders, checkpoint, tmp_path):
    doc = make_gliner(folders, checkpoint)(TEXT)
    DocBin(docs=[doc]).to_disk(tmp_path / "docs.spacy")
    code = f"""
import sys, spacy
from spacy.tokens import DocBin
(doc,) = DocBin().from_disk(sys.argv[1]).get_docs(spacy.blank("en").vocab)
doc._.gliner_labels, doc._.gliner_entities
from spacy_modernbert.pipeline.gliner.extensions import install_extension
install_extension()
print(({SHOW["gliner"]}))
"""
    assert run(code, tmp_path / "docs.spacy").strip() == str(eval(SHOW["gliner"], {"doc": doc}))


@pytest.fixture(scope="module")
def bert(checkpoint, tmp_path_factory):
    """A checkpoint of a network of transformers."""
    import torch
    import transformers

    from spacy_modernbert.text.tokenizer import PieceTokenizer

    torch.manual_seed(0)
    tokenizer = PieceTokenizer.from_folder(checkpoint)
    config = transformers.BertConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=24,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        pad_token_id=tokenizer.pad_id,
    )
    folder = tmp_path_factory.mktemp("bert")
    transformers.BertModel(config).save_pretrained(folder)
    for file in checkpoint.glob("*token*"):
        shutil.copy(file, folder)
    return folder


COLD = """
import sys, threading
import spacy
from thinc.api import Config
root, how = sys.argv[1:]
names = ["gliner", "setfit", "transformer"]

def make(name):  # as `add_pipe` does: weights come with the first text
    return spacy.util.load_model_from_config(Config().from_disk(f"{root}/{name}/config.cfg"))

shared = {}
if how == "first text":
    shared = {"gliner": make("gliner"), "transformer": make("transformer")}
barrier, errors, found = threading.Barrier(8), [], []

def work(number):
    name = names[number % 3]
    barrier.wait()
    try:
        if how == "loading":
            nlp = spacy.load(f"{root}/{name}")
        elif name == "setfit":
            nlp = make(name)
            pairs = [("one text", "x"), ("other", "y")]
            nlp.get_pipe("setfit").fit(pairs, steps=0, progress_bar=False)
        else:
            nlp = shared[name]
        doc = nlp("Apple was founded in Cupertino.")
        values = {
            "gliner": lambda: [round(x, 3) for x in doc.spans["sc"].attrs["scores"]],
            "setfit": lambda: [round(x, 3) for x in doc.cats.values()],
            "transformer": lambda: doc._.trf_data.model_output.last_hidden_state.shape,
        }
        found.append((name, str(values[name]())))
    except BaseException as error:
        errors.append(f"{name}: {error!r}")

threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
import torch
assert not errors, errors
assert len(set(found)) == 3, found
layer = torch.nn.Linear(2, 2)
assert layer.weight.device.type == "cpu" and layer.weight.abs().sum() > 0
assert torch.get_default_dtype() == torch.float32
"""


@pytest.fixture(scope="module")
def saved(folders, bert, tmp_path_factory):
    """Pipelines of the three components."""
    root = tmp_path_factory.mktemp("saved")
    setfit = setfit_data.make(bert)
    setfit.get_pipe("setfit").fit(setfit_data.PAIRS, steps=0, progress_bar=False)
    pipelines = {
        "gliner": gliner_tiny.make(folders, "bi_span", threshold=0.05),
        "setfit": setfit,
        "transformer": make_nlp(bert, factory="modernbert"),
    }
    for name, nlp in pipelines.items():
        nlp.to_disk(root / name)
    return root


@pytest.mark.slow
@pytest.mark.parametrize("how", ["first text", "loading"])
def test_threads_may_start_cold(saved, how):
    """Ten fresh processes of eight threads each, for all components at once."""
    for _ in range(10):
        run(COLD, saved, how)


@pytest.mark.parametrize("name", ["gliner", "modernbert"])
def test_the_model_can_be_loaded_before_the_first_text(folders, checkpoint, name):
    nlp = MAKE[name](folders, checkpoint)
    (pipe,) = (pipe for _, pipe in nlp.components)
    assert not pipe.model.shim.is_loaded
    pipe.model.initialize()
    loaded = pipe.model.checkpoint
    nlp(TEXT)
    assert pipe.model.checkpoint is loaded
