"""Clocks of time zones; `test_spend_caps.py` has the windows that go by them."""

from datetime import UTC, datetime

import pytest

from sidecar.domain.clocks import ahead_s, changes, checked_clock, day_begins_ms, zone_of
from sidecar.domain.errors import InvalidInput


def s(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def test_when_clocks_are_changed() -> None:
    berlin = list(changes(zone_of("Europe/Berlin"), s("2026-01-01"), s("2027-01-01")))
    assert berlin == [(s("2026-01-01"), 3600), (s("2026-03-29T01:00"), 7200), (s("2026-10-25T01:00"), 3600)]
    assert list(changes(zone_of("Asia/Kolkata"), 0, 86_400)) == [(0, 19_800)]
    assert ahead_s(UTC, 0) == 0


def test_a_day_begins_where_its_clocks_say() -> None:
    for tz, begins in (("UTC", "2026-10-25T00:00"), ("Europe/Berlin", "2026-10-24T22:00")):
        assert day_begins_ms(tz, s("2026-10-25") * 1000) == s(begins) * 1000


@pytest.mark.parametrize("wrong", ["", "Mars", "../etc/passwd", "Europe/", "+01:00"])
def test_what_is_no_time_zone(wrong: str) -> None:
    with pytest.raises(InvalidInput, match="time zone"):
        checked_clock(wrong)
