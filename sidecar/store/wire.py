"""One established connection: commands out, replies in, paired in order. It does not connect and does not repeat.

All commands of one loop tick leave in one write: neither uvloop nor asyncio joins writes, and each costs a system
call here and a wake-up in Redis. Replies come back in order, so a queue of waiters pairs them. Deadlines are
kept by one periodic look at the queue, not by a timer for each command.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import hiredis

from sidecar.domain.errors import StoreError, StoreTimeout, StoreUnavailable
from sidecar.telemetry import Histogram

STUCK_AFTER = 5
"""A connection whose oldest command waits for this many timeouts is given up and replaced."""
WAITERS_MAX = 20_000
"""Most commands without a reply; beyond it commands are refused, so that a stuck store cannot fill the memory."""


class Waiter(Protocol):
    """Whoever waits for a reply: a future, a `Reply`, or what stands for one of them."""

    def done(self) -> bool: ...
    def set_result(self, result: Any, /) -> object: ...
    def set_exception(self, error: Any, /) -> object: ...


Redirect = Callable[[Waiter, bytes, float, str], bool]
"""Takes over a command that the server refused to execute: who waits, the command, when it was queued, the message.

False when it is none of those, and the refusal is the answer.
"""

_ASKING = b"*1\r\n$6\r\nASKING\r\n"


class _Nobody:
    """Waits for a reply that nobody needs."""

    def done(self) -> bool:
        return True

    def set_result(self, result: object) -> None: ...

    def set_exception(self, error: object) -> None: ...


class Wire(asyncio.Protocol):
    """Takes the transport of `writer` over. `lost` completes with the reason when the connection has ended.

    `again` says how to repeat a command that the server has *not* executed because it does not know its script;
    `error_of` turns an error reply into ours, unless `redirect` takes the command over.
    """

    def __init__(
        self,
        writer: asyncio.StreamWriter,
        *,
        timeout_s: float,
        round_trips: Histogram,
        again: Callable[[bytes], bytes | None],
        error_of: Callable[[bytes, str], StoreError],
        redirect: Redirect | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._writer = writer
        self.timeout_s = timeout_s
        self._round_trips = round_trips
        self._again = again
        self._error_of = error_of
        self._redirect = redirect
        self._reader = hiredis.Reader()
        self._waiters: deque[tuple[Waiter, bytes, float]] = deque()
        self._unsent: list[bytes] = []
        self._tick_at = 0.0
        self._last_batch = 0
        self._check: asyncio.TimerHandle | None = None
        self._reason = "the server closed the connection"
        self.lost: asyncio.Future[str] = self._loop.create_future()
        self.commands_total = 0
        self.flushes_total = 0
        self.timeouts_total = 0
        self._transport = writer.transport
        self._transport.set_protocol(self)

    @property
    def waiting(self) -> int:
        return len(self._waiters)

    def send(self, packed: bytes) -> asyncio.Future[Any]:
        """Queue one command; the future gets its reply. Otherwise as `put`."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self.put(packed, future)
        return future

    def put(self, packed: bytes, waiter: Waiter) -> None:
        """Queue one command; `waiter` gets its reply.

        It fails with `StoreTimeout` when the effect is unknown, with `StoreUnavailable` when the command never left,
        and with what `error_of` makes of an error reply.
        """
        if self.lost.done():
            raise StoreUnavailable(f"The connection to the store was lost: {self._reason}.")
        if len(self._waiters) >= WAITERS_MAX:
            raise StoreUnavailable(f"The store is too slow: {WAITERS_MAX} commands wait for it.")
        self._push(waiter, packed)

    def put_asking(self, packed: bytes, waiter: Waiter) -> None:
        """`put` a command that this node of a cluster shall execute although its slot is only on its way here."""
        self._last_batch = 0  # The two leave in one write.
        self.put(_ASKING, _Nobody())
        self.put(packed, waiter)

    def set_timeout(self, timeout_s: float) -> None:
        """From the next command on; nothing may be waiting."""
        self.timeout_s = timeout_s
        if self._check is not None:
            # It may come too late for a shorter timeout; the next flush starts another.
            self._check.cancel()
            self._check = None

    def abort(self, reason: str) -> None:
        """End the connection at once."""
        if not self.lost.done():
            self._reason = reason
            self._transport.abort()
            self._end()

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            gets, pop = self._reader.gets, self._waiters.popleft
            reply = gets()
            if reply is not False and self._waiters:
                # Once for each read, and so for each batch: the hot path has no clock of its own.
                self._round_trips.add(self._loop.time() - self._waiters[0][2])
            while reply is not False:
                waiter, packed, since = pop()
                if reply.__class__ is hiredis.ReplyError:
                    self._fail(waiter, packed, since, str(reply))
                elif not waiter.done():
                    waiter.set_result(reply)
                reply = gets()
        except (hiredis.ProtocolError, IndexError):
            self.abort("the server sent something that is no reply")

    def eof_received(self) -> None:
        """The transport closes itself; `connection_lost` follows."""

    def connection_lost(self, error: Exception | None) -> None:
        if error is not None:
            self._reason = str(error) or type(error).__name__
        self._end()

    # Inside

    def _push(self, waiter: Waiter, packed: bytes) -> None:
        alone = False
        if not self._unsent:
            self._tick_at = self._loop.time()
            alone = self._last_batch == 1 and not self._waiters
            if not alone:
                self._loop.call_soon(self._flush)
        self._unsent.append(packed)
        self._waiters.append((waiter, packed, self._tick_at))
        if alone:
            # One command at a time so far: to wait for company would only cost it a turn of the loop, 3 to 5 µs.
            self._flush()

    def _flush(self) -> None:
        if not self._unsent:
            return
        self._last_batch = len(self._unsent)
        self._transport.write(b"".join(self._unsent))
        self.commands_total += len(self._unsent)
        self.flushes_total += 1
        self._unsent.clear()
        if self._check is None:
            self._check = self._loop.call_later(self.timeout_s / 10, self._check_deadlines)

    def _fail(self, waiter: Waiter, packed: bytes, since: float, message: str) -> None:
        if waiter.done():
            return
        if self._redirect is not None and self._redirect(waiter, packed, since, message):
            return
        if message.startswith("NOSCRIPT") and (repeated := self._again(packed)) is not None:
            self._push(waiter, repeated)
            return
        waiter.set_exception(self._error_of(packed, message))
        if message.startswith("READONLY"):
            # A demoted primary: only a new connection can find the new one.
            self.abort("the server is read-only now")

    def _check_deadlines(self) -> None:
        self._check = None
        if not self._waiters:
            return
        now = self._loop.time()
        if now - self._waiters[0][2] > STUCK_AFTER * self.timeout_s:
            self.abort("the server does not answer")
            return
        # Taken out first: who is told may send again at once.
        late = list(itertools.takewhile(lambda entry: now - entry[2] >= self.timeout_s, self._waiters))
        for waiter, _, _ in late:
            if not waiter.done():
                self.timeouts_total += 1
                waiter.set_exception(StoreTimeout(f"The store did not answer within {self.timeout_s:g} s."))
        self._check = self._loop.call_later(self.timeout_s / 10, self._check_deadlines)

    def _end(self) -> None:
        if self.lost.done():
            return
        self.lost.set_result(self._reason)
        if self._check is not None:
            self._check.cancel()
        sent = len(self._waiters) - len(self._unsent)
        self._unsent.clear()
        for index, (waiter, _, _) in enumerate(self._waiters):
            if not waiter.done():
                waiter.set_exception(self._lost_error(was_sent=index < sent))
        self._waiters.clear()

    def _lost_error(self, *, was_sent: bool) -> StoreError:
        text = f"The connection to the store was lost: {self._reason}."
        return StoreTimeout(text) if was_sent else StoreUnavailable(text)
