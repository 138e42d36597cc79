"""Limits of a rule: how many requests of a customer run at once, and how fast requests or tokens may come.

A rate is GCRA: each request puts off, by its cost in time, the moment at which all that was taken has come back; it
may be `burst` ahead of now. The store decides, in the script that takes the hold; here is what it is told, and what
its numbers mean. Times are whole ticks of 1/1024 ms, so that the store's sums are exact.
"""

import hashlib
from collections.abc import Mapping
from enum import StrEnum

import msgspec

from sidecar.domain.price import Number, Usage

TICKS_IN_MS = 1024
MOST_TICKS = 30 * 86_400_000 * TICKS_IN_MS
"""No request takes more time than this, whatever it says that it will use."""


class Per(StrEnum):
    """What has a bucket of its own, within a customer."""

    CUSTOMER = "customer"
    KEY = "key"
    RULE = "rule"


class InFlight(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """At most so many requests at once: those whose hold is open."""

    name: str
    bucket: str
    per: Per = Per.CUSTOMER
    most: int

    @property
    def note(self) -> str:
        return f"at most {self.most} requests in flight per {self.per} ({self.name})"


class Rate(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """So much comes back in each period, and so much of it can be taken at once.

    Without `of`, each request takes one; else what these meters read, together: first as the hold estimates it, and
    in the end as it was.
    """

    name: str
    bucket: str
    per: Per = Per.CUSTOMER
    count: int
    period_ms: int
    burst: int
    of: tuple[str, ...] = ()

    @property
    def burst_ticks(self) -> int:
        return self.burst * self.ticks(1) if not self.of else self.ticks(self.burst)

    @property
    def note(self) -> str:
        what = " + ".join(self.of) if self.of else "requests"
        return (
            f"{self.count} {what} in {self.period_ms / 1000:g} s per {self.per}, {self.burst} at once ({self.name})"
        )

    def ticks(self, units: int) -> int:
        """How long so many units take to come back; `MOST_TICKS` at most."""
        return min(units * self.period_ms * TICKS_IN_MS // self.count, MOST_TICKS)

    def left(self, taken_ticks: int) -> int:
        """How many units can be taken now."""
        return max((self.burst_ticks - taken_ticks) * self.count // (self.period_ms * TICKS_IN_MS), 0)

    def reset_ms(self, taken_ticks: int) -> int:
        """When all of it will have come back."""
        return -(-taken_ticks // TICKS_IN_MS)


Limit = InFlight | Rate


class Taking(msgspec.Struct, frozen=True):
    """What one request takes of a limit: a slot (0 ticks) or so much time, of the `bucket` that is its own."""

    limit: Limit
    bucket: str
    ticks: int = 0

    @property
    def at_end(self) -> str:
        """What the end of the hold gives back or corrects, as it is kept with the hold; empty for nothing."""
        if isinstance(self.limit, InFlight):
            return self.bucket
        return f"{self.bucket}={self.ticks}" if self.limit.of else ""

    @property
    def arguments(self) -> str:
        """As the script wants it."""
        if isinstance(self.limit, InFlight):
            return f"slot {self.bucket} {self.limit.most} 0"
        return f"rate {self.bucket} {self.ticks} {self.limit.burst_ticks}"

    def corrected(self, usage: Mapping[str, Number]) -> "Taking":
        """What it took really; as estimated where nothing was read."""
        limit = self.limit
        if isinstance(limit, InFlight) or not any(meter in usage for meter in limit.of):
            return self
        return Taking(limit, self.bucket, limit.ticks(_sum(limit.of, usage)))


def takings(limits: tuple[Limit, ...], rule: str, credential: str, estimate: Usage) -> tuple[Taking, ...]:
    """What a request of `rule` takes that has this credential and may use so much."""
    found = []
    for limit in limits:
        bucket, ticks = limit.bucket, 0
        if limit.per is Per.KEY:
            bucket += "@" + hashlib.sha256(credential.encode()).hexdigest()[:16]
        elif limit.per is Per.RULE:
            bucket += "@" + rule
        if isinstance(limit, Rate):
            ticks = limit.ticks(_sum(limit.of, estimate) if limit.of else 1)
        found.append(Taking(limit, bucket, ticks))
    return tuple(found)


def ends_of(taken: tuple[Taking, ...]) -> str:
    """What the end of a hold that took this gives back or corrects; empty for nothing."""
    return ",".join([at_end for each in taken if (at_end := each.at_end)])


def reads_usage(limits: tuple[Limit, ...]) -> bool:
    """Whether any of them needs an estimate of usage."""
    return any(isinstance(limit, Rate) and limit.of for limit in limits)


def _sum(meters: tuple[str, ...], usage: Mapping[str, Number]) -> int:
    return int(sum(usage.get(meter, 0) for meter in meters))
