"""What all connections of one process share: limits, a coarse clock and the handler."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import msgspec

from sidecar.http1.drains import Drains
from sidecar.http1.errors import ProtocolError
from sidecar.http1.heads import parse_request
from sidecar.http1.known_heads import KnownHeads

if TYPE_CHECKING:
    from sidecar.http1.client import ClientConnection
    from sidecar.http1.exchange import Exchange
    from sidecar.http1.fields import Pairs

HIGH_WATER_BYTES = 256 * 1024
"""How much of a body may wait in memory before its sender is paused."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of messages and times; the names and meanings are those of the settings."""

    request_line_max_bytes: int = 8_192
    head_max_bytes: int = 65_536
    headers_max: int = 128
    body_max_bytes: int = 104_857_600
    client_connections_max: int = 10_000
    client_head_s: float = 30.0
    client_idle_s: float = 75.0
    connect_s: float = 5.0
    head_s: float = 300.0
    idle_s: float = 120.0
    total_s: float = 600.0
    drains_max: int = 100
    drain_max_bytes: int = 16_777_216
    drain_s: float = 60.0
    body_min_bytes_per_s: float = 0.0
    body_window_s: float = 10.0
    tunnel_idle_s: float = 300.0
    tunnel_s: float = 86_400.0


class Engine:
    """One per process and listener.

    Time limits are deadlines compared on a tick, never timers: arming and cancelling one costs 0.5 µs a request, a
    sweep over 500 connections ten times a second costs nothing. `now_s` is the tick's time.
    """

    __slots__ = (
        "_idle",
        "connections",
        "draining",
        "drains",
        "failed",
        "handler",
        "heads",
        "leaving",
        "limits",
        "loop",
        "now_s",
        "refuse",
        "requests_total",
        "running",
        "takes_upgrades",
    )

    handler: "Callable[[Exchange], Coroutine[Any, Any, None]]"
    """Set before the first connection."""

    def __init__(self, limits: Limits, refuse: "Callable[[ProtocolError], tuple[Pairs, bytes]]") -> None:
        """`refuse` writes the answer to a request that cannot even be begun."""
        self.loop = asyncio.get_running_loop()
        self.limits = limits
        self.refuse = refuse
        self.heads = KnownHeads(lambda data: parse_request(data, limits.headers_max, upgrades=self.takes_upgrades))
        self.now_s = self.loop.time()
        self.connections: set[ClientConnection] = set()
        self.draining = False
        self.leaving = False
        """Every answer says that it is its connection's last: clients shall go elsewhere; who comes is served."""
        self.drains = Drains(limits)
        self.failed: Callable[[Exchange], None] | None = None
        """Told of an exchange whose handler has raised."""
        self.requests_total = 0
        self.running = 0
        self.takes_upgrades = False
        """Set by a handler that knows what to do with requests for another protocol; else they are 501."""
        self._idle = asyncio.Event()

    def story_ended(self) -> None:
        self.running -= 1
        if self.draining and not self.running:
            self._idle.set()

    async def drain(self, grace_s: float) -> bool:
        """Let running exchanges finish, cut those that have not after `grace_s`; True when none had to be cut.

        Returns when every handler has ended.
        """
        self.draining = self.leaving = True
        for connection in tuple(self.connections):
            connection.drain()
        finished = await self._wait_idle(grace_s)
        if not finished:
            for connection in tuple(self.connections):
                connection.cut_off()
            self.drains.cut_off()
            await self._wait_idle(None)
        for connection in tuple(self.connections):
            connection.drain()
        return finished

    async def _wait_idle(self, timeout_s: float | None) -> bool:
        if not self.running:
            return True
        self._idle.clear()
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def tick(self) -> None:
        """Enforce every deadline that has passed."""
        self.now_s = self.loop.time()
        for connection in tuple(self.connections):
            connection.check(self.now_s)
        self.drains.tick(self.now_s)
