"""Auto-top-ups: when credit runs low, the operator is asked to charge for more of it. We take no money.

A rule belongs to a balance, and so does what is asked by it: one request at a time, which ends when its top-up is
granted, when somebody says that it will not be, or with the rule.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec

DAY_MS: Final = 86_400_000
MONTH_MS: Final = 30 * DAY_MS


class AutoTopup(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for a package when no more than `threshold` is left, within these bounds."""

    threshold: int
    package_id: str
    max_per_day: int | None
    """Most requests within 24 hours; None: any number."""
    max_per_month: int | None
    """Most requests within 30 days."""
    cool_down_s: int
    """From a request to the next one, whatever became of it."""
    active: bool = True

    def asks(self, made_at_ms: Sequence[int], now_ms: int) -> bool:
        """Whether it may ask now, after the requests that were made at these times and have ended."""
        bounds = ((self.max_per_day, DAY_MS), (self.max_per_month, MONTH_MS), (1, self.cool_down_s * 1000))
        return self.active and all(
            most is None or sum(now_ms - at < span_ms for at in made_at_ms) < most for most, span_ms in bounds
        )


class RequestState(StrEnum):
    """What became of a request."""

    OUTSTANDING = "outstanding"
    FULFILLED = "fulfilled"
    FAILED = "failed"
    """It was declined."""
    CANCELED = "canceled"
    """Its rule was taken away."""


class TopupRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody should be charged for a package."""

    request_id: str
    customer_id: str
    unit: str
    state: str
    package_id: str
    threshold: int
    balance: int
    """What was left when it was made."""
    made_at_ms: int
    ended_at_ms: int | None = None
    topup_id: str = ""
    """Of a fulfilled one, the top-up."""
    reason: str = ""
    """Of a failed one, why."""


class RequestFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which requests. What is None does not matter."""

    state: RequestState | None = None
    customer_id: str | None = None


def dedup_key(request_id: str) -> str:
    """The business key of the top-up that a request asks for: it is granted once."""
    return f"auto_topup:{request_id}"
