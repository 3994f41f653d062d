"""Pipelines that learn entities on one encoder: our `gliner`, and spaCy's `ner` and `spancat`."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import spacy
from data import Sentence, frequent_labels
from labels import COMMON_LABELS
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from thinc.api import Adam, warmup_linear

BATCH = 8
STOCK_RATE = 2e-4
RATES = {"learn_rate": 5e-5, "head_learn_rate": 5e-4}
# Score of spaCy by which each system is compared.
SCORES = {"ours": "ents_f", "ner": "ents_f", "spancat": "spans_sc_f"}


def make_examples(nlp: Language, sentences: Sequence[Sentence]) -> list[Example]:
    """Make examples with entities, and with the same spans as a group."""
    examples = []
    for sentence in sentences:
        gold = Doc(nlp.vocab, words=sentence.words)
        spans = [Span(gold, *span) for span in sentence.spans]
        gold.set_ents(spacy.util.filter_spans(spans), default="outside")
        gold.spans["sc"] = list(gold.ents)
        examples.append(Example(Doc(nlp.vocab, words=sentence.words), gold))
    return examples


def training_settings(labels: Sequence[str], steps: int, rehearse: float = 0.0) -> dict[str, Any]:
    """Return the training settings of our component: every text is read with all labels."""
    return {
        "optimizer": {**RATES, "total_steps": max(steps, 1)},
        "sampling": {"negative_ratio": None, "drop_types": 0.0, "max_types": len(labels)},
        "rehearsal": {"weight": rehearse, "labels": COMMON_LABELS},
    }


def add_gliner(
    nlp: Language,
    labels: Sequence[str],
    steps: int,
    *,
    encoder: Path | None = None,
    start: Path | None = None,
    rehearse: float = 0.0,
    precision: str = "float32",
) -> None:
    """Add our component, from a checkpoint if ``start`` is one, or with a new head."""
    config: dict[str, Any] = {
        "labels": list(labels),
        "device": "cpu",
        "training": training_settings(labels, steps, rehearse),
        "model": {"precision": precision},
    }
    if start is not None:
        config["model"]["name"] = str(start)
    else:
        nlp.config["initialize"]["components"]["gliner"] = {"new_head": {"encoder": str(encoder)}}
    nlp.add_pipe("gliner", config=config)


def save_new_gliner(encoder: Path, folder: Path) -> Path:
    """Put a new head on an encoder. Return the folder of the checkpoint."""
    nlp = spacy.blank("en")
    add_gliner(nlp, ["entity"], 1, encoder=encoder)
    nlp.initialize()
    nlp.to_disk(folder)
    return folder / "gliner" / "model"


def tok2vec(encoder: Path) -> dict[str, Any]:
    """Return the config of the encoder inside one of spaCy's own pipes."""
    return {
        "@architectures": "spacy_modernbert.ModernBertTok2Vec.v1",
        "name": str(encoder),
        "pooling": {"@layers": "reduce_mean.v1"},
    }


def add_ner(nlp: Language, encoder: Path) -> None:
    """Add spaCy's transition-based parser."""
    model = {
        "@architectures": "spacy.TransitionBasedParser.v2",
        "state_type": "ner",
        "extra_state_tokens": False,
        "hidden_width": 64,
        "maxout_pieces": 2,
        "use_upper": False,
        "tok2vec": tok2vec(encoder),
    }
    nlp.add_pipe("ner", config={"model": model})


def add_spancat(nlp: Language, encoder: Path) -> None:
    """Add spaCy's span classifier, with all spans of up to 12 tokens."""
    model = {
        "@architectures": "spacy.SpanCategorizer.v1",
        "reducer": {"@layers": "spacy.mean_max_reducer.v1", "hidden_size": 128},
        "scorer": {"@layers": "spacy.LinearLogistic.v1", "nO": None, "nI": None},
        "tok2vec": tok2vec(encoder),
    }
    suggester = {"@misc": "spacy.ngram_range_suggester.v1", "min_size": 1, "max_size": 12}
    nlp.add_pipe("spancat", config={"model": model, "suggester": suggester})


def make_pipeline(
    system: str,
    encoder: Path,
    labels: Sequence[str],
    steps: int,
    start: Path | None,
    rehearse: float = 0.0,
) -> Language:
    """Make a pipeline with one of the systems."""
    nlp = spacy.blank("en")
    if system == "ours":
        add_gliner(nlp, labels, steps, encoder=encoder, start=start, rehearse=rehearse)
    elif system == "ner":
        add_ner(nlp, encoder)
    else:
        add_spancat(nlp, encoder)
    return nlp


def train_and_score(
    system: str,
    encoder: Path,
    train: Sequence[Sentence],
    test: Sequence[Sentence],
    steps: int,
    start: Path | None,
    rehearse: float = 0.0,
) -> tuple[float, float, Language]:
    """Train one of the systems on the batches that all get.

    Returns:
        F1 in percent, seconds of CPU time, and the pipeline.
    """
    nlp = make_pipeline(system, encoder, frequent_labels(train, 100), steps, start, rehearse)
    examples = make_examples(nlp, train)
    begin = time.process_time()
    nlp.initialize(lambda: examples)
    sgd = Adam(warmup_linear(STOCK_RATE, steps // 10, max(steps, 1)), L2=0.01)
    rng = random.Random(0)
    for _ in range(steps):
        batch = rng.sample(examples, min(BATCH, len(examples)))
        nlp.update(batch, sgd=sgd, drop=0.1)
        sgd.step_schedules()
    seconds = time.process_time() - begin
    scores = nlp.evaluate(make_examples(nlp, test))
    return 100 * scores[SCORES[system]], seconds, nlp
