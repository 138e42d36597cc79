from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.estimates import SAMPLE_MAX_BYTES, Estimate, Tally


def words(text: bytes) -> int:
    return len(text.split())


def tallied(estimate: Estimate, *pieces: bytes) -> int:
    tally = Tally(estimate)
    for piece in pieces:
        tally.add(piece)
    return tally.tokens


@pytest.mark.parametrize(
    ("size", "tokens"), [(0, 0), (1, 1), (3, 1), (4, 2), (34, 10), (35, 11), (3_400_000, 1_000_000)]
)
def test_bytes_become_tokens_rounded_up(size: int, tokens: int) -> None:
    assert tallied(Estimate(), b"x" * size) == tokens


def test_a_rule_may_say_its_own_ratio() -> None:
    assert tallied(Estimate(Fraction(2)), b"abc") == 2


@given(st.lists(st.binary(max_size=20)))
def test_how_a_text_is_cut_does_not_matter(pieces: list[bytes]) -> None:
    assert tallied(Estimate(), *pieces) == tallied(Estimate(), b"".join(pieces))


def test_a_tokenizer_counts_what_it_is_shown() -> None:
    assert tallied(Estimate(tokenizer=words), b"one two ", b"three") == 3


def test_a_tokenizer_sees_the_beginning_and_the_rest_is_like_it() -> None:
    shown: list[int] = []

    def tokenizer(text: bytes) -> int:
        shown.append(len(text))
        return words(text)

    twice = b"abc " * (SAMPLE_MAX_BYTES // 2)
    assert tallied(Estimate(tokenizer=tokenizer), twice, twice) == len(twice) // 2
    assert sum(shown) == SAMPLE_MAX_BYTES


def test_text_that_is_not_shown_can_be_added() -> None:
    tally = Tally(Estimate(tokenizer=words))
    tally.add(b"a b ")
    tally.size = 40
    assert tally.tokens == 20
    unseen = Tally(Estimate(tokenizer=words))
    unseen.size = 34
    assert unseen.tokens == 10
