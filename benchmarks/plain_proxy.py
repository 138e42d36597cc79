"""What one would write in an hour: a reverse proxy of `aiohttp.web.Application` and `ClientSession`.

``python -m benchmarks.plain_proxy PORT UPSTREAM_PORT`` forwards and meters nothing: the case to compare with.
Standard event loop, no access log; no limit of upstream connections, since the default (100) would make it wait for
itself.
"""

import argparse
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
from aiohttp import StreamReader, web
from multidict import CIMultiDict, CIMultiDictProxy

HOP_BY_HOP = ("Connection", "Keep-Alive", "Proxy-Authorization", "TE", "Trailer", "Transfer-Encoding", "Upgrade")

TAIL_BYTES = 4_096

UPSTREAM = web.AppKey("UPSTREAM", str)
SESSION = web.AppKey("SESSION", aiohttp.ClientSession)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def end_to_end(fields: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """The fields that travel on."""
    kept = CIMultiDict(fields)
    for name in HOP_BY_HOP:
        kept.popall(name, None)
    return kept


def request_fields(request: web.Request) -> CIMultiDict[str]:
    """The client's fields with a new Host and X-Forwarded-For."""
    fields = end_to_end(request.headers)
    fields.popall("Host", None)
    fields["X-Forwarded-For"] = request.remote or ""
    return fields


async def forward(
    request: web.Request,
    body: bytes | StreamReader | None,
    before_end: Callable[[bytes], Awaitable[None]] | None = None,
) -> web.StreamResponse:
    """Send the request on and the answer back; before its end, `before_end` is awaited with its last bytes."""
    app = request.app
    async with app[SESSION].request(
        request.method,
        app[UPSTREAM] + request.raw_path,
        headers=request_fields(request),
        data=body,
        allow_redirects=False,
    ) as answer:
        response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=end_to_end(answer.headers))
        await response.prepare(request)
        tail = b""
        async for data in answer.content.iter_any():
            await response.write(data)
            if before_end is not None:
                tail = (tail + data)[-TAIL_BYTES:]
        if before_end is not None:
            await before_end(tail)
        await response.write_eof()
        return response


async def handle(request: web.Request) -> web.StreamResponse:
    return await forward(request, request.content if request.can_read_body else None)


async def session(app: web.Application) -> AsyncIterator[None]:
    """One client session for the life of the application; bodies are passed on as they are."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
    ) as client:
        app[SESSION] = client
        yield


def make_app(handler: Handler, upstream_port: int) -> web.Application:
    app = web.Application(client_max_size=1 << 20)
    app[UPSTREAM] = f"http://127.0.0.1:{upstream_port}"
    app.cleanup_ctx.append(session)
    app.router.add_route("*", "/{path:.*}", handler)
    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("upstream_port", type=int)
    options = parser.parse_args()
    web.run_app(
        make_app(handle, options.upstream_port), host="127.0.0.1", port=options.port, access_log=None, print=None
    )


if __name__ == "__main__":
    main()
