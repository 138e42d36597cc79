"""The header rules of an intermediary, both as functions and as what really arrives on either side."""

import pytest

from sidecar.http1.fields import RequestPolicy
from tests.http1.stage import PLAIN, Stage
from tests.support.rawhttp import RawClient, fetch, request
from tests.support.upstream import Received, Upstream, answers, says

HOP_BY_HOP = [
    ("Keep-Alive", "timeout=5"),
    ("Proxy-Connection", "keep-alive"),
    ("Proxy-Authorization", "Basic eA=="),
    ("Proxy-Authenticate", "Basic"),
    ("TE", "gzip"),
    ("Upgrade", "h2c"),
    ("X-Named", "1"),
    ("Connection", "close, X-Named"),
    ("Connection", "x-other"),
    ("x-OTHER", "2"),
]
THEIRS = [
    ("X-Forwarded-For", "203.0.113.9"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "front.example"),
    ("X-Forwarded-Port", "444"),
    ("X-Real-IP", "203.0.113.9"),
    ("Forwarded", "for=203.0.113.9"),
]
FORWARDING = tuple(name.lower().encode() for name, _ in THEIRS)


async def received(policy: RequestPolicy, raw: bytes) -> Received:
    """The request as it reaches the upstream."""
    async with Upstream() as upstream, Stage(upstream.port, policy=policy) as stage, RawClient(stage.port) as client:
        await client.send(raw)
        assert (await client.answer()).status == 200
        return upstream.requests[0]


def forwarding(request: Received) -> dict[bytes, list[bytes]]:
    return {name: request.all(name) for name in FORWARDING if request.all(name)}


async def test_hop_by_hop_fields_end_here_on_the_way_up() -> None:
    got = await received(PLAIN, request("GET", "/", *HOP_BY_HOP, ("X-Kept", "3"), ("Trailer", "X")))
    assert got.headers == [(b"Host", b"upstream.test"), (b"X-Kept", b"3"), (b"Trailer", b"X")]


async def test_hop_by_hop_fields_end_here_on_the_way_down() -> None:
    async with Upstream(answers(b"ok", *HOP_BY_HOP[:-3], ("Connection", "X-Named"), ("X-Kept", "3"))) as upstream:
        async with Stage(upstream.port) as stage, RawClient(stage.port) as client:
            for _ in range(2):
                await client.send(request("GET", "/"))
                answer = await client.answer()
                assert answer.headers == [(b"X-Kept", b"3"), (b"Content-Length", b"2")]
        assert upstream.connections == 1


async def test_connection_cannot_remove_what_we_add() -> None:
    policy = RequestPolicy(host=b"upstream.test", set=((b"Authorization", b"Bearer ours"),))
    named = "Authorization, Host, Content-Length, X-Forwarded-For, Via"
    got = await received(policy, request("POST", "/", ("Connection", named), ("Authorization", "theirs"), body=b"x"))
    assert got.get(b"authorization") == b"Bearer ours"
    assert got.get(b"host") == b"upstream.test"
    assert (got.get(b"content-length"), got.body) == (b"1", b"x")
    assert got.get(b"x-forwarded-for") == b"127.0.0.1"
    assert got.get(b"via") == b"1.1 sidecar"


async def test_fields_that_some_servers_take_for_ours_are_dropped_with_them() -> None:
    policy = RequestPolicy(host=b"upstream.test", set=((b"X-Api-Token", b"ours"),))
    spellings = [("X_Forwarded_For", "1"), ("X-Forwarded_For", "1"), ("Content_Length", "9"), ("x_api-token", "1")]
    got = await received(policy, request("GET", "/", *spellings, ("Under_Score", "kept")))
    assert [name for name, _ in got.headers if b"_" in name] == [b"Under_Score"]
    assert got.all(b"x-api-token") == [b"ours"]


@pytest.mark.parametrize(
    ("x_forwarded", "forwarded", "expected"),
    [
        (False, False, {}),
        (
            True,
            False,
            {
                b"x-forwarded-for": [b"127.0.0.1"],
                b"x-forwarded-proto": [b"http"],
                b"x-forwarded-host": [b"api.example"],
            },
        ),
        (False, True, {b"forwarded": [b'for=127.0.0.1;host="api.example";proto=http']}),
    ],
    ids=["none", "x-forwarded", "forwarded"],
)
async def test_who_the_client_is_cannot_be_forged(
    x_forwarded: bool, forwarded: bool, expected: dict[bytes, list[bytes]]
) -> None:
    policy = RequestPolicy(host=b"upstream.test", x_forwarded=x_forwarded, forwarded=forwarded)
    assert forwarding(await received(policy, request("GET", "/", *THEIRS))) == expected


async def test_a_trusted_front_is_added_to() -> None:
    policy = RequestPolicy(host=b"upstream.test", forwarded=True, trust_forwarded=True)
    assert forwarding(await received(policy, request("GET", "/", *THEIRS))) == {
        b"x-forwarded-for": [b"203.0.113.9", b"127.0.0.1"],
        b"x-forwarded-proto": [b"https"],
        b"x-forwarded-host": [b"front.example"],
        b"x-forwarded-port": [b"444"],
        b"x-real-ip": [b"203.0.113.9"],
        b"forwarded": [b"for=203.0.113.9", b'for=127.0.0.1;host="api.example";proto=http'],
    }
    partly = await received(policy, request("GET", "/", ("X-Forwarded-Host", "front.example")))
    assert partly.all(b"x-forwarded-host") == [b"front.example"]
    assert partly.all(b"x-forwarded-proto") == [b"http"]


