import numpy as np
import torch

from spacy_modernbert.encoder.modernbert import ModernBert
from spacy_modernbert.encoder.modernbert_config import ModernBertConfig

VOCAB = 120


def make_dict(**changes):
    """A `config.json` of transformers 4, small."""
    return {
        "model_type": "modernbert",
        "vocab_size": VOCAB,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "max_position_embeddings": 8192,
        "local_attention": 16,
        "global_attn_every_n_layers": 3,
        "pad_token_id": 0,
        **changes,
    }


def fill_randomly(module, seed=0, std=0.1):
    """Weights that make attention sharp enough for a mistake in it to show."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for param in module.parameters():
            param.normal_(1.0 if param.dim() == 1 else 0.0, std, generator=generator)
    return module


def make_encoder(seed=0, *, precision="float32", std=0.1, **changes):
    config = ModernBertConfig.from_dict(make_dict(**changes))
    return fill_randomly(ModernBert(config, precision=precision), seed, std).eval()


def make_rows(lengths, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(1, VOCAB, size=n) for n in lengths]
