"""The bundled model: small, complete, as good as its card says, and upstream's, too."""

import json
import re

import pytest
import spacy
from spacy.tokens import DocBin
from spacy.training import Example
from thinc.api import Config

from spacy_modernbert.encoder.bundled import bundled_folder

TEXTS = [
    "Steve Jobs founded Apple in Cupertino in 1976.",
    "The Danube flows through Vienna, Budapest and Belgrade.",
    "Ada Lovelace, who wrote about the Analytical Engine, lived in London until 1852.",
]
LABELS = ["person", "company", "river", "city", "year"]


@pytest.fixture(scope="module")
def folder():
    return bundled_folder()


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


def test_it_is_saved_as_small_as_it_is(folder, tmp_path):
    """It computes in float32, and both encoders have the embeddings of pieces."""
    nlp = make(folder, labels=LABELS)
    before = {text: [(e.text, e.label_) for e in nlp(text).ents] for text in TEXTS}
    nlp.to_disk(tmp_path / "nlp")
    saved = (tmp_path / "nlp" / "gliner" / "model" / "model.safetensors").stat().st_size
    assert saved == pytest.approx((folder / "model.safetensors").stat().st_size, rel=0.01)
    assert len(nlp.get_pipe("gliner").to_bytes()) < 1.05 * saved
    loaded = spacy.load(tmp_path / "nlp")
    again = make(folder, labels=LABELS)
    again.get_pipe("gliner").from_bytes(nlp.get_pipe("gliner").to_bytes())
    weights = nlp.get_pipe("gliner").model.checkpoint.network.state_dict()
    for other in (loaded, again):
        found = other.get_pipe("gliner").model.checkpoint.network.state_dict()
        assert found.keys() == weights.keys()
        assert all(found[name].equal(weight) for name, weight in weights.items())
        assert {text: [(e.text, e.label_) for e in other(text).ents] for text in TEXTS} == before


def test_it_states_its_threshold_and_window(folder):
    gliner = make(folder, labels=LABELS).get_pipe("gliner")
    assert (gliner.threshold, gliner.cfg["threshold"]) == (0.25, None)
    assert gliner.model.checkpoint.config.inference_window == 64


def test_joined_texts_have_the_entities_of_single_ones(folder):
    """In windows of 384 words it finds a third less."""
    nlp = make(folder, labels=LABELS)
    texts = [f"{text} " for text in TEXTS] * 12
    alone = sum(len(doc.ents) for doc in nlp.pipe(texts))
    assert len(nlp("".join(texts)).ents) > 0.9 * alone
    nlp.get_pipe("gliner").cfg["window"] = 384
    assert len(nlp("".join(texts)).ents) < 0.9 * alone


def test_sentences_end_entities(folder):
    """A name before the full stop and one behind it: 28 of 42 such pairs were one person."""
    firsts = ["The prize went to Tom", "We wrote to Anna", "The goal was by Kim", "It was Maria"]
    seconds = ["Hillary was second.", "Jordan said nothing.", "Lopez took the floor."]
    nlp = make(folder, labels=["person", "city"])
    nlp.add_pipe("sentencizer", first=True)
    pairs = [f"{first}. {second}" for first in firsts for second in seconds]
    found = [ent for doc in nlp.pipe(pairs) for ent in doc.ents]
    assert len(found) > len(pairs) / 2
    assert not any("." in ent.text for ent in found)
    lines = nlp.make_doc("Anna Bergström\nTom Hillary\nWei Zhang\n")
    for token in lines:
        token.is_sent_start = not token.i or token.nbor(-1).is_space
    nlp.remove_pipe("sentencizer")
    found = [ent.text for ent in nlp(lines).ents]
    assert "Anna Bergström" in found
    assert not any("\n" in text for text in found)


def test_it_knows_spacy_s_labels(folder):
    doc = make(folder, labels=["PERSON", "ORG", "GPE", "DATE"])(
        "Ada Lovelace joined Siemens in Berlin on 3 May 2021."
    )
    assert [(ent.text, ent.label_) for ent in doc.ents] == [
        ("Ada Lovelace", "PERSON"),
        ("Siemens", "ORG"),
        ("Berlin", "GPE"),
        ("3 May 2021", "DATE"),
    ]
