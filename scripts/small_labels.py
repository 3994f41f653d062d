"""A small label encoder: the first and the last layer of a sentence encoder, taught by all of it.

    python scripts/small_labels.py models/minilm corpus/generalist/phrases.json models/minilm-labels

A label is a few words, and two layers are enough to give it nearly the vector that six give. What
is learnt from are the phrasings of types, and runs of words from the passages beside them; the
embeddings stay as they are, so that a bi-encoder can store them once for both of its encoders.
"""

from __future__ import annotations

import copy
import random
from pathlib import Path

import spacy
import srsly
import torch
import typer
from spacy.tokens import DocBin
from torch import Tensor, nn
from tqdm import tqdm
from wasabi import msg

from spacy_modernbert.encoder.checkpoint import Checkpoint, load_encoder, save_encoder
from spacy_modernbert.encoder.packing import PackedBatch
from spacy_modernbert.encoder.protocol import Encoder
from spacy_modernbert.text.tokenizer import PieceTokenizer

RATE = 4e-4
WARM_UP = 50
BATCH = 192
LONGEST = 5  # words of a run
HELD_OUT = 300  # phrasings that say how well it went


def main(
    encoder: Path,
    phrases: Path,
    output: Path,
    layers: str = "0,5",
    steps: int = 500,
    seed: int = 0,
    progress: bool = True,
) -> None:
    """Teach some layers of ENCODER to give the vectors of all, and save them to OUTPUT."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    known = srsly.read_json(phrases)
    words = sorted({phrasing for phrasings in known.values() for phrasing in phrasings})
    rng.shuffle(words)
    held_out, words = words[:HELD_OUT], words[HELD_OUT:]
    texts = read_texts(phrases.with_name("passages.spacy"))
    loaded = load_encoder(encoder)
    student = take_layers(loaded.encoder, [int(layer) for layer in layers.split(",")])
    trained = [weight for weight in student.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=RATE, weight_decay=0.01, fused=True)
    for step in tqdm(range(steps), disable=not progress):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / WARM_UP) * (1 - step / steps)
        batch = [rng.choice(words) if rng.random() < 0.5 else run(texts, rng) for _ in range(BATCH)]
        with torch.no_grad():
            expected = pool(loaded.encoder, loaded.tokenizer, batch)
        found = pool(student, loaded.tokenizer, batch)
        loss = (found - expected).square().sum(dim=1).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 5.0)
        optimizer.step()
        optimizer.zero_grad()
    save_encoder(Checkpoint(student.eval(), loaded.tokenizer), output)
    with torch.no_grad():
        pairs = [pool(one, loaded.tokenizer, held_out) for one in (loaded.encoder, student)]
    likeness = torch.cosine_similarity(*pairs).mean()
    msg.good(f"Saved to {output}; cosine of new phrasings with the teacher's: {likeness:.3f}")


def take_layers(encoder: Encoder, layers: list[int]) -> Encoder:
    """A copy with some of the layers, whose embeddings do not learn."""
    student = copy.deepcopy(encoder)
    network = student.network
    network.encoder.layer = nn.ModuleList(network.encoder.layer[i] for i in layers)
    network.config.num_hidden_layers = len(layers)
    network.embeddings.requires_grad_(False)
    return student


def pool(encoder: Encoder, tokenizer: PieceTokenizer, texts: list[str]) -> Tensor:
    """The mean of the vectors of all pieces, special ones included. *Shape:* (texts, hidden)."""
    rows = [
        [*tokenizer.prefix_ids, *row.ids, *tokenizer.suffix_ids]
        for row in tokenizer.encode_texts(texts)
    ]
    batch = PackedBatch.from_sequences(rows)
    return torch.stack([row.mean(dim=0) for row in batch.split(encoder(batch))])


def read_texts(path: Path) -> list[list[str]]:
    """The words of the passages."""
    docs = DocBin().from_disk(path).get_docs(spacy.blank("en").vocab)
    return [[token.text for token in doc] for doc in docs]


def run(texts: list[list[str]], rng: random.Random) -> str:
    """A few words that follow each other in some text."""
    words = rng.choice(texts)
    start = rng.randrange(len(words))
    return " ".join(words[start : start + rng.randint(1, LONGEST)])


if __name__ == "__main__":
    typer.run(main)
