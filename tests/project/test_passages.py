"""The passages that the generalist GLiNER learns from, and the sets that join them."""

import gzip
import json
import sys
from collections import Counter

import pytest
import spacy
from spacy.tokens import DocBin


@pytest.fixture(scope="module")
def scripts(root):
    sys.path.insert(0, str(root / "scripts"))
    import ner_sets
    import passages
    import sentences

    yield {"ner_sets": ner_sets, "passages": passages, "sentences": sentences}
    sys.path.remove(str(root / "scripts"))


@pytest.fixture(scope="module")
def blocks(root, scripts):
    files = sorted((root / "assets" / "passages").glob("*.txt"))
    return [block for path in files for block in scripts["passages"].read_blocks(path)]


def test_passages_are_many_and_varied(blocks):
    passages = [passage for block in blocks for passage in block.passages]
    assert len(passages) > 6000
    assert len({passage.text for passage in passages}) == len(passages)
    assert len({label for block in blocks for label in block.labels}) > 5000


def test_passages_of_a_block_use_its_types(blocks):
    for block in blocks:
        used = Counter(e.label for passage in block.passages for e in passage.entities)
        assert set(used) == set(block.labels), block.topic
        assert all(len(phrasings) > 1 for phrasings in block.types), block.topic


def test_passages_mark_whole_words(blocks):
    for block in blocks:
        for passage in block.passages:
            for entity in passage.entities:
                around = passage.text[entity.start - 1 : entity.start], passage.text[entity.end :]
                assert not around[0].isalnum(), passage.line
                assert not around[1][:1].isalnum(), passage.line


def test_phrases_are_read_with_their_label_first(root, scripts):
    phrases = scripts["passages"].read_phrases(root / "assets" / "phrases.txt")
    assert phrases["person"][:2] == ["person", "human"]
    assert all(words[0] == label and all(words) for label, words in phrases.items())


FILE = """== lighthouses
types: lighthouse / beacon; engineer / builder
The [Bell Rock|lighthouse] is by [Robert Stevenson|engineer].

== cheese
types: cheese / milk product
[Gouda|cheese] is Dutch.
"""


def test_passages_become_docs_with_labels_of_their_own(scripts, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text(FILE)
    (tmp_path / "phrases.txt").write_text("# none\ncheese = fromage / cheese variety\n")
    (tmp_path / "general.txt").write_text("")
    scripts["passages"].main(tmp_path / "in", tmp_path / "out")
    nlp = spacy.blank("en")
    docs = list(DocBin().from_disk(tmp_path / "out" / "passages.spacy").get_docs(nlp.vocab))
    labels = [tuple(doc._.gliner_labels) for doc in docs]
    assert labels == [("lighthouse", "engineer"), ("cheese",)]
    assert [span.text for span in docs[0].spans["sc"]] == ["Bell Rock", "Robert Stevenson"]
    phrases = json.loads((tmp_path / "out" / "phrases.json").read_text())
    assert phrases["lighthouse"] == ["lighthouse", "beacon"]
    assert phrases["cheese"] == ["cheese", "fromage", "cheese variety", "milk product"]


def test_general_types_have_their_kinds(scripts, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text(
        FILE.replace("engineer / builder", "engineer / builder; person / human").replace(
            "is by", "was seen by [Ann|person] before"
        )
    )
    (tmp_path / "phrases.txt").write_text("")
    (tmp_path / "general.txt").write_text("person = engineer / poet\ncity = port\n")
    scripts["passages"].main(tmp_path / "in", tmp_path / "out")
    vocab = spacy.blank("en").vocab
    (doc,) = DocBin().from_disk(tmp_path / "out" / "general.spacy").get_docs(vocab)
    assert tuple(doc._.gliner_labels) == ("person",)
    found = [(span.text, span.label_) for span in doc.spans["sc"]]
    assert found == [("Ann", "person"), ("Robert Stevenson", "person")]


def test_kinds_in_the_list_are_types_of_passages(root, scripts, blocks):
    kinds = scripts["passages"].read_phrases(root / "assets" / "general.txt")
    labels = {label for block in blocks for label in block.labels}
    assert {kind for some in kinds.values() for kind in some} <= labels


@pytest.mark.parametrize(
    ("wrong", "told"),
    [("[Bell Rock|tower] is old.", "'tower' is none"), ("types: a; a", "occurs twice")],
)
def test_passages_name_the_line_that_is_wrong(scripts, tmp_path, capsys, wrong, told):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text(FILE + wrong + "\n")
    for name in ("phrases", "general"):
        (tmp_path / f"{name}.txt").write_text("")
    with pytest.raises(SystemExit):
        scripts["passages"].main(tmp_path / "in", tmp_path / "out")
    printed = " ".join(capsys.readouterr().out.split())
    assert "line 8" in printed
    assert told in printed


def test_sets_are_converted_without_what_is_left_out(scripts, tmp_path):
    rows = [
        {"text": "Call Sort", "tokens": ["Call", "Sort"],
         "entities": [{"start": 5, "end": 9, "label": "function"}]},
        {"text": "left out", "tokens": ["left", "out"], "entities": []},
        {"text": "no tokens, here", "tokens": [],
         "entities": [{"start": 0, "end": 9, "label": "a"}, {"start": 3, "end": 9, "label": "b"}]},
    ]  # fmt: skip
    (tmp_path / "code").mkdir()
    with gzip.open(tmp_path / "code" / "train.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    hits = tmp_path / "hits.json"
    hits.write_text(json.dumps({"hits": {"code/train": {"1": ["a test set"]}}}))
    for merge in ("", "thing=a,function"):
        scripts["ner_sets"].main(
            tmp_path, tmp_path / "out", sets="code", leave_out=hits, merge=merge
        )
    nlp = spacy.blank("en")
    docs = list(DocBin().from_disk(tmp_path / "out" / "code.spacy").get_docs(nlp.vocab))
    assert [doc.text.strip() for doc in docs] == ["Call Sort", "no tokens, here"]
    assert [[s.text for s in doc.spans["sc"]] for doc in docs] == [
        ["Sort"],
        ["no tokens", "tokens"],
    ]
    assert [[e.text for e in doc.ents] for doc in docs] == [["Sort"], ["no tokens"]]
    docs = list(DocBin().from_disk(tmp_path / "out" / "code_thing.spacy").get_docs(nlp.vocab))
    found = [[(s.text, s.label_) for s in doc.spans["sc"]] for doc in docs]
    assert found == [[("Sort", "thing")], [("no tokens", "thing")]]
