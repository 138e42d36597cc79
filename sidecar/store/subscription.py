"""Hears what scripts publish on one channel, over a connection of its own; it does not connect again.

A connection that has died in silence shows by a ping that is not answered, so that nobody waits on it for long.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import hiredis

from sidecar.domain.errors import StoreUnavailable
from sidecar.store.commands import pack

PING_S = 5.0
"""Between two pings; so long the answer to one may take."""

_PING = pack("PING")


class Subscription(asyncio.Protocol):
    """Takes the transport of `writer` over. `lost` completes with the reason when the connection has ended."""

    def __init__(self, writer: asyncio.StreamWriter, heard: Callable[[bytes], object]) -> None:
        self._loop = asyncio.get_running_loop()
        self._heard = heard
        self._reader = hiredis.Reader()
        self._replies: deque[asyncio.Future[Any]] = deque()
        self._silent = False
        self._pinging: asyncio.TimerHandle | None = None
        self.lost: asyncio.Future[str] = self._loop.create_future()
        # The writer closes its transport when it is collected.
        self._writer = writer
        self._transport = writer.transport
        self._transport.set_protocol(self)

    async def ask(self, packed: bytes, timeout_s: float) -> Any:
        """The reply to one command, an error among them; StoreUnavailable when none comes."""
        reply = self._loop.create_future()
        self._replies.append(reply)
        self._transport.write(packed)
        done, _ = await asyncio.wait((reply, self.lost), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if reply not in done:
            self.close()
            raise StoreUnavailable(f"The store did not answer within {timeout_s:g} s who wanted to listen to it.")
        return reply.result()

    async def subscribe(self, channel: bytes, timeout_s: float) -> None:
        """Hear `channel` from now on. StoreUnavailable, with what would be right, when the store does not let us."""
        answer = await self.ask(pack("SUBSCRIBE", channel), timeout_s)
        if isinstance(answer, hiredis.ReplyError):
            self.close()
            raise StoreUnavailable(
                f"The store lets us not listen to {channel.decode()}: {answer}. What others would tell us "
                "is not heard; give our user the channels (&sidecar:*) and +subscribe +publish."
            )
        self._pinging = self._loop.call_later(PING_S, self._ping)

    def close(self) -> None:
        """Hear no more."""
        self._transport.abort()
        self._end("we closed it")

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        self._silent = False
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not False:
                self._take(reply)
        except hiredis.ProtocolError:
            self.close()

    def eof_received(self) -> None:
        """The transport closes itself; `connection_lost` follows."""

    def connection_lost(self, error: Exception | None) -> None:
        self._end(str(error) if error else "the server closed the connection")

    # Inside

    def _take(self, reply: Any) -> None:
        if isinstance(reply, list) and reply and reply[0] == b"message":
            self._heard(reply[2])
        elif self._replies and not (waiting := self._replies.popleft()).done():
            waiting.set_result(reply)

    def _ping(self) -> None:
        if self._silent:
            self._transport.abort()
            self._end("the server does not answer")
            return
        self._silent = True
        self._transport.write(_PING)
        self._pinging = self._loop.call_later(PING_S, self._ping)

    def _end(self, reason: str) -> None:
        if self._pinging is not None:
            self._pinging.cancel()
        if not self.lost.done():
            self.lost.set_result(reason)
