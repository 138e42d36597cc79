"""One connection and a server that misbehaves, byte by byte."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sidecar.domain.errors import StoreCorrupt, StoreError, StoreTimeout
from sidecar.store.commands import pack
from sidecar.store.wire import Wire
from sidecar.telemetry import Histogram
from tests.support.relay import serving

PING = pack("PING")


def corrupt(packed: bytes, message: str) -> StoreError:
    return StoreCorrupt(message)


@asynccontextmanager
async def wired(*replies: bytes) -> AsyncIterator[Wire]:
    """A wire to a server that answers the first command with these pieces, one write each, then closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        for reply in replies:
            writer.write(reply)
            await writer.drain()
            await asyncio.sleep(0)

    async with serving(serve) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        wire = Wire(writer, timeout_s=5.0, round_trips=Histogram(), again=lambda _: None, error_of=corrupt)
        yield wire
        wire.abort("the test is over")
        await asyncio.sleep(0)


async def test_replies_may_arrive_in_any_pieces() -> None:
    text = b"+PONG\r\n*2\r\n$3\r\na\r\n\r\n$2\r\n:7\r\n$-1\r\n"
    async with wired(*(text[index : index + 1] for index in range(len(text)))) as wire:
        first, second, third = (wire.send(PING) for _ in range(3))
        assert (await first, await second, await third) == (b"PONG", [b"a\r\n", b":7"], None)


@pytest.mark.parametrize("nonsense", [b"?what\r\n", b"+PONG\r\n+PONG\r\n"], ids=["no-reply", "one-too-many"])
async def test_nonsense_ends_the_connection(nonsense: bytes) -> None:
    async with wired(b"+PONG\r\n", nonsense) as wire:
        assert await wire.send(PING) == b"PONG"
        assert await wire.lost == "the server sent something that is no reply"


async def test_an_error_reply_fails_only_its_command() -> None:
    async with wired(b"-ERR wrong\r\n+PONG\r\n") as wire:
        first, second = wire.send(PING), wire.send(PING)
        with pytest.raises(StoreCorrupt, match="ERR wrong"):
            await first
        assert await second == b"PONG"


async def test_a_connection_that_ends_leaves_the_rest_unknown() -> None:
    async with wired(b"+PONG\r\n") as wire:
        first, second = wire.send(PING), wire.send(PING)
        assert await first == b"PONG"
        with pytest.raises(StoreTimeout, match="lost"):
            await second
        assert wire.waiting == 0
        assert wire.lost.done()
