"""The multiplexed connection to one server: always the same, always reconnecting.

It does not redirect: a node of a cluster is reached through a `ClusterLane`, which has one of these for each primary.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any, TypeVar

import hiredis

from sidecar.domain.errors import StoreCorrupt, StoreError, StoreUnavailable
from sidecar.store.address import Address
from sidecar.store.commands import SCRIPTS, pack, script_of
from sidecar.store.dial import dial
from sidecar.store.lane import Lane
from sidecar.store.pauses import Pauses
from sidecar.store.reply import Reply
from sidecar.store.subscription import Subscription
from sidecar.store.wire import Redirect, Wire
from sidecar.tasks import Tasks
from sidecar.telemetry import Histogram

T = TypeVar("T")

log = logging.getLogger("sidecar.store")

_PASSING = (
    "LOADING", "OOM", "READONLY", "MASTERDOWN", "BUSY", "CLUSTERDOWN", "TRYAGAIN", "MISCONF", "NOREPLICAS",
    "NOAUTH", "NOPERM", "UNKILLABLE",
)  # fmt: skip
"""Error replies of a server that cannot serve us now, though nothing is wrong with what it holds."""
_ELSEWHERE = ("MOVED", "ASK")
"""Error replies of a cluster's node to whoever does not know the cluster."""


class ServerLane(Lane):
    """A `Lane` to the server at `address`."""

    def __init__(
        self,
        address: Address,
        *,
        timeout_s: float = 1.0,
        connect_timeout_s: float = 5.0,
        round_trips: Histogram | None = None,
        redirect: Redirect | None = None,
    ) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._redirect = redirect
        self._wire: Wire | None = None
        self._past: list[int] = [0, 0, 0]
        self._reconnects_total = 0
        self._tasks = Tasks()
        self.round_trips = round_trips or Histogram()

    async def open(self) -> None:
        self._wire = await self._connect()
        self._tasks.start(self._keep_open(self._wire), "store lane")

    async def close(self) -> None:
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

    @property
    def reconnects_total(self) -> int:
        return self._reconnects_total

    def send(self, packed: bytes) -> asyncio.Future[Any]:
        return self.wire().send(packed)

    def ask(self, packed: bytes, decode: Callable[[Any], T]) -> Reply[T]:
        wire = self._wire or self.wire()
        reply = Reply(decode)
        wire.put(packed, reply)
        return reply

    @property
    def counts_listeners(self) -> bool:
        return True

    async def listen(self, channel: bytes, heard: Callable[[bytes], object]) -> Subscription:
        subscription = Subscription(await self._dial(), heard)
        try:
            answer = await subscription.ask(self._question, self._connect_timeout_s)
            if not isinstance(answer, hiredis.ReplyError):  # Not everybody may ask.
                self._check(answer)
            await subscription.subscribe(channel, self._connect_timeout_s)
        except BaseException:
            subscription.close()
            raise
        return subscription

    def wire(self) -> Wire:
        """The connection as it is now; `StoreUnavailable` when there is none."""
        if self._wire is None:
            raise StoreUnavailable(f"There is no connection to the store at {self._address}.")
        return self._wire

    # For the lanes that are built on this one

    async def _dial(self) -> asyncio.StreamWriter:
        """A fresh connection that is ready for commands."""
        return await dial(self._address, self._connect_timeout_s)

    _question = pack("INFO", "cluster")
    """What the server is asked before anything else."""

    def _check(self, answer: Any) -> None:
        """`StoreUnavailable` when the answer to `_question` shows that this is the wrong server."""
        if b"cluster_enabled:1" in answer:
            raise self._needs_cluster()

    def _lost(self) -> None:
        """The connection has ended; the next one is on its way."""

    # Inside

    async def _connect(self) -> Wire:
        writer = await self._dial()
        wire = Wire(
            writer,
            timeout_s=self._connect_timeout_s,
            round_trips=self.round_trips,
            again=in_full,
            error_of=self._error_of,
            redirect=self._redirect,
        )
        try:
            loading = [wire.send(pack("SCRIPT", "LOAD", script.text)) for script in SCRIPTS]
            await asyncio.gather(self._checked(wire.send(self._question)), *loading)
        except BaseException:
            wire.abort("it was not ready for commands")
            raise
        wire.set_timeout(self._timeout_s)
        return wire

    async def _checked(self, reply: asyncio.Future[Any]) -> None:
        try:
            answer = await reply
        except StoreError:
            return  # Not everybody may ask; what is wrong with the connection, the scripts will tell.
        self._check(answer)

    async def _keep_open(self, wire: Wire) -> None:
        while True:
            # Not `await wire.lost`: when this task is cancelled, that would cancel what others look at.
            await asyncio.wait((wire.lost,))
            self._retire(wire)
            log.warning("connection to the store at %s lost: %s", self._address, wire.lost.result())
            self._lost()
            wire = await self._reconnect()
            self._reconnects_total += 1
            self._wire = wire
            log.info("connected to the store at %s again", self._address)

    async def _reconnect(self) -> Wire:
        pauses = Pauses()
        while True:
            with contextlib.suppress(StoreError):
                return await self._connect()
            await asyncio.sleep(pauses.next_s())

    def _retire(self, wire: Wire) -> None:
        for index, count in enumerate((wire.commands_total, wire.flushes_total, wire.timeouts_total)):
            self._past[index] += count
        self._wire = None

    def _error_of(self, packed: bytes, message: str) -> StoreError:
        word = message.partition(" ")[0]
        if word in _PASSING:
            return StoreUnavailable(f"The store cannot serve us now: {message}")
        if word in _ELSEWHERE:
            return self._needs_cluster()
        script = script_of(packed)
        return StoreCorrupt(f"The store answered with an error: {script.located(message) if script else message}")

    def _needs_cluster(self) -> StoreUnavailable:
        scheme = "rediss+cluster" if self._address.tls else "redis+cluster"
        return StoreUnavailable(
            f"The store at {self._address} is a node of a Redis Cluster: write its address as {scheme}://…"
        )


def in_full(packed: bytes) -> bytes | None:
    """A call by digest as one with the script's whole text; None for other commands."""
    script = script_of(packed)
    return None if script is None else script.as_eval(packed)
