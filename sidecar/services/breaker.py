"""A circuit breaker for one address: what has failed so often that the next request would fail too is left alone.

    closed ── failures in a row ──▶ open ── the pause is over ──▶ half-open ── one request succeeds ──▶ closed
                                     ▲                               │
                                     └──── it fails: twice the pause ┘

Pure: it is told the time and what happened. The pattern is Nygard's (Release It!, chapter 5); that only one request
goes out while it is half-open keeps a server that comes back from being overrun.
"""

import random
from collections.abc import Callable

SPREAD = 0.2
"""A pause is up to this part shorter or longer than it should be, so that many proxies do not come back at once."""


def _spread() -> float:
    return random.uniform(1 - SPREAD, 1 + SPREAD)  # noqa: S311 - spreads load, guards nothing.


class Breaker:
    """Counts the outcomes of one address; instants are seconds of any monotonic clock."""

    __slots__ = (
        "_failures",
        "_failures_max",
        "_pause_first_s",
        "_pause_most_s",
        "_pause_s",
        "_probing",
        "_reopens_at_s",
        "_spread",
        "closed",
        "opened_total",
    )

    def __init__(
        self,
        *,
        failures_max: int,
        pause_first_s: float,
        pause_most_s: float,
        spread: Callable[[], float] = _spread,
    ) -> None:
        """It opens after `failures_max` failures in a row, 0: never; the pause doubles from first to most."""
        self._failures_max = failures_max
        self._pause_first_s = pause_first_s
        self._pause_most_s = pause_most_s
        self._spread = spread
        self._failures = 0
        self._pause_s = 0.0
        self._reopens_at_s = 0.0
        self._probing = False
        self.closed = True
        """Whether requests go there as ever."""
        self.opened_total = 0

    @property
    def untroubled(self) -> bool:
        """Closed, and the last request that went there was answered."""
        return not self._failures

    def allows(self, now_s: float) -> bool:
        """Whether a request may go there now."""
        return not self._pause_s or (now_s >= self._reopens_at_s and not self._probing)

    def opens_in_s(self, now_s: float) -> float:
        """How long it will be left alone for, 0 when a request may go there or one is finding out."""
        return max(0.0, self._reopens_at_s - now_s) if self._pause_s else 0.0

    def begin(self) -> bool:
        """A request goes there; True when it is the one that finds out whether the address is back."""
        if self._pause_s:
            self._probing = True
            return True
        return False

    def succeeded(self, *, probe: bool) -> bool:
        """It was answered; True when that closed the breaker."""
        self._failures = 0
        if not self._pause_s:
            return False
        self._probing = self._probing and not probe
        self._pause_s, self.closed = 0.0, True
        return True

    def failed(self, now_s: float, *, probe: bool) -> bool:
        """It was not; True when that opened a closed breaker. What had begun before it opened changes nothing."""
        self._failures += 1
        if probe:
            self._probing = False
            if self._pause_s:
                self._open(now_s, min(2 * self._pause_s, self._pause_most_s))
            return False
        if self._pause_s or not self._failures_max or self._failures < self._failures_max:
            return False
        self.opened_total += 1
        self._open(now_s, self._pause_first_s)
        return True

    def ended(self, *, probe: bool) -> None:
        """It ended in a way that says nothing about the address, as when its client went away."""
        if probe:
            self._probing = False

    def _open(self, now_s: float, pause_s: float) -> None:
        self._pause_s, self.closed = pause_s, False
        self._reopens_at_s = now_s + pause_s * self._spread()
