"""The fast forms against the formulas as they stand in the paper and in reference code."""

import pytest
import torch
from torch.nn import functional as F

from spacy_modernbert.gliner.modeling.layers import CrossFuser, LayerFuser, WordLstm
from spacy_modernbert.gliner.modeling.sequence_batch import pool_words
from spacy_modernbert.gliner.modeling.span_layout import span_bounds, span_indices
from spacy_modernbert.gliner.modeling.span_scorer import LinearMarker, MlpMarker, SpanScorer
from spacy_modernbert.gliner.modeling.token_scorer import TokenScorer

WIDTH = 12
LENGTHS = (5, 0, 3, 1)
SLICES = (slice(0, 4), slice(4, 4), slice(4, 9), slice(9, 12))


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(3)


def make_marker(mode):
    if mode == "marker":
        return LinearMarker(WIDTH, dropout=0.0)
    return MlpMarker(WIDTH, dropout=0.0, has_mean=mode == "markerV1")


def span_vector(marker, mode, words, start, last):
    """The vector of a span, as upstream builds it."""
    parts = [marker.project_start(words[start]), marker.project_end(words[last])]
    if mode == "markerV1":
        parts.append(words.mean(dim=0))
    return marker.out_project(F.relu(torch.cat(parts)))


@pytest.mark.parametrize(
    "n_labels", [3, 40]
)  # the outer layer is applied to few labels, or to the spans
@pytest.mark.parametrize("mode", ["markerV0", "markerV1", "marker"])
def test_every_span_of_every_sequence(mode, n_labels):
    scorer = SpanScorer(make_marker(mode)).eval()
    words, labels = torch.randn(sum(LENGTHS), WIDTH), torch.randn(4 * n_labels, WIDTH)
    slices = [slice(i * n_labels, (i + 1) * n_labels) for i in range(4)]
    with torch.no_grad():
        scores = scorer(words, LENGTHS, labels, slices, max_width=4)
        for logits, own_words, which in zip(scores, words.split(LENGTHS), slices, strict=True):
            starts, ends = span_bounds(len(own_words), 4)
            assert logits.shape == (len(starts), n_labels)
            for found, start, end in zip(logits, starts, ends, strict=True):
                vector = span_vector(scorer.span_rep_layer, mode, own_words, start, end - 1)
                torch.testing.assert_close(found, labels[which] @ vector, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("mode", ["markerV0", "markerV1", "marker"])
def test_single_spans_may_be_wider_than_any_other(mode):
    scorer = SpanScorer(make_marker(mode)).eval()
    words, labels = torch.randn(20, WIDTH), torch.randn(3, WIDTH)
    with torch.no_grad():
        starts, ends = torch.tensor([0, 4, 4, 0]), torch.tensor([20, 5, 7, 1])
        scores = scorer.score_spans(words, labels, starts, ends)
        wide = scorer(words, [20], labels, [slice(0, 3)], max_width=20)[0]
        expected = wide[span_indices(starts, ends, 20)]
        torch.testing.assert_close(scores, expected, atol=1e-5, rtol=1e-5)


def test_words_and_labels():
    scorer = TokenScorer(WIDTH, dropout=0.0).eval()
    words, labels = torch.randn(sum(LENGTHS), WIDTH), torch.randn(12, WIDTH)
    with torch.no_grad():
        scores = scorer(words, LENGTHS, labels, SLICES)
        for logits, own_words, which in zip(scores, words.split(LENGTHS), SLICES, strict=True):
            assert logits.shape == (len(own_words), which.stop - which.start, 3)
            for i, word in enumerate(own_words):
                for j, label in enumerate(labels[which]):
                    t1, t2 = scorer.proj_token(word).chunk(2)
                    l1, l2 = scorer.proj_label(label).chunk(2)
                    expected = scorer.out_mlp(torch.cat([t1, l1, t2 * l2]))
                    torch.testing.assert_close(logits[i, j], expected, atol=1e-5, rtol=1e-4)


def test_heads_learn_and_drop_out():
    for head in (make_marker("markerV0"), make_marker("markerV1"), make_marker("marker")):
        scorer = SpanScorer(head).train()
        words = torch.randn(6, WIDTH, requires_grad=True)
        labels = torch.randn(2, WIDTH, requires_grad=True)
        scores = scorer(words, [6], labels, [slice(0, 2)], max_width=3)[0]
        scores.sum().backward()
        assert words.grad.abs().sum() > 0
        assert labels.grad.abs().sum() > 0
        unused = {name for name, p in scorer.named_parameters() if p.grad is None}
        assert all("project_first" in name for name in unused)
    dropped = TokenScorer(WIDTH, dropout=0.5).train()
    args = (torch.randn(6, WIDTH), [6], torch.randn(2, WIDTH), [slice(0, 2)])
    assert not torch.equal(dropped(*args)[0], dropped(*args)[0])


@pytest.mark.parametrize("pooling", ["mean", "max", "first"])
def test_pieces_of_a_word(pooling):
    vectors = torch.randn(4, WIDTH)
    words = torch.tensor([0, 0, 0, 2]) if pooling != "first" else torch.tensor([0, 1, 3, 4])
    pooled = pool_words(vectors, words, 5, pooling=pooling)
    expected = {"mean": vectors[:3].mean(0), "max": vectors[:3].amax(0), "first": vectors[0]}
    torch.testing.assert_close(pooled[0], expected[pooling])
    nothing = 1 if pooling != "first" else 2
    assert (pooled[nothing] == 0).all()


def test_sequences_do_not_see_each_other():
    lstm = WordLstm(WIDTH, 2).eval()
    fuser = LayerFuser(4, WIDTH).eval()
    words, states = torch.randn(sum(LENGTHS), WIDTH), torch.randn(4, sum(LENGTHS), WIDTH)
    filled = [n for n in LENGTHS if n]
    with torch.no_grad():
        together = lstm(words, LENGTHS).split(LENGTHS)
        fused = fuser(list(states), filled).split(filled)
        alone = [lstm(part, [len(part)]) for part in words.split(LENGTHS)]
        fused_alone = [fuser(list(part), [part.shape[1]]) for part in states.split(filled, dim=1)]
    for one, other in zip([*together, *fused], [*alone, *fused_alone], strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_the_fuser_reads_its_schema():
    fuser = CrossFuser(WIDTH, heads=3, layers=2, schema="l2t", dropout=0.0).eval()
    words, labels = torch.randn(5, WIDTH), torch.randn(2, WIDTH)
    same_words, other_labels = fuser(words, labels)
    assert same_words is words
    assert other_labels.shape == labels.shape
    assert not torch.allclose(other_labels, labels)
