"""The load generator and the scripted upstream agree: exact numbers of answers, every event of a stream."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from benchmarks import loader, upstream, workload


@pytest.fixture
async def port() -> AsyncIterator[int]:
    server = await asyncio.get_running_loop().create_server(upstream.Connection, "127.0.0.1", 0)
    async with server:
        port: int = server.sockets[0].getsockname()[1]
        yield port


def run(*, answers: int, stream: bool) -> loader.Run:
    requests = loader.requests(workload.CHAT_PATH, ["key-1", "key-2"], stream=stream)
    return loader.Run(requests, answers=answers, seconds=None)


async def test_it_sends_exactly_as_many_requests_as_asked(port: int) -> None:
    reading = await loader.load(port, 3, run(answers=10, stream=False))
    assert (reading.answers, reading.errors, reading.chunks) == (10, 0, 0)


async def test_it_sees_each_event_of_a_stream(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workload, "CHUNKS_PER_ANSWER", 7)
    reading = await loader.load(port, 2, run(answers=4, stream=True))
    assert (reading.answers, reading.errors, reading.chunks) == (4, 0, 28)
    assert reading.delay_p50_us > 0


async def test_a_connection_that_breaks_is_an_error() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        reading = await loader.load(port, 1, run(answers=5, stream=False))
    assert (reading.answers, reading.errors) == (0, 1)


def test_requests_and_answers_have_the_size_that_the_tables_name() -> None:
    assert len(workload.request_body(stream=False)) == len(workload.request_body(stream=True)) == 240
    assert len(workload.answer_body()) == 205
