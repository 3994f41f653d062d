import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.multiclass import OneVsRestClassifier

from spacy_modernbert.setfit.head.classifier import Classifier
from spacy_modernbert.setfit.head.config import HeadConfig
from spacy_modernbert.setfit.head.cross_validation import (
    STRENGTHS,
    assign_folds,
    choose_strength,
    held_out_logits,
    negative_log_likelihood,
)
from spacy_modernbert.setfit.head.head import fit_head as fit_with
from spacy_modernbert.setfit.head.logistic_regression import select_usable
from spacy_modernbert.setfit.head.prototypes import abstain_scores, make_prototypes
from spacy_modernbert.setfit.training.templates import label_texts

from .conftest import one_hot

NAN = np.nan


def clouds(n_classes, each, *, width=6, spread=0.5, seed=0):
    """Points around a centre a class, in a random order."""
    generator = np.random.default_rng(seed)
    classes = generator.permutation(np.repeat(np.arange(n_classes), each))
    centres = generator.normal(size=(n_classes, width))
    points = centres[classes] + spread * generator.normal(size=(len(classes), width))
    return points.astype(np.float32), classes


def fit_head(points, labels, *, initial=None, multi_label=False, **settings):
    return fit_with(
        points,
        labels,
        names=[f"label {i}" for i in range(labels.shape[1])],
        config=HeadConfig(**settings),
        multi_label=multi_label,
        initial=initial,
    )


@pytest.mark.parametrize("class_weight", [None, "balanced"])
@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_probabilities_are_those_of_scikit_learn(n_classes, class_weight):
    points, classes = clouds(n_classes, 6)
    head = fit_head(
        points,
        one_hot(classes, n_classes),
        C=3.0,
        class_weight=class_weight,
        calibrate=False,
    )
    peer = LogisticRegression(C=3.0, class_weight=class_weight, max_iter=1000).fit(points, classes)
    np.testing.assert_allclose(head.probabilities(points), peer.predict_proba(points), atol=1e-5)


def test_labels_of_few_texts_among_many_are_given_all_the_same():
    points, classes = clouds(20, 16)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    labels = one_hot(classes, 20)
    shown, rest = slice(0, 160), slice(160, None)
    found = {}
    for class_weight in (HeadConfig().class_weight, None):
        head = fit_head(points[shown], labels[shown], multi_label=True, class_weight=class_weight)
        said = head.probabilities(points[rest]) > 0.5
        found[class_weight] = said[labels[rest] == 1].mean()
    assert found["balanced"] > 0.85
    assert found[None] < 0.6


def test_several_labels_are_those_of_one_against_the_rest():
    points, classes = clouds(4, 8)
    labels = one_hot(classes, 4)
    labels[:6, 0] = 1
    head = fit_head(points, labels, multi_label=True, C=2.0, class_weight=None, calibrate=False)
    peer = OneVsRestClassifier(LogisticRegression(C=2.0, max_iter=1000)).fit(points, labels)
    np.testing.assert_allclose(head.probabilities(points), peer.predict_proba(points), atol=1e-5)


def test_unknown_labels_are_left_out():
    points, classes = clouds(3, 10)
    labels = one_hot(classes, 3)
    labels[::2, 1] = NAN
    head = fit_head(points, labels, multi_label=True, C=2.0, class_weight=None, calibrate=False)
    peer = LogisticRegression(C=2.0, max_iter=1000).fit(points[1::2], labels[1::2, 1])
    np.testing.assert_allclose(
        head.probabilities(points)[:, 1], peer.predict_proba(points)[:, 1], atol=1e-5
    )


def test_texts_without_exactly_one_label_are_left_out():
    points, classes = clouds(3, 6)
    labels = one_hot(classes, 3)
    expected = fit_head(points[3:], labels[3:])
    labels[0], labels[1], labels[2] = NAN, 0.0, 1.0
    head = fit_head(points, labels)
    np.testing.assert_array_equal(head.coef, expected.coef)
    assert select_usable(labels, multi_label=False).tolist() == [False] * 3 + [True] * 15


def test_a_label_that_every_text_has():
    points, classes = clouds(2, 4)
    labels = np.ones((8, 2), dtype=np.float32)
    labels[:, 1] = classes
    head = fit_head(points, labels, multi_label=True)
    assert head.probabilities(points)[:, 0].min() > 0.99


def test_one_example_a_class_is_enough():
    points, classes = clouds(5, 1)
    head = fit_head(points, one_hot(classes, 5), C="cv")
    assert head.probabilities(points).argmax(axis=1).tolist() == classes.tolist()


@pytest.mark.parametrize(
    ("classes", "n_labels", "settings", "code"),
    [
        ([0, 0], 1, {}, "SM210"),
        ([], 0, {}, "SM210"),
        ([], 0, {"multi_label": True}, "SM210"),
        ([0, 0], 2, {}, r"SM211.*label 1"),
        ([0, 0], 2, {"multi_label": True}, r"SM211.*label 1"),
    ],
)
def test_what_cannot_be_learnt_is_refused(classes, n_labels, settings, code):
    labels = one_hot(classes, n_labels)
    with pytest.raises(ValueError, match=code):
        fit_head(np.ones((len(classes), 3), np.float32), labels, **settings)


