"""A ``multipart/form-data`` body (RFC 7578) in pieces of any size: its parts and their content; no I/O.

What parsers are known to read in different ways is refused, since a price must not depend on which of them the
upstream has: text before the first boundary or after the last one, a boundary within a line or a head, bare CR or LF,
folded lines, names that are escaped or stand twice, transfer codings. A splitter keeps less than one head and one
boundary, so a body of any size needs constant memory.

    --x CRLF Content-Disposition: form-data; name="model" CRLF CRLF gpt-4o CRLF --x-- CRLF
"""

import re
from typing import Protocol

import msgspec

HEAD_MAX_BYTES = 8192
"""All field lines of one part; browsers send two short ones."""

_WORD = r"[!#$%&*+.^_`|~0-9A-Za-z-]+"
# A quote behind a backslash ends the text for some parsers, and not for others.
_QUOTED = r'"(?:[^"\\]|\\(?!"))*"'
_EXTENDED = r"[0-9A-Za-z-]*'[0-9A-Za-z-]*'[!#$&+.^_`|~%0-9A-Za-z-]*"
_PARAMETER = re.compile(rf"[ \t]*;[ \t]*({_WORD})=({_QUOTED}|{_EXTENDED}|{_WORD})")
_FIELD = re.compile(rf"({_WORD}):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
# Escapes of four kinds, each of which somebody decodes.
_UNCLEAR_NAME = re.compile(r"[\x00-\x1f\x7f\\%]|=\?")
# Who splits at each `;` would find a parameter inside the quotes.
_UNCLEAR_TEXT = re.compile(r";[^;]*=")
_PLAIN_CODINGS = ("7bit", "8bit", "binary")
_UTF_8 = ("utf-8", "utf8", "us-ascii")
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=?-]{1,70}")


class FormError(Exception):
    """The body is no form, or one that could be read in different ways; the message is a sentence for the caller."""


class Part(msgspec.Struct, frozen=True):
    """One part by its head; `is_file`: it has a file's name, so servers do not take it for a field."""

    name: str
    is_file: bool


class Receiver(Protocol):
    """Who is told of the parts, in their order."""

    def begin(self, part: Part) -> None:
        """A part begins; FormError when it must not be there."""

    def add(self, content: bytes) -> None:
        """The next piece of its content, never empty."""


class Splitter:
    """Takes a body apart. Feed it all pieces, then `end` it; both raise FormError, and it is of no use afterwards."""

    __slots__ = ("_boundary", "_in_head", "_kept", "_receiver", "_started", "_whole")

    def __init__(self, boundary: bytes, receiver: Receiver) -> None:
        self._boundary = b"--" + boundary
        self._receiver = receiver
        # Every boundary stands behind a line's end; the first one behind this one.
        self._kept = b"\r\n"
        self._started = self._in_head = self._whole = False

    def feed(self, data: bytes) -> None:
        """The next bytes of the body."""
        data = self._kept + data
        while data and not self._whole:
            rest = self._read_head(data) if self._in_head else self._read_content(data)
            if rest is None:
                return
            data = rest
        self._kept = data
        if data not in (b"", b"\r", b"\r\n"):
            raise FormError("The form has text behind its last boundary.")

    def end(self) -> None:
        """The body has ended."""
        if not self._whole or self._kept == b"\r":
            raise FormError("The form ends before its last boundary.")

    def _read_content(self, data: bytes) -> bytes | None:
        """Hand on what is content; what follows the boundary behind it, or None when that has not come yet."""
        size = len(self._boundary)
        at = data.find(self._boundary)
        if at < 0:
            # The end may be the beginning of a boundary, with the end of the line before it.
            self._hand_on(data, max(len(data) - size - 1, 0))
            return None
        after = data[at + size : at + size + 2]
        if data[max(at - 2, 0) : at] != b"\r\n" or after[:1] not in (b"", b"\r", b"-"):
            raise _unclear_boundary()
        if len(after) < 2:
            self._hand_on(data, at - 2)
            return None
        self._hand_on(data, at - 2)
        self._started = True
        self._whole, self._in_head = after == b"--", after == b"\r\n"
        if not (self._whole or self._in_head):
            raise _unclear_boundary()
        return data[at + size + 2 :]

    def _hand_on(self, data: bytes, size: int) -> None:
        """The first `size` bytes are content; the others are kept."""
        if size:
            if not self._started:
                raise FormError("The form does not begin with its boundary.")
            self._receiver.add(data[:size])
        self._kept = data[size:]

    def _read_head(self, data: bytes) -> bytes | None:
        """Begin a part; its content, or None when its head has not come yet."""
        end = data.find(b"\r\n\r\n", 0, HEAD_MAX_BYTES + 4)
        if end < 0:
            if len(data) > HEAD_MAX_BYTES:
                raise FormError(f"The head of a part of the form is longer than {HEAD_MAX_BYTES} bytes.")
            self._kept = data
            return None
        if data.find(self._boundary, 0, end) >= 0:
            raise _unclear_boundary()
        self._receiver.begin(part_of(data[:end]))
        self._in_head = False
        content = data[end + 4 :]
        if not content:
            self._kept = b""
            return None
        return content


