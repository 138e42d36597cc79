"""The header rules of an intermediary (RFC 9110 §7.6), as pure functions from one head to the bytes of the next.

Hop-by-hop fields, and those that ``Connection`` names, end here, in both directions. Framing fields are always
written by us, from how the body really travels.
"""

from collections.abc import Iterable

import msgspec

from sidecar.http1.heads import CHUNKED, Head, RequestHead, ResponseHead

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"transfer-encoding",
        b"upgrade",
    }
)
NO_BODY = -2
"""In place of a length: a request that has no body and says nothing about it."""
_REQUEST_DROPS = HOP_BY_HOP | {b"host", b"content-length", b"expect"}
_RESPONSE_DROPS = HOP_BY_HOP | {b"content-length"}
_FORWARDING = frozenset(
    {b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port", b"x-real-ip"}
)
_NOT_IN_TRAILERS = (
    HOP_BY_HOP
    | _FORWARDING
    | {
        b"content-length",
        b"host",
        b"trailer",
        b"authorization",
        b"cookie",
        b"set-cookie",
        b"content-encoding",
        b"content-type",
    }
    | {
        b"content-range",
        b"www-authenticate",
        b"cache-control",
        b"expires",
        b"location",
        b"retry-after",
        b"expect",
        b"range",
    }
)
"""RFC 9110 §6.5.1: fields for framing, routing, authentication and content may not come late."""

Pairs = tuple[tuple[bytes, bytes], ...]

WANTS_TRAILERS: Pairs = ((b"Connection", b"TE"), (b"TE", b"trailers"))
"""Fields that ask for trailers (RFC 9110 §6.5.1)."""


class RequestPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What we change in requests, decided once: `set` replaces, `host` is sent unless `preserve_host`."""

    host: bytes
    preserve_host: bool = False
    path_prefix: bytes = b""
    set: Pairs = ()
    x_forwarded: bool = True
    forwarded: bool = False
    trust_forwarded: bool = False
    via: bool = True

    def with_field(self, name: bytes, value: bytes) -> "RequestPolicy":
        """The same with another value of a field that it sets."""
        changed = tuple((each, value if each == name else before) for each, before in self.set)
        return msgspec.structs.replace(self, set=changed)

    def dropped(self, more: Iterable[bytes] = ()) -> frozenset[bytes]:
        """The fields of a request that never reach the upstream; `more` are lower-case names.

        CGI and its heirs (WSGI, PHP) take ``X_Forwarded_For`` for ``X-Forwarded-For``, so that goes too.
        """
        drops = _REQUEST_DROPS | {name.lower() for name, _ in self.set} | frozenset(more)
        if not self.trust_forwarded:
            drops |= _FORWARDING
        return frozenset(spelling for name in drops for spelling in _spellings(name))


def _spellings(name: bytes) -> list[bytes]:
    """`name` with each of its dashes as a dash or an underscore."""
    first, *rest = name.split(b"-")
    spellings = [first]
    for part in rest:
        spellings = [begin + joint + part for begin in spellings for joint in (b"-", b"_")]
    return spellings


def request_head(
    head: RequestHead, policy: RequestPolicy, drops: frozenset[bytes], length: int, peer: bytes, extra: Pairs = ()
) -> bytes:
    """The head for the upstream. `length` is how the body will travel: a number, `CHUNKED`, or `NO_BODY`.

    `drops` comes from `RequestPolicy.dropped`; `extra` fields are added last and replace what the client sent. What
    is the same for every head like this one is kept in its notes. The client is told of by ``X-Forwarded-*`` and
    ``Forwarded`` (RFC 7239).
    """
    sent = head.notes.sent
    if sent is not None and sent[0] is policy and sent[1] is drops and sent[2] is extra:
        constant = sent[3]
    else:
        constant = _constant_lines(head, policy, drops, extra)
        head.notes.sent = (policy, drops, extra, constant)
    if length >= 0:
        framing = b"\r\nContent-Length: %d" % length
    else:
        framing = b"\r\nTransfer-Encoding: chunked" if length == CHUNKED else b""
    forwarded = b""
    if policy.x_forwarded:
        forwarded = b"\r\nX-Forwarded-For: %b" % peer
    if policy.forwarded:
        node = b'"[%b]"' % peer if b":" in peer else peer
        forwarded += b'\r\nForwarded: for=%b;host="%b";proto=http' % (node, head.host)
    return b"%b%b%b\r\n\r\n" % (constant, framing, forwarded)


def _constant_lines(head: RequestHead, policy: RequestPolicy, drops: frozenset[bytes], extra: Pairs) -> bytes:
    """All lines that do not depend on the client's address and the body's length, without the last CRLF."""
    if head.named:
        drops = drops | head.named
    replaced = frozenset(name.lower() for name, _ in extra)
    drops = drops | replaced if replaced else drops
    target = policy.path_prefix + head.target if policy.path_prefix and head.target != b"*" else head.target
    host = (policy.preserve_host and head.host) or policy.host
    lines = [b"%b %b HTTP/1.1\r\nHost: %b" % (head.method, target, host)]
    lines += _lines_to_pass(head, drops)
    if b"te" in head and b"te" not in replaced and b"trailers" in _members(head.get(b"te", b"")):
        lines += [b"%b: %b" % field for field in WANTS_TRAILERS]
    lines += [b"%b: %b" % field for field in (*policy.set, *extra)]
    # Another line of a list field appends to the ones before it (RFC 9110 §5.3).
    if policy.x_forwarded and not (policy.trust_forwarded and b"x-forwarded-proto" in head):
        lines.append(b"X-Forwarded-Proto: http")
    if policy.x_forwarded and not (policy.trust_forwarded and b"x-forwarded-host" in head):
        lines.append(b"X-Forwarded-Host: %b" % head.host)
    if policy.via:
        lines.append(b"Via: 1.0 sidecar" if head.http_1_0 else b"Via: 1.1 sidecar")
    return b"\r\n".join(lines)


def response_head(
    head: ResponseHead, drops: frozenset[bytes], chunked: bool, sized: bool, close: bool, via: bool, extra: bytes
) -> bytes:
    """The head for the client. `drops` are further lower-case names; `extra` is whole lines that we add.

    `chunked`: we frame the body in chunks. `sized`: the upstream's own Content-Length stands, if it has one.
    """
    sent = head.notes.sent
    if sent is not None and sent[0] is drops and sent[1] is via and sent[2] is close:
        constant = sent[3]
    else:
        all_drops = _RESPONSE_DROPS | drops | head.named
        lines = [b"HTTP/1.1 %d %b" % (head.status, head.reason)]
        lines += _lines_to_pass(head, all_drops)
        if via:
            lines.append(b"Via: 1.0 sidecar" if head.http_1_0 else b"Via: 1.1 sidecar")
        if close:
            lines.append(b"Connection: close")
        constant = b"\r\n".join(lines)
        head.notes.sent = (drops, via, close, constant)
    if chunked:
        return b"%b\r\nTransfer-Encoding: chunked\r\n%b\r\n" % (constant, extra)
    if sized and head.declared >= 0 and head.status != 204:
        # Written anew, for clients that read a leading zero as octal.
        return b"%b\r\nContent-Length: %d\r\n%b\r\n" % (constant, head.declared, extra)
    return b"%b\r\n%b\r\n" % (constant, extra)


def lines_of(head: ResponseHead, drops: frozenset[bytes]) -> list[bytes]:
    """The field lines of an answer that go on, as `response_head` writes them."""
    passed = _lines_to_pass(head, _RESPONSE_DROPS | drops | head.named)
    return [line for lines in passed for line in lines.split(b"\r\n")]


def local_head(status: int, reason: bytes, fields: Pairs, length: int, *, close: bool) -> bytes:
    """The head of an answer that we make ourselves."""
    lines = [b"HTTP/1.1 %d %b\r\n" % (status, reason)]
    lines += [b"%b: %b\r\n" % field for field in fields]
    lines.append(b"Content-Length: %d\r\n" % length)
    lines.append(b"Connection: close\r\n\r\n" if close else b"\r\n")
    return b"".join(lines)


def trailers_to_pass(
    trailers: list[tuple[bytes, bytes]], head: Head, drops: frozenset[bytes]
) -> list[tuple[bytes, bytes]]:
    """The trailer fields that may go on."""
    return [(name, value) for name, value in trailers if _may_come_late(name.lower(), head, drops)]


def _lines_to_pass(head: Head, drops: frozenset[bytes]) -> list[bytes]:
    """The field lines that go on; ``Trailer`` announces only what `trailers_to_pass` lets through."""
    lines = head.lines
    if b"trailer" in lines and b"trailer" not in drops:
        announced = _members(head.get(b"trailer", b""))
        kept = [name for name in announced if name and _may_come_late(name, head, drops)]
        if not kept:
            drops = drops | {b"trailer"}
        elif kept != announced:
            lines = lines | {b"trailer": b"Trailer: " + b", ".join(kept)}
    return [line for name, line in lines.items() if name not in drops]


def _may_come_late(name: bytes, head: Head, drops: frozenset[bytes]) -> bool:
    """Whether a trailer field of this lower-case name goes on."""
    return name not in _NOT_IN_TRAILERS and name not in drops and name not in head.named


def _members(value: bytes) -> list[bytes]:
    """The members of a list field, lower case."""
    return [member.strip(b" \t") for member in value.lower().split(b",")]
