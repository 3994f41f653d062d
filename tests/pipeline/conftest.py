import pytest
import spacy

MODEL = "spacy_modernbert.ModernBertModel.v1"
LISTENER = {
    "@architectures": "spacy-transformers.TransformerListener.v1",
    "grad_factor": 1.0,
    "upstream": "*",
    "pooling": {"@layers": "reduce_mean.v1"},
}

TRAIN = [
    ("Maria Lopez works at Apple .", {"entities": [(0, 11, "PER"), (21, 26, "ORG")]}),
    ("Apple hired Tom in Lisbon .", {"entities": [(0, 5, "ORG"), (12, 15, "PER")]}),
    ("The bridge is old .", {"entities": []}),
    ("Tom and Maria Lopez left Google .", {"entities": [(0, 3, "PER"), (8, 19, "PER")]}),
]
TAGS = [
    ["N", "N", "V", "P", "N", "."],
    ["N", "V", "N", "P", "N", "."],
    ["D", "N", "V", "A", "."],
    ["N", "C", "N", "N", "V", "N", "."],
]


def make_nlp(checkpoint, *, factory="transformer", **settings):
    """A blank pipeline with an encoder in front."""
    nlp = spacy.blank("en")
    model = {"@architectures": MODEL, "name": str(checkpoint), **settings}
    nlp.add_pipe(factory, name="transformer", config={"model": model})
    return nlp


def ner_model(tok2vec):
    """The model of an ner."""
    return {
        "@architectures": "spacy.TransitionBasedParser.v2",
        "state_type": "ner",
        "extra_state_tokens": False,
        "hidden_width": 32,
        "maxout_pieces": 2,
        "use_upper": False,
        "tok2vec": tok2vec,
    }


def add_listeners(nlp):
    """A tagger and an ner that listen to the encoder."""
    tagger = {"@architectures": "spacy.Tagger.v2", "nO": None, "tok2vec": LISTENER}
    nlp.add_pipe("tagger", config={"model": tagger})
    nlp.add_pipe("ner", config={"model": ner_model(LISTENER)})
    return nlp


def examples(nlp):
    from spacy.training import Example

    made = []
    for (text, annotations), tags in zip(TRAIN, TAGS, strict=True):
        doc = nlp.make_doc(text)
        made.append(Example.from_dict(doc, {**annotations, "tags": tags}))
    return made


@pytest.fixture
def nlp(checkpoint):
    nlp = make_nlp(checkpoint)
    nlp.initialize()
    return nlp


@pytest.fixture
def full_nlp(checkpoint):
    """Encoder, tagger and ner, ready to train."""
    nlp = add_listeners(make_nlp(checkpoint))
    data = examples(nlp)
    nlp.initialize(lambda: data)
    return nlp


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Tiny random GLiNERs: folders by their kinds."""
    from spacy_modernbert.gliner.checkpoint.serialization import save_gliner
    from tests.gliner.tiny import tiny_model

    root = tmp_path_factory.mktemp("gliner")
    for kind in ("uni_span", "bi_span"):
        save_gliner(tiny_model(kind), root / kind)
    return root
