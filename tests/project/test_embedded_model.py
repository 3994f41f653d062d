"""The bundled model: small, complete, as good as its card says, and upstream's, too."""

import json
import re

import pytest
import spacy
from spacy.tokens import DocBin
from spacy.training import Example
from thinc.api import Config

TEXTS = [
    "Steve Jobs founded Apple in Cupertino in 1976.",
    "The Danube flows through Vienna, Budapest and Belgrade.",
    "Ada Lovelace, who wrote about the Analytical Engine, lived in London until 1852.",
]
LABELS = ["person", "company", "river", "city", "year"]


@pytest.fixture(scope="module")
def folder(root):
    return root / "assets" / "models" / "gliner-minilm"


def make(folder, **config):
    nlp = spacy.blank("en")
    nlp.add_pipe("gliner", config={"model": {"name": str(folder)}, "device": "cpu", **config})
    return nlp


def test_it_is_small_and_names_no_machine(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 60_000_000
    config = json.loads((folder / "gliner_config.json").read_text())
    assert [config["model_name"], config["labels_encoder"]] == [
        "models/minilm", "models/minilm-labels",
    ]  # fmt: skip
    assert not re.search(r"/(home|root|tmp|work)/", json.dumps(config))


def test_its_card_names_all_that_it_learnt_from(root, folder):
    config = Config().from_disk(root / "configs" / "gliner_generalist.cfg", interpolate=False)
    card = (folder / "README.md").read_text(encoding="utf8")
    sources = set(config["corpora"]["train"]["sources"]) - {"passages", "general"}
    sources = {name.removesuffix("_person") for name in sources}
    named = set(re.findall(r"\b[a-z0-9_]+\b", card.split("| Set |")[1].split("\n\n")[0]))
    assert sources <= named
    assert f"{config['training']['max_steps']:,} steps" in card


def test_upstream_finds_the_same(folder):
    gliner = pytest.importorskip("gliner")
    theirs = gliner.GLiNER.from_pretrained(str(folder), local_files_only=True)
    nlp = make(folder, labels=LABELS, threshold=0.25, words="gliner")
    for text, expected in zip(TEXTS, theirs.inference(TEXTS, LABELS, threshold=0.25), strict=True):
        doc = nlp(text)
        found = [(ent.start_char, ent.end_char, ent.label_) for ent in doc.ents]
        assert found == [(one["start"], one["end"], one["label"]) for one in expected]
        scores = [one["score"] for one in expected]
        assert doc.spans["sc"].attrs["scores"] == pytest.approx(scores, abs=2e-4)


def test_zero_shot_on_the_demo_s_sentences(root, folder, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "scripts"))
    import convert

    convert.main(root / "assets" / "sentences.txt", tmp_path)
    labels = Config().from_disk(root / "configs" / "gliner.cfg")["components"]["gliner"]["labels"]
    nlp = make(folder, labels=labels, threshold=0.25)
    gold = DocBin().from_disk(tmp_path / "test.spacy").get_docs(nlp.vocab)
    scores = nlp.evaluate([Example(nlp.make_doc(doc.text), doc) for doc in gold])
    assert scores["ents_f"] > 0.65
