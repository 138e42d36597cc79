"""From bytes to checked records; the only file of the control API that sees msgspec's errors.

What cannot be decoded is `InvalidInput` with the place in the body or the query, never with its value: that could
be a secret.
"""

import json
import re
from collections.abc import Sequence
from types import MappingProxyType
from typing import TypeVar
from urllib.parse import unquote_to_bytes

import msgspec
from aiohttp import web
from multidict import MultiMapping

from sidecar.control.endpoint import Repeat
from sidecar.control.errors import IdempotencyKeyInvalid, IdempotencyKeyRequired
from sidecar.domain.control_keys import Principal
from sidecar.domain.errors import InvalidInput

Record = TypeVar("Record")

_ERROR = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<path>[^`]*)`)?\Z", re.DOTALL)
_MEMBER = re.compile(r"Object (?P<what>contains unknown|missing required) field `(?P<name>.*)`\Z", re.DOTALL)
_WHAT = {"contains unknown": "There is no such field", "missing required": "This field is required"}
_VISIBLE = re.compile(r"[!-~]{1,255}\Z", re.ASCII)
_ACTOR = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,255}\Z")
_ETAG = re.compile(r'"(?P<version>[1-9][0-9]{0,14})"\Z', re.ASCII)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PATH_MAX_CHARS = 80

ACTOR_HEADERS = MappingProxyType(
    {"actor_id": "X-Actor-Id", "on_behalf_of": "X-On-Behalf-Of", "reason": "X-Actor-Reason"}
)
REQUEST_ID = web.RequestKey("request_id", str)
"""Where a request keeps the id that we gave it."""
PRINCIPAL = web.RequestKey("principal", Principal)
"""Where it keeps whose key it came with; one to an open route has none."""


async def read(request: web.BaseRequest) -> bytes:
    """The body's bytes. HTTPRequestEntityTooLarge; HTTPBadRequest when it breaks off or is not in its coding."""
    if not request.can_read_body:
        return b""
    try:
        return await request.read()
    except (web.RequestPayloadError, ConnectionResetError) as error:
        raise web.HTTPBadRequest from error


def body(raw: bytes, into: type[Record]) -> Record:
    """A JSON body; an empty one is an empty object, so that a body without a required field may be left out."""
    try:
        record = msgspec.json.decode(raw or b"{}", type=into)
    except msgspec.ValidationError as error:
        raise _invalid("The body", str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(
            "The body must be one JSON object in UTF-8, and it cannot be parsed as JSON.", ""
        ) from error
    if raw:
        json.loads(raw, object_pairs_hook=_refuse_duplicates)
    return record


def query(given: MultiMapping[str], into: type[Record]) -> Record:
    """A query string; numbers are written as digits, and a name may be there once."""
    values = dict(_distinct(list(given.items()), "The query"))
    try:
        return msgspec.convert(values, type=into, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid("The query", str(error)) from error


def path_segment(raw: str, what: str) -> str:
    """One segment of a path, decoded once: ``a%2Fb`` is ``a/b``, ``a%252Fb`` is ``a%2Fb``, ``a+b`` is itself."""
    refusal = InvalidInput(f"{what} in the path must be percent-encoded UTF-8.", what)
    if _BAD_ESCAPE.search(raw):
        raise refusal
    try:
        return unquote_to_bytes(raw).decode()
    except UnicodeDecodeError as error:
        raise refusal from error


def idempotency_key(request: web.BaseRequest, repeat: Repeat) -> str | None:
    """The key of a write, or None where there is none and none is needed.

    IdempotencyKeyInvalid, IdempotencyKeyRequired.
    """
    if repeat is Repeat.READ or repeat is Repeat.BY_ITSELF:
        return None
    given = request.headers.getall("Idempotency-Key", [])
    # The other name, which some clients send, says the same or nothing.
    given += [key for key in request.headers.getall("X-Idempotency-Key", []) if key not in given]
    if not given and repeat in {Repeat.IN_LEDGER, Repeat.REQUIRED}:
        raise IdempotencyKeyRequired
    if not given:
        return None
    if len(given) != 1 or _VISIBLE.match(given[0]) is None:
        raise IdempotencyKeyInvalid
    return given[0]


def expected_version(request: web.BaseRequest) -> int | None:
    """The version that `If-Match` names; None: any. InvalidInput for what is no ETag of ours (RFC 9110, 13.1.1)."""
    given = request.headers.getall("If-Match", [])
    if not given or given == ["*"]:
        return None
    found = _ETAG.match(given[0])
    if len(given) > 1 or found is None:
        raise InvalidInput(
            'If-Match must be sent once, with one ETag as the answer of a GET has it, such as "3", or with *.'
        )
    return int(found["version"])


def knows_version(request: web.BaseRequest, version: int) -> bool:
    """Whether `If-None-Match` names this version: then it need not be sent again (RFC 9110, 13.1.2)."""
    if not (given := request.headers.getall("If-None-Match", ())):
        return False
    tags = ",".join(given).split(",")
    return any(tag.strip().removeprefix("W/") in {"*", etag(version)} for tag in tags)


def etag(version: int) -> str:
    return f'"{version}"'


def actor(request: web.BaseRequest) -> dict[str, str]:
    """Who asks, for whom and why, as far as headers say so. InvalidInput names the header."""
    principal = request.get(PRINCIPAL)
    said = {"request_id": request[REQUEST_ID]} | ({"key_id": principal.key_id} if principal else {})
    for name, header in ACTOR_HEADERS.items():
        given = request.headers.getall(header, [])
        if len(given) > 1 or any(_ACTOR.match(text) is None for text in given):
            raise InvalidInput(f"{header} must be sent once and have 1 to 255 characters of UTF-8 text.")
        if given:
            said[name] = given[0]
    return said


def _invalid(what: str, message: str) -> InvalidInput:
    """Read the place out of msgspec's sentence, and make missing and unknown fields places too."""
    found = _ERROR.match(message)
    assert found is not None
    path, message = found["path"] or "", found["what"]
    if (member := _MEMBER.match(message)) is not None:
        path = f"{path}.{member['name']}" if path else member["name"]
        message = _WHAT[member["what"]]
    if len(path) > _PATH_MAX_CHARS:
        path = path[:_PATH_MAX_CHARS] + "…"
    place = f" at `{path}`" if path else ""
    return InvalidInput(f"{what} is not valid{place}: {message}.", path)


def _distinct(pairs: Sequence[tuple[str, str]], what: str) -> Sequence[tuple[str, str]]:
    seen = set[str]()
    for name, _ in pairs:
        if name in seen:
            raise InvalidInput(
                f"{what} has the same name more than once, at `{name[:_PATH_MAX_CHARS]}`.", name[:_PATH_MAX_CHARS]
            )
        seen.add(name)
    return pairs


def _refuse_duplicates(pairs: list[tuple[str, str]]) -> None:
    _distinct(pairs, "The body")
