"""Texts and pipelines for the tests of `setfit_textcat`."""

import spacy
from spacy.training import Example

TOPICS = {
    "food": ["bread and butter", "a bowl of hot soup", "butter the bread", "soup and bread"],
    "sport": ["they lost the match", "a match won late", "the team lost", "a late win of the team"],
    "money": ["pay by card", "the card was charged", "charged twice", "pay the bill by card"],
}
PAIRS = [(text, label) for label, texts in TOPICS.items() for text in texts]
TEXTS = ["hot bread", "", "the match was lost", "   ", "pay for the soup by card"]
# Fast enough to show within a few steps.
FAST = {"learn_rate": 2e-3, "warmup_steps": 0, "total_steps": 8}


def make(folder, factory="setfit_textcat", *, training=None, **config):
    """A blank pipeline with the component."""
    nlp = spacy.blank("en")
    training = {"optimizer": FAST, **(training or {})}
    config = {"model": {"name": str(folder)}, "training": training, **config}
    nlp.add_pipe(factory, name="setfit", config=config)
    return nlp


def gold(nlp, pairs=PAIRS, labels=None):
    """Examples with every label annotated."""
    names = list(dict.fromkeys(label for _, label in pairs)) if labels is None else labels
    return [
        Example.from_dict(nlp.make_doc(text), {"cats": {n: float(n == label) for n in names}})
        for text, label in pairs
    ]


def cats(nlp, texts=TEXTS):
    return [doc.cats for doc in nlp.pipe(texts)]
