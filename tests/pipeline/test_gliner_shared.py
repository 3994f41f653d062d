"""Bi-encoders that read texts with the shared encoder: the same answers, or a refusal."""

import numpy as np
import pytest
import spacy
import torch
from typer.testing import CliRunner

from spacy_modernbert.cli import app
from spacy_modernbert.encoder.checkpoint import load_encoder, save_encoder
from spacy_modernbert.gliner.checkpoint.serialization import load_gliner, save_gliner
from spacy_modernbert.gliner.inference.predict import find_spans
from spacy_modernbert.gliner.inference.sequences import SplitText
from tests.gliner.tiny import tiny_model

from .conftest import make_nlp
from .gliner_tiny import LABELS, TEXT, TEXTS, make, same, spans

NASTY = ["<<ENT>> person <<SEP>> Steve", "\u200b x", "日本語 \U0001f642", *TEXTS]


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    """Bi-encoders, with their text encoders beside them."""
    root = tmp_path_factory.mktemp("encoders")
    for kind in ("bi_span", "bi_token", "bi_poly"):
        save_gliner(tiny_model(kind, subtoken_pooling="mean"), root / "source")
        command = ["convert-gliner", str(root / "source"), str(root / kind)]
        command += ["--encoder", str(root / f"{kind}-encoder")]
        assert CliRunner().invoke(app, command).exit_code == 0
    return root


def shared(encoders, kind="bi_span", *, factory="modernbert", encoder=None, mode="words", **config):
    nlp = make_nlp(encoder or encoders / f"{kind}-encoder", factory=factory, mode=mode)
    return make(encoders, kind, nlp=nlp, features="doc", **config)


@pytest.mark.parametrize("kind", ["bi_span", "bi_token", "bi_poly"])
@pytest.mark.parametrize("factory", ["modernbert", "transformer"])
def test_the_same_answers(encoders, kind, factory):
    nlp, own = shared(encoders, kind, factory=factory), make(encoders, kind)
    docs = list(nlp.pipe(NASTY, batch_size=4))
    assert sum(len(doc.spans["sc"]) for doc in docs) > 10
    for doc, text in zip(docs, NASTY, strict=True):
        assert same(spans(doc), spans(own(text)))
        assert same(spans(nlp(text)), spans(doc))


def test_the_text_encoder_runs_once_a_network(encoders, monkeypatch):
    from spacy_modernbert.gliner.modeling.backbone import Backbone

    nlp = shared(encoders)
    runs = []
    forward = Backbone.forward

    def counted(self, batch, **options):
        runs.append(batch)
        return forward(self, batch, **options)

    monkeypatch.setattr(Backbone, "forward", counted)
    list(nlp.pipe(TEXTS))
    assert len(runs) == 2  # the labels, and the one Doc that is compared
    list(nlp.pipe(TEXTS))
    assert len(runs) == 2


def test_long_docs_and_given_spans(encoders):
    text = " ".join([TEXT] * 5)
    own = make(encoders, "bi_span", window=1000)
    # Windows of the transformer decide what is seen, ours only cut the scoring.
    assert same(spans(shared(encoders, window=16, overlap=4)(text)), spans(own(text)))
    suggester = {"@misc": "spacy.ngram_suggester.v1", "sizes": [2]}
    config = {"candidates": suggester, "threshold": 0.05, "window": 1000}
    own = make(encoders, "bi_span", **config)
    assert same(spans(shared(encoders, **config)(text)), spans(own(text)))


def test_saved_and_loaded(encoders, tmp_path):
    nlp = shared(encoders)
    nlp.to_disk(tmp_path)
    assert same(spans(spacy.load(tmp_path)(TEXT)), spans(nlp(TEXT)))


@pytest.mark.parametrize("mode", ["text", "words"])
def test_pieces_and_weights_must_be_those_of_the_checkpoint(encoders, tmp_path, mode):
    """A text cut as a whole has other pieces; an encoder that has learnt has other weights."""
    folder = encoders / "bi_span-encoder"
    if mode == "words":
        trained = load_encoder(folder)
        with torch.no_grad():
            trained.encoder.layers[0].mlp.Wi.weight.mul_(1.05)
        folder = tmp_path / "trained"
        save_encoder(trained, folder)
    nlp = shared(encoders, encoder=folder, mode=mode)
    reason = "other pieces" if mode == "text" else "other weights"
    with pytest.raises(ValueError, match=rf"SM136.*{reason}"):
        nlp(TEXT)


def test_how_far_the_pieces_of_whole_texts_would_lead(encoders):
    """Why they are refused. A word with the space before it stands for its piece in a text."""
    model = load_gliner(encoders / "bi_span")
    words = TEXT.split()
    spaced = [words[0], *(f" {word}" for word in words[1:])]
    pieces = [model.tokenizer.encode_words([[word] for word in some]) for some in (words, spaced)]
    changed = [not np.array_equal(a.ids, b.ids) for a, b in zip(*pieces, strict=True)]
    assert sum(changed) == len(words) - 1
    texts = [SplitText(words), SplitText(spaced)]
    found = find_spans(model, texts, LABELS, thresholds=0.0)
    alone, whole = (np.log(c.scores / (1 - c.scores)) for c in found)
    assert np.abs(alone - whole).mean() > 0.5 * alone.std()


def test_what_can_not_be_shared(encoders, folders):
    with pytest.raises(ValueError, match=r"SM136.*no transformer"):
        make(encoders, "bi_span", features="doc")(TEXT)
    with pytest.raises(ValueError, match=r"SM135.*uni-encoder"):
        make(folders, "uni_span", features="doc")(TEXT)
    with pytest.raises(ValueError, match=r"SM135.*words"):
        shared(encoders, words="gliner")(TEXT)
    nlp = shared(encoders)
    with nlp.select_pipes(disable="transformer"), pytest.raises(ValueError, match="SM136"):
        nlp(TEXT)
