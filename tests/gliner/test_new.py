import numpy as np
import pytest
import torch

from spacy_modernbert.encoder.checkpoint import Checkpoint
from spacy_modernbert.gliner.checkpoint.serialization import (
    gliner_to_bytes,
    load_gliner,
    save_gliner,
)
from spacy_modernbert.gliner.training.config import TrainingConfig
from spacy_modernbert.gliner.training.new_model import new_gliner
from spacy_modernbert.gliner.training.trainer import GlinerTrainer
from tests.gliner.answers import predict
from tests.gliner.test_training import FAST, FIXED, GOLD, LABELS, TEXTS
from tests.gliner.tiny import tiny_encoder, tiny_piecer

SETTINGS = [
    {"head": "span"},
    {"head": "token"},
    {"head": "span", "width": 24, "rnn_layers": 0},
    {"head": "span", "bi": True},
    {"head": "token", "bi": True, "width": 40},
]


def backbone(width=32, seed=0):
    tokenizer = tiny_piecer(markers=False)
    return Checkpoint(tiny_encoder(tokenizer, width=width, seed=seed), tokenizer)


def make(*, bi=False, **settings):
    labels = backbone(40, seed=1) if bi else None
    return new_gliner(backbone(), labels, names=("tiny/text", "tiny/labels"), **settings)


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_new_model_is_saved_and_loaded(tmp_path, settings):
    model = make(**settings)
    save_gliner(model, tmp_path)
    again = load_gliner(tmp_path)
    state = model.network.state_dict()
    for name, tensor in again.network.state_dict().items():
        assert torch.equal(tensor, state.pop(name))
    assert not state
    assert predict(again, list(GOLD), LABELS) == predict(model, list(GOLD), LABELS)


@pytest.mark.parametrize("settings", SETTINGS)
def test_upstream_loads_a_new_model(tmp_path, settings):
    gliner = pytest.importorskip("gliner")
    save_gliner(make(**settings), tmp_path)
    theirs = gliner.GLiNER.from_pretrained(str(tmp_path), local_files_only=True)
    assert theirs.config.max_width == 12
    ours = {name for name, _ in load_gliner(tmp_path).network.named_parameters()}
    assert ours <= {name for name, _ in theirs.model.named_parameters()}


def test_a_new_model_learns():
    model = make(dropout=0.0)
    trainer = GlinerTrainer(model, TrainingConfig(optimizer=FAST, sampling=FIXED))
    losses = [trainer.step(TEXTS) for _ in range(40)]
    assert losses[-1] < 0.3 * losses[0]


def test_markers_are_new_pieces_and_old_ones_stay():
    plain = backbone()
    before = plain.encoder.embeddings.tok_embeddings.weight.detach().clone()
    model = new_gliner(plain)
    table = model.network.encoder.embeddings.tok_embeddings.weight
    assert len(table) == len(before) + 2
    assert torch.equal(table[: len(before)], before)
    scale = np.linalg.norm(before.numpy(), axis=1)
    assert scale.min() / 3 < table[len(before) :].norm(dim=1).min()
    markers = model.prompt_builder.markers
    assert {markers.ent, markers.sep} == {len(before), len(before) + 1}
    assert len(plain.encoder.embeddings.tok_embeddings.weight) == len(before)


def test_a_seed_gives_the_same_new_model():
    text = backbone()
    state = torch.random.get_rng_state()
    one, same, other = (gliner_to_bytes(new_gliner(text, seed=seed)) for seed in (0, 0, 1))
    assert one == same != other
    assert torch.equal(torch.random.get_rng_state(), state)
