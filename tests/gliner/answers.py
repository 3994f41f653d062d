"""Predictions in upstream's form, out of our functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from spacy_modernbert.gliner.inference.decoding import choose_spans
from spacy_modernbert.gliner.inference.model import GlinerModel
from spacy_modernbert.gliner.inference.predict import find_spans
from spacy_modernbert.gliner.inference.sequences import SplitText
from spacy_modernbert.gliner.inference.words import split_words
from spacy_modernbert.gliner.modeling.span_layout import span_bounds

Entity = tuple[int, int, str, float]


def predict(
    model: GlinerModel,
    texts: Sequence[str],
    labels: Sequence[str] | Mapping[str, str],
    *,
    threshold: float = 0.5,
    flat_ner: bool = True,
    multi_label: bool = False,
    **options,
) -> list[list[Entity]]:
    """Entities of texts: start and end in characters, label, score."""
    names = list(labels)
    prompts = list(labels.values()) if isinstance(labels, Mapping) else names
    spans = [split_words(text) for text in texts]
    found = find_spans(
        model,
        [SplitText(span.words) for span in spans],
        prompts,
        thresholds=threshold,
        **options,
    )
    entities = []
    for span, candidates in zip(spans, found, strict=True):
        kept = candidates.take(
            choose_spans(candidates, nested=not flat_ner, multi_label=multi_label)
        )
        entities.append(
            [
                (int(span.starts[start]), int(span.ends[end - 1]), names[label], float(score))
                for start, end, label, score in zip(
                    kept.starts, kept.ends, kept.labels, kept.scores, strict=True
                )
            ]
        )
    return entities


def theirs(entities: Sequence[Sequence[dict]]) -> list[list[Entity]]:
    """Upstream's entities as tuples."""
    return [[(e["start"], e["end"], e["label"], e["score"]) for e in text] for text in entities]


def same(one: Sequence[Sequence[Entity]], other: Sequence[Sequence[Entity]], tol=1e-4) -> bool:
    """Whether two predictions have the same entities in order, and about the same scores."""
    plain = [[[e[:3] for e in text] for text in found] for found in (one, other)]
    scores = [[e[3] for text in found for e in text] for found in (one, other)]
    return plain[0] == plain[1] and all(abs(a - b) < tol for a, b in zip(*scores, strict=True))


def on_edge(
    model: GlinerModel, texts: Sequence[str], labels: Sequence[str], *, threshold: float
) -> list[bool]:
    """Whether a text has a candidate so near the threshold that rounding decides about it."""
    words = [SplitText(split_words(text).words) for text in texts]
    found = find_spans(model, words, labels, thresholds=threshold - 1e-4)
    return [bool((c.scores < threshold + 1e-4).any()) for c in found]


def logits(model: GlinerModel, texts: Sequence[str], labels: Sequence[str]) -> list[torch.Tensor]:
    """Logits of texts that fit one sequence, in the layout of the network."""
    words = [split_words(text).words for text in texts]
    prompt = model.prompt_builder.prompt(labels)
    sequences = [
        model.prompt_builder.sequence(prompt, pieces, 0, len(words[i]))
        for i, pieces in enumerate(model.prompt_builder.encode(words))
    ]
    with torch.no_grad():
        vectors = model.encode_labels(labels) if model.config.is_bi else None
        return model.network(model.network.encode(sequences, vectors))


def grid(scores: torch.Tensor, n_words: int, max_width: int) -> torch.Tensor:
    """Logits of a span model as upstream lays them out; -inf where a span would leave the text.

    *Shape:* (spans, labels) to (words, max_width, labels).
    """
    starts, ends = span_bounds(n_words, max_width)
    laid_out = scores.new_full((n_words, max_width, scores.shape[1]), -torch.inf)
    laid_out[starts, ends - starts - 1] = scores
    return laid_out
