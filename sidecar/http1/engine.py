"""What all connections of one process share: limits, a coarse clock and the handler."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec

from sidecar.http1.errors import ProtocolError

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


class Engine:
    """One per process and listener.

    Time limits are deadlines compared on a tick, never timers: arming and cancelling one costs 0.5 µs a request, a
    sweep over 500 connections ten times a second costs nothing. `now_s` is the tick's time.
    """

    __slots__ = ("connections", "draining", "handler", "limits", "loop", "now_s", "refuse", "total_requests")

    def __init__(
        self,
        limits: Limits,
        handler: "Callable[[Exchange], Awaitable[None]]",
        refuse: "Callable[[ProtocolError], tuple[Pairs, bytes]]",
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.limits = limits
        self.handler = handler
        self.refuse = refuse
        self.now_s = self.loop.time()
        self.connections: set[ClientConnection] = set()
        self.draining = False
        self.total_requests = 0

    def tick(self) -> None:
        """Enforce every deadline that has passed."""
        self.now_s = self.loop.time()
        for connection in tuple(self.connections):
            connection.check(self.now_s)
