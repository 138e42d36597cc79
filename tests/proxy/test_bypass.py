"""No spelling of a request gets a rule that its upstream would not give it: it has the same rule, or is refused.

The upstream is played by a model of servers that exist, written without a look at ours: each decodes, resolves,
merges and strips in an order of its own.
"""

import posixpath
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from urllib.parse import unquote_to_bytes

from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.config.rules import load_rules
from sidecar.domain.amounts import CREDITS
from sidecar.domain.match import PathPattern, host_matches
from sidecar.domain.paths import normalise
from sidecar.domain.rules import Rule
from sidecar.http1.errors import ProtocolError
from sidecar.http1.heads import parse_request
from sidecar.store.lane import Lane
from tests.proxy.shop import Shop
from tests.support.rawhttp import RawClient
from tests.support.upstream import Upstream

FILE = Path(__file__).parent / "bypass.yaml"
RULES = load_rules([FILE], {CREDITS.name: CREDITS})

BASES = (
    "/v1/paid",
    "/v1/items/a",
    "/v1/items/a:run",
    "/v1/items/a/b",
    "/v1/files",
    "/v1/files/x/y",
    "/v1/other",
    "/v2",
)
SPELLINGS = (
    *("/", "//", "/./", "/../", "/x/../", "/%2e/", "/%2E%2e/", "/.%2E/", "/%252e%252e/", "%2F", "%2f", "\\", "%5c"),
    *("/;/", "/;p/", "/..;/", "/..;p=1/", "/..%3b/", "/%3B/", ";p=1/", "%3Bp/", "/%00", "/ "),
)
ENDS = ("", "", "/", "/.", "/..", ";p", "%3B", "%2F", "?q=/v1/paid", "#f", "/;", "%", ":run", "%3Arun", "%20")


@st.composite
def paths(draw: st.DrawFn) -> str:
    """A path that some rule is about, spelled in one of the ways that people try."""
    segments = draw(st.sampled_from(BASES))[1:].split("/")
    spelled = ""
    for segment in segments:
        spelled += draw(st.one_of(st.just("/"), st.sampled_from(SPELLINGS)))
        for letter in segment:
            spelled += draw(
                st.sampled_from([letter] * 20 + [letter.upper(), f"%{ord(letter):02x}", f"%{ord(letter):02X}"])
            )
    return spelled + draw(st.sampled_from(ENDS))


def served(path: bytes) -> Iterator[bytes]:
    """What servers take a path for."""
    for decodes, strips, turns, merges in product(
        ("first", "last", "by segment"), ("raw", "decoded", None), *[(0, 1)] * 2
    ):
        seen = _stripped(path) if strips == "raw" else path
        seen = unquote_to_bytes(seen) if decodes == "first" else seen
        seen = _stripped(seen) if strips == "decoded" else seen
        seen = seen.replace(b"\\", b"/") if turns else seen
        seen = re.sub(rb"/+", b"/", seen) if merges else seen
        seen = _resolved(seen)
        if decodes == "last":
            seen = unquote_to_bytes(seen)
        elif decodes == "by segment":
            seen = b"/".join(unquote_to_bytes(segment).replace(b"/", b"\0") for segment in seen.split(b"/"))
        yield seen


def _stripped(path: bytes) -> bytes:
    return re.sub(rb";[^/]*", b"", path)


def _resolved(path: bytes) -> bytes:
    """Dot segments taken away (RFC 3986 §5.2.4), empty segments left."""
    kept: list[bytes] = []
    for segment in path.split(b"/")[1:]:
        if segment == b"..":
            kept = kept[:-1]
        elif segment != b".":
            kept.append(segment)
    return b"/" + b"/".join(kept)


def rule_on(path: bytes, host: bytes, *, folds: bool) -> Rule | None:
    """The first rule for a path as a server has understood it, by its pattern alone."""
    for rule in RULES.rules:
        pattern = PathPattern.parse(rule.match.path.text.lower()) if folds else rule.match.path
        if pattern.matches(path.lower() if folds else path) and (
            not rule.match.host or host_matches(rule.match.host, host)
        ):
            return rule
    return None


