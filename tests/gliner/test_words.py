"""Words within tokens: glued by punctuation, and in scripts without spaces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_modernbert.gliner.inference.words import has_unspaced_words, split_token


def words(token, **options):
    return [token[start:end] for start, end in split_token(token, **options)]


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("Systems(Rotterdam).", "Systems ( Rotterdam ) ."),
        ("Oberholzer</b>&nbsp;at", "Oberholzer < /b > &nbsp ; at"),
        ("Hello!World", "Hello ! World"),
        ('Tom"Hillary"', 'Tom " Hillary "'),
        ("क(की)", "क ( की )"),
    ],
)
def test_punctuation_within_a_token_splits_it(token, expected):
    assert words(token) == expected.split()


ORDINARY = [
    "don't",
    "O\u2019Neill",
    "3.5",
    "1,000",
    "12:30",
    "AT&T",
    "U.S.",
    "and/or",
    "C++",
    ":-)",
    "(",
]


@pytest.mark.parametrize("token", [*ORDINARY, "well-known", "...", "हिन्दी"])
def test_what_belongs_to_a_word_does_not(token):
    assert words(token) == [token]


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("我住在上海", "我 住 在 上 海"),
        ("abc上海", "abc 上 海"),
        ("សួស្តី", "សួ ស្ តី"),
        ("สวัสดี", "ส วั ส ดี"),
        ("don't", "don't"),
    ],
)
def test_characters_of_scripts_without_spaces(token, expected):
    assert words(token, by_character=True) == expected.split()


@given(st.text(min_size=1), st.booleans())
def test_words_cover_a_token_whatever_it_is(token, by_character):
    parts = words(token, by_character=by_character)
    assert "".join(parts) == token
    assert all(parts)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("我住在上海", True),
        ("上海市", False),
        ("スティーブ", False),
        ("ฉันอาศัยอยู่ในกรุงเทพ", True),
        ("Tom", False),
    ],
)
def test_several_words_without_a_space(text, expected):
    assert has_unspaced_words(text) is expected
