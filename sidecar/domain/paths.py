r"""Request paths: one text for each path, or none where an upstream could read it in two ways.

It does not route. The one idea: a rule is chosen by what the upstream will see, so a path that one server takes for
``/free/x`` and another for ``/paid`` is refused before any rule is looked at.

    /v1/%63hat         -> /v1/chat          unreserved characters are decoded (RFC 3986 §6.2.2.2)
    /v1/a%2fb          -> /v1/a%2Fb         the other escapes stay, in capitals
    /v1/caf\xc3\xa9    -> /v1/caf%C3%A9     bytes that may not stand in a path are escaped
    /a//b  /a/./b  /a/..;x/b  /a/;x/b  /a/%2e%2e/b  /a/..%2Fb  /a\b  /a%00b  /a%zz  /a b  a     -> None
"""

import re

_PLAIN = re.compile(rb"(?:/(?!\.)[A-Za-z0-9._~!$&'()*+,:@=-]+)+/?\Z|/\Z")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})?")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ILLEGAL = re.compile(rb"[^A-Za-z0-9._~!$&'()*+,;:@=/%-]")
_AMBIGUOUS = re.compile(
    rb"[\x00-\x20\x7f\\?#]"  # Controls, space, backslash; a query or fragment is not part of a path.
    rb"|%(?:[01][0-9A-F]|7F|5C)"  # The same, escaped; an escaped space is a space in a name.
    rb"|(?:/|%2F)(?:/|%2F)"  # Empty segments: some servers merge them.
    rb"|(?:/|%2F)\.{0,2}(?:;|%3B)"  # Segments that are empty, or dots, once a server has stripped ``;parameters``.
    rb"|(?:/|%2F)\.\.?(?:/|%2F|\Z)"  # Dot segments.
)
_PARAMETERS = re.compile(rb";[^/]*")


class _BadEscape(Exception):
    pass


def _canonical_escape(match: re.Match[bytes]) -> bytes:
    if match[1] is None:
        raise _BadEscape
    code = int(match[1], 16)
    return bytes((code,)) if code in _UNRESERVED else b"%%%02X" % code


def _byte(match: re.Match[bytes]) -> bytes:
    return bytes((int(match[1], 16),))


def _escape(match: re.Match[bytes]) -> bytes:
    return b"%%%02X" % match[0][0]


def normalise(path: bytes) -> bytes | None:
    """The one text of `path` (no query), or None when it is ambiguous or malformed. A trailing slash stays."""
    if _PLAIN.match(path):
        return path
    if not path.startswith(b"/"):
        return None
    try:
        canonical = _ESCAPE.sub(_canonical_escape, path)
    except _BadEscape:
        return None
    if _AMBIGUOUS.search(canonical):
        return None
    return _ILLEGAL.sub(_escape, canonical)


def readings(path: bytes) -> tuple[bytes, ...]:
    """What servers may take a normalised path for, all escapes resolved; almost always only one text.

    They differ when an escaped slash is, or is not, a separator (inside a segment it becomes NUL here, which no path
    holds), and when ``;parameters`` of a segment are stripped. A rule applies only if it matches every reading.
    """
    if b"%" not in path and b";" not in path:
        return (path,)
    by_segment = _ESCAPE.sub(_byte, path.replace(b"%2F", b"\0"))
    whole = by_segment.replace(b"\0", b"/")
    return tuple(dict.fromkeys((by_segment, whole, _PARAMETERS.sub(b"", by_segment), _PARAMETERS.sub(b"", whole))))
