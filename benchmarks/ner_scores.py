"""Zero-shot entities of a pipeline with a `gliner`, and their F1."""

from __future__ import annotations

from collections.abc import Sequence

from data import Sentence, Span, all_labels
from spacy.language import Language
from spacy.tokens import Doc

CROSSNER = [
    "crossner_politics",
    "crossner_literature",
    "crossner_music",
    "crossner_science",
    "crossner_ai",
]
Scores = dict[Span, float]


def find_spans(nlp: Language, sentences: Sequence[Sentence], threshold: float) -> list[Scores]:
    """Search each sentence for all labels of the set at once.

    Args:
        nlp: A pipeline with a `gliner`.
        sentences: The sentences of a set.
        threshold: Probability that spans must exceed.

    Returns:
        Spans of each sentence with their probabilities. They do not overlap.
    """
    docs = [Doc(nlp.vocab, words=sentence.words) for sentence in sentences]
    cfg = {"gliner": {"labels": all_labels(sentences), "threshold": threshold}}
    groups = [doc.spans["sc"] for doc in nlp.pipe(docs, component_cfg=cfg)]
    return [
        {
            (span.start, span.end, span.label_): float(score)
            for span, score in zip(group, group.attrs["scores"], strict=True)
        }
        for group in groups
    ]


def micro_f1(
    sentences: Sequence[Sentence],
    found: Sequence[Scores],
    threshold: float = 0.0,
    label: str | None = None,
) -> float:
    """Compute F1 over all spans of a set, in percent.

    A higher threshold than that of the search gives the same spans as a search with it would,
    because decoding takes the best spans first.

    Args:
        sentences: The annotated sentences.
        found: What `find_spans` returned.
        threshold: Probability that spans must exceed.
        label: The only label that counts. Default: all labels.
    """
    correct = total = 0
    for sentence, scores in zip(sentences, found, strict=True):
        gold = {span for span in sentence.spans if label in (None, span[2])}
        kept = {s for s, score in scores.items() if score > threshold and label in (None, s[2])}
        correct += len(gold & kept)
        total += len(gold) + len(kept)
    return 200.0 * correct / max(total, 1)
