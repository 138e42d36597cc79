"""``match:`` and ``identity:`` of a rule file, checked."""

import ipaddress
import re

from sidecar.config.cursor import Cursor
from sidecar.domain.errors import InvalidInput
from sidecar.domain.match import Match, PathPattern
from sidecar.domain.rules import ApiKey, IdentitySource, Network, TrustedHeader

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z", re.ASCII)
METHOD = re.compile(r"[A-Z][A-Z-]*\Z", re.ASCII)
_HOST = re.compile(r"(?:\*\.)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?\Z", re.ASCII)
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?\Z")


def read_match(cursor: Cursor) -> Match | None:
    """The conditions of one rule; None after a problem."""
    before = len(cursor.problems)
    entries = cursor.entries(("method", "path", "host", "headers"), "method, path, host, headers")
    methods = (
        frozenset(_method(item) for item in entries["method"].one_or_items(_A_METHOD)) if "method" in entries else ()
    )
    path = _path(entries["path"]) if "path" in entries else None
    if "path" not in entries and entries:
        cursor.problem("no `path`: a rule matches a path", 'add `path: /v1/…`, or `path: "/**"` for any')
    host = _host(entries["host"]) if "host" in entries else ""
    headers = _headers(entries["headers"]) if "headers" in entries else ()
    if path is None or len(cursor.problems) > before:
        return None
    return Match(methods=frozenset(methods), path=path, host=host, headers=headers)


def header_name(cursor: Cursor) -> bytes | None:
    """A header's name in lower case."""
    text = cursor.text("the name of a header")
    if text is None or TOKEN.match(text):
        return text.lower().encode() if text is not None else None
    cursor.problem(f"`{text}` is not the name of a header")
    return None


def read_identity(cursor: Cursor) -> tuple[IdentitySource, ...]:
    """Where a request says who pays, in the order in which it is asked."""
    sources = [_identity_source(item) for item in cursor.items("a list of api_key and header")]
    return tuple(source for source in sources if source is not None)


_A_METHOD = "a method, or a list of them"


def _method(cursor: Cursor) -> bytes:
    text = cursor.text(_A_METHOD)
    if text is not None and not METHOD.match(text):
        hint = f"methods are case-sensitive: write {text.upper()}" if METHOD.match(text.upper()) else ""
        cursor.problem(f"`{text}` is not a method", hint or "leave `method` out to match any method")
    return (text or "").encode()


def _path(cursor: Cursor) -> PathPattern | None:
    text = cursor.text("a path")
    if text is None:
        return None
    try:
        return PathPattern.parse(text)
    except InvalidInput as error:
        cursor.problem(f"`{text}` is not a path pattern", error.detail)
        return None


def _host(cursor: Cursor) -> str:
    text = (cursor.text("a host name") or "").lower()
    if text and not _HOST.match(text):
        cursor.problem(f"`{text}` is not a host name", "write api.example.com or *.example.com, without a port")
    return text


def _headers(cursor: Cursor) -> tuple[tuple[bytes, bytes], ...]:
    pairs = []
    for name, value in cursor.mapping("header names with the value each must have").items():
        if not TOKEN.match(name):
            value.problem(f"`{name}` is not the name of a header", at_key=True)
        text = value.written("the value that the header must have")
        if text is not None and not _VALUE.match(text):
            value.problem("a header can never have this value")
        pairs.append((name.lower().encode(), (text or "").encode()))
    return tuple(pairs)


def _identity_source(cursor: Cursor) -> IdentitySource | None:
    found = cursor.only(("api_key", "header"), "api_key or header")
    if found is None:
        return None
    kind, source = found
    if kind == "api_key":
        return _api_key(source)
    entries = source.entries(("name", "from"), "name and from")
    name = header_name(entries["name"]) if "name" in entries else None
    if "name" not in entries and entries:
        source.problem("no `name`: which header?")
    if "from" not in entries and entries:
        source.problem(
            "no `from`: anybody could send this header", "name the networks of your front: from: [10.0.0.0/8]"
        )
    networks = tuple(map(_network, entries["from"].items("a list of networks"))) if "from" in entries else ()
    known = tuple(network for network in networks if network is not None)
    return TrustedHeader(name, known) if name is not None else None


def _api_key(cursor: Cursor) -> ApiKey | None:
    entries = cursor.entries(("header", "scheme"), "header, and scheme if there is one")
    if "header" not in entries:
        if entries:
            cursor.problem("no `header`: where is the key?")
        return None
    name = header_name(entries["header"])
    scheme = entries["scheme"].text("the word before the key, such as Bearer") if "scheme" in entries else ""
    if scheme and not TOKEN.match(scheme):
        entries["scheme"].problem(f"`{scheme}` is not an authentication scheme")
    return ApiKey(name, (scheme or "").encode()) if name is not None else None


def _network(cursor: Cursor) -> Network | None:
    text = cursor.text("a network such as 10.0.0.0/8")
    if text is None:
        return None
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        cursor.problem(f"`{text}` is not a network", str(error))
        return None
