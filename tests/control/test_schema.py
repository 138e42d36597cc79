from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest

from sidecar.control.schema import epoch_ms, instant
from sidecar.domain.errors import InvalidInput


def test_an_instant_is_exact_and_in_utc() -> None:
    assert instant(1_700_000_000_123) == datetime(2023, 11, 14, 22, 13, 20, 123_000, tzinfo=UTC)
    assert msgspec.json.encode(instant(1_700_000_000_123)) == b'"2023-11-14T22:13:20.123000Z"'


def test_an_instant_goes_to_the_store_and_back_in_whole_milliseconds() -> None:
    assert epoch_ms(datetime(2023, 11, 14, 22, 13, 20, 123_999, tzinfo=UTC), "at") == 1_700_000_000_123
    east = datetime(2023, 11, 15, 0, 13, 20, 123_000, tzinfo=timezone(timedelta(hours=2)))
    assert epoch_ms(east, "at") == 1_700_000_000_123


@pytest.mark.parametrize("at", [datetime(1970, 1, 1, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC)])
def test_an_instant_before_all_of_ours_is_refused(at: datetime) -> None:
    with pytest.raises(InvalidInput) as caught:
        epoch_ms(at, "expires_at")
    assert caught.value.field == "expires_at"
