"""The multiplexed connection to the store: one for the whole process, always the same, always reconnecting.

It does not repeat a command whose effect is unknown: that is for the caller, who knows the id that makes it safe.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from typing import Any, TypeVar

from sidecar.domain.errors import StoreCorrupt, StoreError, StoreUnavailable
from sidecar.store.address import Address
from sidecar.store.commands import SCRIPTS, pack
from sidecar.store.dial import dial
from sidecar.store.reply import Reply
from sidecar.store.wire import Wire
from sidecar.tasks import Tasks
from sidecar.telemetry import Histogram

T = TypeVar("T")

log = logging.getLogger("sidecar.store")

RECONNECT_FIRST_S = 0.05
RECONNECT_MOST_S = 1.0

_BY_SHA = {script.sha: script for script in SCRIPTS}
_PASSING = (
    "LOADING", "OOM", "READONLY", "MASTERDOWN", "BUSY", "CLUSTERDOWN", "TRYAGAIN", "MISCONF", "NOREPLICAS",
    "NOAUTH", "NOPERM", "UNKILLABLE",
)  # fmt: skip
"""Error replies of a server that cannot serve us now, though nothing is wrong with what it holds."""


class Lane:
    """`send` takes packed commands from any number of coroutines; all of one loop tick leave in one write.

    Commands fail with `StoreUnavailable` (not executed) or `StoreTimeout` (effect unknown), never later than
    about 1.1 × `timeout_s`; `StoreCorrupt` when a script met something that our scripts never write.
    """

    def __init__(self, address: Address, *, timeout_s: float = 1.0, connect_timeout_s: float = 5.0) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._wire: Wire | None = None
        self._past: list[int] = [0, 0, 0]
        self._tasks = Tasks()
        self.reconnects_total = 0
        self.round_trips = Histogram()
        """From queueing the first command of a batch to reading its reply."""

    async def open(self) -> None:
        """Connect and load the scripts; `StoreUnavailable` when that fails. From then on it stays open by itself."""
        self._wire = await self._connect()
        self._tasks.start(self._keep_open(self._wire), "store lane")

    async def close(self) -> None:
        """End the connection; what still waits for a reply fails as unknown."""
        if self._wire is not None:
            self._wire.abort("we closed it")
            self._retire(self._wire)
        await self._tasks.cancel()

    @property
    def connected(self) -> bool:
        return self._wire is not None and not self._wire.lost.done()

    @property
    def waiting(self) -> int:
        return 0 if self._wire is None else self._wire.waiting

    @property
    def commands_total(self) -> int:
        return self._past[0] + (0 if self._wire is None else self._wire.commands_total)

    @property
    def flushes_total(self) -> int:
        return self._past[1] + (0 if self._wire is None else self._wire.flushes_total)

    @property
    def timeouts_total(self) -> int:
        return self._past[2] + (0 if self._wire is None else self._wire.timeouts_total)

    def send(self, packed: bytes) -> asyncio.Future[Any]:
        """Queue one packed command and return the future of its reply; `StoreUnavailable` while disconnected."""
        return self._connected().send(packed)

    def ask(self, packed: bytes, decode: Callable[[Any], T]) -> Reply[T]:
        """`send` for the commands of every request: without a future, and `decode` makes the result of the reply."""
        wire = self._wire or self._connected()
        reply = Reply(decode)
        wire.put(packed, reply)
        return reply

    def execute(self, *arguments: bytes | str | int) -> asyncio.Future[Any]:
        """`send` for a plain command."""
        return self.send(pack(*arguments))

    def _connected(self) -> Wire:
        if self._wire is None:
            raise StoreUnavailable(f"There is no connection to the store at {self._address}.")
        return self._wire

    async def _connect(self) -> Wire:
        writer = await dial(self._address, self._connect_timeout_s)
        wire = Wire(
            writer, timeout_s=self._connect_timeout_s, round_trips=self.round_trips, again=_again, error_of=_error_of
        )
        try:
            await asyncio.gather(*(wire.send(pack("SCRIPT", "LOAD", script.text)) for script in SCRIPTS))
        except BaseException:
            wire.abort("the scripts could not be loaded")
            raise
        wire.set_timeout(self._timeout_s)
        return wire

    async def _keep_open(self, wire: Wire) -> None:
        while True:
            # Not `await wire.lost`: when this task is cancelled, that would cancel what others look at.
            await asyncio.wait((wire.lost,))
            self._retire(wire)
            log.warning("connection to the store at %s lost: %s", self._address, wire.lost.result())
            wire = await self._reconnect()
            self.reconnects_total += 1
            self._wire = wire
            log.info("connected to the store at %s again", self._address)

    async def _reconnect(self) -> Wire:
        pause_s = RECONNECT_FIRST_S
        while True:
            with contextlib.suppress(StoreError):
                return await self._connect()
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 — spreads reconnects, guards nothing.
            pause_s = min(2 * pause_s, RECONNECT_MOST_S)

    def _retire(self, wire: Wire) -> None:
        for index, count in enumerate((wire.commands_total, wire.flushes_total, wire.timeouts_total)):
            self._past[index] += count
        self._wire = None


def _again(packed: bytes) -> bytes | None:
    script = _BY_SHA.get(_sha_of(packed))
    return None if script is None else script.as_eval(packed)


def _sha_of(packed: bytes) -> bytes:
    """The digest in a packed EVALSHA; nothing for other commands."""
    start = packed.find(b"$7\r\nEVALSHA\r\n$40\r\n", 0, 32)
    return packed[start + 18 : start + 58] if start > 0 else b""


def _error_of(packed: bytes, message: str) -> StoreError:
    word = message.partition(" ")[0]
    if word in _PASSING:
        return StoreUnavailable(f"The store cannot serve us now: {message}")
    script = _BY_SHA.get(_sha_of(packed))
    return StoreCorrupt(f"The store answered with an error: {script.located(message) if script else message}")
