"""Answers that are read to their end though their client has gone, because what they cost stands at their end.

An upstream goes on working, and often goes on costing, when nobody listens. So that nobody can use that to keep it
busy for nothing, drains are bounded: in number for the process, in bytes and in time for each.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sidecar.http1.engine import Limits
    from sidecar.http1.exchange import Exchange


class Drain:
    """What one of them may still take."""

    __slots__ = ("bytes_left", "until_s")

    def __init__(self, bytes_left: int, until_s: float) -> None:
        self.bytes_left = bytes_left
        self.until_s = until_s


class Drains:
    """The exchanges that have outlived their clients; they have no connection that would tick or end them."""

    __slots__ = ("_limits", "begun_total", "refused_total", "running")

    def __init__(self, limits: "Limits") -> None:
        self._limits = limits
        self.running: set[Exchange] = set()
        self.begun_total = 0
        self.refused_total = 0
        """Clients that went while as many answers as may be were being drained."""

    def begin(self, exchange: "Exchange", now_s: float) -> Drain | None:
        """Let it go on without its client; None when there are too many of them."""
        limits = self._limits
        if len(self.running) >= limits.drains_max:
            self.refused_total += 1
            return None
        self.running.add(exchange)
        self.begun_total += 1
        return Drain(limits.drain_max_bytes, now_s + limits.drain_s)

    def tick(self, now_s: float) -> None:
        """Enforce the deadlines that have passed."""
        for exchange in tuple(self.running):
            exchange.check(now_s)

    def cut_off(self) -> None:
        """The time for draining a process is over."""
        for exchange in tuple(self.running):
            exchange.cut_off()
