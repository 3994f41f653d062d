"""What people get wrong in the first call: each message says what to write instead."""

import pytest
import spacy
from huggingface_hub import constants

from spacy_modernbert.encoder.bundled import FOLDER
from tests.gliner.tiny import tiny_model

LABELS = ["person", "city"]
TEXT = "Anna lives in Paris."


@pytest.fixture(scope="module")
def folders(tmp_path_factory, checkpoint):
    """Folders of all kinds, by what they hold."""
    from spacy_modernbert.gliner.checkpoint.serialization import save_gliner
    from spacy_modernbert.setfit.checkpoint.read import load_sentence_encoder
    from spacy_modernbert.setfit.checkpoint.write import save_sentence_encoder

    root = tmp_path_factory.mktemp("folders")
    save_gliner(tiny_model(), root / "gliner")
    save_sentence_encoder(load_sentence_encoder(checkpoint), root / "sentences")
    spacy.blank("en").to_disk(root / "pipeline")
    (root / "empty").mkdir()
    names = ("gliner", "sentences", "pipeline", "empty")
    return {"encoder": str(checkpoint), **{name: str(root / name) for name in names}}


def use(factory, **config):
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe(factory, config={"device": "cpu", **config})
    if factory == "setfit_textcat":
        pipe.fit([("bread", "food"), ("goal", "sport")], steps=0)
    return nlp(TEXT)


@pytest.mark.parametrize(
    ("labels", "step"),
    [
        ([], r'SM162.*config={"labels": \["person", "city"\]}'),
        ({}, r'SM162.*config={"labels": \["person", "city"\]}'),
        ("person", r"SM131.*'person'.*such as \['person'\]"),
        ("person, city", r"SM131.*such as \['person', 'city'\]"),
        ("", r"SM131.*such as \['person', 'city'\]"),
        (None, r"SM131.*None.*such as"),
        (3, r"SM131.*3.*such as"),
        ([1, 2], r"SM131.*\[1, 2\].*such as"),
        ([["person"]], r"SM131.*such as"),
        ({"PER": None}, r"SM131.*such as.*mapping of each label to the text"),
        (["person", ""], r"SM108.*Give every label a name"),
    ],
)
def test_labels_of_gliner(labels, step):
    with pytest.raises(ValueError, match=step):
        use("gliner", labels=labels)


@pytest.mark.parametrize("labels", ["person", 3, [1], {"person"}])
def test_labels_of_a_call_and_of_a_doc(labels):
    nlp = spacy.blank("en")
    nlp.add_pipe("gliner", config={"labels": LABELS, "device": "cpu"})
    with pytest.raises(ValueError, match=r"SM131.*Give a list"):
        nlp(TEXT, component_cfg={"gliner": {"labels": labels}})
    doc = nlp.make_doc(TEXT)
    doc._.gliner_labels = labels
    with pytest.raises(ValueError, match=r"SM131.*Give a list"):
        nlp(doc)


def test_a_tuple_of_labels_is_a_list(tmp_path):
    nlp = spacy.blank("en")
    nlp.add_pipe("gliner", config={"labels": ("person", "city"), "device": "cpu"})
    found = [ent.text for ent in nlp(TEXT).ents]
    assert found
    nlp.to_disk(tmp_path)
    assert [ent.text for ent in spacy.load(tmp_path)(TEXT).ents] == found


def test_setfit_without_texts_says_how_to_teach_it():
    nlp = spacy.blank("en")
    nlp.add_pipe("setfit_textcat", name="desk")
    with pytest.raises(ValueError, match=r"SM205.*get_pipe\('desk'\)\.fit\(\[\("):
        nlp(TEXT)


@pytest.mark.parametrize("text", [5, ["one", "two"], None])
@pytest.mark.parametrize("factory", ["gliner", "setfit_textcat"])
def test_something_else_than_a_text(factory, text):
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe(factory)
    with pytest.raises(ValueError, match="E1041"):
        nlp(text)
    for call in (pipe, pipe.predict):
        with pytest.raises(ValueError, match=rf"(SM165|SM216).*'{factory}'.*Use nlp\(text\)"):
            call(text)


