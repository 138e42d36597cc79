"""What a price was chosen by, written behind the numbers of a usage text and read again."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.price import DECIMALS_MAX, Number, usage_text
from sidecar.domain.usage_words import VALUE_MAX_CHARACTERS, Recorded, less, recorded, unquoted, word

METERS = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)
NUMBERS = st.one_of(
    st.integers(1, 2**53 - 1),
    st.builds(Fraction, st.integers(1, 2**53 - 1), st.just(10**DECIMALS_MAX)),
)
NAMES = st.sampled_from(["request.model", "request.a.b", "header.x-tier", "query.q[0]", "path.size", "customer"])
VALUES = st.one_of(st.none(), st.text(max_size=VALUE_MAX_CHARACTERS))


@given(st.dictionaries(METERS, NUMBERS), st.dictionaries(NAMES, VALUES))
def test_whatever_is_written_is_read_again(usage: dict[str, Number], chosen_by: dict[str, str | None]) -> None:
    text = usage_text(usage, "".join(word(name, value) for name, value in chosen_by.items()))
    assert recorded(text) == Recorded(usage, chosen_by)
    assert text.isascii()
    assert text.isprintable()


@given(st.text())
def test_a_value_is_one_word_without_a_quote_inside(value: str) -> None:
    text = word("request.model", value)
    assert text == word("request.model", value)
    assert len(text.split()) == 1
    assert text.count('"') == 2
    assert len(text) <= len(' request.model=""~') + 12 * VALUE_MAX_CHARACTERS


def test_words_as_they_look() -> None:
    text = usage_text({"input_tokens": 12}, word("request.model", "gpt-4o mini") + word("header.x-tier", None))
    assert text == 'input_tokens=12 request.model="gpt-4o\\u0020mini" header.x-tier=-'


def test_a_value_that_is_too_long_is_cut_and_is_no_value_any_more() -> None:
    text = word("request.model", "m" * (VALUE_MAX_CHARACTERS + 1))
    assert text == f' request.model="{"m" * VALUE_MAX_CHARACTERS}"~'
    assert recorded(text) == Recorded({}, {})
    assert unquoted(text.partition("=")[2]) == "m" * VALUE_MAX_CHARACTERS + "…"


@pytest.mark.parametrize(
    "text", ["", "note", "a=b", "a=-1", 'a="', "a='b'", 'a="b', 'a="b"c"', "a=1e5", "=", 'a="b"~']
)
def test_other_words_say_nothing(text: str) -> None:
    assert recorded(text) == Recorded({}, {})


def test_what_other_lines_say_is_taken_out() -> None:
    text = 'a=5 b=1.5 c=2 request.model="a=5" end=body.cut'
    assert less(text, {"a": 2, "c": 2}) == 'a=3 b=1.5 request.model="a=5" end=body.cut'
    assert less(text, {}) == text
