"""The tree finds exactly the rules whose patterns match, whatever the path."""

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.match import Match, PathPattern
from sidecar.domain.routes import Candidate, Routes, first_of

NO_FIELDS: dict[bytes, bytes] = {}


def the_candidates(*patterns: str, host: str = "") -> list[Candidate]:
    return [
        Candidate(order, Match(path=PathPattern.parse(text), host=host), simple=False)
        for order, text in enumerate(patterns)
    ]


def orders(routes: Routes, path: bytes) -> list[int]:
    return sorted(candidate.order for candidate in chain(*routes.candidates(path)))


_SEGMENTS = st.sampled_from(["a", "b", "B", "ab", "{x}", "{x}:a", "a{x}", "b{x}a", "A{x}"])
_PATTERNS = st.builds(
    lambda segments, tail: "/" + "/".join([*(s.replace("x", f"x{i}") for i, s in enumerate(segments)), *tail]),
    st.lists(_SEGMENTS, max_size=3),
    st.sampled_from([[], ["**"]]),
)
_PATHS = st.builds(
    lambda segments, slash: ("/" + "/".join(segments) + slash).encode(),
    st.lists(st.sampled_from(["a", "b", "B", "ab", "bba", "x:a", "a:a", ":a", "A", ""]), max_size=5),
    st.sampled_from(["", "/"]),
)


@given(st.lists(_PATTERNS, max_size=8), _PATHS)
def test_the_tree_finds_what_the_patterns_match(patterns: list[str], path: bytes) -> None:
    matching = [order for order, text in enumerate(patterns) if PathPattern.parse(text).matches(path)]
    assert orders(Routes(the_candidates(*patterns)), path) == matching


@given(st.lists(_PATTERNS, max_size=8), _PATHS)
def test_a_folded_tree_ignores_case(patterns: list[str], path: bytes) -> None:
    lower = path.lower()
    matching = [order for order, text in enumerate(patterns) if PathPattern.parse(text.lower()).matches(lower)]
    assert orders(Routes(the_candidates(*patterns), folded=True), lower) == matching


def test_rules_behind_one_that_needs_nothing_more_are_left_out() -> None:
    first, *others = the_candidates("/a/{x}", "/a/{y}", "/a/**")
    simple = Candidate(first.order, first.match, simple=True)
    assert orders(Routes([simple, *others]), b"/a/b") == [0, 2]


def test_the_first_of_all_rows_decides_whose_host_fits() -> None:
    here, *_ = the_candidates("/a", host="x")
    there = Candidate(1, Match(path=here.match.path), simple=True)
    later = Candidate(2, Match(path=here.match.path), simple=True)
    assert first_of([[later], [here, there]], b"x", NO_FIELDS) is here
    assert first_of([[later], [here, there]], b"y", NO_FIELDS) is there
    assert first_of([[here]], b"y", NO_FIELDS) is None
    assert first_of([], b"y", NO_FIELDS) is None


def test_a_path_deeper_than_all_patterns_costs_no_more_than_they_are_deep() -> None:
    routes = Routes(the_candidates("/a/{x}", "/a/**"))
    assert orders(routes, b"/a" + b"/b" * 10_000) == [1]


@pytest.mark.parametrize(("pattern", "cased"), [("/a/{x}", False), ("/a/X{x}", True), ("/A", True), ("/a/**", False)])
def test_capitals_are_noticed(pattern: str, *, cased: bool) -> None:
    assert Routes(the_candidates(pattern)).cased is cased
