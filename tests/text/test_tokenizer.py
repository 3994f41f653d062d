"""Pieces: offsets, special tokens, words, and what a folder says about a row."""

from __future__ import annotations

import copy
import json
import pickle
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from spacy_modernbert.text.tokenizer import PieceTokenizer, TextPieces

from .conftest import (
    BERT_SPECIALS,
    REAL_TOKENIZER,
    XLM_SPECIALS,
    bert_like,
    hard_texts,
    modernbert_like,
    real_texts,
)

NAMES = [*BERT_SPECIALS, *XLM_SPECIALS, "[unused1]", "<unused0>", "<eos>", "<bos>"]
REAL_NAMES = [*BERT_SPECIALS, "[unused0]", "[unused82]", "<|endoftext|>", "<|padding|>"]


def strings(tokenizer: PieceTokenizer, text: str) -> list[str]:
    return tokenizer.strings(tokenizer.encode_texts([text])[0].ids)


def covered(text: str, row: TextPieces) -> set[int]:
    return {i for start, end in zip(row.starts, row.ends, strict=True) for i in range(start, end)}


def write(folder: Path, tokenizer: dict, **files: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf8")
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf8")
    return folder


# What a row is framed and filled with


@pytest.mark.parametrize(
    ("kind", "prefix", "suffix", "pad", "limit"),
    [
        ("modernbert", ["[CLS]"], ["[SEP]"], "[PAD]", 8192),
        ("bert", ["[CLS]"], ["[SEP]"], "[PAD]", 512),
        ("xlmr", ["<s>"], ["</s>"], "<pad>", None),
        ("gemma", ["<bos>"], ["<eos>"], "<pad>", None),
    ],
)
def test_frame(tokenizers, kind, prefix, suffix, pad, limit):
    tokenizer = tokenizers[kind]
    assert tokenizer.strings(tokenizer.prefix_ids) == prefix
    assert tokenizer.strings(tokenizer.suffix_ids) == suffix
    assert tokenizer.strings([tokenizer.pad_id]) == [pad]
    assert tokenizer.model_max_length == limit
    assert tokenizer.token_id(pad) == tokenizer.pad_id
    assert tokenizer.token_id("no such piece") is None


def test_frame_of_the_real_tokenizer(real_tokenizer):
    assert (real_tokenizer.prefix_ids, real_tokenizer.suffix_ids) == ((50281,), (50282,))
    assert (real_tokenizer.pad_id, real_tokenizer.vocab_size) == (50283, 50368)
    assert real_tokenizer.model_max_length is None


def test_frame_without_any_hint_is_empty(tmp_path):
    spec = json.loads(modernbert_like().to_str())
    spec["post_processor"] = None
    tokenizer = PieceTokenizer.from_folder(write(tmp_path, spec))
    assert (tokenizer.prefix_ids, tokenizer.suffix_ids) == ((), ())


def test_frame_from_names_prefers_cls_and_sep(tmp_path):
    spec = json.loads(modernbert_like().to_str())
    spec["post_processor"] = None
    names = {"cls_token": {"content": "[CLS]"}, "sep_token": "[SEP]", "bos_token": "[MASK]"}
    tokenizer = PieceTokenizer.from_folder(write(tmp_path, spec, special_tokens_map=names))
    assert tokenizer.strings([*tokenizer.prefix_ids, *tokenizer.suffix_ids]) == ["[CLS]", "[SEP]"]


def test_frame_is_found_where_the_letter_a_has_no_piece(tmp_path):
    spec = json.loads(modernbert_like().to_str())
    spec["pre_tokenizer"] = spec["normalizer"] = None
    spec["model"] |= {"vocab": {"日": 0, "本": 1}, "merges": [], "unk_token": None}
    for index, token in enumerate(spec["added_tokens"], start=2):
        token["id"] = index
    ids = {token["content"]: token["id"] for token in spec["added_tokens"]}
    for name, special in spec["post_processor"]["special_tokens"].items():
        special["ids"] = [ids[name]]
    tokenizer = PieceTokenizer.from_folder(write(tmp_path, spec))
    assert len(tokenizer.encode_texts(["a"])[0].ids) == 0
    assert tokenizer.strings([*tokenizer.prefix_ids, *tokenizer.suffix_ids]) == ["[CLS]", "[SEP]"]


def test_pad_falls_back_to_the_padding_section_and_then_to_zero(tmp_path):
    tokenizer = modernbert_like()
    tokenizer.enable_padding(pad_id=7, pad_token="[UNK]")
    assert PieceTokenizer.from_folder(write(tmp_path, json.loads(tokenizer.to_str()))).pad_id == 7
    named = write(tmp_path, json.loads(tokenizer.to_str()), tokenizer_config={"pad_token": "[PAD]"})
    assert PieceTokenizer.from_folder(named).pad_id == tokenizer.token_to_id("[PAD]")
    (tmp_path / "tokenizer_config.json").unlink()
    spec = json.loads(modernbert_like().to_str())
    spec["added_tokens"] = [t for t in spec["added_tokens"] if t["content"] != "[PAD]"]
    for index, token in enumerate(spec["added_tokens"], start=len(spec["model"]["vocab"])):
        token["id"] = index
    spec["post_processor"] = None
    assert PieceTokenizer.from_folder(write(tmp_path, spec)).pad_id == 0


def test_truncation_and_padding_of_the_file_are_off(tmp_path):
    tokenizer = modernbert_like()
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=16)
    tokenizer = PieceTokenizer.from_folder(write(tmp_path, json.loads(tokenizer.to_str())))
    long, short = tokenizer.encode_texts(["piece " * 50, "a"])
    assert (len(long.ids) > 50, len(short.ids)) == (True, 1)


