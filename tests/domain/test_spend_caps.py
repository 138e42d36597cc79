"""Windows of spend caps: where they begin and end by the clocks of time zones."""

from datetime import UTC, datetime

import pytest

from sidecar.domain.clocks import checked_clock
from sidecar.domain.counters import counter_of, is_of_cap
from sidecar.domain.errors import InvalidInput
from sidecar.domain.spend_caps import ROLLING_STEPS, SpendCap, Window, clock_of, window_at

HOUR_MS = 3_600_000


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("window", "tz", "now", "start", "end"),
    [
        (Window.HOUR, "UTC", "2026-11-23T09:15+00:00", "2026-11-23T09:00+00:00", "2026-11-23T10:00+00:00"),
        (Window.HOUR, "Asia/Kolkata", "2026-11-23T09:15+00:00", "2026-11-23T08:30+00:00", "2026-11-23T09:30+00:00"),
        (Window.DAY, "Europe/Berlin", "2026-11-22T23:30+00:00", "2026-11-23T00:00+01:00", "2026-11-24T00:00+01:00"),
        (Window.DAY, "Europe/Berlin", "2026-10-25T12:00+01:00", "2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00"),
        (Window.WEEK, "UTC", "2026-11-29T23:59+00:00", "2026-11-23T00:00+00:00", "2026-11-30T00:00+00:00"),
        (Window.MONTH, "UTC", "2028-02-29T12:00+00:00", "2028-02-01T00:00+00:00", "2028-03-01T00:00+00:00"),
        (Window.MONTH, "America/New_York", "2027-01-01T04:00Z", "2026-12-01T00:00-05:00", "2027-01-01T00:00-05:00"),
    ],
)
def test_windows_of_the_calendar(window: Window, tz: str, now: str, start: str, end: str) -> None:
    assert window_at(window, tz, ms(now)) == (ms(start), ms(end))


def test_the_clock_of_a_zone_is_written_with_its_changes() -> None:
    now_ms = ms("2026-11-23T00:00Z")
    assert clock_of("UTC", now_ms) == "0"
    assert clock_of("Asia/Kolkata", now_ms) == "19800"
    first, second, *_ = clock_of("Europe/Berlin", now_ms).split(",")
    assert (first, second) == ("7200", f"{ms('2026-10-25T01:00Z') // 1000}:3600")


def test_what_is_no_zone_is_said() -> None:
    assert checked_clock("Europe/Berlin") == "Europe/Berlin"
    for wrong in ("Europe/Nowhere", "../etc/passwd", ""):
        with pytest.raises(InvalidInput, match="IANA"):
            checked_clock(wrong)


def test_a_window_that_goes_along_counts_every_moment_of_its_length() -> None:
    cap = SpendCap(cap_id="cap_1", unit="credits", amount=1, rolling_ms=HOUR_MS, created_at_ms=0)
    step_ms = HOUR_MS // ROLLING_STEPS
    for now_ms in (1_000 * HOUR_MS, 1_000 * HOUR_MS + 1, 1_001 * HOUR_MS - 1):
        counters = cap.counters(now_ms)
        for ago_ms in range(0, HOUR_MS, step_ms // 7):
            assert cap.counters(now_ms - ago_ms)[0] in counters
        assert cap.counters(now_ms - HOUR_MS - step_ms)[0] not in counters
        assert all(counter.until_ms > now_ms for counter in counters)


def test_the_counters_of_a_cap_are_known_by_their_keys() -> None:
    cap = SpendCap(cap_id="cap_1", unit="credits", amount=1, window=Window.DAY, created_at_ms=0)
    (counter,) = cap.counters(ms("2026-11-23T09:15Z"))
    assert counter.key == f"spend:cap_1@{ms('2026-11-23T00:00Z')}~{ms('2026-11-24T00:00Z')}"
    assert is_of_cap(counter.key)
    assert counter_of(counter.key) == counter
    assert counter_of("spend:cap_1@now~then") is None
    assert datetime.fromtimestamp(counter.forget_at_ms / 1000, UTC) == datetime(2026, 11, 25, tzinfo=UTC)
