"""Pipelines around tiny random GLiNERs, and what they say, in a form that compares."""

import spacy

TEXT = "Apple Inc. was founded by Steve Jobs in Cupertino, California, in 1976."
TEXTS = [TEXT, "", "   ", "Berlin", "Dr. O'Neill can't move to Zürich \n on 12/03/2021.", TEXT * 3]
LABELS = ["person", "location"]


def make(folders, kind="uni_span", *, nlp=None, **config):
    """A pipeline with a GLiNER from a folder of folders."""
    nlp = nlp or spacy.blank("en")
    given = {"labels": LABELS, "threshold": 0.3, "model": {"name": str(folders / kind)}}
    nlp.add_pipe("gliner", config={**given, **config})
    return nlp


def spans(doc, key="sc"):
    """Start, end, label, score, and start and end in characters of each span."""
    group = doc.spans[key]
    scores = [round(float(score), 4) for score in group.attrs["scores"]]
    chars = group.attrs["chars"]
    return [
        (span.start, span.end, span.label_, score, *where)
        for span, score, where in zip(group, scores, chars, strict=True)
    ]


def same(one, other, tol=2e-4):
    """Whether two answers of `spans` agree, with scores that may be rounded differently."""
    if len(one) != len(other):
        return False
    pairs = list(zip(one, other, strict=True))
    exact = all(a[:3] == b[:3] and a[4:] == b[4:] for a, b in pairs)
    return exact and all(abs(a[3] - b[3]) <= tol for a, b in pairs)
