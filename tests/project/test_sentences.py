"""The annotated sentences: the format, the corpus made of them, and that they are what we say."""

import re
from collections import Counter

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture
def sentences(root):
    from sentences import read_sentences

    return read_sentences(root / "assets" / "sentences.txt")


def test_sentences_parse_line_finds_entities():
    from sentences import Entity, parse_line

    sentence = parse_line("review\t[items\\[0\\]|CODE] fails \\[here\\] in [2.0|VERSION] a|b \\\\")
    assert sentence.text == "items[0] fails [here] in 2.0 a|b \\"
    assert sentence.entities == (Entity(0, 8, "CODE"), Entity(25, 28, "VERSION"))


@pytest.mark.parametrize(
    "line",
    [
        "no tab",
        "weather\tRain.",
        "news\t[Rome",
        "news\tRome|PLACE]",
        "news\t[Rome]",
        "news\t[|PLACE]",
        "news\t[Rome|TOWN]",
        "news\t[Rome|]",
        "news\t[a [b|ORG]|ORG]",
        "news\tends in \\",
    ],
)
def test_sentences_parse_line_names_the_line_that_is_wrong(line):
    from sentences import FormatError, parse_line

    with pytest.raises(FormatError, match="line 7"):
        parse_line(line, 7)


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1),
            st.sampled_from(["", "ORG", "CODE"]),
        )
    )
)
def test_sentences_format_line_round_trip(parts):
    from sentences import Entity, Sentence, format_line, parse_line

    text, entities = "", []
    for surface, label in parts:
        if label:
            entities.append(Entity(len(text), len(text) + len(surface), label))
        text += surface
    sentence = Sentence("chat", text, tuple(entities))
    assert parse_line(format_line(sentence)) == sentence


def test_sentences_join_shifts_the_entities():
    from sentences import join_sentences, parse_line

    lines = ["news\tRain in [Rome|PLACE].", "news\tSun.", "news\t[Oslo|PLACE], [today|DATE]."]
    joined = join_sentences([parse_line(line, number) for number, line in enumerate(lines, 1)])
    assert joined == parse_line("news\tRain in [Rome|PLACE]. Sun. [Oslo|PLACE], [today|DATE].", 1)


def test_sentences_file_is_in_its_own_format(root, sentences):
    from sentences import format_line

    lines = (root / "assets" / "sentences.txt").read_text(encoding="utf8").splitlines()
    written = [line for line in lines if line and not line.startswith("#")]
    assert [format_line(sentence) for sentence in sentences] == written


def test_sentences_are_many_and_varied(sentences):
    from sentences import DOMAINS, LABELS

    texts = [sentence.text for sentence in sentences]
    assert len(texts) == len(set(texts)) >= 440
    domains = Counter(sentence.domain for sentence in sentences)
    assert set(domains) == set(DOMAINS)
    assert max(domains.values()) <= 1.25 * min(domains.values())
    labels = Counter(entity.label for sentence in sentences for entity in sentence.entities)
    assert set(labels) == set(LABELS)
    assert min(labels.values()) >= 40
    assert sum(not sentence.entities for sentence in sentences) >= 100
    lengths = [len(text.split()) for text in texts]
    assert min(lengths) <= 4
    assert max(lengths) >= 20


def test_sentences_labels_occur_in_several_domains(sentences):
    from sentences import LABELS

    for label in LABELS:
        if label != "CODE":
            found = {s.domain for s in sentences for entity in s.entities if entity.label == label}
            assert len(found) >= 4, label


def test_sentences_a_surface_has_one_label(sentences):
    labels = {}
    for sentence in sentences:
        for entity in sentence.entities:
            surface = sentence.text[entity.start : entity.end]
            labels.setdefault(surface, set()).add(entity.label)
    assert {surface: found for surface, found in labels.items() if len(found) > 1} == {}


def test_sentences_readme_counts_are_true(root, sentences):
    readme = (root / "assets" / "README.md").read_text(encoding="utf8")
    told = {name: int(n) for name, n in re.findall(r"^\| `(\w+)` \| (\d+) \|", readme, re.M)}
    labels = Counter(entity.label for sentence in sentences for entity in sentence.entities)
    assert told == {**Counter(sentence.domain for sentence in sentences), **labels}
    assert f"{len(sentences)} English sentences" in readme
    assert f"{sum(not s.entities for s in sentences)} sentences have no entity" in readme


def test_convert_every_sentence_becomes_a_doc(sentences):
    from convert import make_doc
    from sentences import DOMAINS

    nlp = spacy.blank("en")
    for sentence in sentences:
        doc = make_doc(nlp, sentence)
        assert doc.text == sentence.text
        assert [(e.start_char, e.end_char, e.label_) for e in doc.ents] == [
            (e.start, e.end, e.label) for e in sentence.entities
        ]
        assert set(doc.cats) == set(DOMAINS)
        assert [name for name, value in doc.cats.items() if value] == [sentence.domain]
        assert doc.has_annotation("ENT_IOB")


def test_convert_names_the_line_of_a_span_inside_a_token():
    from convert import make_doc
    from sentences import FormatError, parse_line

    with pytest.raises(FormatError, match="line 3: 'Rom'"):
        make_doc(spacy.blank("en"), parse_line("news\t[Rom|PLACE]ania won.", 3))


def test_convert_split_is_deterministic_stratified_and_complete(sentences):
    from convert import split
    from sentences import DOMAINS

    parts = split(sentences)
    assert parts == split(sentences[::-1])
    assert sorted(s.line for part in parts.values() for s in part) == [s.line for s in sentences]
    for domain in DOMAINS:
        counts = {name: sum(s.domain == domain for s in part) for name, part in parts.items()}
        total = sum(counts.values())
        assert counts["dev"] == counts["test"] == round(0.15 * total)


def test_convert_writes_a_corpus(root, tmp_path):
    from convert import main
    from spacy.tokens import DocBin

    main(root / "assets" / "sentences.txt", tmp_path / "corpus")
    vocab = spacy.blank("en").vocab
    docs = {
        part: list(DocBin().from_disk(tmp_path / "corpus" / f"{part}.spacy").get_docs(vocab))
        for part in ("train", "dev", "test")
    }
    texts = (tmp_path / "corpus" / "train.txt").read_text(encoding="utf8").splitlines()
    train = [doc.text for doc in docs["train"]]
    assert texts == train[: len(texts)]
    paragraphs = train[len(texts) :]  # the same sentences again, a few to a Doc
    assert sum(map(len, paragraphs)) + len(paragraphs) == sum(map(len, texts)) + len(texts)
    unseen = {doc.text for doc in docs["dev"] + docs["test"]}
    assert not unseen & set(texts)


def test_convert_stops_at_a_wrong_line(tmp_path, capsys):
    from convert import main

    path = tmp_path / "sentences.txt"
    path.write_text("news\tRain.\nnews\t[Rome|TOWN] won.\n", encoding="utf8")
    with pytest.raises(SystemExit, match="1"):
        main(path, tmp_path / "corpus")
    assert "line 2" in capsys.readouterr().out
    assert not (tmp_path / "corpus").exists()
