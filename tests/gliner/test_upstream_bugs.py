"""Where upstream gliner 0.2.29 is wrong, and what is right."""

import json
import shutil
import warnings

import pytest
import torch

from spacy_modernbert.gliner.checkpoint.convert import convert
from spacy_modernbert.gliner.checkpoint.serialization import load_gliner, save_gliner
from spacy_modernbert.gliner.inference.predict import find_spans
from spacy_modernbert.gliner.inference.sequences import SplitText
from spacy_modernbert.gliner.inference.words import split_words
from tests.gliner import answers
from tests.gliner.answers import grid, predict, same, theirs

pytest.importorskip("gliner")

TEXT = "Apple Inc. was founded by Steve Jobs in Cupertino, California."


def raw(oracle, one, texts, labels):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return oracle.raw_logits(one.theirs, texts, labels)


def logits(model, texts, labels):
    """Our logits in upstream's layout."""
    found = answers.logits(model, texts, labels)
    if model.config.is_token:
        return found
    lengths = [len(split_words(text).words) for text in texts]
    width = model.config.max_width
    return [grid(scores, n_words, width) for scores, n_words in zip(found, lengths, strict=True)]


def close(one, other):
    valid = other.isfinite()
    return bool((one - other)[valid].abs().max() < 1e-3)


def test_a_word_without_pieces_shifts_all_later_ones(case, oracle):
    one = case("uni_span_norrn", "bert")
    text = TEXT.replace(" Inc", " \u200b Inc")
    expected = logits(one.ours, [TEXT], oracle.LABELS)[0]
    ours = logits(one.ours, [text], oracle.LABELS)[0]
    wrong = raw(oracle, one, [text], oracle.LABELS)[0]
    # The zero-width word is the second. Words after it keep their scores, one place later.
    assert close(expected[1:], ours[2:])
    assert not close(expected[1:5], wrong[2:6])
    assert close(wrong[1:5], expected[1:5])


def test_labels_that_fill_the_window_leave_no_room_for_words(case, oracle):
    one = case("uni_span", "bert")
    labels = [f"{label} {number}" for number in range(40) for label in oracle.LABELS]
    # Upstream reads no word, so that other words of the same number have the same scores.
    other = TEXT.replace("a", "o")
    read, unread = (
        [raw(oracle, one, [text], names)[0] for text in (TEXT, other)]
        for names in (oracle.LABELS, labels)
    )
    assert not close(*read)
    assert close(*unread)
    with pytest.warns(UserWarning, match="SMW100"):
        ours = predict(one.ours, [TEXT], labels, threshold=0.3)[0]
    assert ours
    groups = one.ours.prompt_builder.group(labels, max_pieces=256)
    found = set()
    for group in groups:
        some = [labels[i] for i in group]
        c = find_spans(one.ours, [SplitText(split_words(TEXT).words)], some, thresholds=0.3)[0]
        found |= {some[label] for label in c.labels}
        # Each group is what upstream would say to these labels alone.
        expected = theirs(oracle.predict(one.theirs, [TEXT], some, threshold=0.3))
        assert same(predict(one.ours, [TEXT], some, threshold=0.3), expected)
    assert {entity[2] for entity in ours} <= found


def test_long_texts_are_cut_off(case, oracle):
    one = case("uni_span_maxlen", "bert")
    text = oracle.TEXTS[-1]
    end = split_words(text).ends[one.ours.config.max_len - 1]
    wrong = oracle.predict(one.theirs, [text], oracle.LABELS, threshold=0.3)[0]
    assert max(entity["end"] for entity in wrong) <= end
    ours = predict(one.ours, [text], oracle.LABELS, threshold=0.3)[0]
    assert max(entity[1] for entity in ours) > 2 * end


def test_an_old_file_without_an_lstm_gets_a_random_one(case, oracle, tmp_path):
    one = case("uni_span_norrn", "bert")
    folder = tmp_path / "old"
    shutil.copytree(one.folder, folder)
    path = folder / "gliner_config.json"
    config = json.loads(path.read_text())
    del config["num_rnn_layers"]
    path.write_text(json.dumps({**config, "has_rnn": False}))
    expected = predict(one.ours, oracle.TEXTS, oracle.LABELS, threshold=0.75)
    wrong = theirs(oracle.predict(oracle.load(folder), oracle.TEXTS, oracle.LABELS, threshold=0.75))
    assert not same(wrong, expected)
    ours = load_gliner(folder)
    assert same(predict(ours, oracle.TEXTS, oracle.LABELS, threshold=0.75), expected)
    # What we save of it says so in a way that upstream understands.
    save_gliner(ours, tmp_path / "new")
    mended = oracle.load(tmp_path / "new")
    assert same(
        theirs(oracle.predict(mended, [TEXT], oracle.LABELS)), predict(ours, [TEXT], oracle.LABELS)
    )


