"""Heads of requests and answers: bytes in, checked records out; no I/O.

llhttp splits and validates; what it lets pass and RFC 9112 calls ambiguous is refused here: more than one space in
the start line, other versions, a missing or repeated Host, an absolute target that names another host, codings other
than ``chunked``, chunked in HTTP/1.0. A head that passes is never forwarded as it came: `fields` writes a new one
from what was understood, so that both sides of the proxy read the same message.
"""

import re
from typing import Self, overload

import httptools

from sidecar.http1.errors import ProtocolError

CHUNKED = -1
"""In place of a length: the body is chunked."""
UNTIL_CLOSE = -2
"""In place of a length: the body ends with the connection."""

_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~]+) HTTP/(\d\.\d)")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9]\d\d)(?: ([\t -~\x80-\xff]*))?")
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+,;=-]+)(?::\d{1,5})?")
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)(.*)", re.IGNORECASE)


class Notes:
    """What was worked out about a head and holds for every head like it; see `known_heads`.

    `sent` is kept by `fields`: how the head was written last, and for which settings; `route` belongs to the handler.
    """

    __slots__ = ("route", "sent")

    def __init__(self) -> None:
        self.sent: tuple[object, object, object, bytes] | None = None
        self.route: object = None


class Head:
    """What requests and answers have in common.

    `lines` maps lower-case names to whole field lines as they came, without CRLF; lines of one name stand in one
    value, in their order, with CRLF between. Most fields are only passed on, so values are cut out when asked for.
    """

    __slots__ = ("declared", "http_1_0", "keep_alive", "length", "lines", "named", "notes")

    http_1_0: bool
    keep_alive: bool
    length: int
    lines: dict[bytes, bytes]
    named: frozenset[bytes]
    notes: Notes
    declared: int
    """The number in Content-Length, -1 without one. The field itself is not among the lines: framing is ours."""

    @overload
    def get(self, name: bytes) -> bytes | None: ...
    @overload
    def get(self, name: bytes, default: bytes) -> bytes: ...
    def get(self, name: bytes, default: bytes | None = None) -> bytes | None:
        """The value of the field, several of one name joined by commas (RFC 9110 §5.3); `name` is lower-case."""
        line = self.lines.get(name)
        if line is None:
            return default
        if line.find(b"\r\n") >= 0:  # Half the time of `in`, which first tries whether its left side is a number.
            return b", ".join(one.partition(b":")[2].strip(b" \t") for one in line.split(b"\r\n"))
        return line[len(name) + 1 :].strip(b" \t")

    def __contains__(self, name: bytes) -> bool:
        return name in self.lines

    def with_length(self, length: int) -> Self:
        """The same head in front of a body of another length; all else, also the notes, is shared."""
        raise NotImplementedError

    def _read_connection(self) -> None:
        """Set `keep_alive` and, for the rare ones that have any, the fields `named` by ``Connection``."""
        if self.lines[b"connection"] == b"Connection: keep-alive":
            self.keep_alive = True
            return
        options = frozenset(option.strip(b" \t") for option in self.get(b"connection", b"").lower().split(b","))
        self.keep_alive = b"keep-alive" in options if self.http_1_0 else b"close" not in options
        self.named = options - _PERSISTENCE


class RequestHead(Head):
    """A request that may be handled. `target` is in origin form (or ``*``); `length` is a number or `CHUNKED`."""

    __slots__ = ("expects_continue", "host", "method", "target")

    def __init__(self, lines: dict[bytes, bytes], method: bytes, target: bytes, *, http_1_0: bool) -> None:
        self.lines = lines
        self.http_1_0 = http_1_0
        self.keep_alive = not http_1_0
        self.named = _NONE
        if b"connection" in lines:
            self._read_connection()
        self.method = method
        self.target = target
        self.host = b""
        self.length = 0
        self.expects_continue = False
        self.declared = -1
        self.notes = Notes()

    @property
    def upgrade(self) -> bytes:
        """The protocols that the client asks to go over to (RFC 9110 §7.8), in lower case; empty if it does not."""
        return self.get(b"upgrade", b"").lower() if b"upgrade" in self.named else b""

    def with_length(self, length: int) -> Self:
        head = self._copy()
        head.length = head.declared = length
        return head

    def with_target(self, target: bytes) -> Self:
        """The same request for another target, with notes of its own."""
        head = self._copy()
        head.target = target
        head.notes = Notes()
        return head

    def asking(self, method: bytes, target: bytes, host: bytes) -> Self:
        """The fields of this request as those of another one, with notes of its own. Nothing of it is checked."""
        head = self.with_target(target)
        head.method, head.host = method, host
        return head

    def _copy(self) -> Self:
        head = self.__class__.__new__(self.__class__)
        head.lines = self.lines
        head.http_1_0 = self.http_1_0
        head.keep_alive = self.keep_alive
        head.named = self.named
        head.notes = self.notes
        head.length = self.length
        head.declared = self.declared
        head.method = self.method
        head.target = self.target
        head.host = self.host
        head.expects_continue = self.expects_continue
        return head