@pytest.mark.parametrize("C", [0, -1.0, "auto", float("inf"), float("nan")])
def test_an_impossible_strength_is_refused(C):  # noqa: N803
    with pytest.raises(ValueError, match=r"(?s)SM065.*head\.C"):
        HeadConfig.read({"C": C}, path="head")


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_strength_is_chosen_on_held_out_texts(multi_label):
    options = {"multi_label": multi_label, "seed": 0}
    points, classes = clouds(3, 12, spread=0.05)
    easy = choose_strength(points, one_hot(classes, 3), HeadConfig(), **options)
    points, classes = clouds(3, 12, spread=4.0)
    hard = choose_strength(points, one_hot(classes, 3), HeadConfig(), **options)
    assert easy == STRENGTHS[-1]
    assert hard == STRENGTHS[0]


def test_folds_share_out_every_class():
    labels = one_hot([0] * 10 + [1] * 5 + [2], 3)
    folds = assign_folds(labels, folds=5, seed=0)
    assert folds[-1] == -1
    assert sorted(folds[:10]) == sorted([*range(5), *range(5)])
    assert sorted(folds[10:15]) == list(range(5))
    assert np.array_equal(folds, assign_folds(labels, folds=5, seed=0))


def test_held_out_logits_know_less():
    points, classes = clouds(4, 8, spread=1.5)
    labels = one_hot(classes, 4)
    head = fit_head(points, labels)
    seen = negative_log_likelihood(head.logits(points), labels, multi_label=False)
    logits = held_out_logits(points, labels, HeadConfig(), multi_label=False, seed=0)
    held = negative_log_likelihood(logits, labels, multi_label=False)
    assert seen < held


@pytest.mark.parametrize("multi_label", [False, True])
def test_extreme_logits_stay_probabilities(multi_label):
    points, classes = clouds(3, 4)
    head = fit_head(points, one_hot(classes, 3), multi_label=multi_label)
    with np.errstate(all="raise", under="ignore"):
        found = head.probabilities(points * 1e4)
    assert np.isfinite(found).all()
    assert found.min() >= 0
    assert found.max() <= 1


def test_the_abstain_score_tells_strangers():
    points, classes = clouds(5, 20, width=16, spread=0.6, seed=1)
    strangers = np.random.default_rng(2).normal(size=(100, 16)).astype(np.float32)
    prototypes = make_prototypes(points[:50], one_hot(classes[:50], 5))
    scores = abstain_scores(np.concatenate([points[50:], strangers]), prototypes)
    assert roc_auc_score([0] * 50 + [1] * 100, scores) > 0.95
    assert scores.min() >= 0
    assert abstain_scores(np.zeros((1, 16), np.float32), prototypes).tolist() == [1.0]


def test_texts_are_made_of_label_names():
    made = label_texts(["card_payment", "refund"], ["About {label}.", "{label}"])
    assert made[:2] == [("About card payment.", "card_payment"), ("card payment", "card_payment")]
    assert len(made) == 4


def error_of_confidence(found, classes):
    """Expected calibration error in ten bins."""
    confidence, right = found.max(axis=1), found.argmax(axis=1) == classes
    bins = np.minimum((confidence * 10).astype(int), 9)
    parts = [np.flatnonzero(bins == number) for number in range(10)]
    return sum(
        len(part) * abs(right[part].mean() - confidence[part].mean()) for part in parts if len(part)
    ) / len(classes)


def test_the_temperature_makes_probabilities_honest():
    points, classes = clouds(8, 60, width=16, spread=1.2, seed=3)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    few, rest = slice(0, 100), slice(100, None)
    labels = one_hot(classes[few], 8)
    errors = []
    for calibrate in (False, True):
        head = fit_head(points[few], labels, C=1.0, calibrate=calibrate)
        errors.append(error_of_confidence(head.probabilities(points[rest]), classes[rest]))
    assert head.temperature < 1
    assert errors[1] < 0.6 * errors[0]


def test_trained_vectors_alone_are_not_trusted_for_the_temperature():
    points, classes = clouds(4, 10, width=16, spread=2.0)
    labels = one_hot(classes, 4)
    tuned = points + 20 * labels @ np.random.default_rng(0).normal(size=(4, 16)).astype(np.float32)
    alone = fit_head(tuned, labels)
    both = fit_head(tuned, labels, initial=points)
    assert both.temperature > alone.temperature
    np.testing.assert_array_equal(both.coef, alone.coef)


def test_the_same_seed_gives_the_same_head():
    points, classes = clouds(4, 8)
    one, two = (fit_head(points, one_hot(classes, 4), C="cv") for _ in range(2))
    np.testing.assert_array_equal(one.coef, two.coef)
    assert one.temperature == two.temperature


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_classifier_comes_back_from_bytes(multi_label):
    points, classes = clouds(3, 5)
    labels = one_hot(classes, 3)
    head = fit_head(points, labels, multi_label=multi_label)
    whole = Classifier(head, ("a", "b", "ü"), make_prototypes(points, labels))
    again = Classifier.from_bytes(whole.to_bytes())
    assert again.labels == whole.labels
    assert again.to_bytes() == whole.to_bytes()
    found = again.head.probabilities(points)
    np.testing.assert_array_equal(found, head.probabilities(points))


def test_a_file_of_another_kind_is_no_classifier():
    from safetensors.numpy import save

    with pytest.raises(ValueError, match="SM213"):
        Classifier.from_bytes(save({"coef": np.zeros((2, 3), np.float32)}))
    with pytest.raises(ValueError, match="SM042"):
        Classifier.from_bytes(b"nothing")