# Offsets


def test_offsets_are_characters_and_keep_the_leading_space(real_tokenizer):
    row = real_tokenizer.encode_texts(["Apple buys U.K. startup"])[0]
    assert row.starts[:2].tolist() == [0, 5]
    assert row.ends[:2].tolist() == [5, 10]
    assert (row.ids.dtype, row.starts.dtype, row.ends.dtype) == (np.int32,) * 3


@pytest.mark.parametrize("kind", ["modernbert", "gemma"])
def test_each_byte_of_a_character_spans_all_of_it(tokenizers, kind):
    row = tokenizers[kind].encode_texts(["a🦜b"])[0]
    spans = list(zip(row.starts.tolist(), row.ends.tolist(), strict=True))
    assert spans[0] == (0, 1)
    assert spans[-1] == (2, 3)
    assert len(spans) >= 4
    assert set(spans[1:-1]) == {(1, 2)}


def test_a_byte_piece_with_its_space_spans_both(real_tokenizer):
    row = real_tokenizer.encode_texts(["x 🤗y"])[0]
    spans = list(zip(row.starts.tolist(), row.ends.tolist(), strict=True))
    assert spans == [(0, 1), (1, 3), (2, 3), (2, 3), (3, 4)]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(texts=st.lists(hard_texts, max_size=3))
def test_offsets_are_in_range_and_rise(tokenizer, texts):
    rows = tokenizer.encode_texts(texts)
    assert len(rows) == len(texts)
    for text, row in zip(texts, rows, strict=True):
        assert len(row.ids) == len(row.starts) == len(row.ends)
        assert (row.ids >= 0).all()
        assert (row.ids < tokenizer.vocab_size).all()
        assert (row.starts >= 0).all()
        assert (row.starts <= row.ends).all()
        assert (row.ends <= len(text)).all()
        assert (np.diff(row.starts) >= 0).all()
        assert (np.diff(row.ends) >= 0).all()


@settings(deadline=None, max_examples=50)
@given(text=hard_texts)
def test_byte_level_pieces_cover_every_character_but_melted_marks(real_tokenizer, text):
    row = real_tokenizer.encode_texts([text])[0]
    missing = set(range(len(text))) - covered(text, row)
    # NFC melts a mark or a Hangul jamo into the character before it.
    assert all(len(unicodedata.normalize("NFC", text[max(i - 8, 0) : i + 1])) <= i for i in missing)


# Special tokens are text


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("frame", ["{}", "a{}b", "a {} b", " {}", "{}  ", "{0}{0}", "a\n{}\tb"])
def test_no_special_id_comes_out_of_a_text(tokenizer, name, frame):
    check_plain(tokenizer, name, frame.format(name))


@pytest.mark.parametrize("name", REAL_NAMES)
@pytest.mark.parametrize("frame", ["{}", "a{}b", "a {} b", " {}", "{}  ", "{0}{0}", "a\n{}\tb"])
def test_no_special_id_comes_out_of_a_text_for_the_real_tokenizer(real_tokenizer, name, frame):
    check_plain(real_tokenizer, name, frame.format(name))


