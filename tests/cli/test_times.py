import argparse
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest

from sidecar.cli.times import ahead, instant, past, shown, written


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2027-01-31", datetime(2027, 1, 31, tzinfo=UTC)),
        ("2027-01-31T12:00:00Z", datetime(2027, 1, 31, 12, tzinfo=UTC)),
        ("2027-01-31 12:00:00Z", datetime(2027, 1, 31, 12, tzinfo=UTC)),
        ("2027-01-31T12:00+02:00", datetime(2027, 1, 31, 10, tzinfo=UTC)),
    ],
)
def test_an_instant(text: str, at: datetime) -> None:
    assert instant(text) == ahead(text) == past(text) == at


@pytest.mark.parametrize(
    "text", ["", "tomorrow", "2027-13-01", "2027-01-31T12:00:00", "30", "30 d", "0d", "-1d", "1.5d"]
)
@pytest.mark.parametrize("read", [instant, ahead, past])
def test_what_is_no_time(text: str, read: object) -> None:
    assert callable(read)
    with pytest.raises(argparse.ArgumentTypeError, match="2027-01-31T12:00:00Z"):
        read(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("45m", 2_700), ("12h", 43_200), ("30d", 2_592_000), ("2w", 1_209_600)]
)
def test_a_span(text: str, seconds: int) -> None:
    assert ahead(text) == timedelta(seconds=seconds)
    before = time.time() - seconds
    assert before <= past(text).timestamp() <= time.time() - seconds
    with pytest.raises(argparse.ArgumentTypeError):
        instant(text)


def test_a_span_that_is_too_long_is_no_time() -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        past("100000w")


def test_what_is_written_is_utc() -> None:
    assert written(datetime(2027, 1, 31, 12, tzinfo=timezone(timedelta(hours=2)))) == "2027-01-31T10:00:00Z"


def test_what_is_shown_has_no_fractions() -> None:
    assert shown("2027-01-31T12:00:00.123000Z") == shown("2027-01-31T12:00:00Z") == "2027-01-31 12:00:00Z"
