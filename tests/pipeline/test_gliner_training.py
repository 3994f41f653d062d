"""The `gliner` pipe as something that learns, in spaCy's own ways."""

import copy
import pickle
import re
import warnings

import numpy as np
import pytest
import spacy
from spacy.tokens import DocBin
from spacy.training import Example
from thinc.api import Config

from spacy_modernbert.encoder.checkpoint import Checkpoint, save_encoder
from spacy_modernbert.gliner.checkpoint.serialization import save_gliner
from spacy_modernbert.gliner.inference.model import GlinerModel
from tests.gliner.tiny import tiny_encoder, tiny_model, tiny_piecer

TRAIN = [
    ("Steve Jobs founded Apple in Cupertino", ["0:2:PERSON", "3:4:ORG", "5:6:city"]),
    ("Angela Merkel met Bill Clinton in Berlin", ["0:2:PERSON", "3:5:PERSON", "6:7:city"]),
    ("Apple hired Maria Lopez", ["0:1:ORG", "2:4:PERSON"]),
    ("It rained in Lisbon and in Zürich", ["3:4:city", "6:7:city"]),
    ("Nothing to see here", []),
]
WORDS = {"ORG": "organization", "PERSON": "person", "city": "city"}
FAST = {
    "optimizer": {
        "learn_rate": 3e-3,
        "head_learn_rate": 5e-3,
        "warmup_ratio": 0.0,
        "lr_schedule": "constant",
    },
    "sampling": {"negative_ratio": None, "drop_types": 0.0},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("gliner")
    for kind in ("uni_span", "bi_span"):
        save_gliner(tiny_model(kind, dropout=0.0), root / kind)
    tokenizer = tiny_piecer(markers=False)
    save_encoder(Checkpoint(tiny_encoder(tokenizer), tokenizer), root / "encoder")
    return root


def make(folders, kind="uni_span", *, training=None, **config):
    nlp = spacy.blank("en")
    training = Config(FAST).merge(training or {})
    given = {"model": {"name": str(folders / kind)}, "training": training, "device": "cpu"}
    nlp.add_pipe("gliner", config={**given, **config})
    return nlp


def examples(nlp, data=TRAIN):
    made = []
    for text, spans in data:
        doc = nlp.make_doc(text)
        bounds = [re.match(r"(\d+):(\d+):(.+)", span).groups() for span in spans]
        ents = [doc[int(s) : int(e)] for s, e, _ in bounds]
        entities = [(e.start_char, e.end_char, b[2]) for e, b in zip(ents, bounds, strict=True)]
        made.append(Example.from_dict(doc, {"entities": entities}))
    return made


def train(nlp, steps=50, data=TRAIN, **update):
    given = examples(nlp, data)
    sgd = nlp.initialize(lambda: given)
    losses = []
    for _ in range(steps):
        losses.append(nlp.update(given, sgd=sgd, **update)["gliner"])
    return losses


def answers(nlp):
    return [[(e.text, e.label_) for e in doc.ents] for doc in nlp.pipe(t for t, _ in TRAIN)]


def gold(nlp):
    return [[(e.text, e.label_) for e in eg.reference.ents] for eg in examples(nlp)]


@pytest.mark.parametrize("kind", ["uni_span", "bi_span"])
def test_it_learns_and_is_saved(folders, tmp_path, kind):
    nlp = make(folders, kind)
    losses = train(nlp, steps=50)
    assert losses[-1] < 0.1 * losses[0]
    assert answers(nlp) == gold(nlp)
    scores = nlp.evaluate(examples(nlp))
    assert scores["ents_f"] == 1.0
    assert scores["ents_per_type"]["city"]["f"] == 1.0
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    assert answers(again) == gold(nlp)
    assert again.get_pipe("gliner").label_data == WORDS
    for copied in (
        copy.deepcopy(nlp.get_pipe("gliner")),
        pickle.loads(pickle.dumps(nlp)).get_pipe("gliner"),
    ):
        assert copied.trainer._trainer is None
        assert copied.trainer.model is copied.model
    # What was loaded learns on.
    more = again.resume_training()
    losses = again.update(examples(again), sgd=more)
    assert 0 < losses["gliner"] < 0.2 * train(make(folders, kind), steps=1)[0]


def test_labels_of_the_examples_in_words(folders):
    nlp = make(folders, training={"label_texts": {"city": "town"}})
    given = examples(nlp)
    nlp.initialize(lambda: given)
    assert nlp.get_pipe("gliner").label_data == {**WORDS, "city": "town"}


def test_configured_labels_stay(folders):
    nlp = make(folders, labels={"PERSON": "human being"})
    train(nlp, steps=1)
    pipe = nlp.get_pipe("gliner")
    assert pipe.label_data == {"PERSON": "human being"}
    given = examples(nlp)
    pipe.initialize(lambda: given, labels=["PERSON", "city"])
    assert pipe.labels == ("PERSON", "city")


def test_labels_that_nothing_is_annotated_with(folders):
    """`person` where the annotation says PERSON would teach that there are none."""
    nlp = make(folders, labels=["person", "company"])
    with pytest.raises(ValueError, match=r"SM155.*'ORG', 'PERSON', 'city'.*'company', 'person'"):
        nlp.initialize(lambda: examples(nlp))
    nlp = make(folders, labels=["person", "city"])  # one will do
    nlp.initialize(lambda: examples(nlp))
    blank = [Example.from_dict(nlp.make_doc("Nobody looked."), {})]
    nlp = make(folders, labels=["person"])
    nlp.initialize(lambda: blank)


def test_a_new_head_on_an_encoder(folders, tmp_path):
    nlp = make(folders, "not there")
    given = examples(nlp)
    new_head = {"encoder": str(folders / "encoder"), "max_width": 3, "head_dropout": 0.0}
    nlp.config["initialize"]["components"]["gliner"] = {"new_head": new_head}
    nlp.initialize(lambda: given)
    network = nlp.get_pipe("gliner").model.shim.checkpoint.network
    assert network.config.max_width == 3
    losses = [nlp.update(given)["gliner"] for _ in range(40)]
    assert losses[-1] < 0.4 * losses[0]
    nlp.to_disk(tmp_path)
    assert answers(spacy.load(tmp_path)) == answers(nlp)


def test_a_new_bi_encoder(folders):
    nlp = make(folders, "not there")
    given = examples(nlp)
    pipe = nlp.get_pipe("gliner")
    name = str(folders / "encoder")
    new_head = {"encoder": name, "labels_encoder": name, "head": "token"}
    pipe.initialize(lambda: given, new_head=new_head)
    config = pipe.model.shim.checkpoint.config
    assert config.is_bi
    assert config.is_token


def test_a_new_bi_encoder_that_starts_from_similarity(folders):
    still = {"optimizer": {"learn_rate": 0.0, "head_learn_rate": 0.0}}
    nlp = make(folders, "not there", training=still)
    given = examples(nlp)
    pipe, name = nlp.get_pipe("gliner"), str(folders / "encoder")
    both = {"encoder": name, "labels_encoder": name}
    similar = {**both, "head_init": "similarity"}
    pipe.initialize(lambda: given, new_head=similar, phrases={"ORG": ["company", "firm"]})
    pipe.set_labels(["Lisbon"])
    scores = [list(pipe(eg.predicted).spans["sc"].attrs["scores"]) for eg in given]
    pipe.initialize(list, new_head=both)  # nothing is annotated as Lisbon
    assert scores != [list(pipe(eg.predicted).spans["sc"].attrs["scores"]) for eg in given]


@pytest.mark.parametrize("settings", [{"labels_encoder": None}, {"head": "token"}])
def test_only_bi_encoders_of_spans_start_from_similarity(folders, settings):
    nlp = make(folders, "not there")
    name = str(folders / "encoder")
    given = {"encoder": name, "labels_encoder": name, "head_init": "similarity", **settings}
    with pytest.raises(ValueError, match="SM154"):
        nlp.get_pipe("gliner").initialize(lambda: examples(nlp), new_head=given)


def test_a_new_head_with_an_unknown_setting(folders):
    nlp = make(folders)
    with pytest.raises(ValueError, match=r"SM065.*\n.*new_head.max_with.*'max_width'"):
        nlp.get_pipe("gliner").initialize(list, new_head={"max_with": 3})


def test_phrases_of_the_initialisation_are_drawn_and_not_saved(folders, tmp_path, monkeypatch):
    nlp = make(folders, "bi_span", training={"sampling": {"shuffle": False}})
    given = examples(nlp)
    pipe = nlp.get_pipe("gliner")
    pipe.initialize(lambda: given, nlp=nlp, phrases={"PERSON": ["human", "man or woman"]})
    read = []
    rows = GlinerModel.label_sequences
    monkeypatch.setattr(
        GlinerModel, "label_sequences", lambda self, words: read.extend(words) or rows(self, words)
    )
    for _ in range(12):
        nlp.update(given)
    assert {"human", "man or woman", "city", "organization"} == set(read)
    nlp.to_disk(tmp_path)
    assert "human" not in (tmp_path / "config.cfg").read_text()


def weights(nlp):
    return nlp.get_pipe("gliner").model.to_bytes()


def test_updates_are_split_as_spacy_trains(folders):
    nlp = make(folders, training={"sampling": {"shuffle": False}})
    given = examples(nlp)
    sgd = nlp.initialize(lambda: given)
    before, losses = weights(nlp), {}
    for part in (given[:3], given[3:]):
        nlp.update(part, sgd=False, losses=losses)
    assert weights(nlp) == before
    nlp.get_pipe("gliner").finish_update(sgd)
    assert weights(nlp) != before
    whole = make(folders, training={"sampling": {"shuffle": False}})
    whole.initialize(lambda: given)
    assert whole.update(given)["gliner"] == pytest.approx(losses["gliner"], rel=1e-4)


def test_the_optimizer_of_the_config(folders):
    """With plain gradient descent a step is the gradient times the rate of that optimiser."""
    from thinc.api import SGD

    nlp = make(folders, training={"use_training_optimizer": True})
    given = examples(nlp)
    nlp.initialize(lambda: given)
    pipe = nlp.get_pipe("gliner")
    network = pipe.model.shim.checkpoint.network
    before = {n: p.detach().clone() for n, p in network.named_parameters()}
    pipe.update(given)
    gradients = {n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}
    pipe.finish_update(SGD(1e-3, L2=0.0, grad_clip=0.0))
    for name, parameter in network.named_parameters():
        moved = (before[name] - parameter.detach()) / 1e-3
        np.testing.assert_allclose(moved, gradients[name], atol=2e-3, rtol=1e-2)
        assert parameter.grad is None


@pytest.mark.parametrize("kind", ["uni_span", "bi_span"])
def test_a_seed_gives_the_same_weights(folders, kind):
    def run(seed):
        sampling = {"drop_types": 1.0, "negative_ratio": 1}
        nlp = make(folders, kind, training={"seed": seed, "sampling": sampling})
        train(nlp, steps=3, drop=0.2)
        return weights(nlp)

    assert run(0) == run(0) != run(1)


def test_vectors_of_labels_are_those_of_the_new_weights(folders):
    nlp = make(folders, "bi_span", labels=["person", "city"], threshold=0.1)
    nlp(TRAIN[0][0])
    given = examples(nlp, [("Ann met Bo", ["0:1:person"])])
    nlp.update(given, sgd=nlp.create_optimizer())
    gliner = nlp.get_pipe("gliner").model.checkpoint
    assert gliner.label_vectors.items() == ([], None)
    nlp(TRAIN[0][0])
    fresh = gliner.encode_labels(["person"]).detach()
    np.testing.assert_allclose(gliner.vectors_of(["person"]), fresh, atol=1e-6)


def test_nothing_annotated_is_nothing_learnt(folders):
    nlp = make(folders, labels=["person"])
    nlp.initialize()
    before = weights(nlp)
    doc = nlp.make_doc("Nobody looked at this")
    plain = [Example(doc, doc.copy()), Example(nlp.make_doc(""), nlp.make_doc(""))]
    assert nlp.update(plain, sgd=nlp.create_optimizer()) == {"gliner": 0.0}
    assert weights(nlp) == before


def test_spans_that_cannot_be_learnt_are_reported(folders):
    nlp = make(folders)
    wide = [("a b c d e f g", ["0:6:wide", "6:7:narrow"]), ("h i j k l m", ["0:6:wide"])]
    given = examples(nlp, wide)
    with pytest.warns(UserWarning, match=r"SMW150.*2 of the 3 .*2 are wider.*wide: 2"):
        nlp.initialize(lambda: given)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        train(make(folders), steps=0)


def test_steps_without_numbers_are_reported(folders):
    nlp = make(folders)
    given = examples(nlp)
    sgd = nlp.initialize(lambda: given)
    nlp.update(given, sgd=False)
    pipe, before = nlp.get_pipe("gliner"), weights(nlp)
    next(pipe.model.shim.checkpoint.network.parameters()).grad[0] = np.nan
    with pytest.warns(UserWarning, match="SMW151"):
        pipe.finish_update(sgd)
    assert weights(nlp) == before


@pytest.mark.parametrize(
    ("block", "setting", "value"),
    [
        ("sampling", "drop_types", 1.5),
        ("optimizer", "learn_rate", -1),
        ("sampling", "max_types", 0),
        ("loss", "kind", "bce"),
        ("rehearsal", "labels", 3),
    ],
)
def test_settings_that_cannot_be_used(folders, block, setting, value):
    with pytest.raises(ValueError, match=rf"SM065.*\n.*gliner\.training\.{block}\.{setting}"):
        make(folders, training={block: {setting: value}})


def test_a_shared_text_encoder_is_not_trained(folders):
    nlp = make(folders, "bi_span", features="doc", labels=["person"])
    with pytest.raises(ValueError, match="SM153"):
        nlp.update(examples(nlp))
    frozen = make(
        folders, "bi_span", features="doc", labels=["city"], training={"freeze": ["encoder"]}
    )
    assert frozen.update(examples(frozen))["gliner"] > 0


def test_the_length_of_the_training_is_that_of_the_config(folders):
    nlp = make(folders, training={"optimizer": {"lr_schedule": "linear"}})
    nlp.config["training"]["max_steps"] = 2
    nlp.config["corpora"]["train"]["path"] = "train.spacy"  # as in `spacy train`
    losses = train(nlp, steps=2)
    before = weights(nlp)
    # Two steps are the whole training: the rate is back at nothing.
    nlp.update(examples(nlp), sgd=nlp.create_optimizer())
    assert weights(nlp) == before
    assert losses[1] != losses[0]


def test_a_training_loop_of_ones_own_has_no_warm_up_of_thousands_of_steps(folders):
    """`[training]` of a blank pipeline plans 20,000 steps, which nothing in such a loop follows."""
    schedule = {"lr_schedule": "cosine", "warmup_ratio": 0.1}
    nlp = make(folders, training={"optimizer": schedule})
    losses = train(nlp, steps=50)
    assert losses[-1] < 0.1 * losses[0]
    assert answers(nlp) == gold(nlp)


def test_averages_of_the_training_optimizer_are_used(folders):
    from thinc.api import Adam

    nlp = make(folders, "bi_span", labels=["PERSON", "ORG", "city"], threshold=0.01)
    pipe = nlp.get_pipe("gliner")
    pipe.trainer.config = pipe.trainer.config.model_copy(update={"use_training_optimizer": True})
    given = examples(nlp)
    nlp.initialize(lambda: given)
    sgd = Adam(1e-2, use_averages=True)
    for _ in range(3):
        nlp.update(given, sgd=sgd)
    assert sgd.averages
    last, texts = weights(nlp), [text for text, _ in TRAIN]

    def scores():
        return [doc.spans["sc"].attrs["scores"] for doc in nlp.pipe(texts)]

    of_last = scores()
    with nlp.use_params(sgd.averages):
        assert weights(nlp) != last
        assert scores() != of_last
    assert weights(nlp) == last
    assert scores() == of_last


def test_rehearsal(folders):
    others = ["animal", "weapon", "river"]
    nlp = make(folders, training={"rehearsal": {"weight": 1.0, "labels": others}})
    assert train(nlp, steps=1)[0] > train(make(folders), steps=1)[0]
    plain = make(folders, labels=others)
    docs = [nlp.make_doc(text) for text, _ in TRAIN]
    texts = [Example(doc, doc.copy()) for doc in docs]
    before = weights(plain)
    losses = plain.rehearse(texts)
    assert losses["gliner"] > 0
    assert weights(plain) != before


def test_other_pipes_learn_beside_it(folders):
    nlp = make(folders)
    nlp.add_pipe("ner", first=True)
    given = examples(nlp)
    sgd = nlp.initialize(lambda: given)
    losses = nlp.update(given, sgd=sgd)
    assert losses["ner"] > 0
    assert losses["gliner"] > 0
    before = weights(nlp)
    nlp.update(given, sgd=sgd, exclude=["gliner"])
    assert weights(nlp) == before


CONFIG = """
[paths]
train = null
dev = null

[nlp]
lang = "en"
pipeline = ["gliner"]

[components]

[components.gliner]
factory = "gliner"
device = "cpu"

[components.gliner.model]
name = {model}

[components.gliner.training]

[components.gliner.training.optimizer]
learn_rate = 0.003
head_learn_rate = 0.005
lr_schedule = "constant"
warmup_ratio = 0.0

[components.gliner.training.sampling]
negative_ratio = null
drop_types = 0.0

[corpora]

[corpora.train]
@readers = "spacy_modernbert.MixedCorpus.v1"

[corpora.train.sources]

[corpora.train.sources.one]
path = ${{paths.train}}

[corpora.dev]
@readers = "spacy_modernbert.MixedCorpus.v1"
shuffle = false

[corpora.dev.sources]

[corpora.dev.sources.one]
path = ${{paths.dev}}

[training]
dev_corpus = "corpora.dev"
train_corpus = "corpora.train"
max_steps = 120
eval_frequency = 40
patience = 0

[training.before_to_disk]
@callbacks = "spacy_modernbert.atomic_save.v1"

[training.batcher]
@batchers = "spacy.batch_by_sequence.v1"
size = 5
"""


@pytest.mark.slow
def test_spacy_train(folders, tmp_path):
    """The command, with a config that was filled in and a mix; then once more from there."""
    import subprocess
    import sys

    blank = spacy.blank("en")
    DocBin(docs=[eg.reference for eg in examples(blank)]).to_disk(tmp_path / "train.spacy")
    (tmp_path / "base.cfg").write_text(CONFIG.format(model=f'"{folders / "uni_span"}"'))

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", "spacy", *map(str, arguments)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("init", "fill-config", tmp_path / "base.cfg", tmp_path / "full.cfg")
    full = (tmp_path / "full.cfg").read_text()
    assert "negative_ratio = null" in full
    assert "[components.gliner.training.rehearsal]" in full
    data = tmp_path / "train.spacy"
    paths = ("--paths.train", data, "--paths.dev", data)
    run("train", tmp_path / "full.cfg", "--output", tmp_path / "out", *paths)
    scores = spacy.load(tmp_path / "out" / "model-best").meta["performance"]
    assert scores["ents_f"] > 0.9
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["model-best", "model-last"]
    resumed = Config().from_str(full, interpolate=False)
    resumed["components"]["gliner"] = {"source": str(tmp_path / "out" / "model-last")}
    resumed.to_disk(tmp_path / "resumed.cfg")
    out = run("train", tmp_path / "resumed.cfg", "--output", tmp_path / "more", *paths)
    first = re.search(r"^\s+0\s+0\s+([\d.]+)\s+([\d.]+)", out, flags=re.MULTILINE)
    assert float(first.group(2)) > 90
