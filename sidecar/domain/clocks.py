"""Clocks of time zones (of the IANA data base): how far they are ahead of UTC, and when that changes."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sidecar.domain.errors import InvalidInput

_DAY_S: Final = 86_400


def checked_clock(tz: str) -> str:
    """The name of a time zone, or InvalidInput."""
    zone_of(tz)
    return tz


@lru_cache(maxsize=256)
def zone_of(tz: str) -> tzinfo:
    """Raises InvalidInput."""
    if tz == "UTC":
        return UTC
    try:
        return ZoneInfo(tz)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidInput(
            f"{tz!r} is no time zone of the IANA data base; one looks like Europe/Berlin, or UTC.", "tz"
        ) from error


def ahead_s(zone: tzinfo, at_s: int) -> int:
    """How far its clocks are ahead of UTC at an instant, in seconds."""
    ahead = datetime.fromtimestamp(at_s, zone).utcoffset()
    assert ahead is not None, "every zone of the data base says it"
    return int(ahead.total_seconds())


def changes(zone: tzinfo, first_s: int, last_s: int) -> Iterator[tuple[int, int]]:
    """From when on its clocks are so far ahead: `first_s`, then each change until `last_s`, all in seconds."""
    now_ahead_s = ahead_s(zone, first_s)
    yield first_s, now_ahead_s
    for day_s in range(first_s, last_s, _DAY_S):
        then_ahead_s = ahead_s(zone, day_s + _DAY_S)
        if then_ahead_s == now_ahead_s:
            continue
        low, high = day_s, day_s + _DAY_S
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if ahead_s(zone, middle) == now_ahead_s else (low, middle)
        yield high, then_ahead_s
        now_ahead_s = then_ahead_s


def day_begins_ms(tz: str, shown_ms: int) -> int:
    """When the day begins of which a zone's clocks show midnight as `shown_ms`, as if they were at UTC."""
    day = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=shown_ms)
    return int(day.replace(tzinfo=zone_of(tz)).timestamp()) * 1000
