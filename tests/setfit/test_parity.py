"""Beside sentence-transformers and setfit themselves, where they are installed."""

import itertools
import json
import shutil

import numpy as np
import pytest
import torch

from spacy_modernbert.setfit.checkpoint.folder_config import POOLING_MODES
from spacy_modernbert.setfit.checkpoint.import_setfit import load_setfit
from spacy_modernbert.setfit.checkpoint.read import Overrides, load_sentence_encoder
from spacy_modernbert.setfit.checkpoint.write import save_sentence_encoder

from .conftest import TOPICS, write_modules

peer = pytest.importorskip("sentence_transformers")

TEXTS = [
    "Where is my parcel?",
    "",
    "It never arrived. " * 100,
    "Zürich, naïve café 日本語",
    *itertools.chain(*TOPICS.values()),
]
WIDTH = 32


def assert_equal(folder, **settings):
    found = load_sentence_encoder(folder).encode_texts(TEXTS)
    wanted = peer.SentenceTransformer(str(folder), device="cpu", **settings).encode(TEXTS)
    # Sums of many vectors are long, so their last digits are larger.
    np.testing.assert_allclose(found, wanted, atol=1e-5, rtol=1e-5)


def test_minilm(minilm, tmp_path):
    assert_equal(minilm)
    save_sentence_encoder(load_sentence_encoder(minilm), tmp_path / "saved")
    assert_equal(tmp_path / "saved")


@pytest.mark.parametrize("include_prompt", [True, False])
@pytest.mark.parametrize("mode", [*POOLING_MODES, "several", "reversed"])
def test_pooling(any_folder, tmp_path, mode, include_prompt):
    folder = shutil.copytree(any_folder, tmp_path / "copy")
    modes = {"several": list(POOLING_MODES), "reversed": ["max", "cls"]}.get(mode, [mode])
    settings = {"embedding_dimension": WIDTH, "pooling_mode": modes}
    write_modules(folder, ("Pooling", {**settings, "include_prompt": include_prompt}, {}))
    prompts = {"prompts": {"search": "search: "}, "default_prompt_name": "search"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    assert_equal(folder)
    save_sentence_encoder(load_sentence_encoder(folder), tmp_path / "saved")
    assert_equal(tmp_path / "saved")


def test_what_the_peer_saves(any_folder, tmp_path):
    models = peer.models
    core = models.Transformer(str(any_folder))
    core.max_seq_length = 24
    parts = [
        core,
        models.Pooling(WIDTH, pooling_mode="max"),
        models.Dense(WIDTH, 9, activation_function=torch.nn.GELU()),
        models.LayerNorm(9),
        models.Normalize(),
    ]
    peer.SentenceTransformer(modules=parts, device="cpu").save(str(tmp_path / "theirs"))
    assert load_sentence_encoder(tmp_path / "theirs").input_config.max_length == 24
    assert_equal(tmp_path / "theirs")
    save_sentence_encoder(load_sentence_encoder(tmp_path / "theirs"), tmp_path / "ours")
    assert_equal(tmp_path / "ours")


def test_lower_case(any_folder, tmp_path):
    folder = shutil.copytree(any_folder, tmp_path / "copy")
    write_modules(folder, ("Pooling", {"embedding_dimension": WIDTH, "pooling_mode": "mean"}, {}))
    (folder / "sentence_bert_config.json").write_text('{"do_lower_case": true}')
    assert_equal(folder)


def test_an_own_prompt_is_saved(any_folder, tmp_path):
    own = Overrides(prompt="about: ", normalize=True, pooling="cls", max_length=12)
    save_sentence_encoder(load_sentence_encoder(any_folder, overrides=own), tmp_path / "saved")
    assert_equal(tmp_path / "saved")


@pytest.mark.parametrize("strategy", [None, "one-vs-rest", "multi-output"])
@pytest.mark.parametrize("normalize", [False, True])
def test_setfit_gives_the_same_probabilities(any_folder, tmp_path, strategy, normalize):
    setfit = pytest.importorskip("setfit")
    model = setfit.SetFitModel.from_pretrained(
        str(any_folder),
        labels=["zebra", "apple", "mouse"],
        normalize_embeddings=normalize,
        multi_target_strategy=strategy,
        device="cpu",
    )
    classes = [i for i, group in enumerate(TOPICS.values()) for _ in group]
    answers = classes if strategy is None else (np.eye(3, dtype=int)[classes]).tolist()
    texts = list(itertools.chain(*TOPICS.values()))
    model.fit(texts, answers, num_epochs=1)
    model.save_pretrained(str(tmp_path / "setfit"))
    wanted = np.asarray(model.predict_proba(TEXTS, as_numpy=True))
    if wanted.ndim == 3:
        wanted = wanted[:, :, 1]
    ours = load_setfit(tmp_path / "setfit")
    assert ours.labels == ["zebra", "apple", "mouse"]
    found = ours.head.probabilities(ours.encoder.encode_texts(TEXTS))
    np.testing.assert_allclose(found, wanted, atol=1e-5)
