"""Periods of the UTC calendar, and until when their counters are kept."""

from datetime import UTC, datetime

import pytest

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.counters import Counter, Counting, Over, counter_of

DAY_MS = 86_400_000


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("over", "at", "period", "forgotten"),
    [
        (Over.HOUR, "2026-11-23T01:59:59.999", "2026-11-23T01", "2026-11-24T02:00"),
        (Over.HOUR, "2026-11-23T02:00:00", "2026-11-23T02", "2026-11-24T03:00"),
        (Over.DAY, "2026-11-23T23:59:59", "2026-11-23", "2026-11-25"),
        (Over.WEEK, "2026-11-23T00:00:00", "2026-W48", "2026-12-07"),
        (Over.WEEK, "2027-01-03T12:00:00", "2026-W53", "2027-01-11"),
        (Over.MONTH, "2026-12-31T23:59:59", "2026-12", "2027-02-01"),
        (Over.MONTH, "2027-02-01T00:00:00", "2027-02", "2027-03-29"),
    ],
)
def test_periods(over: Over, at: str, period: str, forgotten: str) -> None:
    counter = Counting("ocr/pages", over).at(ms(at) / 1000)
    assert counter == Counter(f"ocr/pages@{period}", ms(forgotten))
    assert (counter.name, counter.period) == ("ocr/pages", period)


def test_ever_never_ends() -> None:
    assert Counting("api_calls", Over.EVER).at(0) == Counter("api_calls@ever", MAX_AMOUNT)


@pytest.mark.parametrize("over", [each for each in Over if each is not Over.EVENT])
@pytest.mark.parametrize("now", ["2026-11-23T04:05:06", "2027-01-01T00:00:00", "2024-12-31T23:59:59"])
def test_a_key_says_which_counter_it_is(over: Over, now: str) -> None:
    counter = Counting("a-rule/pages", over).at(datetime.fromisoformat(now).replace(tzinfo=UTC).timestamp())
    assert counter_of(counter.key) == counter


@pytest.mark.parametrize(
    "key", ["", "pages", "pages@", "pages@event", "pages@2026-13", "pages@2026-1", "pages@2026-W54"]
)
def test_what_is_no_key_of_a_counter(key: str) -> None:
    assert counter_of(key) is None
