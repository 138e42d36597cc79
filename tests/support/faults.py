"""A TCP link between a process and what it talks to, whose two directions can be made to fail while it runs.

async with Link(to_port(upstream.port)) as link:     # the process is told link.port
    link.answers = cuts(10)                          # from the next bytes on

A fault meets each piece of bytes on its way; it may pass it on, late or in crumbs, or end the connection instead.
Whatever was passed on before stays passed on. This knows nothing of what the bytes mean.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.relay import serving
from tests.support.upstream import reset

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Awaitable[Streams]]


def to_port(port: int) -> Connect:
    return partial(asyncio.open_connection, "127.0.0.1", port)


def to_socket(path: Path) -> Connect:
    return partial(asyncio.open_unix_connection, str(path))


class Way:
    """One direction of one connection, in the hands of a fault."""

    def __init__(self, source: Streams, target: Streams) -> None:
        self._reader, self._back = source
        _, self._writer = target
        self.swallowing = False
        """Nothing comes out of it any more, not even its end."""

    async def run(self, fault: Callable[[], "Fault"]) -> None:
        """Until the source ends, or a fault ends the connection."""
        try:
            while data := await self._reader.read(65_536):
                if not self.swallowing:
                    await fault()(self, data)
        except ConnectionError:
            if not self.swallowing:
                self.reset()
        self.half_close()

    async def pass_on(self, data: bytes) -> None:
        if not self._writer.is_closing():
            self._writer.write(data)
            await self._writer.drain()

    def half_close(self) -> None:
        """The target hears that nothing more will come; the other direction goes on."""
        if not self.swallowing and not self._writer.is_closing():
            with contextlib.suppress(OSError):  # The target has gone, and we have not heard of it yet.
                self._writer.write_eof()
        self.swallowing = True

    def close(self) -> None:
        """Both sides hear that nothing more will come."""
        self.swallowing = True
        for writer in (self._writer, self._back):
            writer.close()

    def reset(self) -> None:
        """Both sides hear that the connection has broken."""
        self.swallowing = True
        for writer in (self._writer, self._back):
            reset(writer)


Fault = Callable[[Way, bytes], Awaitable[None]]


async def passes(way: Way, data: bytes) -> None:
    """No fault."""
    await way.pass_on(data)


async def resets(way: Way, _data: bytes) -> None:
    """The connection breaks instead of bringing this."""
    way.reset()


async def swallows(way: Way, _data: bytes) -> None:
    """A black hole: nothing comes out of this connection in this direction, for ever."""
    way.swallowing = True


async def half_closes(way: Way, _data: bytes) -> None:
    """This direction ends instead of bringing this; the other one goes on."""
    way.half_close()


def delays(seconds: float) -> Fault:
    """Each piece comes so much later."""

    async def fault(way: Way, data: bytes) -> None:
        await asyncio.sleep(seconds)
        await way.pass_on(data)

    return fault


def trickles(size: int, pause_s: float) -> Fault:
    """It comes in crumbs."""

    async def fault(way: Way, data: bytes) -> None:
        for start in range(0, len(data), size):
            await way.pass_on(data[start : start + size])
            await asyncio.sleep(pause_s)

    return fault


def cuts(after: int, how: Callable[[Way], None] = Way.close) -> Fault:
    """After so many further bytes, on whichever connection, it ends as `how` says."""
    left = after

    async def fault(way: Way, data: bytes) -> None:
        nonlocal left
        passing, left = data[:left], max(left - len(data), 0)
        if passing:
            await way.pass_on(passing)
        if len(passing) < len(data):
            how(way)

    return fault


def swallow(way: Way) -> None:
    """For `cuts`: what comes later is lost, and nobody hears of it."""
    way.swallowing = True


class Link:
    """Listens on `port` and connects each client to what `connect` reaches."""

    def __init__(self, connect: Connect) -> None:
        self.connect = connect
        """What the next connections lead to."""
        self._stack = AsyncExitStack()
        self.port = 0
        self.requests: Fault = passes
        """Meets what the connecting side sends."""
        self.answers: Fault = passes
        """Meets what comes back."""
        self.connections = 0
        """How many are open."""
        self.met = 0
        """Pieces of bytes that met a fault."""

    def heal(self) -> None:
        """No fault from now on; what was broken stays broken."""
        self.requests = self.answers = passes

    async def __aenter__(self) -> Self:
        self.port = await self._stack.enter_async_context(serving(self._serve))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        near = (reader, writer)
        far = await self.connect()
        self.connections += 1
        try:
            await asyncio.gather(
                Way(near, far).run(lambda: self._meet(self.requests)),
                Way(far, near).run(lambda: self._meet(self.answers)),
            )
        finally:
            self.connections -= 1
            far[1].close()

    def _meet(self, fault: Fault) -> Fault:
        self.met += fault is not passes
        return fault