@pytest.mark.parametrize("arch", ["uni_span_v1", "uni_span_fuse"])
def test_scores_that_depend_on_padding(case, oracle, arch):
    one = case(arch, "bert")
    texts = [text for text in oracle.TEXTS if text.strip()]
    together = logits(one.ours, texts, oracle.LABELS)
    differ = []
    for text, ours in zip(texts, together, strict=True):
        assert close(raw(oracle, one, [text], oracle.LABELS)[0], ours)
        differ.append(
            not close(raw(oracle, one, [text, texts[-1]], oracle.LABELS)[0][: len(ours)], ours)
        )
    assert any(differ)


def test_spans_of_token_models_in_a_padded_batch(case, oracle):
    one = case("uni_token_spans", "bert")
    texts = [text for text in oracle.TEXTS if text.strip()]
    with pytest.raises(IndexError):
        oracle.predict(one.theirs, texts, oracle.LABELS, threshold=0.3, batch_size=8)
    alone = [
        theirs(oracle.predict(one.theirs, [text], oracle.LABELS, threshold=0.3))[0]
        for text in texts
    ]
    assert any(alone)
    assert same(predict(one.ours, texts, oracle.LABELS, threshold=0.3), alone)


def test_no_labels_for_a_bi_encoder(case, oracle):
    one = case("bi_span", "bert")
    assert predict(one.ours, [TEXT], []) == [[]]


def test_a_label_can_write_a_marker(case, oracle):
    one = case("uni_span", "bert")
    labels = ["person", "<<ENT>> award", "[SEP]"]
    ent = one.ours.prompt_builder.markers.ent
    wrong = oracle.prepare_batch(one.theirs, [TEXT], labels)["input_ids"]
    # Upstream has a fourth marker, which the second label wrote.
    assert (wrong == ent).sum() == 4
    assert len(one.ours.prompt_builder.prompt(labels).positions) == 3
    assert (one.ours.prompt_builder.prompt(labels).ids == ent).sum() == 3


def test_label_vectors_are_those_of_upstream(case, oracle):
    one = case("bi_span", "modernbert")
    with torch.no_grad():
        ours = one.ours.encode_labels(oracle.LABELS)
    torch.testing.assert_close(ours, one.theirs.encode_labels(oracle.LABELS), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("arch", ["uni_span", "uni_token_spans", "bi_span", "bi_span_poly"])
@pytest.mark.parametrize("backbone", ["bert", "modernbert"])
def test_upstream_reads_what_we_write(case, oracle, tmp_path, arch, backbone):
    one = case(arch, backbone)
    save_gliner(one.ours, tmp_path / "saved")
    convert(one.folder, tmp_path / "converted")
    for folder in (tmp_path / "saved", tmp_path / "converted"):
        upstream = oracle.load(folder)
        for text in (TEXT, oracle.TEXTS[0]):
            expected = theirs(oracle.predict(one.theirs, [text], oracle.LABELS, threshold=0.75))
            answer = theirs(oracle.predict(upstream, [text], oracle.LABELS, threshold=0.75))
            assert same(answer, expected)
        again = predict(load_gliner(folder), [TEXT], oracle.LABELS)
        assert same(again, predict(one.ours, [TEXT], oracle.LABELS))


def test_an_old_checkpoint_converted(oracle, case, tmp_path):
    """Weights in a pickle; configuration and tokenizer have to come from the backbone."""
    one = case("uni_span", "bert")
    backbone = oracle.write_backbone("bert", tmp_path / "backbone")
    old = tmp_path / "old"
    old.mkdir()
    torch.save(one.theirs.model.state_dict(), old / "pytorch_model.bin")
    config = json.loads((one.folder / "gliner_config.json").read_text())
    config |= {"model_name": str(backbone), "encoder_config": None}
    config |= {"class_token_index": -1, "vocab_size": -1}
    (old / "gliner_config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="SM104"):
        load_gliner(old)
    convert(old, tmp_path / "new")
    expected = theirs(oracle.predict(one.theirs, oracle.TEXTS, oracle.LABELS, threshold=0.75))
    assert same(
        predict(load_gliner(tmp_path / "new"), oracle.TEXTS, oracle.LABELS, threshold=0.75),
        expected,
    )
    upstream = oracle.load(tmp_path / "new")
    assert same(
        theirs(oracle.predict(upstream, oracle.TEXTS, oracle.LABELS, threshold=0.75)), expected
    )