def check_plain(tokenizer: PieceTokenizer, name: str, text: str) -> None:
    row = tokenizer.encode_texts([text])[0]
    special = {tokenizer.token_id(other) for other in (*NAMES, *REAL_NAMES)} - {None}
    # An unknown character is rightly unknown; the name as a whole is not.
    unknown = {tokenizer.token_id("[UNK]"), tokenizer.token_id("<unk>")}
    assert not (special - unknown) & set(row.ids.tolist())
    longest = (row.ends - row.starts)[np.isin(row.ids, list(unknown - {None}))].max(initial=0)
    assert longest < len(name)
    visible = {i for i, character in enumerate(text) if not character.isspace()}
    assert visible <= covered(text, row)
    words = tokenizer.encode_words([text.split()])[0]
    assert not (special - unknown) & set(words.ids.tolist())


def test_wordpiece_that_splits_at_spaces_only_does_not_find_its_special_tokens(tmp_path):
    tokenizer = bert_like(split_punctuation=False)
    assert 4 in tokenizer.encode("a [MASK] b").ids
    ours = PieceTokenizer.from_folder(write(tmp_path, json.loads(tokenizer.to_str())))
    assert 4 not in ours.encode_texts(["a [MASK] b"])[0].ids
    assert strings(ours, "the piece") == tokenizer.encode("the piece").tokens[1:-1]


def test_markers_are_text_only_where_asked(folders):
    folder = folders["modernbert"]
    plain, asked = (
        PieceTokenizer.from_folder(folder),
        PieceTokenizer.from_folder(folder, markers=["<<ENT>>"]),
    )
    assert "<<ENT>>" in strings(plain, "a <<ENT>> b")
    assert "<<ENT>>" not in strings(asked, "a <<ENT>> b")
    assert "<<SEP>>" in strings(asked, "a <<SEP>> b")
    assert asked.token_id("<<ENT>>") == plain.token_id("<<ENT>>")
    again = PieceTokenizer.from_bytes(asked.to_bytes(), markers=["<<ENT>>"])
    assert "<<ENT>>" not in strings(again, "a <<ENT>> b")


def test_flags_do_not_move_ids(real_tokenizer):
    assert real_tokenizer.token_id("[unused0]") == 50285
    assert real_tokenizer.token_id("[unused82]") == 50367


@pytest.mark.parametrize("kind", ["small", "real"])
def test_runs_of_spaces_stay_one_piece(tokenizers, request, kind):
    tokenizer = (
        tokenizers["modernbert"] if kind == "small" else request.getfixturevalue("real_tokenizer")
    )
    assert strings(tokenizer, "a\n        b")[1:] == ["Ċ", " " * 8, "b"]


def test_lone_surrogates_are_replaced_one_by_one(tokenizer):
    broken, whole = tokenizer.encode_texts(["a\ud800b\udfff", "a\ufffdb\ufffd"])
    assert broken.ids.tolist() == whole.ids.tolist()
    assert broken.ends.tolist() == whole.ends.tolist()
    first, second = tokenizer.encode_words([["\ud800"], ["\ufffd"]])
    assert first.ids.tolist() == second.ids.tolist()


# Words


def test_words_know_no_space(real_tokenizer):
    row = real_tokenizer.encode_words([["Apple", "buys", "U.K."]])[0]
    assert real_tokenizer.strings(row.ids) == ["Apple", "bu", "ys", "U", ".", "K", "."]
    assert row.words.tolist() == [0, 1, 1, 2, 2, 2, 2]
    assert (row.ids.dtype, row.words.dtype) == (np.int32, np.int32)


def test_a_word_without_pieces_does_not_shift_the_next(tokenizers):
    row = tokenizers["bert"].encode_words([["the", "\u200b", "", "piece"]])[0]
    assert sorted(set(row.words.tolist())) == [0, 3]


@pytest.mark.parametrize("words", [[], [""], [" "]])
def test_hardly_any_words(tokenizer, words):
    rows = tokenizer.encode_words([words, ["a"]])
    assert len(rows) == 2
    assert (rows[0].words == 0).all()
    assert rows[1].words.tolist() == [0] * len(rows[1].ids) != []
    assert tokenizer.encode_words([]) == tokenizer.encode_texts([]) == []


