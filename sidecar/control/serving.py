"""The beats around an endpoint's work: decode, (the work), record or mark a replay, encode.

Authorisation comes before, and errors are answered after, in `middleware`.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from aiohttp import web

from sidecar.control import auditing, calling, decoding, streaming, whose
from sidecar.control.cursors import Pages
from sidecar.control.endpoint import (
    BY_EXTERNAL_ID,
    BY_ID,
    Answer,
    Body,
    Call,
    Endpoint,
    Parts,
    Query,
    Repeat,
    Stranger,
    Stream,
)
from sidecar.control.errors import InsufficientScope
from sidecar.control.schema import said
from sidecar.domain.customers import Customer
from sidecar.domain.errors import NotFound, StillAtWork, StoreError
from sidecar.domain.ids import is_customer_id
from sidecar.domain.once import Once
from sidecar.store.once import OnceRecords
from sidecar.store.pauses import Pauses

WAIT_S: Final = 10.0
"""So long a repetition waits for the first request."""
_LOOK_FIRST_S: Final = 0.005
_EXTERNAL_ID_SEGMENT = BY_EXTERNAL_ID.split("/").index("{external_customer_id}")


class _Recorded(msgspec.Struct, frozen=True):
    """A first answer as it is kept for its repetitions."""

    status: int
    body: msgspec.Raw
    version: int | None = None


async def serve(endpoint: Endpoint[Body, Query, Answer], parts: Parts, request: web.Request) -> web.StreamResponse:
    """Answer one request, whose key is known. InsufficientScope when that key may not ask for this, RateLimited."""
    principal = request.get(decoding.PRINCIPAL)
    calling.count(endpoint, parts, request)
    auditing.begin(endpoint, parts, request)
    if endpoint.scope is not None and (principal is None or not principal.may(endpoint.scope)):
        raise InsufficientScope([endpoint.scope])
    detail = {} if endpoint.repeat is Repeat.READ else decoding.actor(request)
    auditing.asked_by(request, detail)
    key = decoding.idempotency_key(request, endpoint.repeat)
    body = decoding.body(await decoding.read(request), endpoint.body)
    query = decoding.query(request.query, endpoint.query)
    path, customer = dict(request.match_info), None
    if endpoint.path.startswith(BY_ID):
        path |= _whose(request)
        if endpoint.stranger is not Stranger.LEFT:
            customer = await _addressed(endpoint, parts, path)
            path["customer_id"] = customer.customer_id
    auditing.about(request, path)
    pages = Pages(parts.signer, endpoint, path, query)
    once = Once(key=key, fingerprint=_fingerprint(endpoint, path, body)) if key is not None else None
    call = Call(
        parts=parts,
        asked_by=principal,
        body=body,
        query=pages.opened(),
        path=path,
        addressed=customer,
        repeatable=once,
        expected=decoding.expected_version(request) if endpoint.versioned else None,
        detail=detail,
    )
    if once is not None and endpoint.repeat is not Repeat.IN_LEDGER:
        scope = customer.customer_id if customer else endpoint.path
        return await _work_once(endpoint, call, scope, once)
    given = await endpoint.work(call)
    if isinstance(given.answer, Stream):
        return await streaming.send(request, given.answer)
    if (
        given.version is not None
        and endpoint.repeat is Repeat.READ
        and decoding.knows_version(request, given.version)
    ):
        return web.Response(status=304, headers={"ETag": decoding.etag(given.version)})
    body_sent = _encode(pages.sealed(given.answer))
    return _response(endpoint, given.status, body_sent, replayed=given.replayed, version=given.version)


async def _work_once(
    endpoint: Endpoint[Body, Query, Answer], call: Call[Body, Query], scope: str, once: Once
) -> web.Response:
    records = call.parts.once_records
    if (stored := await _begin(records, scope, once)) is not None:
        recorded = msgspec.json.decode(stored, type=_Recorded)
        return _response(endpoint, recorded.status, bytes(recorded.body), replayed=True, version=recorded.version)
    try:
        given = await endpoint.work(call)
    except Exception:
        # A failure is not an answer to repeat. If the store is away, the claim ends by itself.
        with contextlib.suppress(StoreError):
            await records.abandon(scope, once)
        raise
    remembered = given.answer if given.remembered is None else given.remembered
    record = _Recorded(given.status, msgspec.Raw(_encode(remembered)), given.version)
    await records.finish(scope, once, msgspec.json.encode(record))
    return _response(endpoint, given.status, _encode(given.answer), replayed=False, version=given.version)


async def _begin(records: OnceRecords, scope: str, once: Once) -> bytes | None:
    """As `begin`, but that a repetition waits for the answer of the first request, if that is still at work."""
    pauses, loop = Pauses(_LOOK_FIRST_S), asyncio.get_running_loop()
    until = loop.time() + WAIT_S
    while True:
        try:
            return await records.begin(scope, once)
        except StillAtWork:
            if loop.time() > until:
                raise
        await asyncio.sleep(pauses.next_s())


def _whose(request: web.Request) -> dict[str, str]:
    """The customer's id in the path, whichever it is. NotFound for what can be no id of ours."""
    if (customer_id := request.match_info.get("customer_id")) is not None:
        if not is_customer_id(customer_id):
            raise NotFound(f"There is no customer with this id; by your own ids they are at {BY_EXTERNAL_ID}.")
        return {"customer_id": customer_id}
    # The raw path, because routers decode early: in `a%2Fb` the slash is data.
    segment = request.rel_url.raw_path.split("/")[_EXTERNAL_ID_SEGMENT]
    return {"external_customer_id": decoding.path_segment(segment, "external_customer_id")}


async def _addressed(endpoint: Endpoint[Any, Any, Any], parts: Parts, path: Mapping[str, str]) -> Customer:
    """The customer of the path. NotFound: an id of one family is never looked for in the other."""
    if (customer_id := path.get("customer_id")) is not None:
        return await parts.customers.get(customer_id)
    return await whose.named(parts, path["external_customer_id"], make=endpoint.stranger is Stranger.MADE)


def _fingerprint(endpoint: Endpoint[Any, Any, Any], path: Mapping[str, str], body: msgspec.Struct) -> str:
    """Equal for equal requests: however the body was written, and by whichever id the customer was addressed."""
    canonical = endpoint.path.format_map(path)
    request = f"{endpoint.method} {canonical}\n".encode() + msgspec.json.encode(said(body), order="sorted")
    return hashlib.sha256(request).hexdigest()


def _encode(answer: object) -> bytes:
    return answer if isinstance(answer, bytes) else msgspec.json.encode(answer)


def _response(
    endpoint: Endpoint[Any, Any, Any], status: int, body: bytes, *, replayed: bool, version: int | None
) -> web.Response:
    headers = {"Content-Type": endpoint.media_type, "Cache-Control": "no-store"}
    if replayed:
        headers["Idempotent-Replayed"] = "true"
    if version is not None:
        headers["ETag"] = decoding.etag(version)
    return web.Response(status=status, body=body, headers=headers)
