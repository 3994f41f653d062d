"""Small real checkpoints, built once a session and offline."""

import contextlib
import os

# Before anything imports transformers or tokenizers.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"

# What the small tokenizers learn their pieces from: prose, code, and other scripts.
TEXTS = [
    "Apple buys a U.K. startup for $1 billion, said Maria Lopez in Lisbon on Monday.",
    "The quick brown fox doesn't jump over the lazy dog; it sleeps under the old bridge instead.",
    "def tokenize(text, *, limit=None):\n        return [piece for piece in text.split()]",
    "Zürich, naïve café, über 100 €; 日本語のテキスト, привет мир, 🙂👍🏽 and that's all.",
]


def pytest_addoption(parser):
    with contextlib.suppress(ValueError):  # another conftest of the same run has added it
        parser.addoption("--slow", action="store_true", help="run the slow tests too")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--slow"):
        return
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="needs --slow"))


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """The folder of a ModernBERT of three layers, with sliding windows of 8 pieces to a side."""
    from spacy_modernbert.encoder.checkpoint import Checkpoint, save_encoder
    from spacy_modernbert.encoder.initialization import new_encoder
    from spacy_modernbert.encoder.modernbert_config import ModernBertConfig
    from spacy_modernbert.text.tokenizer_training import train_tokenizer

    tokenizer = train_tokenizer(TEXTS, vocab_size=500, max_length=512)
    config = ModernBertConfig.from_dict(
        {
            "model_type": "modernbert",
            "vocab_size": tokenizer.vocab_size,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "local_attention": 16,
            "max_position_embeddings": 512,
            "pad_token_id": tokenizer.pad_id,
        }
    )
    folder = tmp_path_factory.mktemp("checkpoint")
    save_encoder(Checkpoint(new_encoder(config, seed=0), tokenizer), folder)
    return folder
