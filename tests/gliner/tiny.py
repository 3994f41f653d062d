"""Tiny random checkpoints of every kind, without upstream gliner."""

from __future__ import annotations

from dataclasses import replace

import torch
from tokenizers import AddedToken, Tokenizer

from spacy_modernbert.encoder.initialization import new_encoder
from spacy_modernbert.encoder.modernbert_config import ModernBertConfig
from spacy_modernbert.gliner.inference.model import GlinerModel
from spacy_modernbert.gliner.inference.prompt import marker_names
from spacy_modernbert.gliner.modeling.config import GlinerConfig
from spacy_modernbert.gliner.modeling.network import Gliner
from spacy_modernbert.gliner.modeling.structure import Structure
from spacy_modernbert.text.tokenizer import PieceTokenizer
from spacy_modernbert.text.tokenizer_training import train_tokenizer
from tests.gliner.answers import logits

TEXTS = [
    "Apple Inc. was founded by Steve Jobs in Cupertino, California, in 1976.",
    "Dr. Maria-Luisa O'Neill moved from the University of Cambridge to Zürich on 12/03/2021.",
    "The quick brown fox jumps over the lazy dog; state-of-the-art e-mail@example.com http://x.org",
    "In 1999 Angela Merkel met Bill Clinton in Berlin, Germany and in Washington D.C.",
    "person organization location date award team company city country product phone number",
]
LABELS = ["person", "organization", "location", "date of birth", "award"]
KINDS = {
    "uni_span": {},
    "uni_marker": {"span_mode": "marker"},
    "uni_v1": {"span_mode": "markerV1"},
    "uni_token": {"span_mode": "token_level"},
    "uni_token_spans": {"span_mode": "token_level", "represent_spans": True},
    "uni_mean": {"subtoken_pooling": "mean"},
    "uni_max": {"subtoken_pooling": "max"},
    "uni_last": {"subtoken_pooling": "last", "num_rnn_layers": 0},
    "uni_fuse": {"fuse_layers": True},
    "bi_span": {"labels_encoder": "tiny/labels"},
    "bi_token": {"labels_encoder": "tiny/labels", "span_mode": "token_level"},
    "bi_poly": {"labels_encoder": "tiny/labels", "post_fusion_schema": "l2l-l2t-t2l-t2t"},
}


def tiny_piecer(*, max_length: int = 256, markers: bool = True) -> PieceTokenizer:
    """A byte-level tokenizer, with or without the markers in its vocabulary."""
    tokenizer = train_tokenizer(TEXTS, vocab_size=420, max_length=max_length)
    if not markers:
        return tokenizer
    extended = Tokenizer.from_str(tokenizer._files["tokenizer.json"].decode())
    names = marker_names(GlinerConfig())
    extended.add_special_tokens([AddedToken(name, normalized=False) for name in sorted(names)])
    files = {**tokenizer._files, "tokenizer.json": extended.to_str().encode()}
    return PieceTokenizer(files, markers=names)


def tiny_encoder(tokenizer: PieceTokenizer, *, width: int = 32, seed: int = 0, spare: int = 0):
    """An encoder of two layers, with embeddings for ``spare`` more pieces."""
    config = ModernBertConfig.from_dict(
        {
            "model_type": "modernbert",
            "vocab_size": tokenizer.vocab_size + spare,
            "hidden_size": width,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "local_attention": 16,
            "global_attn_every_n_layers": 2,
            "max_position_embeddings": tokenizer.model_max_length,
            "pad_token_id": tokenizer.pad_id,
        }
    )
    return spread(new_encoder(config, seed=seed), seed=seed, scale=1.0)


def spread(module, *, seed: int, scale: float):
    """Weights so large that words differ and scores go from 0 to 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.dim() == 2:
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.copy_(noise * scale / parameter.shape[1] ** 0.5)
    return module


def tiny_model(
    kind: str = "uni_span", *, seed: int = 0, max_length: int = 256, width: int = 32, **settings
) -> GlinerModel:
    """A whole model of a kind, in memory."""
    given = {"max_width": 4, "max_len": 64, "hidden_size": width, "model_name": "tiny/text"}
    config = GlinerConfig.from_dict({**given, **KINDS[kind], **settings})
    tokenizer = tiny_piecer(max_length=max_length)
    text, labels, labels_tokenizer = tiny_encoder(tokenizer, seed=seed), None, None
    config = replace(config, encoder_config=text.config.to_dict())
    if config.is_bi:
        labels_tokenizer = tiny_piecer(markers=False)
        labels = tiny_encoder(labels_tokenizer, width=40, seed=seed + 1)
        config = replace(config, labels_encoder_config=labels.config.to_dict())
    spans = config.represent_spans or not config.is_token
    structure = Structure(
        vocabulary=text.config.vocab_size,
        width=width,
        marker=("markerV0" if config.is_token else config.span_mode) if spans else None,
        rnn_layers=0 if config.is_bi else config.num_rnn_layers,
        cross_layers=int(bool(config.post_fusion_schema)),
        projection=None if width == 32 else 32,
        labels_projection=40 if config.is_bi else None,
        fuser=2 if config.fuse_layers else 0,
        has_labels_encoder=config.is_bi,
    )
    torch.manual_seed(seed)
    network = Gliner(config, structure, text, labels).eval()
    for name, module in network.named_children():
        if name != "token_rep_layer":
            spread(module, seed=seed, scale=1.2)
    model = GlinerModel(network, tokenizer, labels_tokenizer)
    last = network.scorer.out_mlp if config.is_token else network.prompt_rep_layer
    scores = torch.cat([part.flatten() for part in logits(model, TEXTS, LABELS)])
    with torch.no_grad():
        for parameter in last.outer.parameters():
            parameter.mul_(3.0 / scores.std())
    return model
