"""Distill a small label encoder, the first and last layer of a sentence encoder, from all layers.

    python scripts/distill_label_encoder.py models/minilm corpus/generalist/phrases.json OUTPUT

A label text is a few words, and two layers are enough to give it nearly the vector of all six. The
student learns from the phrasings of types, and from word sequences of the passages beside them. The
embeddings are frozen, so that a bi-encoder can store them once for both of its encoders.
"""

from __future__ import annotations

import copy
import random
from pathlib import Path

import srsly
import torch
import typer
from corpus_files import read_docs
from torch import Tensor, nn
from tqdm import tqdm
from wasabi import msg

from spacy_modernbert.encoder.checkpoint import Checkpoint, load_encoder, save_encoder
from spacy_modernbert.encoder.packing import PackedBatch
from spacy_modernbert.encoder.protocol import Encoder
from spacy_modernbert.text.tokenizer import PieceTokenizer

LEARN_RATE = 4e-4
WARMUP_STEPS = 50
BATCH = 192
LONGEST = 5  # words of a sequence
HELD_OUT = 300  # phrasings to evaluate on


def main(
    encoder: Path,
    phrases: Path,
    output: Path,
    layers: str = "0,5",
    steps: int = 500,
    seed: int = 0,
    progress: bool = True,
) -> None:
    """Train some layers of ENCODER to return the vectors of all, and save them to OUTPUT."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    by_label = srsly.read_json(phrases)
    phrasings = sorted({text for texts in by_label.values() for text in texts})
    rng.shuffle(phrasings)
    held_out, phrasings = phrasings[:HELD_OUT], phrasings[HELD_OUT:]
    passages = [
        [token.text for token in doc] for doc in read_docs(phrases.with_name("passages.spacy"))
    ]
    loaded = load_encoder(encoder)
    teacher, tokenizer = loaded.encoder, loaded.tokenizer
    student = copy_layers(teacher, [int(layer) for layer in layers.split(",")])
    trained = [weight for weight in student.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LEARN_RATE, weight_decay=0.01, fused=True)
    for step in tqdm(range(steps), disable=not progress):
        for group in optimizer.param_groups:
            group["lr"] = LEARN_RATE * min(1.0, (step + 1) / WARMUP_STEPS) * (1 - step / steps)
        batch = [
            rng.choice(phrasings) if rng.random() < 0.5 else draw_words(passages, rng)
            for _ in range(BATCH)
        ]
        with torch.no_grad():
            expected = pool(teacher, tokenizer, batch)
        loss = (pool(student, tokenizer, batch) - expected).square().sum(dim=1).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 5.0)
        optimizer.step()
        optimizer.zero_grad()
    save_encoder(Checkpoint(student.eval(), tokenizer), output)
    with torch.no_grad():
        pairs = [pool(one, tokenizer, held_out) for one in (teacher, student)]
    similarity = torch.cosine_similarity(*pairs).mean()
    msg.good(
        f"Saved to {output}; cosine similarity to the teacher on new phrasings: {similarity:.3f}"
    )


def copy_layers(encoder: Encoder, layers: list[int]) -> Encoder:
    """Copy an encoder with some of its layers and frozen embeddings."""
    student = copy.deepcopy(encoder)
    network = student.network
    network.encoder.layer = nn.ModuleList(network.encoder.layer[i] for i in layers)
    network.config.num_hidden_layers = len(layers)
    network.embeddings.requires_grad_(False)
    return student


def pool(encoder: Encoder, tokenizer: PieceTokenizer, texts: list[str]) -> Tensor:
    """Return the mean vector of all pieces, special ones included. *Shape:* (texts, hidden)."""
    sequences = [
        [*tokenizer.prefix_ids, *pieces.ids, *tokenizer.suffix_ids]
        for pieces in tokenizer.encode_texts(texts)
    ]
    batch = PackedBatch.from_sequences(sequences)
    return torch.stack([vectors.mean(dim=0) for vectors in batch.split(encoder(batch))])


def draw_words(passages: list[list[str]], rng: random.Random) -> str:
    """Draw a few consecutive words from the passages."""
    words = rng.choice(passages)
    start = rng.randrange(len(words))
    return " ".join(words[start : start + rng.randint(1, LONGEST)])


if __name__ == "__main__":
    typer.run(main)