@settings(deadline=None, max_examples=50)
@given(words=st.lists(hard_texts, max_size=6))
def test_words_are_cut_one_by_one(tokenizer, words):
    together = tokenizer.encode_words([words])[0]
    assert (np.diff(together.words) >= 0).all()
    for index, word in enumerate(words):
        alone = tokenizer.encode_words([[word]])[0]
        assert together.ids[together.words == index].tolist() == alone.ids.tolist()


# Folders and bytes


@pytest.mark.parametrize("way", ["folder", "bytes", "pickle", "deepcopy"])
def test_copies_are_equal(tokenizer, tmp_path, way):
    text = "The [MASK] <s> naïve\u200b 🦜 token"
    if way == "folder":
        tokenizer.save(tmp_path / "deep" / "er")
        again = PieceTokenizer.from_folder(tmp_path / "deep" / "er")
    elif way == "bytes":
        again = PieceTokenizer.from_bytes(tokenizer.to_bytes())
    else:
        again = (
            copy.deepcopy(tokenizer) if way == "deepcopy" else pickle.loads(pickle.dumps(tokenizer))
        )
    assert strings(again, text) == strings(tokenizer, text)
    for name in ("vocab_size", "prefix_ids", "suffix_ids", "pad_id", "model_max_length"):
        assert getattr(again, name) == getattr(tokenizer, name)


def test_pickle_keeps_markers(folders):
    tokenizer = pickle.loads(
        pickle.dumps(PieceTokenizer.from_folder(folders["modernbert"], markers=["<<ENT>>"]))
    )
    assert "<<ENT>>" not in strings(tokenizer, "<<ENT>>")


def test_save_writes_the_files_as_they_were(folders, tmp_path):
    (tmp_path / "special_tokens_map.json").write_text('{"pad_token": "a"}', encoding="utf8")
    (tmp_path / "config.json").write_text("{}", encoding="utf8")
    tokenizer = PieceTokenizer.from_folder(folders["bert"])
    for _ in range(2):
        tokenizer.save(tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["config.json", "tokenizer.json", "tokenizer_config.json"]
    for name in names[1:]:
        assert (tmp_path / name).read_bytes() == (folders["bert"] / name).read_bytes()


def test_a_failed_save_leaves_the_old_file(folders, tmp_path, monkeypatch):
    tokenizer = PieceTokenizer.from_folder(folders["bert"])
    (tmp_path / "tokenizer.json").write_text("old", encoding="utf8")

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        tokenizer.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer.json"]
    assert (tmp_path / "tokenizer.json").read_text(encoding="utf8") == "old"


def test_a_folder_without_tokenizer_is_named_with_what_it_has(tmp_path):
    (tmp_path / "vocab.txt").touch()
    with pytest.raises(ValueError, match="SM001") as error:
        PieceTokenizer.from_folder(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert "vocab.txt" in str(error.value)
    assert "AutoTokenizer" in str(error.value)
    with pytest.raises(ValueError, match="SM001"):
        PieceTokenizer.from_folder(tmp_path / "missing")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"{}", b'{"model": 3}'])
def test_a_damaged_tokenizer_is_named(tmp_path, content):
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"SM002.*tokenizer\.json"):
        PieceTokenizer.from_folder(tmp_path)


def test_damaged_settings_and_bytes_are_named(folders, tmp_path):
    PieceTokenizer.from_folder(folders["bert"]).save(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("{", encoding="utf8")
    with pytest.raises(ValueError, match=r"SM002.*tokenizer_config\.json"):
        PieceTokenizer.from_folder(tmp_path)
    for data in (b"", b"[]", b"{}", b'{"tokenizer.json": "{}"}'):
        with pytest.raises(ValueError, match="SM002"):
            PieceTokenizer.from_bytes(data)


def test_the_real_tokenizer_keeps_the_pieces_of_the_library(real_tokenizer):
    reference = Tokenizer.from_file(str(REAL_TOKENIZER / "tokenizer.json"))
    texts = list(real_texts(1, characters=5_000))
    for row, encoding in zip(
        real_tokenizer.encode_texts(texts),
        reference.encode_batch(texts, add_special_tokens=False),
        strict=True,
    ):
        assert row.ids.tolist() == encoding.ids
