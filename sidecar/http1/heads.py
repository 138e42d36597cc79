"""Heads of requests and answers: bytes in, checked records out; no I/O.

llhttp splits and validates; what it lets pass and RFC 9112 calls ambiguous is refused here: more than one space in
the start line, other versions, a missing or repeated Host, an absolute target that names another host, codings other
than ``chunked``, chunked in HTTP/1.0. A head that passes is never forwarded as it came: `fields` writes a new one
from what was understood, so that both sides of the proxy read the same message.
"""

import re

import httptools

from sidecar.http1.errors import ProtocolError

CHUNKED = -1
"""In place of a length: the body is chunked."""
UNTIL_CLOSE = -2
"""In place of a length: the body ends with the connection."""

_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~]+) HTTP/(\d)\.(\d)")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9]\d\d)(?: ([\t -~\x80-\xff]*))?")
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+,;=-]+)(?::\d{1,5})?")
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)(.*)", re.IGNORECASE)
_LENGTH = re.compile(rb"\d{1,18}")

Field = tuple[bytes, bytes, bytes]
"""A header field: lower-case name, name as sent, value."""


class Head:
    """What requests and answers have in common. llhttp calls `on_header` for each field."""

    __slots__ = ("fields", "http_1_0", "items", "keep_alive", "length", "named")

    def __init__(self) -> None:
        self.items: list[Field] = []
        self.fields: dict[bytes, bytes] = {}
        self.http_1_0 = False
        self.keep_alive = True
        self.named: frozenset[bytes] = frozenset()
        self.length = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        key = name.lower()
        if value[-1:] in (b" ", b"\t"):
            value = value.rstrip(b" \t")
        self.items.append((key, name, value))
        fields = self.fields
        fields[key] = fields[key] + b", " + value if key in fields else value

    def _read_connection(self) -> None:
        """Set `keep_alive` and, for the rare ones that have any, the fields `named` by ``Connection``."""
        value = self.fields.get(b"connection")
        if value is None:
            self.keep_alive = not self.http_1_0
            return
        options = frozenset(option.strip(b" \t") for option in value.lower().split(b","))
        self.keep_alive = b"keep-alive" in options if self.http_1_0 else b"close" not in options
        self.named = options - _PERSISTENCE


class RequestHead(Head):
    """A request that may be handled. `target` is in origin form (or ``*``); `length` is a number or `CHUNKED`."""

    __slots__ = ("expects_continue", "host", "method", "target")

    def __init__(self) -> None:
        super().__init__()
        self.method = b""
        self.target = b""
        self.host = b""
        self.expects_continue = False


class ResponseHead(Head):
    """An upstream's answer. `length` is a number, `CHUNKED` or `UNTIL_CLOSE`; 0 where no body can be."""

    __slots__ = ("reason", "status")

    def __init__(self) -> None:
        super().__init__()
        self.status = 0
        self.reason = b""


_PERSISTENCE = frozenset({b"close", b"keep-alive"})


