"""What `match:` and `identity:` mean; what is wrong with them is in ``cases``."""

import ipaddress

import pytest

from sidecar.config.cursor import Cursor
from sidecar.config.rule_match import header_name, read_identity, read_match
from sidecar.config.source import parse
from sidecar.domain.rules import ApiKey, IdentitySource, TrustedHeader


def at(text: str) -> Cursor:
    return Cursor(parse(text, "x.yaml"), [])


@pytest.mark.parametrize(
    ("text", "methods", "host", "headers"),
    [
        ("{path: /a}", set(), "", ()),
        ("{path: /a, method: GET}", {b"GET"}, "", ()),
        ("{path: /a, method: [GET, M-SEARCH]}", {b"GET", b"M-SEARCH"}, "", ()),
        ("{path: /a, host: API.Example.com}", set(), "api.example.com", ()),
        ("{path: /a, host: '*.example.com'}", set(), "*.example.com", ()),
        ("{path: /a, headers: {X-Tier: gold, X-N: 5}}", set(), "", ((b"x-tier", b"gold"), (b"x-n", b"5"))),
    ],
)
def test_conditions(text: str, methods: set[bytes], host: str, headers: tuple[tuple[bytes, bytes], ...]) -> None:
    match = read_match(at(text))
    assert match is not None
    assert (set(match.methods), match.host, match.headers, match.path.text) == (methods, host, headers, "/a")


@pytest.mark.parametrize("text", ["{}", "[]", "{path: a}", "{path: /a, method: get}", "{path: /a, hots: x}"])
def test_a_wrong_condition_makes_no_match(text: str) -> None:
    cursor = at(text)
    assert read_match(cursor) is None
    assert cursor.problems


@pytest.mark.parametrize(
    ("text", "sources"),
    [
        ("[{api_key: {header: Authorization, scheme: Bearer}}]", (ApiKey(b"authorization", b"Bearer"),)),
        ("[{api_key: {header: x-api-key}}]", (ApiKey(b"x-api-key", b""),)),
        (
            "[{header: {name: X-Customer-Id, from: [10.0.0.0/8]}}, {api_key: {header: K}}]",
            (TrustedHeader(b"x-customer-id", (ipaddress.ip_network("10.0.0.0/8"),)), ApiKey(b"k")),
        ),
    ],
)
def test_identities(text: str, sources: tuple[IdentitySource, ...]) -> None:
    cursor = at(text)
    assert read_identity(cursor) == sources
    assert not cursor.problems


def test_a_header_is_never_trusted_from_anywhere() -> None:
    for networks in ("", ", from: []", ", from: [nowhere]"):
        cursor = at(f"[{{header: {{name: X{networks}}}}}]")
        read_identity(cursor)
        assert cursor.problems


def test_header_names_are_lower_case() -> None:
    assert header_name(at("X-Cost")) == b"x-cost"
    assert header_name(at("'X Cost'")) is None
