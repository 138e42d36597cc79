"""Sends an answer while it is made. What goes wrong before its first bytes is a problem document like any other."""

import logging

from aiohttp import web

from sidecar.control.decoding import REQUEST_ID
from sidecar.control.endpoint import Stream

log = logging.getLogger("sidecar.control")


async def send(request: web.Request, stream: Stream) -> web.StreamResponse:
    """Send all of `stream`. If it breaks off, the connection is cut, so that nobody takes the part for the whole."""
    chunks = stream.chunks
    try:
        chunk = await anext(chunks, b"")
        response = web.StreamResponse(headers={"Content-Type": stream.media_type, "Cache-Control": "no-store"})
        await response.prepare(request)
        if request.method != "HEAD":
            await _send_all(request, response, chunk, stream)
        return response
    finally:
        await chunks.aclose()


async def _send_all(request: web.Request, response: web.StreamResponse, chunk: bytes, stream: Stream) -> None:
    try:
        while chunk:
            await response.write(chunk)
            chunk = await anext(stream.chunks, b"")
    except ConnectionError:
        log.debug("the client of request %s left before the end", request[REQUEST_ID])
    except Exception:
        log.exception("request %s broke off in the middle of its answer", request[REQUEST_ID])
        if request.transport is not None:
            request.transport.abort()
