import warnings

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc

from .conftest import MODEL, add_listeners, examples, make_nlp

TEXTS = ["Maria Lopez works at Apple.", "", "   ", "It doesn't, really!", "\n", "Lisbon"]


def vectors(doc):
    return doc._.trf_data.model_output.last_hidden_state


def test_pipe_keeps_order_and_takes_empty_docs(nlp):
    docs = list(nlp.pipe(TEXTS, batch_size=3))
    assert [doc.text for doc in docs] == TEXTS
    for doc in docs:
        data = doc._.trf_data
        assert len(data.align.lengths) == len(doc)
        if len(doc):
            assert np.isfinite(vectors(doc)).all()


def test_pipe_of_empty_docs_alone(nlp):
    assert [len(doc) for doc in nlp.pipe(["", ""])] == [0, 0]


def test_batch_meets_the_contract_of_listeners(nlp):
    docs = [nlp.make_doc(text) for text in ("one two", "", "Maria Lopez works at Apple.")]
    batch = nlp.get_pipe("transformer").model.predict(docs)
    rows, width = batch.wordpieces.input_ids.shape
    assert batch.model_output.last_hidden_state.shape == (rows, width, 32)
    assert batch.wordpieces.attention_mask.sum() == sum(batch.wordpieces.lengths)
    assert all(len(strings) == width for strings in batch.wordpieces.strings)
    for spans, doc in zip(batch.spans, docs, strict=True):
        if spans:
            assert (spans[0].start, spans[-1].end) == (0, len(doc))


def test_vectors_do_not_depend_on_neighbours(nlp):
    alone = [vectors(nlp(text)) for text in TEXTS if text]
    together = [vectors(doc) for doc in nlp.pipe(TEXTS) if len(doc)]
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, other[:, : one.shape[1]], atol=1e-5)


def test_long_doc_is_read_whole(checkpoint):
    nlp = make_nlp(checkpoint, max_length=32, overlap=8)
    doc = nlp("Maria Lopez works at Apple . " * 60)
    data = doc._.trf_data
    assert vectors(doc).shape[0] > 10
    assert (data.align.lengths > 0).all()
    pooled = vectors(doc).reshape(-1, 32)[data.align.dataXd.reshape(-1)]
    assert (np.abs(pooled).sum(axis=1) > 0).all()


