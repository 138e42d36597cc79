"""Counters: how much of a meter a customer has used in a period, so that prices may go on from request to request.

A counter belongs to who pays. Its position is what was counted by settlements; beside it stands what open holds may
still count, so that two of them are never priced as if each were alone. Positions are whole units. Nothing here knows
a price (see `price_counted`) or where counters are kept.
"""

from datetime import UTC, datetime, timedelta
from enum import StrEnum

import msgspec

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.blocks import NEVER_MS

_DAY_MS = 86_400_000


class Over(StrEnum):
    """The period in which a counter counts; all of them are of the UTC calendar. A period of plans may come later."""

    EVENT = "event"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    EVER = "ever"


class Counter(msgspec.Struct, frozen=True):
    """One counter in one period: ``ocr/pages@2026-11``, and until when it is kept, in ms."""

    key: str
    forget_at_ms: int

    @property
    def name(self) -> str:
        return self.key.rpartition("@")[0]

    @property
    def period(self) -> str:
        return self.key.rpartition("@")[2]


class Counting(msgspec.Struct, frozen=True):
    """That something is counted over a period, by this name."""

    name: str
    over: Over

    def at(self, now_s: float) -> Counter:
        """The counter of the period that `now_s`, in seconds since 1970, lies in.

        It is kept for as long again as the period was, and for a day at least: holds may still be open.
        """
        now = datetime.fromtimestamp(now_s, UTC)
        period = _text(self.over, now)
        if self.over is Over.EVER:
            return Counter(f"{self.name}@{period}", NEVER_MS)
        start = now.replace(minute=0, second=0, microsecond=0)
        if self.over is not Over.HOUR:
            start = start.replace(hour=0)
        if self.over is Over.WEEK:
            start -= timedelta(days=start.weekday())
        elif self.over is Over.MONTH:
            start = start.replace(day=1)
        end = _end(self.over, start)
        length_ms = (end - start) // timedelta(milliseconds=1)
        return Counter(f"{self.name}@{period}", int(end.timestamp()) * 1000 + max(length_ms, _DAY_MS))


class Stand(msgspec.Struct, frozen=True):
    """Where a counter stands: what was used, and what open holds may still use."""

    used: int = 0
    held: int = 0


AT_ZERO = Stand()


class CounterState(msgspec.Struct, frozen=True):
    """A counter of a customer, and where it stands."""

    counter: Counter
    stand: Stand


class Advance(msgspec.Struct, frozen=True):
    """So many `units` more, at an amount that is right while the counter stands from `low` to `high`.

    Of a hold, its position must be at least `low`, and together with what others hold at most `high`.
    """

    counter: Counter
    units: int = 0
    low: int = 0
    high: int = MAX_AMOUNT


class Counted(msgspec.Struct, frozen=True):
    """What a settlement has moved: `units` were counted, and the counter was at `position` then."""

    key: str
    units: int
    position: int


def _end(over: Over, start: datetime) -> datetime:
    match over:
        case Over.HOUR:
            return start + timedelta(hours=1)
        case Over.DAY:
            return start + timedelta(days=1)
        case Over.WEEK:
            return start + timedelta(days=7)
    return (start + timedelta(days=32)).replace(day=1)


def _text(over: Over, now: datetime) -> str:
    match over:
        case Over.HOUR:
            return f"{now:%Y-%m-%dT%H}"
        case Over.DAY:
            return f"{now:%Y-%m-%d}"
        case Over.WEEK:
            year, week, _ = now.isocalendar()
            return f"{year:04}-W{week:02}"
        case Over.MONTH:
            return f"{now:%Y-%m}"
    return "ever"