def matched(target: str, host: str) -> Rule | None:
    """What the proxy does with a request line and a Host: its own parser, normal form and matcher. None: refused."""
    try:
        head = parse_request(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode("latin-1"), 10)
    except ProtocolError:
        return None
    path = normalise(head.target.partition(b"?")[0])
    return RULES.match(head.method, path, head.host, head) if path is not None else None


HOSTS = st.sampled_from(
    ["api", "x.example.com", "X.Example.COM", "x.example.com.", "x.EXAMPLE.com.:80", "example.com."]
)
"""Only the first and the last are not below ``example.com``."""


@given(paths(), HOSTS, st.sampled_from(["origin", "absolute", "ABSOLUTE"]))
@example("/;/v1/paid", "api", "origin")
@example("/v1/files/..%3b/paid", "api", "origin")
@example("/v1/PAID", "api", "origin")
def test_no_spelling_has_a_rule_that_its_upstream_would_not_give_it(path: str, host: str, form: str) -> None:
    target = {"origin": path, "absolute": f"http://{host}{path}", "ABSOLUTE": f"HTTP://{host.upper()}{path}"}[form]
    rule = matched(target, host)
    if rule is not None:
        plain = path.partition("?")[0].encode("latin-1")
        readings = {(seen, folds) for seen in served(plain) for folds in (False, True)}
        wrong = {
            seen: found
            for seen, folds in readings
            if (found := rule_on(seen, host.encode(), folds=folds)) is not rule
        }
        assert {seen: found and found.name for seen, found in wrong.items()} == {}


@given(st.sampled_from(BASES), HOSTS)
def test_a_plain_spelling_has_its_rule(path: str, host: str) -> None:
    """The property above would also hold for a matcher that refuses everything."""
    assert matched(path, host) is rule_on(path.encode(), host.encode(), folds=False)
    assert matched(f"http://{host.upper()}{path}", host) is matched(path, host)
    encoded = "/" + "/".join("".join(f"%{ord(letter):02x}" for letter in part) for part in path[1:].split("/"))
    assert matched(encoded.replace("%3a", ":"), host) is matched(path, host)


def test_the_model_of_servers_takes_dots_away_as_others_do() -> None:
    assert _resolved(b"/a/b/../c/./d") == posixpath.normpath("/a/b/../c/./d").encode()


SAMPLES = [
    ("/v1/paid", "paid"),
    ("/v1/%70aid", "paid"),
    ("/v1/paid/", "paid"),
    ("http://proxy/v1/paid?x=/v1/free", "paid"),
    ("/v1/items/A%3arun", "run"),
    ("/v1/free", "free"),
    *(
        (path, None)
        for path in ("/v1/free/../paid", "/v1//paid", "/v1/Paid", "/;x/v1/paid", "/v1/x/..%3b/paid", "/v2")
    ),
    *(
        (path, None)
        for path in ("/v1/free%2F..%2Fpaid", "/v1\\paid", "http://other/v1/paid", "/v1/x/%2e%2e/paid", "v1/paid")
    ),
]


async def test_through_sockets_what_is_refused_never_reaches_the_upstream(lane: Lane) -> None:
    async with Upstream() as upstream, Shop(lane, upstream, rules=FILE) as shop:
        spent = 0
        for target, name in SAMPLES:
            upstream.forget()
            async with RawClient(shop.proxy.port) as client:
                fields = f"Host: proxy\r\n{': '.join(shop.bearer)}\r\n\r\n"
                await client.send(f"GET {target} HTTP/1.1\r\n{fields}".encode())
                answer = await client.answer()
            reached = [request.target for request in upstream.requests]
            if name is None:
                assert (answer.status in {400, 403}, reached) == (True, []), target
            else:
                assert (answer.status, reached) == (200, [target.removeprefix("http://proxy").encode()]), target
                price = {"paid": 3, "run": 5, "free": 0}[name]
                spent += price * 10**6
                assert (await shop.settled()).spent == spent, target
