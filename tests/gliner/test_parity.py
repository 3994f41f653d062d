"""The same scores and entities as upstream gliner, wherever those are right."""

import warnings

import pytest
import torch

from spacy_modernbert.gliner.checkpoint.serialization import load_gliner
from spacy_modernbert.gliner.inference.words import split_words
from tests.gliner.answers import grid, logits, on_edge, predict, same, theirs

pytest.importorskip("gliner")

CORE = ["uni_span", "uni_token", "bi_span", "bi_token"]
VARIANTS = [
    "uni_span_marker",
    "uni_span_v1",
    "uni_span_norrn",
    "uni_span_proj",
    "uni_span_label_tok",
    "uni_span_fuse",
    "uni_span_mean",
    "uni_span_maxlen",
    "uni_token_spans",
    "bi_span_poly",
]
ORACLES = [(arch, backbone) for arch in CORE for backbone in ("bert", "modernbert")]
ORACLES += [(arch, "bert") for arch in VARIANTS]
OTHERS = [
    ("uni_span", "deberta", {}),
    ("bi_token", "deberta", {}),
    ("uni_span_fuse", "modernbert", {}),
    ("uni_span_proj", "modernbert", {"hidden_size": 48}),
    ("uni_span", "bert", {"subtoken_pooling": "max"}),
    ("uni_span", "modernbert", {"subtoken_pooling": "last"}),
    ("bi_span_poly", "modernbert", {"post_fusion_schema": "l2t-t2l", "num_post_fusion_layers": 2}),
]
FRESH = [
    (arch, backbone, {"seed": seed, "max_width": 2 + 3 * seed, "num_rnn_layers": seed})
    for seed, backbone in enumerate(("modernbert", "bert", "deberta"), start=1)
    for arch in ("uni_span", "uni_token", "bi_span", "bi_token", "uni_span_marker")
] + [
    ("bi_span", "modernbert", {"hidden_size": 24, "subtoken_pooling": "mean"}),
    ("uni_token", "modernbert", {"hidden_size": 56, "fuse_layers": True}),
    ("uni_token_spans", "modernbert", {"seed": 4}),
    ("bi_token", "bert", {"represent_spans": True, "seed": 5}),
    ("uni_span_v1", "deberta", {"seed": 6}),
    ("uni_span", "bert", {"embed_ent_token": False, "seed": 7}),
]
EVERY = [
    *(pytest.param(*pair, {}, id="-".join(pair)) for pair in ORACLES),
    *(pytest.param(*one, id=f"{one[0]}-{one[1]}-{i}") for i, one in enumerate(OTHERS)),
    *(
        pytest.param(*one, id=f"fresh-{one[0]}-{one[1]}-{i}", marks=pytest.mark.slow)
        for i, one in enumerate(FRESH)
    ),
]


def readable(one, texts):
    """Texts that upstream reads whole."""
    longest = one.ours.config.max_len
    return [text for text in texts if len(split_words(text).words) <= longest]


def upstream_entities(one, oracle, texts, labels, **kwargs):
    """Upstream's entities; one text at a time where others in a batch change or break them."""
    config = one.theirs.config
    alone = config.fuse_layers or config.represent_spans or config.span_mode == "markerV1"
    if alone:
        kwargs["batch_size"] = 1
    return theirs(oracle.predict(one.theirs, texts, labels, **kwargs))


@pytest.mark.parametrize(("arch", "backbone", "overrides"), EVERY)
def test_logits(case, oracle, arch, backbone, overrides):
    one = case(arch, backbone, **overrides)
    texts = [text for text in readable(one, oracle.TEXTS) if text.strip()]
    ours = logits(one.ours, texts, oracle.LABELS)
    for text, scores in zip(texts, ours, strict=True):
        if not one.ours.config.is_token:
            scores = grid(scores, len(split_words(text).words), one.ours.config.max_width)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = oracle.raw_logits(one.theirs, [text], oracle.LABELS)[0]
        valid = torch.isfinite(scores)
        assert scores.shape == expected.shape
        # Before its final norm a ModernBERT's vectors are large, and upstream in float32 is as far
        # from upstream in float64.
        is_raw = one.theirs.config.fuse_layers and backbone == "modernbert"
        tolerance = 1e-3 if is_raw else 1e-4
        torch.testing.assert_close(scores[valid], expected[valid], atol=tolerance, rtol=1e-5)


@pytest.mark.parametrize(("arch", "backbone", "overrides"), EVERY)
def test_entities(case, oracle, arch, backbone, overrides):
    one = case(arch, backbone, **overrides)
    found = 0
    for name, kwargs in oracle.CASES.items():
        texts = readable(one, oracle.TEXTS)
        edge = on_edge(one.ours, texts, oracle.LABELS, threshold=kwargs["threshold"])
        texts = [text for text, is_on_edge in zip(texts, edge, strict=True) if not is_on_edge]
        expected = upstream_entities(one, oracle, texts, oracle.LABELS, **kwargs)
        options = {key: value for key, value in kwargs.items() if key != "batch_size"}
        ours = predict(one.ours, texts, oracle.LABELS, **options)
        if one.theirs.config.represent_spans and kwargs.get("multi_label"):
            # Upstream gives a span that several labels proposed several times.
            expected = [list(dict.fromkeys(text)) for text in expected]
        assert same(ours, expected), name
        found += sum(map(len, ours))
    assert found > 0


@pytest.mark.parametrize(("arch", "backbone"), ORACLES)
def test_labels_with_descriptions(case, oracle, arch, backbone):
    one = case(arch, backbone)
    labels = {"PER": "person", "ORG": "a company or organization", "LOC": "location"}
    texts = readable(one, oracle.TEXTS)
    expected = upstream_entities(one, oracle, texts, labels, threshold=0.75)
    assert same(predict(one.ours, texts, labels, threshold=0.75), expected)


def sentencepiece_like():
    """Unigram with a mark before every word, in the shape of DeBERTa-v3's tokenizer."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    specials = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]
    letters = sorted(set("▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,-'$/()"))
    pieces = ["▁the", "▁Apple", "▁of", "▁in", "er", "in", "on", "▁per", "son", "▁loc", "ation"]
    scored = [*((name, 0.0) for name in specials), *((letter, -8.0) for letter in letters)]
    tokenizer = Tokenizer(models.Unigram([*scored, *((p, -3.0) for p in pieces)], unk_id=3))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )


@pytest.mark.parametrize("arch", ["uni_span", "bi_token"])
def test_tokenizers_that_mark_word_starts(oracle, tmp_path, monkeypatch, arch):
    monkeypatch.setattr(oracle, "wordpiece_tokenizer", sentencepiece_like)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = oracle.build_checkpoint(arch, "deberta", tmp_path / "tiny")
        upstream = oracle.load(folder)
    expected = theirs(oracle.predict(upstream, oracle.TEXTS, oracle.LABELS, threshold=0.6))
    assert any(expected)
    assert same(predict(load_gliner(folder), oracle.TEXTS, oracle.LABELS, threshold=0.6), expected)
