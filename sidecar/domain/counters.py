"""Counters: how much of a meter a customer has used in a period, so that prices may go on from request to request.

A counter belongs to who pays. Its position is what was counted by settlements; beside it stands what open holds may
still count, so that two of them are never priced as if each were alone. Positions are whole units. Nothing here knows
a price (see `price_counted`) or where counters are kept.
"""

import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import msgspec

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.blocks import NEVER_MS

_DAY_MS = 86_400_000
_CAP: Final = "spend:"
"""What the names of the counters of spend caps begin with."""


class Over(StrEnum):
    """The period in which a counter counts; all of them are of the UTC calendar. A period of plans may come later."""

    EVENT = "event"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    EVER = "ever"


_FORMS: Final[Mapping[Over, str]] = MappingProxyType(
    {
        Over.HOUR: "%Y-%m-%dT%H",
        Over.DAY: "%Y-%m-%d",
        Over.WEEK: "%G-W%V",
        Over.MONTH: "%Y-%m",
        Over.EVER: "ever",
    }
)
"""How the periods are written."""


class _Keyed(msgspec.Struct, frozen=True):
    """Of a counter in one period, by its key: ``ocr/pages@2026-11``."""

    key: str

    @property
    def name(self) -> str:
        return self.key.rpartition("@")[0]

    @property
    def period(self) -> str:
        return self.key.rpartition("@")[2]


class Counter(_Keyed, frozen=True):
    """One counter in one period, and until when it is kept, in ms."""

    forget_at_ms: int

    @property
    def until_ms(self) -> int:
        """Of a spend cap's, when it counts no more."""
        return self.forget_at_ms - _DAY_MS


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


def cap_counter(cap_id: str, start_ms: int, until_ms: int) -> Counter:
    """What a spend cap counts in, of what is reserved from `start_ms` on; at `until_ms` it counts no more."""
    return Counter(f"{_CAP}{cap_id}@{start_ms}~{until_ms}", until_ms + _DAY_MS)


def is_of_cap(key: str) -> bool:
    """Whether a spend cap counts in it, not a price."""
    return key.startswith(_CAP) and "~" in key


def cap_of(key: str) -> str:
    """The id of the spend cap that counts in it; `is_of_cap` says whether one does."""
    return key.removeprefix(_CAP).rpartition("@")[0]


def counter_of(key: str) -> Counter | None:
    """The counter that has this key; None for what is none of ours."""
    name, _, period = key.rpartition("@")
    if is_of_cap(key):
        start, _, until = period.partition("~")
        return (
            cap_counter(name.removeprefix(_CAP), int(start), int(until))
            if start.isdigit() * until.isdigit()
            else None
        )
    for over, form in _FORMS.items():
        with contextlib.suppress(ValueError):
            counter = Counting(name, over).at(_start(period, form))
            if counter.key == key:
                return counter
    return None


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


class Counted(_Keyed, frozen=True):
    """What a settlement has moved: `units` were counted, and the counter was at `position` then."""

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
    return now.strftime(_FORMS[over])


def _start(period: str, form: str) -> float:
    """When a period began, in seconds since 1970. Raises ValueError for what is not of this form."""
    # A week alone is no date.
    day, of_form = ("-1", "-%u") if "%V" in form else ("", "")
    return datetime.strptime(period + day, form + of_form).replace(tzinfo=UTC).timestamp()