async def test_via_names_the_version_that_came() -> None:
    policy = RequestPolicy(host=b"upstream.test", x_forwarded=False)
    chained = await received(policy, request("GET", "/", ("Via", "1.1 front")))
    assert chained.all(b"via") == [b"1.1 front", b"1.1 sidecar"]
    assert (await received(policy, b"GET / HTTP/1.0\r\n\r\n")).get(b"via") == b"1.0 sidecar"
    script = says(b"HTTP/1.0 200 OK\r\n\r\n", then="close")
    async with Upstream(script) as upstream, Stage(upstream.port, policy=policy) as stage:
        assert (await fetch(stage.port, "GET", "/")).get("via") == "1.0 sidecar"


@pytest.mark.parametrize(
    ("preserve", "raw", "host"),
    [
        (False, request("GET", "/", host="api.example:81"), b"upstream.test"),
        (True, request("GET", "/", host="api.example:81"), b"api.example:81"),
        (True, b"GET / HTTP/1.0\r\n\r\n", b"upstream.test"),
    ],
)
async def test_host(preserve: bool, raw: bytes, host: bytes) -> None:
    got = await received(RequestPolicy(host=b"upstream.test", preserve_host=preserve), raw)
    assert got.get(b"host") == host


@pytest.mark.parametrize(
    ("raw", "target"),
    [
        (b"GET /a?b HTTP/1.1", b"/base/a?b"),
        (b"GET http://a/x HTTP/1.1", b"/base/x"),
        (b"GET //x HTTP/1.1", b"/base//x"),
        (b"OPTIONS * HTTP/1.1", b"*"),
    ],
)
async def test_a_path_prefix_goes_in_front(raw: bytes, target: bytes) -> None:
    policy = RequestPolicy(host=b"upstream.test", path_prefix=b"/base")
    assert (await received(policy, raw + b"\r\nHost: a\r\n\r\n")).target == target


@pytest.mark.parametrize(
    ("raw", "framing"),
    [
        (request("GET", "/"), (None, None)),
        (request("POST", "/", body=b""), (b"0", None)),
        (request("POST", "/", ("content-LENGTH", "0003")) + b"abc", (b"3", None)),
        (request("POST", "/", ("Transfer-Encoding", "Chunked")) + b"0\r\n\r\n", (b"0", None)),
        (request("POST", "/", ("Transfer-Encoding", "chunked")) + b"3\r\nabc\r\n0\r\n\r\n", (b"3", None)),
    ],
    ids=["nothing", "empty", "sized", "chunks of nothing", "chunks in hand"],
)
async def test_framing_is_ours(raw: bytes, framing: tuple[bytes | None, bytes | None]) -> None:
    got = await received(PLAIN, raw)
    assert (got.get(b"content-length"), got.get(b"transfer-encoding")) == framing


async def test_te_asks_for_trailers_only_when_the_client_did() -> None:
    assert (await received(PLAIN, request("GET", "/", ("TE", "gzip, Trailers;q=1")))).get(b"te") is None
    got = await received(PLAIN, request("GET", "/", ("TE", "gzip, Trailers")))
    assert (got.get(b"te"), got.get(b"connection")) == (b"trailers", b"TE")


async def test_a_request_like_the_last_one_is_not_taken_for_it() -> None:
    """Heads are remembered: each difference must still arrive."""
    raws = [
        request("POST", "/a", ("X", "1"), body=b"one"),
        request("POST", "/a", ("X", "1"), body=b"three"),
        request("POST", "/a", ("X", "2"), body=b"three"),
        request("POST", "/b", ("X", "1"), body=b"one"),
        request("POST", "/a", ("X", "1")),
        request("POST", "/a", ("X", "1"), body=b""),
    ]
    async with Upstream() as upstream, Stage(upstream.port) as stage, RawClient(stage.port) as client:
        for raw in raws * 2:
            await client.send(raw)
            assert (await client.answer()).status == 200
        seen = [(one.target, one.get(b"x"), one.get(b"content-length"), one.body) for one in upstream.requests]
    assert seen == 2 * [
        (b"/a", b"1", b"3", b"one"),
        (b"/a", b"1", b"5", b"three"),
        (b"/a", b"2", b"5", b"three"),
        (b"/b", b"1", b"3", b"one"),
        (b"/a", b"1", None, b""),
        (b"/a", b"1", b"0", b""),
    ]


async def test_another_value_of_a_field_that_is_set_is_sent_from_then_on() -> None:
    policy = RequestPolicy(host=b"h", set=((b"X-One", b"1"), (b"X-Key", b"old")), x_forwarded=False, via=False)
    changed = policy.with_field(b"X-Key", b"new")
    assert changed.set == ((b"X-One", b"1"), (b"X-Key", b"new"))
    assert changed.dropped() == policy.dropped()
    sent = await received(changed, request("GET", "/", ("x-key", "the client's")))
    assert [value for name, value in sent.headers if name.lower() == b"x-key"] == [b"new"]
