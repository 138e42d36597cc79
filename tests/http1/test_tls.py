"""Upstreams behind TLS: the certificate is checked, and its failure is told apart from others."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.http1.engine import Limits
from sidecar.http1.errors import Phase
from tests.http1.stage import Stage
from tests.support.rawhttp import RawClient, fetch, request

CERTIFICATES = Path(__file__).parents[1] / "support" / "certificates"


def trusting(authority: str | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=CERTIFICATES / authority if authority else None)


@contextlib.asynccontextmanager
async def tls_upstream(certificate: str) -> AsyncIterator[int]:
    """Answers each request on each connection with what it was asked."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATES / certificate)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(head), head))
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    yield server.sockets[0].getsockname()[1]
    server.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_verified_upstream_is_used_and_kept(host: str) -> None:
    async with tls_upstream("here.pem") as port, Stage(port, host=host, tls=trusting("authority.pem")) as stage:
        async with RawClient(stage.port) as client:
            for _ in range(3):
                await client.send(request("GET", "/secret"))
                assert (await client.answer()).body.startswith(b"GET /secret HTTP/1.1\r\n")
        assert (stage.pool.size, stage.pool.idle) == (1, 1)


@pytest.mark.parametrize(
    ("certificate", "authority", "says"),
    [("elsewhere.pem", "authority.pem", "127.0.0.1"), ("here.pem", None, "unable to get local issuer certificate")],
    ids=["wrong name", "unknown authority"],
)
async def test_an_upstream_that_cannot_prove_who_it_is(certificate: str, authority: str | None, says: str) -> None:
    async with tls_upstream(certificate) as port, Stage(port, tls=trusting(authority)) as stage:
        answer = await fetch(stage.port, "GET", "/")
        assert answer.status == 502
        assert b"certificate" in answer.body
        assert says.encode() in answer.body
        failure = stage.failures[0]
        assert (failure.phase, failure.dispatched) == (Phase.CONNECT, False)


async def test_a_handshake_that_never_ends_is_given_up_and_closed() -> None:
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while await reader.read(65_536):
                pass
        closed.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with Stage(port, tls=trusting("authority.pem"), limits=Limits(connect_s=0.1)) as stage:
        assert (await fetch(stage.port, "GET", "/")).status == 504
        async with asyncio.timeout(10):
            await closed.wait()
    server.close()


async def test_an_upstream_that_does_not_speak_tls() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with Stage(port, tls=trusting("authority.pem")) as stage:
        assert (await fetch(stage.port, "GET", "/")).status == 502
        assert stage.failures[0].phase is Phase.CONNECT
    server.close()