class ResponseHead(Head):
    """An upstream's answer. `length` is a number, `CHUNKED` or `UNTIL_CLOSE`; 0 where no body can be."""

    __slots__ = ("reason", "status")

    def __init__(self, lines: dict[bytes, bytes], status: int, reason: bytes, *, http_1_0: bool) -> None:
        self.lines = lines
        self.http_1_0 = http_1_0
        self.keep_alive = not http_1_0
        self.named = _NONE
        if b"connection" in lines:
            self._read_connection()
        self.status = status
        self.reason = reason
        self.length = 0
        self.declared = -1
        self.notes = Notes()

    def with_length(self, length: int) -> Self:
        head = self.__class__.__new__(self.__class__)
        head.lines = self.lines
        head.http_1_0 = self.http_1_0
        head.keep_alive = self.keep_alive
        head.named = self.named
        head.notes = self.notes
        head.length = head.declared = length
        head.status = self.status
        head.reason = self.reason
        return head


class _Silent:
    """llhttp validates; that it need not call back for each field halves the price of a head."""

    __slots__ = ()


_SILENT = _Silent()
_SLASH = ord("/")
_NONE: frozenset[bytes] = frozenset()
_PERSISTENCE = frozenset({b"close", b"keep-alive"})
_good_hosts: dict[bytes, bytes] = {}
"""Host lines that were found well formed, and their values; bounded."""


def _split(data: bytes, line_end: int) -> dict[bytes, bytes]:
    """The field lines of a head that llhttp has found valid: no folding, no bare CR or LF, no space in a name."""
    if line_end == len(data) - 4:
        return {}
    pieces = data[line_end + 2 : -4].split(b"\r\n")
    lines = {line.partition(b":")[0].lower(): line for line in pieces}
    if len(lines) != len(pieces):
        lines = {}
        for line in pieces:
            name = line.partition(b":")[0].lower()
            lines[name] = lines[name] + b"\r\n" + line if name in lines else line
    return lines


