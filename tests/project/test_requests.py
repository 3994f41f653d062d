"""The messages to the service desk: the format, that they make an honest test, the conversion."""

import re
from collections import Counter
from itertools import chain

import pytest
import spacy
from spacy.tokens import DocBin

PARTS = ("support", "test", "scope")


@pytest.fixture
def requests(root):
    from town_requests import read_requests

    return read_requests(root / "assets" / "requests.txt")


def read_docs(corpus, part):
    docs = DocBin().from_disk(corpus / f"requests_{part}.spacy")
    return list(docs.get_docs(spacy.blank("en").vocab))


def words(text):
    return frozenset(re.findall(r"\w+", text.lower()))


def jaccard(one, other):
    return len(one & other) / len(one | other)


def test_requests_parse_lines_skips_comments_and_keeps_line_numbers():
    from town_requests import Request, parse_lines

    lines = ["# about", "[support]", "", "noise\tToo loud, [sic].", "[scope]", "none\tHello"]
    assert list(parse_lines(lines)) == [
        Request("support", "noise", "Too loud, [sic].", 4),
        Request("scope", "none", "Hello", 6),
    ]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["noise\tToo loud."], "line 1: expected a heading"),
        (["[suport]"], "line 1: the heading '\\[suport\\]'"),
        (["[test"], "line 1: the heading '\\[test'"),
        (["[]"], "line 1: the heading"),
        (["[test]", "Too loud."], "line 2: expected one of"),
        (["[test]", "weather\tRain."], "line 2: expected one of"),
        (["[test]", "none\tHello"], "line 2: expected one of"),
        (["[scope]", "noise\tToo loud."], "line 2: expected one of \\('none',\\)"),
        (["[test]", "noise\t"], "line 2: expected a text"),
        (["[test]", "noise\t Too loud."], "line 2: expected a text"),
        (["[test]", "noise\tToo\tloud."], "line 2: expected a text"),
        (["[support]", "noise\tHm", "[test]", "parks\tHm"], "line 4: .* on line 2 already"),
    ],
)
def test_requests_parse_lines_names_the_line_that_is_wrong(lines, told):
    from town_requests import FormatError, parse_lines

    with pytest.raises(FormatError, match=told):
        list(parse_lines(lines))


def test_requests_counts(requests):
    from town_requests import LABELS

    counts = Counter((request.part, request.label) for request in requests)
    assert len(LABELS) == len(set(LABELS)) == 12
    assert counts == {
        **{("support", label): 24 for label in LABELS},
        **{("test", label): 14 for label in LABELS},
        ("scope", "none"): 30,
    }


def test_requests_are_unique(requests):
    # As sets of words: neither case nor order nor punctuation makes a text another one.
    assert len({words(request.text) for request in requests}) == len(requests)


def test_requests_are_varied(requests):
    from town_requests import LABELS

    for part in ("support", "test"):
        for label in LABELS:
            texts = [r.text for r in requests if (r.part, r.label) == (part, label)]
            lengths = [len(text.split()) for text in texts]
            assert min(lengths) <= 7, (part, label)
            assert max(lengths) >= 16, (part, label)
            assert any(text[0].islower() for text in texts), (part, label)
            assert any("?" in text for text in texts), (part, label)


def test_requests_nothing_to_be_tested_on_is_much_like_a_support_text(requests):
    support = [words(request.text) for request in requests if request.part == "support"]
    for request in requests:
        if request.part != "support":
            most = max(jaccard(words(request.text), other) for other in support)
            assert most <= 0.6, request


def test_requests_readme_is_true(root, requests):
    from town_requests import LABELS

    readme = (root / "assets" / "README.md").read_text(encoding="utf8")
    part = readme.partition("# The service desk's messages")[2]
    assert tuple(re.findall(r"^\| `(\w+)` \|", part, re.M)) == LABELS
    assert f"| `requests.txt` | {len(requests)} messages" in readme
    counts = Counter(request.part for request in requests)
    for name in PARTS:
        assert f"`[{name}]`: {counts[name]} texts" in part


def test_convert_requests_writes_a_corpus(root, requests, tmp_path):
    from convert_requests import main, split
    from town_requests import LABELS

    main(root / "assets" / "requests.txt", tmp_path / "corpus")
    parts = split(requests, 8)
    assert sorted(chain.from_iterable(parts.values()), key=requests.index) == requests
    for part, ours in parts.items():
        docs = read_docs(tmp_path / "corpus", part)
        assert [doc.text for doc in docs] == [request.text for request in ours]
        for doc, request in zip(docs, ours, strict=True):
            assert set(doc.cats) == set(LABELS)
            assert set(doc.cats.values()) <= {0.0, 1.0}
            told = [label for label, value in doc.cats.items() if value]
            assert told == ([] if part == "scope" else [request.label])


def test_convert_requests_puts_the_last_of_each_label_apart(requests):
    from convert_requests import split

    parts = split(requests, 8)
    for label in {request.label for request in parts["train"]}:
        lines = {part: [r.line for r in parts[part] if r.label == label] for part in parts}
        assert (len(lines["train"]), len(lines["dev"])) == (16, 8)
        assert max(lines["train"]) < min(lines["dev"])


def test_convert_requests_is_deterministic(root, tmp_path):
    from convert_requests import main

    for folder in ("one", "two"):
        main(root / "assets" / "requests.txt", tmp_path / folder)
    for part in ("train", "dev", "test", "scope"):
        name = f"requests_{part}.spacy"
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_convert_requests_stops_at_a_wrong_line(tmp_path, capsys):
    from convert_requests import main

    path = tmp_path / "requests.txt"
    path.write_text("[support]\nnoise\tToo loud.\nweather\tRain.\n", encoding="utf8")
    with pytest.raises(SystemExit, match="1"):
        main(path, tmp_path / "corpus")
    assert "line 3" in capsys.readouterr().out
    assert not (tmp_path / "corpus").exists()