def boundary_of(content_type: bytes) -> bytes:
    """The boundary that a ``Content-Type`` of a form names; FormError."""
    boundary = check_parameters(content_type, "boundary").get("boundary", "")
    if _BOUNDARY.fullmatch(boundary) is None:
        raise FormError("The form's Content-Type must name its boundary, in letters, digits and '()+_,-./:=? .")
    return boundary.encode()


def check_parameters(content_type: bytes, *known: str) -> dict[str, str]:
    """The parameters of a form's ``Content-Type``: those that are `known`, and a charset of UTF-8; FormError."""
    _, parameters = _parameters(content_type.decode("latin-1"))
    _check_charset(parameters.pop("charset", "utf-8"))
    if parameters.keys() - set(known):
        raise FormError("The form's Content-Type has parameters that servers read in different ways.")
    return parameters


def part_of(head: bytes) -> Part:
    """The part that has this head, without its empty line; FormError."""
    try:
        lines = head.decode().split("\r\n")
    except UnicodeDecodeError:
        raise FormError("The head of a part of the form is not UTF-8.") from None
    fields: dict[str, str] = {}
    for line in lines:
        field = _FIELD.fullmatch(line)
        if field is None:
            raise FormError("The head of a part of the form is malformed.")
        name = field[1].lower()
        if name in fields:
            raise FormError("A part of the form has a header twice.")
        fields[name] = field[2].strip(" \t")
    if fields.get("content-transfer-encoding", "binary").lower() not in _PLAIN_CODINGS:
        raise FormError("A part of the form has a transfer encoding; send it as it is.")
    kind, parameters = _parameters(fields.get("content-disposition", ""))
    part_name = parameters.pop("name", None)
    is_file = bool({"filename", "filename*"} & parameters.keys())
    if kind != "form-data" or part_name is None or parameters.keys() - {"filename", "filename*"}:
        raise FormError("A part of the form needs a Content-Disposition of form-data with one name.")
    _check_type(fields.get("content-type", "text/plain"), is_file=is_file)
    if _UNCLEAR_NAME.search(part_name) is not None:
        raise FormError("The name of a part of the form has characters that servers read in different ways.")
    return Part(part_name, is_file)


def _check_charset(charset: str) -> None:
    if charset.lower() not in _UTF_8:
        raise FormError("The form has text that is not said to be UTF-8.")


def _check_type(content_type: str, *, is_file: bool) -> None:
    """FormError for a part that is a form itself, and for a field that is not UTF-8."""
    kind = content_type.partition("/")[0].strip(" \t").lower()
    if kind in ("multipart", "message"):
        raise FormError("A part of the form has parts of its own; send them beside it.")
    if not is_file:
        _, parameters = _parameters(content_type)
        _check_charset(parameters.get("charset", "utf-8"))


def _parameters(value: str) -> tuple[str, dict[str, str]]:
    """``kind; name=text; …`` with names in small letters; FormError for what is not exactly that."""
    kind, semicolon, rest = value.partition(";")
    rest = semicolon + rest
    parameters: dict[str, str] = {}
    at = 0
    while at < len(rest):
        match = _PARAMETER.match(rest, at)
        if match is None:
            if rest[at:].strip(" \t;"):
                raise FormError("A header of the form is malformed, or could be read in different ways.")
            break
        name, text = match[1].lower(), match[2]
        quoted, extended = text[0] == '"', name.endswith("*")
        unclear = _UNCLEAR_TEXT.search(text) is not None if quoted else ("'" in text) != extended
        if name in parameters or unclear:
            raise FormError("A header of the form could be read in different ways.")
        parameters[name] = text[1:-1] if quoted else text
        at = match.end()
    return kind.strip(" \t").lower(), parameters


def _unclear_boundary() -> FormError:
    return FormError("The form has its boundary in a place where servers read it in different ways.")