def parse_request(data: bytes, fields_max: int, *, upgrades: bool = False) -> RequestHead:
    """Read one whole request head, its empty line included. `upgrades`: it may ask for another protocol.

    Raises:
        ProtocolError: 400, 417, 431, 501 or 505, with a sentence for the client.
    """
    line_end = data.find(b"\r\n")
    line = _REQUEST_LINE.fullmatch(data, 0, line_end)
    if line is None:
        raise _bad_request("The request line is not `METHOD SP target SP HTTP/1.1`.")
    method, target, version = line.groups()
    if version not in (b"1.1", b"1.0"):
        raise ProtocolError(505, "http_version_unsupported", "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
    if method == b"TRACE":
        raise ProtocolError(501, "method_unsupported", "TRACE is not supported: it would show our own credentials.")
    _validate_request(data, method)
    if data.count(b"\r\n") - 2 > fields_max:
        raise ProtocolError(431, "headers_too_large", f"The request has more than {fields_max} header fields.")
    lines = _split(data, line_end)
    head = RequestHead(lines, method, target, http_1_0=version == b"1.0")
    head.host = _good_hosts.get(lines.get(b"host", b"")) or _host(head)
    if target[0] != _SLASH or b"#" in target:
        head.target = _origin_form(head)
    if b"content-length" in lines or b"transfer-encoding" in lines:
        head.length = _request_length(head, lines)
    if b"expect" in lines:
        _read_expectation(head)
    if head.named and head.upgrade:
        _check_upgrade(head, supported=upgrades)
    return head


def _check_upgrade(head: RequestHead, *, supported: bool) -> None:
    if not supported:
        raise ProtocolError(501, "upgrade_unsupported", "Protocol upgrades are not supported.")
    if head.method != b"GET" or head.length or head.http_1_0:
        raise ProtocolError(501, "upgrade_unsupported", "Only a GET without a body can ask for another protocol.")


def _validate_request(data: bytes, method: bytes) -> None:
    try:
        httptools.HttpRequestParser(_SILENT).feed_data(data)
    except httptools.HttpParserUpgrade:
        # Upgrades are refused by our caller, together with those that llhttp does not see.
        if method == b"CONNECT":
            detail = "CONNECT is not supported: this is a reverse proxy."
            raise ProtocolError(501, "method_unsupported", detail) from None
    except httptools.HttpParserInvalidMethodError:
        name = method.decode("ascii")
        raise ProtocolError(501, "method_unsupported", f"The method {name!r} is not supported.") from None
    except httptools.HttpParserError as error:
        raise _bad_request(f"The request head is malformed: {_reason(error)}.") from None


def _read_expectation(head: RequestHead) -> None:
    if head.get(b"expect", b"").lower() != b"100-continue":
        raise ProtocolError(417, "expectation_failed", "The only expectation that can be met is 100-continue.")
    head.expects_continue = not head.http_1_0 and head.length != 0


def _host(head: RequestHead) -> bytes:
    """The one Host (RFC 9112 §3.2)."""
    line = head.lines.get(b"host")
    if line is None:
        if head.http_1_0:
            return b""
        raise _bad_request("The Host header is missing.")
    host = head.get(b"host", b"")
    if _HOST.fullmatch(host) is None or b"\r\n" in line:
        raise _bad_request("The Host header must be one host name with an optional port.")
    if len(_good_hosts) < 256:
        _good_hosts[line] = host
    return host


def _origin_form(head: RequestHead) -> bytes:
    target = head.target
    if target == b"*" and head.method == b"OPTIONS":
        return target
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None or b"#" in target:
        raise _bad_request("The request target must be a path that begins with `/`, without a fragment.")
    # RFC 9112 §3.2.2 lets the target win over Host; a request in which they differ is refused instead.
    if not absolute[1] or absolute[1].lower() != head.host.lower():
        raise _bad_request("The request target names another host than the Host header.")
    rest = absolute[2]
    if not rest and head.method == b"OPTIONS":
        return b"*"
    return rest if rest[:1] == b"/" else b"/" + rest


def _request_length(head: RequestHead, lines: dict[bytes, bytes]) -> int:
    if b"transfer-encoding" in lines:
        if b"content-length" in lines:
            raise _bad_request("Content-Length and Transfer-Encoding must not come together.")
        if head.http_1_0:
            raise _bad_request("Transfer-Encoding does not exist in HTTP/1.0.")
        if head.get(b"transfer-encoding", b"").lower() != b"chunked":
            raise ProtocolError(501, "coding_unsupported", "The only transfer coding that is supported is chunked.")
        return CHUNKED
    length = _decimal(lines.pop(b"content-length"))
    if length is None:
        raise _bad_request("Content-Length must be one decimal number.")
    head.declared = length
    return length


def _decimal(line: bytes) -> int | None:
    """The number in one Content-Length line; repeated lines contain CRLF and are none."""
    digits = line[15:].strip(b" \t")
    return int(digits) if digits.isdigit() and len(digits) <= 18 else None


def parse_response(data: bytes, method: bytes, fields_max: int, upgrade: bytes = b"") -> ResponseHead:
    """Read one whole head of an answer to a `method` request, its empty line included.

    `upgrade` is the protocol that was asked for, if any: an answer that goes over to it has a body without an end.

    Raises:
        ProtocolError: always status 502; the sentence is about the upstream.
    """
    line_end = data.find(b"\r\n")
    line = _STATUS_LINE.fullmatch(data, 0, line_end)
    if line is None:
        raise _bad_answer("its status line is malformed")
    status = int(line[2])
    if status == 101 and not upgrade:
        raise _bad_answer("it switched protocols without being asked")
    try:
        httptools.HttpResponseParser(_SILENT).feed_data(data)
    except httptools.HttpParserUpgrade:
        pass  # An `Upgrade` offer on an ordinary answer; hop-by-hop, so it goes no further.
    except httptools.HttpParserError as error:
        raise _bad_answer(f"its head is malformed: {_reason(error)}") from None
    if data.count(b"\r\n") - 2 > fields_max:
        raise _bad_answer(f"it has more than {fields_max} header fields")
    head = ResponseHead(_split(data, line_end), status, line[3] or b"", http_1_0=line[1] == b"0")
    if status == 101:
        if b"upgrade" not in head.named or head.get(b"upgrade", b"").lower() != upgrade:
            raise _bad_answer("it went over to another protocol than it was asked to")
        head.length, head.keep_alive = UNTIL_CLOSE, False
        return head
    head.length = _response_length(head, method)
    return head


def _response_length(head: ResponseHead, method: bytes) -> int:
    """RFC 9112 §6.3, with every doubtful case refused."""
    lines = head.lines
    chunked = b"transfer-encoding" in lines
    length = UNTIL_CLOSE
    if b"content-length" in lines:
        declared = _decimal(lines.pop(b"content-length"))
        if declared is None:
            raise _bad_answer("its Content-Length is not one decimal number")
        length = head.declared = declared
    if chunked:
        coding = head.get(b"transfer-encoding", b"").lower()
        if length >= 0 or head.http_1_0 or coding != b"chunked":
            raise _bad_answer("the length of its body is ambiguous")
        length = CHUNKED
    if head.status < 200 or head.status in (204, 304) or method == b"HEAD":
        # Some servers send a body all the same: nothing more is read from such a connection.
        if (chunked and method != b"HEAD") or (head.status == 204 and length > 0):
            head.keep_alive = False
        return 0
    if length == UNTIL_CLOSE:
        head.keep_alive = False
    return length


def _reason(error: Exception) -> str:
    return str(error.args[0] if error.args else error).rstrip(".")


def _bad_request(detail: str) -> ProtocolError:
    return ProtocolError(400, "bad_request", detail)


def _bad_answer(what: str) -> ProtocolError:
    return ProtocolError(502, "upstream_broken", f"The upstream's answer cannot be passed on: {what}.")
