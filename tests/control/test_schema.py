from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest

from sidecar.control.schema import KeyView, NewKeyView, epoch_ms, instant
from sidecar.domain.errors import InvalidInput
from sidecar.store.customers import ProxyKey

KEY = ProxyKey(key_id="key_1", customer_id="cus_1", name="laptop", hint="sk_live_…", created_at_ms=1_700_000_000_123)


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


def test_a_new_key_is_the_key_with_its_secret_or_with_a_notice() -> None:
    plain = msgspec.to_builtins(KeyView.of(KEY))
    shown = NewKeyView.showing(KEY, "sk_live_x")
    assert msgspec.to_builtins(shown) == plain | {"secret": "sk_live_x"}
    later = msgspec.to_builtins(shown.without_secret())
    assert later == plain | {"notice": later["notice"]}
