"""The pipe beside upstream gliner, on the oracles: the same answers, and a folder for upstream."""

import pytest
import spacy

from tests.gliner.answers import on_edge, same, theirs
from tests.gliner.conftest import case, oracle  # noqa: F401 - fixtures
from tests.gliner.test_parity import ORACLES, readable, upstream_entities

CORE = {"uni_span", "uni_token", "bi_span", "bi_token"}
CASES = [
    pytest.param(
        arch,
        backbone,
        id=f"{arch}-{backbone}",
        marks=[] if arch in CORE and backbone == "modernbert" else pytest.mark.slow,
    )
    for arch, backbone in ORACLES
]


def make(folder, labels, **config):
    nlp = spacy.blank("en")
    given = {"labels": labels, "words": "gliner", "model": {"name": str(folder)}}
    nlp.add_pipe("gliner", config={**given, **config})
    return nlp


def found(docs):
    """What the pipe wrote, in upstream's form."""
    return [
        [
            (*chars, span.label_, float(score))
            for span, chars, score in zip(
                doc.spans["sc"],
                doc.spans["sc"].attrs["chars"],
                doc.spans["sc"].attrs["scores"],
                strict=True,
            )
        ]
        for doc in docs
    ]


@pytest.mark.parametrize(("arch", "backbone"), CASES)
def test_golden_cases(case, oracle, arch, backbone):  # noqa: F811
    one = case(arch, backbone)
    total = 0
    for name, kwargs in oracle.CASES.items():
        texts = readable(one, oracle.TEXTS)
        edge = on_edge(one.ours, texts, oracle.LABELS, threshold=kwargs["threshold"])
        texts = [text for text, is_on_edge in zip(texts, edge, strict=True) if not is_on_edge]
        expected = upstream_entities(one, oracle, texts, oracle.LABELS, **kwargs)
        nlp = make(
            one.folder,
            oracle.LABELS,
            threshold=kwargs["threshold"],
            decoding="flat" if kwargs["flat_ner"] else "nested",
            multi_label=kwargs.get("multi_label", False),
        )
        if one.theirs.config.represent_spans and kwargs.get("multi_label"):
            # Upstream gives a span that several labels proposed several times.
            expected = [list(dict.fromkeys(text)) for text in expected]
        ours = found(nlp.pipe(texts, batch_size=kwargs.get("batch_size", 128)))
        assert same(ours, expected), name
        total += sum(map(len, ours))
    assert total


@pytest.mark.parametrize("arch", ["uni_span", "bi_span"])
def test_upstream_loads_the_saved_component(case, oracle, tmp_path, arch):  # noqa: F811
    one = case(arch, "modernbert")
    labels = {"PER": "person", "ORG": "a company or organization", "LOC": "location"}
    nlp = make(one.folder, labels, threshold=0.75)
    nlp.to_disk(tmp_path)
    upstream = oracle.load(tmp_path / "gliner" / "model")
    texts = readable(one, oracle.TEXTS)
    expected = theirs(oracle.predict(upstream, texts, labels, threshold=0.75))
    assert any(expected)
    assert same(found(nlp.pipe(texts)), expected)
    assert same(found(spacy.load(tmp_path).pipe(texts)), expected)
