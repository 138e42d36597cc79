"""How fast each control key, and all keys of a tenant's environment together, may call the control API.

The buckets are this process's own: counting costs no round trip, and goes on while the store is away. With several
processes behind one address a key gets as much of each: what is kept from doing harm is a script that runs away, not
a bill.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from sidecar.domain.control_keys import Principal
from sidecar.domain.limits import TICKS_IN_MS, Rate

PERIOD_MS: Final = 60_000
BUCKETS_MAX: Final = 10_000
"""Then those that are full again are forgotten."""


class Called(msgspec.Struct, frozen=True):
    """What was found for one call: each limit with what is taken of it, in ticks."""

    standing: tuple[tuple[Rate, int], ...]
    refused: Rate | None = None
    """The limit that is used up; then nothing was taken."""
    wait_ms: int = 0
    """When it lets the next call through."""


class CallLimits:
    """`key_count`, `tenant_count`: calls in a minute, all of which may come at once; 0: without a limit."""

    def __init__(self, *, key_count: int, tenant_count: int, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._limits = tuple(
            _rate(name, count) for name, count in (("key", key_count), ("tenant", tenant_count)) if count
        )
        self._full_at: dict[tuple[str, str], float] = {}
        """By limit and whose it is: when all that was taken has come back, in ms."""

    @property
    def limits(self) -> tuple[Rate, ...]:
        return self._limits

    def call(self, principal: Principal) -> Called:
        """Take one call of each limit, or nothing."""
        now_ms = self._now_ms()
        whose = {"key": principal.key_id, "tenant": f"{principal.tenant}/{principal.environment}"}
        taken_ms = [
            (limit, max(self._full_at.get((limit.name, whose[limit.name]), 0) - now_ms, 0)) for limit in self._limits
        ]
        waits = [(ms + PERIOD_MS / limit.count - PERIOD_MS, limit) for limit, ms in taken_ms]
        wait_ms, slowest = max(waits, key=lambda wait: wait[0], default=(0.0, None))
        if wait_ms > 0:
            return Called(_standing(taken_ms), slowest, -int(-wait_ms // 1))
        after = [(limit, ms + PERIOD_MS / limit.count) for limit, ms in taken_ms]
        self._forget(now_ms)
        self._full_at.update({(limit.name, whose[limit.name]): now_ms + ms for limit, ms in after})
        return Called(_standing(after))

    def _forget(self, now_ms: int) -> None:
        if len(self._full_at) >= BUCKETS_MAX:
            self._full_at = {name: at_ms for name, at_ms in self._full_at.items() if at_ms > now_ms}


def _rate(name: str, count: int) -> Rate:
    return Rate(name=name, bucket=name, count=count, period_ms=PERIOD_MS, burst=count)


def _standing(taken_ms: list[tuple[Rate, float]]) -> tuple[tuple[Rate, int], ...]:
    return tuple((limit, round(ms * TICKS_IN_MS)) for limit, ms in taken_ms)
