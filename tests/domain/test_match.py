import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.errors import InvalidInput
from sidecar.domain.match import Match, PathPattern, host_matches


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("/", b"/", True),
        ("/", b"/a", False),
        ("/a/b", b"/a/b", True),
        ("/a/b", b"/a/b/", True),
        ("/a/b", b"/a/B", False),
        ("/a/b", b"/a/b/c", False),
        ("/a.b", b"/axb", False),
        ("/a/{id}", b"/a/x", True),
        ("/a/{id}", b"/a/x/", True),
        ("/a/{id}", b"/a/", False),
        ("/a/{id}", b"/a/x/y", False),
        ("/a/{id}/c", b"/a/x/c", True),
        ("/a/{model}:generate", b"/a/m-1:generate", True),
        ("/a/{model}:generate", b"/a/:generate", False),
        ("/a/**", b"/a", True),
        ("/a/**", b"/a/", True),
        ("/a/**", b"/a/b/c/", True),
        ("/a/**", b"/ab", False),
        ("/**", b"/", True),
        ("/**", b"/x/y", True),
    ],
)
def test_patterns(pattern: str, path: bytes, *, matches: bool) -> None:
    assert PathPattern.parse(pattern).matches(path) is matches


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        ("a", "starts with"),
        ("", "starts with"),
        ("/a/", "slash at the end"),
        ("/a//b", "`//`"),
        ("/a/../b", "`..`"),
        ("/./b", "`.`"),
        ("/a/**/b", "last segment"),
        ("/a/x**", "last segment"),
        ("/a/*", "`**` for all that follows"),
        ("/{A}", "lower case"),
        ("/{a}/{a}", "only once"),
        ("/{a}{b}", "only one"),
        ("/a b", "without space"),
        ("/a%20b", "without space"),
        ("/a;b", "without space"),
        ("/café", "ASCII"),
    ],
)
def test_what_is_no_pattern_is_refused_with_a_reason(pattern: str, hint: str) -> None:
    with pytest.raises(InvalidInput, match=hint.replace("*", r"\*").replace(".", r"\.")):
        PathPattern.parse(pattern)


def test_only_a_pattern_without_wildcards_is_literal() -> None:
    literals = [PathPattern.parse(text).literal for text in ("/a", "/{a}", "/**")]
    assert literals == [b"/a", None, None]


_SEGMENTS = st.sampled_from(["a", "b", "ab", "{x}", "{x}:a", "a{x}", "b{x}a"])
_PATTERNS = st.builds(
    lambda segments, tail: "/" + "/".join([*(s.replace("x", f"x{i}") for i, s in enumerate(segments)), *tail]),
    st.lists(_SEGMENTS, max_size=3),
    st.sampled_from([[], ["**"]]),
).filter(lambda text: len(text) > 1)
_PATHS = st.lists(st.sampled_from(["a", "b", "ab", "bba", "x:a"]), max_size=4).map(
    lambda s: ("/" + "/".join(s)).encode()
)


@given(_PATTERNS, _PATTERNS, _PATHS)
def test_what_is_covered_is_matched_by_what_covers_it(one: str, other: str, path: bytes) -> None:
    first, second = PathPattern.parse(one), PathPattern.parse(other)
    if first.covers(second) and second.matches(path):
        assert first.matches(path)


@pytest.mark.parametrize(
    ("one", "other", "covers"),
    [
        ("/**", "/a/{b}", True),
        ("/a/**", "/a", True),
        ("/a/**", "/a/**", True),
        ("/a", "/a/**", False),
        ("/a/{b}", "/a/c", True),
        ("/a/c", "/a/{b}", False),
        ("/a/{b}", "/a/{c}:x", True),
        ("/a/{c}:x", "/a/{b}", False),
        ("/a/{c}:x", "/a/y:x", True),
        ("/a/{c}:x", "/a/:x", False),
    ],
)
def test_patterns_that_cover_others(one: str, other: str, *, covers: bool) -> None:
    assert PathPattern.parse(one).covers(PathPattern.parse(other)) is covers


@pytest.mark.parametrize(
    ("pattern", "host", "matches"),
    [
        ("api.example.com", b"api.example.com", True),
        ("api.example.com", b"API.example.com:8080", True),
        ("api.example.com", b"api.example.com.", True),
        ("api.example.com", b"x.api.example.com", False),
        ("*.example.com", b"api.example.com", True),
        ("*.example.com", b"a.b.example.com", True),
        ("*.example.com", b"example.com", False),
        ("*.example.com", b".example.com", False),
        ("*.example.com", b"badexample.com", False),
        ("api.example.com", b"", False),
    ],
)
def test_hosts(pattern: str, host: bytes, *, matches: bool) -> None:
    assert host_matches(pattern, host) is matches


def a_match(
    path: str = "/a", *methods: bytes, host: str = "", headers: tuple[tuple[bytes, bytes], ...] = ()
) -> Match:
    return Match(methods=frozenset(methods), path=PathPattern.parse(path), host=host, headers=headers)


NO_FIELDS: dict[bytes, bytes] = {}
GOLD = (b"x-tier", b"gold")
GOLDEN: dict[bytes, bytes] = dict([GOLD])


@pytest.mark.parametrize(
    ("one", "other", "covers"),
    [
        (a_match(), a_match("/a", b"GET"), True),
        (a_match("/a", b"GET"), a_match(), False),
        (a_match("/a", b"GET", b"POST"), a_match("/a", b"GET"), True),
        (a_match("/a", b"GET"), a_match("/a", b"POST"), False),
        (a_match(), a_match(headers=(GOLD,)), True),
        (a_match(headers=(GOLD,)), a_match(), False),
        (a_match(), a_match(host="x.example.com"), True),
        (a_match(host="x.example.com"), a_match(), False),
        (a_match(host="*.example.com"), a_match(host="x.example.com"), True),
        (a_match(host="*.example.com"), a_match(host="*.x.example.com"), True),
        (a_match(host="*.example.com"), a_match(host="example.com"), False),
        (a_match(host="x.example.com"), a_match(host="*.example.com"), False),
    ],
)
def test_matches_that_cover_others(one: Match, other: Match, *, covers: bool) -> None:
    assert one.covers(other) is covers


def test_the_first_condition_that_fails_is_named() -> None:
    match = a_match("/a", b"POST", b"PUT", host="x.example.com", headers=(GOLD,))
    assert match.why_not(b"GET", b"/a", b"", NO_FIELDS) == "the method is GET, not POST or PUT"
    assert match.why_not(b"PUT", b"/b", b"", NO_FIELDS) == "the path does not match /a"
    assert match.why_not(b"PUT", b"/a", b"y", NO_FIELDS) == "the host is not x.example.com"
    assert match.why_not(b"PUT", b"/a", b"x.example.com", NO_FIELDS) == "the header x-tier is not gold"
    assert match.why_not(b"PUT", b"/a", b"x.example.com", GOLDEN) is None