def parse_request(data: bytes, fields_max: int) -> RequestHead:
    """Read one whole request head, its empty line included.

    Raises:
        ProtocolError: 400, 417, 431, 501 or 505, with a sentence for the client.
    """
    line = _REQUEST_LINE.fullmatch(data, 0, data.find(b"\r\n"))
    if line is None:
        raise _bad_request("The request line is not `METHOD SP target SP HTTP/1.1`.")
    method, target, major, minor = line.groups()
    if major != b"1" or minor not in (b"0", b"1"):
        raise ProtocolError(505, "http_version_unsupported", "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
    head = RequestHead()
    head.method, head.target, head.http_1_0 = method, target, minor == b"0"
    try:
        httptools.HttpRequestParser(head).feed_data(data)
    except httptools.HttpParserUpgrade:
        pass  # Refused below, together with the upgrades that llhttp does not see.
    except httptools.HttpParserInvalidMethodError:
        name = method.decode("ascii")
        raise ProtocolError(501, "method_unsupported", f"The method {name!r} is not supported.") from None
    except httptools.HttpParserError as error:
        raise _bad_request(f"The request head is malformed: {_reason(error)}.") from None
    _check_request(head, fields_max)
    return head


def _check_request(head: RequestHead, fields_max: int) -> None:
    fields = head.fields
    if len(head.items) > fields_max:
        raise ProtocolError(431, "headers_too_large", f"The request has more than {fields_max} header fields.")
    head._read_connection()
    if b"upgrade" in fields and b"upgrade" in head.named:
        raise ProtocolError(501, "upgrade_unsupported", "Protocol upgrades are not supported.")
    if head.method == b"CONNECT":
        raise ProtocolError(501, "method_unsupported", "CONNECT is not supported: this is a reverse proxy.")
    head.host = _host(head)
    head.target = _origin_form(head)
    head.length = _request_length(head)
    expect = fields.get(b"expect")
    if expect is not None:
        if expect.lower() != b"100-continue":
            raise ProtocolError(417, "expectation_failed", "The only expectation that can be met is 100-continue.")
        head.expects_continue = not head.http_1_0 and head.length != 0


def _host(head: RequestHead) -> bytes:
    """The one Host (RFC 9112 §3.2); a repeated one shows as a list and fails the syntax."""
    host = head.fields.get(b"host")
    if host is None:
        if head.http_1_0:
            return b""
        raise _bad_request("The Host header is missing.")
    if _HOST.fullmatch(host) is None or sum(item[0] == b"host" for item in head.items) > 1:
        raise _bad_request("The Host header must be one host name with an optional port.")
    return host


def _origin_form(head: RequestHead) -> bytes:
    target = head.target
    if target[:1] == b"/" and b"#" not in target:
        return target
    if target == b"*" and head.method == b"OPTIONS":
        return target
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None or b"#" in target:
        raise _bad_request("The request target must be a path that begins with `/`, without a fragment.")
    # RFC 9112 §3.2.2 lets the target win over Host; a request in which they differ is refused instead.
    if absolute[1].lower() != head.host.lower():
        raise _bad_request("The request target names another host than the Host header.")
    rest = absolute[2]
    return rest if rest[:1] == b"/" else b"/" + rest


def _request_length(head: RequestHead) -> int:
    coding = head.fields.get(b"transfer-encoding")
    length = head.fields.get(b"content-length")
    if coding is not None:
        if length is not None:
            raise _bad_request("Content-Length and Transfer-Encoding must not come together.")
        if head.http_1_0:
            raise _bad_request("Transfer-Encoding does not exist in HTTP/1.0.")
        if coding.lower() != b"chunked":
            raise ProtocolError(501, "coding_unsupported", "The only transfer coding that is supported is chunked.")
        return CHUNKED
    if length is None:
        return 0
    if _LENGTH.fullmatch(length) is None:
        raise _bad_request("Content-Length must be one decimal number.")
    return int(length)


def parse_response(data: bytes, method: bytes, fields_max: int) -> ResponseHead:
    """Read one whole head of an answer to a `method` request, its empty line included.

    Raises:
        ProtocolError: always status 502; the sentence is about the upstream.
    """
    line = _STATUS_LINE.fullmatch(data, 0, data.find(b"\r\n"))
    if line is None:
        raise _bad_answer("its status line is malformed")
    head = ResponseHead()
    head.http_1_0, head.status, head.reason = line[1] == b"0", int(line[2]), line[3] or b""
    if head.status == 101:
        raise _bad_answer("it switched protocols without being asked")
    try:
        httptools.HttpResponseParser(head).feed_data(data)
    except httptools.HttpParserUpgrade:
        pass  # An `Upgrade` offer on an ordinary answer; hop-by-hop, so it goes no further.
    except httptools.HttpParserError as error:
        raise _bad_answer(f"its head is malformed: {_reason(error)}") from None
    if len(head.items) > fields_max:
        raise _bad_answer(f"it has more than {fields_max} header fields")
    head._read_connection()
    head.length = _response_length(head, method)
    return head


def _response_length(head: ResponseHead, method: bytes) -> int:
    """RFC 9112 §6.3, with every doubtful case refused."""
    coding = head.fields.get(b"transfer-encoding")
    length = head.fields.get(b"content-length")
    if coding is not None and (length is not None or head.http_1_0 or coding.lower() != b"chunked"):
        raise _bad_answer("the length of its body is ambiguous")
    if length is not None and _LENGTH.fullmatch(length) is None:
        raise _bad_answer("its Content-Length is not one decimal number")
    if head.status < 200 or head.status in (204, 304) or method == b"HEAD":
        # Some servers send a body all the same: nothing more is read from such a connection.
        if coding is not None and method != b"HEAD":
            head.keep_alive = False
        return 0
    if coding is not None:
        return CHUNKED
    if length is not None:
        return int(length)
    head.keep_alive = False
    return UNTIL_CLOSE


def _reason(error: Exception) -> str:
    return str(error.args[0] if error.args else error).rstrip(".")


def _bad_request(detail: str) -> ProtocolError:
    return ProtocolError(400, "bad_request", detail)


def _bad_answer(what: str) -> ProtocolError:
    return ProtocolError(502, "upstream_broken", f"The upstream's answer cannot be passed on: {what}.")
