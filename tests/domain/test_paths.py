import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.paths import normalise, readings


@pytest.mark.parametrize(
    "path",
    [
        b"/",
        b"/v1/chat/completions",
        b"/v1/chat/",
        b"/.well-known/x",
        b"/a/.b/...",
        b"/v1/models/x:generate",
        b"/a;b=1",
        b"/caf%C3%A9",
        b"/a%2Fb",
        b"/a%20b",
    ],
)
def test_a_normal_path_stays(path: bytes) -> None:
    assert normalise(path) == path


@pytest.mark.parametrize(
    ("path", "normal"),
    [
        (b"/v1/%63h%61t", b"/v1/chat"),
        (b"/a%2fb", b"/a%2Fb"),
        (b"/%7euser", b"/~user"),
        ("/café".encode(), b"/caf%C3%A9"),
        (b'/a|"b"', b"/a%7C%22b%22"),
    ],
)
def test_other_writings_of_a_path_become_one(path: bytes, normal: bytes) -> None:
    assert normalise(path) == normal


@pytest.mark.parametrize(
    "path",
    [
        b"",
        b"*",
        b"a",
        b"http://x/y",
        b"//",
        b"/a//b",
        b"/a/b//",
        b"/a/./b",
        b"/a/..",
        b"/..",
        b"/%2e",
        b"/a/%2E%2e/b",
        b"/a/.%2e",
        b"/a/..;x=1/b",
        b"/a/..%3Bx=1/b",
        b"/a/..%3b%2Fb",
        b"/;x/b",
        b"/a/%3bx",
        b"/a%2F;x",
        b"/a/..%2Fb",
        b"/a%2f..%2Fb",
        b"/a/%2Fb",
        b"/a\\b",
        b"/a%5Cb",
        b"/a%5cb",
        b"/a b",
        b"/a\tb",
        b"/a\x00",
        b"/a%00",
        b"/a%0d%0a",
        b"/a%7F",
        b"/a%",
        b"/a%2",
        b"/a%zz",
        b"/a?b",
        b"/a#b",
    ],
)
def test_an_ambiguous_or_malformed_path_has_no_normal_form(path: bytes) -> None:
    assert normalise(path) is None


@given(st.binary(max_size=40).map(lambda tail: b"/" + tail))
def test_a_normal_path_is_stable_and_printable(path: bytes) -> None:
    normal = normalise(path)
    if normal is not None:
        assert normalise(normal) == normal
        assert all(0x21 <= byte <= 0x7E for byte in normal)
        assert not {b"", b".", b".."} & set(normal[1:].rstrip(b"/").split(b"/")) or normal == b"/"


def test_a_path_without_escapes_and_parameters_has_one_reading() -> None:
    assert readings(b"/v1/chat") == (b"/v1/chat",)


def test_an_escaped_slash_may_or_may_not_separate() -> None:
    assert readings(b"/v1/a%2Fb%3A") == (b"/v1/a\0b:", b"/v1/a/b:")


def test_parameters_of_a_segment_may_be_stripped() -> None:
    assert readings(b"/v1/a;x=1/b") == (b"/v1/a;x=1/b", b"/v1/a/b")