@pytest.mark.parametrize(
    ("factory", "folder", "step"),
    [
        ("gliner", "encoder", r"SM164.*`modernbert`.*new_head"),
        ("gliner", "sentences", r"SM164.*`setfit_textcat`.*'bundled'"),
        ("gliner", "pipeline", r"SM160.*spacy\.load"),
        ("gliner", "empty", r"SM100.*'bundled'"),
        ("setfit_textcat", "gliner", r"SM163.*`gliner` component.*--labels-encoder"),
        ("setfit_textcat", "pipeline", r"SM160.*spacy\.load"),
        ("setfit_textcat", "empty", r"SM040.*no config.json"),
        ("modernbert", "gliner", r"SM163.*convert-gliner.*--encoder"),
        ("modernbert", "pipeline", r"SM160.*spacy\.load"),
        ("modernbert", "empty", r"SM040.*no config.json"),
    ],
)
def test_folder_of_another_kind(factory, folder, step, folders):
    config = {"model": {"name": folders[folder]}}
    if factory == "gliner":
        config["labels"] = LABELS
    nlp = spacy.blank("en")
    nlp.add_pipe(factory, config=config)
    with pytest.raises((ValueError, FileNotFoundError), match=step):
        nlp.initialize()


def test_the_encoder_of_a_new_head_is_no_gliner():
    nlp = spacy.blank("en")
    gliner = nlp.add_pipe("gliner", config={"labels": LABELS})
    with pytest.raises(ValueError, match="SM163"):
        gliner.initialize(lambda: [], new_head={"encoder": "bundled"})


def test_a_plain_encoder_is_a_sentence_encoder_too(folders):
    assert use("setfit_textcat", model={"name": folders["encoder"]}).cats


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("bundeled", r"SM040.*the bundled model is 'bundled'\)\. Check"),
        ("Bundled", r"SM040.*the bundled model is 'bundled'\)\. Check"),
        (str(FOLDER) + "n", r"SM040.*but there is .*gliner-minilm\)\. Check"),
        ("https://huggingface.co/owner/name/tree/main", r"SM040.*its name is 'owner/name'"),
        ("owner/nmae", r"SM040.*HF_HUB_OFFLINE.*hf download owner/nmae`.*'bundled'\. Check"),
    ],
)
@pytest.mark.parametrize("factory", ["gliner", "setfit_textcat"])
def test_name_with_a_typo(factory, name, step, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    config = {"model": {"name": name}, **({"labels": LABELS} if factory == "gliner" else {})}
    with pytest.raises(FileNotFoundError, match=step):
        use(factory, **config)


def test_no_network(monkeypatch):
    """The hub's own words end with a full stop, and ours follow."""
    from spacy_modernbert.encoder import hub

    def snapshot(name, *, local_files_only=False, **kwargs):
        raise hub.LocalEntryNotFoundError("Check your connection and try again.")

    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(FileNotFoundError, match=r"SM040.*try again\. If.*'bundled'") as error:
        use("gliner", labels=LABELS, model={"name": "owner/name"})
    assert ".." not in str(error.value)


@pytest.mark.parametrize("factory", ["gliner", "setfit_textcat"])
def test_name_without_its_block(factory):
    with pytest.raises(ValueError, match=r'SM166.*config={"model": {"name": \'owner/name\'}}'):
        use(factory, model="owner/name")


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "cuda:x", "", "meta"])
@pytest.mark.parametrize("factory", ["gliner", "setfit_textcat"])
def test_wrong_device(factory, device):
    config = {"labels": LABELS} if factory == "gliner" else {}
    with pytest.raises(ValueError, match=rf"SM132.*'{device}'.*'cpu'.*'auto'") as error:
        use(factory, device=device, **config)
    assert len(str(error.value)) < 300
