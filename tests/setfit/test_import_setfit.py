import io
import json
import os
import pickle
import shutil
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier

from spacy_modernbert.setfit.checkpoint.import_setfit import load_setfit, read_head

POINTS = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
CLASSES = np.arange(30) % 3
LABELS = (np.random.default_rng(1).random((30, 3)) < 0.4).astype(int)


def dumped(head, path, **settings):
    joblib.dump(head, path / "model_head.pkl", **settings)
    return path / "model_head.pkl"


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("kind", ["joblib", "pickle"])
def test_a_regression_is_read(tmp_path, n_classes, kind):
    peer = LogisticRegression(random_state=3).fit(POINTS, CLASSES % n_classes)
    path = dumped(peer, tmp_path)
    if kind == "pickle":  # arrays within the pickle: joblib is what setfit uses
        path.write_bytes(pickle.dumps(peer))
        with pytest.raises(ValueError, match="SM220"):
            read_head(path)
        return
    head, classes = read_head(path)
    assert classes.tolist() == list(range(n_classes))
    np.testing.assert_allclose(head.probabilities(POINTS), peer.predict_proba(POINTS), atol=1e-6)


def test_a_regression_with_names_and_without_constants_is_read(tmp_path):
    peer = LogisticRegression(fit_intercept=False).fit(POINTS, np.array(["b", "a", "ü"])[CLASSES])
    head, classes = read_head(dumped(peer, tmp_path))
    assert classes.tolist() == ["a", "b", "ü"]
    np.testing.assert_allclose(head.probabilities(POINTS), peer.predict_proba(POINTS), atol=1e-6)


def test_several_labels_are_read(tmp_path):
    labels = LABELS.copy()
    labels[:, 1] = 1
    peer = OneVsRestClassifier(LogisticRegression()).fit(POINTS, labels)
    head, _ = read_head(dumped(peer, tmp_path))
    assert head.multi_label
    np.testing.assert_allclose(head.probabilities(POINTS), peer.predict_proba(POINTS), atol=1e-6)
    outputs = MultiOutputClassifier(LogisticRegression()).fit(POINTS, LABELS)
    head, _ = read_head(dumped(outputs, tmp_path))
    found = np.stack(outputs.predict_proba(POINTS), axis=1)[:, :, 1]
    np.testing.assert_allclose(head.probabilities(POINTS), found, atol=1e-6)


class Evil:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Sneaky(LogisticRegression):
    pass


def with_attribute(value):
    head = LogisticRegression().fit(POINTS, CLASSES)
    head.extra = value
    return head


@pytest.mark.parametrize(
    "make",
    [
        lambda mark: Evil(os.mkdir, mark),
        lambda mark: with_attribute(Evil(os.mkdir, mark)),
        lambda mark: with_attribute(Evil(eval, f"__import__('os').mkdir({mark!r})")),
        lambda mark: with_attribute(np.array([Evil(os.mkdir, mark)], dtype=object)),
        lambda mark: with_attribute(Path(mark)),
        lambda mark: Sneaky(),
        lambda mark: Ridge().fit(POINTS, CLASSES),
        lambda mark: ClassifierChain(LogisticRegression()).fit(POINTS, LABELS),
        lambda mark: OneVsRestClassifier(Ridge()).fit(POINTS, LABELS),
        lambda mark: {"coef_": POINTS},
        lambda mark: POINTS,
        lambda mark: LogisticRegression(),
    ],
)
def test_nothing_else_is_read_and_nothing_is_run(tmp_path, make):
    mark = str(tmp_path / "mark")
    path = dumped(make(mark), tmp_path)
    with pytest.raises(ValueError, match="SM220"):
        read_head(path)
    assert not Path(mark).exists()


@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
def test_every_way_to_name_a_function_is_closed(tmp_path, protocol):
    mark = str(tmp_path / "mark")
    path = tmp_path / "model_head.pkl"
    path.write_bytes(pickle.dumps(with_attribute(Evil(os.mkdir, mark)), protocol=protocol))
    with pytest.raises(ValueError, match="SM220"):
        read_head(path)
    assert not Path(mark).exists()


@pytest.mark.parametrize(
    "program",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"(S'true'\nios\nsystem\n.",
        b"\x80\x02\x82\x01.",
        b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00Pid\n.",
        b"",
        b"no pickle",
    ],
)
def test_hand_made_programs_are_refused(tmp_path, program):
    path = tmp_path / "model_head.pkl"
    path.write_bytes(program)
    with pytest.raises(ValueError, match="SM220"):
        read_head(path)


def test_a_file_cut_anywhere_is_refused(tmp_path):
    buffer = io.BytesIO()
    joblib.dump(LogisticRegression().fit(POINTS, CLASSES), buffer)
    whole = buffer.getvalue()
    path = tmp_path / "model_head.pkl"
    for end in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError, match="SM220"):
            read_head(path)


def test_other_probabilities_are_refused(tmp_path):
    peer = OneVsRestClassifier(LogisticRegression()).fit(POINTS, CLASSES)
    with pytest.raises(ValueError, match="SM221"):
        read_head(dumped(peer, tmp_path))
    scaled = LogisticRegression().fit(POINTS, CLASSES)
    scaled.multi_class = "ovr"  # as versions before 1.7 wrote it
    with pytest.raises(ValueError, match="SM221"):
        read_head(dumped(scaled, tmp_path))


@pytest.mark.parametrize("labels", [["zebra", "apple", "mouse"], None])
@pytest.mark.parametrize("normalize", [False, True])
def test_a_checkpoint_is_read(bert, tmp_path, labels, normalize):
    folder = shutil.copytree(bert, tmp_path / "setfit")
    config = {"labels": labels, "normalize_embeddings": normalize}
    (folder / "config_setfit.json").write_text(json.dumps(config))
    generator = np.random.default_rng(0)
    points = generator.normal(size=(30, 32))
    peer = LogisticRegression().fit(points, CLASSES)
    dumped(peer, folder)
    model = load_setfit(folder)
    assert model.labels == (labels or ["0", "1", "2"])
    vectors = model.encoder.encode_texts(["the dog", "a bridge"])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0) == normalize
    found = model.head.probabilities(vectors)
    np.testing.assert_allclose(found, peer.predict_proba(vectors), atol=1e-6)


def test_a_folder_without_a_head_is_named(bert):
    with pytest.raises(FileNotFoundError, match=r"SM041.*model_head\.pkl"):
        load_setfit(bert)
