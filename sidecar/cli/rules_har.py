"""Requests and answers out of a HAR file (HTTP Archive 1.2), as browsers, proxies and API clients record them.

Only what a rule looks at is read. Bodies in a HAR have lost their content coding and their framing, so the coding's
header is left out, and measures of bytes count the text that is there.
"""

import base64
import binascii
import re
from pathlib import Path

import msgspec

from sidecar.domain.errors import InvalidInput
from sidecar.domain.metering import End
from sidecar.domain.rehearsal import Answer, Request

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?P<host>[^/?#]*)(?P<target>[^#]*)", re.DOTALL)


class Entry(msgspec.Struct, frozen=True):
    """One recorded exchange; a request that never got an answer has one that the upstream failed to give."""

    request: Request
    answer: Answer


class _Field(msgspec.Struct):
    name: str
    value: str


class _PostData(msgspec.Struct):
    text: str = ""


class _Request(msgspec.Struct):
    method: str
    url: str
    headers: list[_Field] = []
    postData: _PostData | None = None  # noqa: N815 - HAR's own name


class _Content(msgspec.Struct):
    text: str = ""
    encoding: str = ""


class _Response(msgspec.Struct):
    status: int
    headers: list[_Field] = []
    content: _Content | None = None


class _Entry(msgspec.Struct):
    request: _Request
    response: _Response
    time: float = 0


class _Log(msgspec.Struct):
    entries: list[_Entry]


class _Har(msgspec.Struct):
    log: _Log


def read_har(path: Path) -> list[Entry]:
    """All exchanges of the file, in its order; InvalidInput when it cannot be read as one."""
    try:
        har = msgspec.json.decode(path.read_bytes().removeprefix(b"\xef\xbb\xbf"), type=_Har)
        return [_entry(entry) for entry in har.log.entries]
    except OSError as error:
        raise InvalidInput(f"The recording {path} cannot be read: {error.strerror}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, binascii.Error) as error:
        raise InvalidInput(f"{path} is no HAR file: {error}.") from error


def split_url(url: str) -> tuple[bytes, bytes]:
    """Host, with its port, and target; a path alone has no host. The target stays as it was sent."""
    match = _URL.match(url)
    if match is None:
        return b"", url.encode()
    target = match["target"]
    return match["host"].encode(), (target if target.startswith("/") else f"/{target}").encode()


def _entry(entry: _Entry) -> Entry:
    request, response = entry.request, entry.response
    host, target = split_url(request.url)
    fields = _fields(request.headers)
    if host:
        fields.setdefault(b"host", host)
    content = response.content or _Content()
    text = content.text.encode()
    answer_fields = _fields(response.headers)
    answer_fields.pop(b"content-encoding", None)
    return Entry(
        Request(
            method=request.method.encode(),
            target=target,
            fields=fields,
            body=request.postData.text.encode() if request.postData is not None else b"",
        ),
        Answer(
            status=response.status,
            fields=answer_fields,
            body=base64.b64decode(text, validate=True) if content.encoding == "base64" else text,
            end=End.COMPLETE if response.status > 0 else End.UPSTREAM_FAILED,
            duration_ms=max(round(entry.time), 0),
        ),
    )


def _fields(fields: list[_Field]) -> dict[bytes, bytes]:
    """By lower-case name, values of one name joined; without the pseudo-fields of HTTP/2."""
    read: dict[bytes, bytes] = {}
    for field in fields:
        name, value = field.name.lower().encode(), field.value.encode()
        if not name.startswith(b":"):
            read[name] = read[name] + b", " + value if name in read else value
    return read
