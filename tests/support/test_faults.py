"""The faulty link does what its faults say, since what is proved with it is worth no more than it is."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.faults import (
    Fault,
    Link,
    Way,
    cuts,
    delays,
    half_closes,
    resets,
    swallow,
    swallows,
    to_port,
    trickles,
)
from tests.support.rawhttp import RawClient
from tests.support.relay import serving
from tests.support.until import until


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends back what comes, and says when it has ended."""
    while data := await reader.read(100):
        writer.write(data)
    writer.write(b".")


@pytest.fixture
async def link() -> AsyncIterator[Link]:
    async with serving(echo) as port, Link(to_port(port)) as link:
        yield link


@pytest.mark.parametrize("fault", [delays(0.01), trickles(1, 0.001)])
async def test_slow_is_whole(link: Link, fault: Fault) -> None:
    link.requests = link.answers = fault
    async with RawClient(link.port) as client:
        await client.send(b"hello", b"world")
        client.finish()
        assert await client.ended() == b"helloworld."


async def test_what_is_switched_on_meets_the_next_bytes(link: Link) -> None:
    async with RawClient(link.port) as client:
        await client.send(b"hello")
        assert await client.receive(until=b"o") == b"hello"
        link.answers = resets
        await client.send(b"world")
        with pytest.raises(ConnectionResetError):
            await client.receive(until=b"d")
        link.heal()
    async with RawClient(link.port) as client:
        await client.send(b"hello")
        assert await client.receive(until=b"o") == b"hello"
    await until(lambda: link.connections == 0, "both sides to be closed")


async def test_half_a_close(link: Link) -> None:
    link.requests = half_closes
    async with RawClient(link.port) as client:
        await client.send(b"hello")
        assert await client.ended() == b"."


async def test_cut_after_some_bytes(link: Link) -> None:
    link.requests = cuts(3)
    async with RawClient(link.port) as client:
        await client.send(b"hello")
        assert await client.ended() in {b"hel", b""}
    link.requests = cuts(3, Way.half_close)
    async with RawClient(link.port) as client:
        await client.send(b"hello")
        assert await client.ended() == b"hel."


async def test_a_black_hole_tells_nobody(link: Link) -> None:
    async with RawClient(link.port) as client, RawClient(link.port) as other:
        link.requests = swallows
        await client.send(b"hello")
        await until(lambda: link.met, "it to be swallowed")
        link.requests = cuts(2, swallow)
        await other.send(b"hello")
        assert await other.receive(until=b"e") == b"he"
        link.heal()
        # It stays one for those who met it.
        await client.send(b"hello")
        await other.send(b"hello")
        async with RawClient(link.port) as third:
            await third.send(b"hi")
            assert await third.receive(until=b"i") == b"hi"
        for each in (client, other):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await each.receive(until=b"o")
