"""Answers that are sent while they are made, over a server of their own."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from sidecar.control.decoding import REQUEST_ID
from sidecar.control.endpoint import Stream
from sidecar.control.middleware import answering_problems, name_request
from sidecar.control.streaming import send
from sidecar.domain.errors import ArchiveUnavailable
from tests.support.until import until

Chunks = Callable[[], AsyncGenerator[bytes, None]]


def server(chunks: Chunks) -> TestServer:
    async def answer(request: web.Request) -> web.StreamResponse:
        assert request[REQUEST_ID].startswith("req_")
        return await send(request, Stream("text/plain", chunks()))

    app = web.Application(middlewares=[answering_problems(lambda: 1)])
    app.on_response_prepare.append(name_request)
    app.router.add_get("/", answer)
    return TestServer(app)


def away(_: object) -> bytes:
    raise ArchiveUnavailable("The archive is away.")


async def test_all_of_it_arrives_while_it_is_made() -> None:
    go = asyncio.Event()

    async def chunks() -> AsyncGenerator[bytes, None]:
        yield b"one "
        await go.wait()
        yield b"two"

    async with server(chunks) as at, aiohttp.ClientSession() as session, session.get(at.make_url("/")) as got:
        assert await got.content.readexactly(4) == b"one "
        go.set()
        assert await got.content.read() == b"two"
        assert got.headers["Content-Type"] == "text/plain"
        assert got.headers["x-request-id"].startswith("req_")


async def test_nothing_is_an_empty_answer() -> None:
    async def chunks() -> AsyncGenerator[bytes, None]:
        for chunk in list[bytes]():
            yield chunk

    async with server(chunks) as at, aiohttp.ClientSession() as session, session.get(at.make_url("/")) as got:
        assert (got.status, await got.read()) == (200, b"")


async def test_a_head_has_no_body() -> None:
    ended = asyncio.Event()

    async def chunks() -> AsyncGenerator[bytes, None]:
        try:
            yield b"one"
            pytest.fail("nobody reads on")
        finally:
            ended.set()

    async with server(chunks) as at, aiohttp.ClientSession() as session, session.head(at.make_url("/")) as got:
        assert (got.status, await got.read()) == (200, b"")
        await ended.wait()


async def test_what_fails_at_once_is_a_problem() -> None:
    async def chunks() -> AsyncGenerator[bytes, None]:
        for chunk in map(away, [1]):
            yield chunk

    async with server(chunks) as at, aiohttp.ClientSession() as session, session.get(at.make_url("/")) as got:
        assert got.status == 503
        assert (await got.json(content_type=None))["code"] == "archive_unavailable"


async def test_what_breaks_off_cannot_be_taken_for_the_whole(caplog: pytest.LogCaptureFixture) -> None:
    async def chunks() -> AsyncGenerator[bytes, None]:
        yield b"one"
        yield away(1)

    with caplog.at_level(logging.ERROR, "sidecar.control"):
        async with server(chunks) as at, aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientError):
                async with session.get(at.make_url("/")) as got:
                    await got.read()
    (record,) = caplog.records
    assert "broke off" in record.getMessage()


async def test_a_reader_that_leaves_ends_the_work_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    ended = False

    async def chunks() -> AsyncGenerator[bytes, None]:
        nonlocal ended
        try:
            while True:
                yield b"x" * 65_536
        finally:
            ended = True

    async with server(chunks) as at, aiohttp.ClientSession() as session:
        async with session.get(at.make_url("/")) as got:
            await got.content.readexactly(65_536)
            got.close()
        await until(lambda: ended, "the work to end")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