def test_doc_of_fifty_thousand_tokens(nlp):
    """One attention matrix over all of it would take 10 GB; the process has to do with less."""
    import resource

    doc = Doc(nlp.vocab, words=["Maria", "works", "in", "Lisbon", "."] * 10_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    nlp.get_pipe("transformer")(doc)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    data = doc._.trf_data
    assert len(data.align.lengths) == 50_000
    assert (data.align.lengths > 0).all()
    assert grown < 500_000  # KiB


def test_window_wider_than_the_encoder_is_refused(checkpoint):
    with pytest.raises(ValueError, match=r"SM062.*513.*512"):
        make_nlp(checkpoint, max_length=513)("Lisbon")


def test_special_tokens_in_text_stay_text(nlp):
    tokenizer = nlp.get_pipe("transformer").model.shims[0].checkpoint.tokenizer
    doc = nlp("[CLS] is no [SEP] here, and no [PAD] either")
    ids = doc._.trf_data.wordpieces.input_ids[0]
    specials = {tokenizer.token_id(name) for name in ("[CLS]", "[SEP]", "[PAD]", "[MASK]")}
    assert not specials & set(ids[1:-1].tolist())


def test_weights_come_at_first_use(checkpoint):
    nlp = make_nlp(checkpoint, factory="modernbert")
    assert not nlp.get_pipe("transformer").model.shims[0].is_loaded
    assert vectors(nlp("Lisbon")).shape[-1] == 32


def test_creating_the_pipe_needs_no_checkpoint():
    nlp = make_nlp("/nowhere/at/all")
    with pytest.raises(FileNotFoundError, match=r"SM040.*/nowhere/at/all"):
        nlp.initialize()


@pytest.mark.parametrize("factory", ["transformer", "modernbert"])
def test_disk_round_trip(checkpoint, tmp_path, factory):
    nlp = make_nlp(checkpoint, factory=factory, max_length=64, overlap=16)
    nlp.initialize()
    expected = vectors(nlp(TEXTS[0]))
    nlp.to_disk(tmp_path / "first")
    again = spacy.load(tmp_path / "first")
    np.testing.assert_array_equal(vectors(again(TEXTS[0])), expected)
    again.to_disk(tmp_path / "second")
    model = "transformer/model"
    assert (tmp_path / "first" / model).read_bytes() == (tmp_path / "second" / model).read_bytes()


def test_disk_save_over_the_loaded_folder(nlp, tmp_path):
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    again.to_disk(tmp_path)
    np.testing.assert_array_equal(vectors(again(TEXTS[0])), vectors(nlp(TEXTS[0])))


def test_disk_load_with_other_settings(nlp, tmp_path):
    nlp.to_disk(tmp_path)
    config = {"components": {"transformer": {"model": {"max_length": 16, "overlap": 4}}}}
    again = spacy.load(tmp_path, config=config)
    assert vectors(again(TEXTS[0] * 9)).shape[1] == 16


def test_bytes_round_trip(nlp, checkpoint):
    again = make_nlp(checkpoint).from_bytes(nlp.to_bytes())
    np.testing.assert_array_equal(vectors(again(TEXTS[0])), vectors(nlp(TEXTS[0])))
    one, other = nlp.get_pipe("transformer"), again.get_pipe("transformer")
    assert one.to_bytes(exclude=["vocab"]) == other.to_bytes(exclude=["vocab"])


def test_saving_before_use_saves_the_weights(checkpoint, tmp_path):
    nlp = make_nlp(checkpoint)
    nlp.to_disk(tmp_path)
    config = {"components": {"transformer": {"model": {"name": "/nowhere/at/all"}}}}
    assert vectors(spacy.load(tmp_path, config=config)("Lisbon")).shape[-1] == 32


@pytest.mark.parametrize("damage", ["cut", "empty", "other"])
def test_damaged_file_is_reported(nlp, tmp_path, damage):
    nlp.to_disk(tmp_path)
    file = tmp_path / "transformer" / "model"
    data = file.read_bytes()
    file.write_bytes({"cut": data[: len(data) // 2], "empty": b"", "other": b"\x80" * 99}[damage])
    with pytest.raises(ValueError, match="SM042"):
        spacy.load(tmp_path)


def test_failed_save_keeps_the_old_file(nlp, tmp_path, monkeypatch):
    import safetensors.torch

    nlp.to_disk(tmp_path)
    file = tmp_path / "transformer" / "model"
    before = file.read_bytes()

    def full_disk(tensors, filename, metadata=None):
        filename.write_bytes(b"half a fi")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", full_disk)
    with pytest.raises(OSError, match=r"SM047.*No space left"):
        nlp.to_disk(tmp_path)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir() if path.name.startswith(".")] == []


def test_error_handler_takes_one_doc_and_the_rest_goes_on(checkpoint, monkeypatch):
    nlp = make_nlp(checkpoint, factory="modernbert")
    nlp.initialize()
    pipe = nlp.get_pipe("transformer")
    predict = pipe.predict

    def moody(docs):
        if any("Lisbon" in doc.text for doc in docs):
            raise RuntimeError("not that one")
        return predict(docs)

    monkeypatch.setattr(pipe, "predict", moody)
    seen = []

    def keep(name, proc, docs, error):
        seen.append((name, [doc.text for doc in docs], str(error)))

    nlp.set_error_handler(keep)
    docs = list(nlp.pipe(["one", "Lisbon", "two", "three"]))
    assert [doc.text for doc in docs] == ["one", "two", "three"]
    assert seen == [("transformer", ["Lisbon"], "not that one")]
    assert all(doc._.trf_data is not None for doc in docs)
    nlp("Lisbon")
    assert len(seen) == 2


def test_error_is_raised_without_a_handler(checkpoint, monkeypatch):
    nlp = make_nlp(checkpoint, factory="modernbert")
    nlp.initialize()

    def broken(docs):
        raise RuntimeError("not today")

    monkeypatch.setattr(nlp.get_pipe("transformer"), "predict", broken)
    with pytest.raises(RuntimeError, match="not today"):
        list(nlp.pipe(["one", "two"]))


def test_select_and_rename(full_nlp):
    with full_nlp.select_pipes(disable=["ner"]):
        assert full_nlp("Maria works").has_annotation("TAG")
    full_nlp.rename_pipe("transformer", "encoder")
    assert full_nlp("Maria works").has_annotation("TAG")


def test_memory_zone(full_nlp):
    with full_nlp.memory_zone():
        assert [len(doc) for doc in full_nlp.pipe(["one two", "three"])] == [2, 1]


def test_tok2vec_inside_a_component(checkpoint, tmp_path):
    nlp = spacy.blank("en")
    tok2vec = {
        "@architectures": "spacy_modernbert.ModernBertTok2Vec.v1",
        "name": str(checkpoint),
        "pooling": {"@layers": "reduce_mean.v1"},
    }
    model = {"@architectures": "spacy.Tagger.v2", "nO": None, "tok2vec": tok2vec}
    nlp.add_pipe("tagger", config={"model": model})
    data = examples(nlp)
    nlp.initialize(lambda: data)
    losses = [nlp.update(data)["tagger"] for _ in range(5)]
    assert losses[-1] < losses[0]
    assert [len(doc) for doc in nlp.pipe(["", "Maria works", ""])] == [0, 2, 0]
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    texts = [text for text in TEXTS if text]
    for one, other in zip(nlp.pipe(texts), again.pipe(texts), strict=True):
        assert [token.tag_ for token in one] == [token.tag_ for token in other]


def test_tok2vec_model_of_empty_docs_alone(checkpoint):
    from thinc.api import reduce_mean

    architecture = spacy.registry.get("architectures", "spacy_modernbert.ModernBertTok2Vec.v1")
    model = architecture(name=str(checkpoint), pooling=reduce_mean())
    nlp = spacy.blank("en")
    assert [array.shape[0] for array in model.predict([nlp(""), nlp("")])] == [0, 0]


def test_replace_listeners_survives_saving(full_nlp, tmp_path):
    texts = ["Maria Lopez works at Apple .", "The bridge is old ."]
    before = [[token.tag_ for token in doc] for doc in full_nlp.pipe(texts)]
    full_nlp.replace_listeners("transformer", "tagger", ["model.tok2vec"])
    tok2vec = full_nlp.config["components"]["tagger"]["model"]["tok2vec"]
    assert tok2vec["@architectures"] == "spacy_modernbert.ModernBertTok2Vec.v1"
    full_nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    with again.select_pipes(enable=["tagger"]):
        assert [[token.tag_ for token in doc] for doc in again.pipe(texts)] == before


def test_copied_encoders_have_their_own_optimiser_state(nlp):
    model = nlp.get_pipe("transformer").model
    copied = model.copy()
    assert copied.shims[0].id != model.shims[0].id
    one, other = (next(m.shims[0].checkpoint.encoder.parameters()) for m in (model, copied))
    assert one.data_ptr() != other.data_ptr()


def test_other_encoders_work_with_a_word_of_warning(tmp_path, checkpoint):
    from transformers import BertConfig, BertModel

    from spacy_modernbert.text.tokenizer import PieceTokenizer

    tokenizer = PieceTokenizer.from_folder(checkpoint)
    config = BertConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=40,
    )
    BertModel(config).save_pretrained(tmp_path)
    tokenizer.save(tmp_path)
    nlp = make_nlp(tmp_path)
    with pytest.warns(UserWarning, match="SMW040.*bert.*as a packed network.*at most 40 pieces"):
        nlp.initialize()
    doc = nlp("Maria Lopez works at Apple . " * 10)
    assert vectors(doc).shape[1:] == (40, 16)
    nlp.to_disk(tmp_path / "saved")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        again = spacy.load(tmp_path / "saved")
    np.testing.assert_allclose(vectors(again(doc.text)), vectors(doc), atol=1e-6)


def test_doc_made_of_words_without_spaces(nlp):
    doc = nlp.get_pipe("transformer")(Doc(nlp.vocab, words=["a", "b", "c"], spaces=[False] * 3))
    assert (doc._.trf_data.align.lengths > 0).all()


def test_architecture_refuses_unknown_settings(checkpoint):
    nlp = spacy.blank("en")
    model = {"@architectures": MODEL, "name": str(checkpoint), "max_len": 3}
    with pytest.raises(Exception, match="max_len"):
        nlp.add_pipe("transformer", config={"model": model})


def test_listeners_find_the_encoder_by_any_factory(checkpoint):
    nlp = add_listeners(make_nlp(checkpoint, factory="modernbert"))
    data = examples(nlp)
    nlp.initialize(lambda: data)
    assert nlp.get_pipe("transformer").listening_components == ["tagger", "ner"]


@pytest.mark.parametrize("mode", ["mean", "first", "last", "max"])
def test_reduce_pieces_agrees_with_thinc_and_survives_none(mode):
    from thinc.api import Ragged, registry

    layer = registry.get("layers", "spacy_modernbert.reduce_pieces.v1")(mode)
    stock = registry.get("layers", f"reduce_{mode}.v1")()
    data = np.arange(12, dtype="f").reshape(6, 2)
    full = Ragged(data, np.array([2, 1, 3], dtype="i"))
    gaps = Ragged(data, np.array([0, 2, 0, 1, 3], dtype="i"))
    expected, stock_backprop = stock(full, is_train=True)
    found, backprop = layer(gaps, is_train=True)
    np.testing.assert_array_equal(found[[1, 3, 4]], expected)
    assert not found[[0, 2]].any()
    d_found = np.ones_like(found)
    d_expected = stock_backprop(np.ones_like(expected)).dataXd
    np.testing.assert_array_equal(backprop(d_found).dataXd, d_expected)
    none = Ragged(data[:0], np.array([0, 0], dtype="i"))
    assert not layer.predict(none).any()


def test_doc_stores_no_padding_of_its_neighbours(nlp):
    """As much behind a long neighbor as alone, in memory and when it is saved."""
    import pickle

    short, long = "Maria works.", "Maria Lopez works at Apple . " * 30
    pipe = nlp.get_pipe("transformer")
    docs = [nlp.make_doc(text) for text in (long, short, "", short)]
    pipe.set_annotations(docs, pipe.predict(docs))
    alone = nlp(short)
    for doc in (docs[1], docs[3]):
        data = doc._.trf_data
        width = data.wordpieces.lengths[0]
        assert vectors(doc).shape == (1, width, 32)
        assert data.wordpieces.input_ids.shape == (1, width)
        assert [len(strings) for strings in data.wordpieces.strings] == [width]
        base = vectors(doc) if vectors(doc).base is None else vectors(doc).base
        assert base.nbytes == vectors(doc).nbytes
        np.testing.assert_array_equal(data.align.dataXd, alone._.trf_data.align.dataXd)
        np.testing.assert_allclose(vectors(doc), vectors(alone), atol=1e-5)
        assert len(pickle.dumps(data)) <= len(pickle.dumps(alone._.trf_data)) + 100


def test_split_batch_pools_as_spacy_transformers_would(checkpoint):
    """The same vector of each token, from the arrays of a Doc and from the padded batch."""
    from thinc.api import reduce_mean

    from spacy_modernbert.pipeline.transformer.pooling import pool_tokens

    nlp = make_nlp(checkpoint, max_length=16, overlap=4)
    texts = ["Maria works.", "", "Maria Lopez works at Apple . " * 5, "   ", "The bridge is old."]
    batch = nlp.get_pipe("transformer").model.predict([nlp.make_doc(text) for text in texts])
    ours = [data for data in batch.doc_data if len(data.align.lengths)]
    batch.cached_doc_data = None
    stock = [data for data in batch.doc_data if len(data.align.lengths)]
    pooling = pool_tokens(reduce_mean(), 1.0)
    for one, other in zip(pooling.predict(ours), pooling.predict(stock), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_said_of_other_encoders_is_so(tmp_path, checkpoint):
    """DeBERTa's sequences are padded and of any length."""
    from transformers import DebertaV2Config, DebertaV2Model

    from spacy_modernbert.text.tokenizer import PieceTokenizer

    tokenizer = PieceTokenizer.from_folder(checkpoint)
    config = DebertaV2Config(
        vocab_size=tokenizer.vocab_size,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        relative_attention=True,
        pos_att_type="p2c|c2p",
    )
    DebertaV2Model(config).save_pretrained(tmp_path)
    tokenizer.save(tmp_path)
    with pytest.warns(UserWarning, match="SMW040.*pad sequences, .*any number of pieces"):
        make_nlp(tmp_path).initialize()
