from datetime import UTC, datetime

import msgspec

from sidecar.control.schema import BalanceView, KeyView, NewKeyView, instant
from sidecar.domain.amounts import CREDITS
from sidecar.domain.outcomes import Balance
from sidecar.store.customers import ProxyKey

KEY = ProxyKey(key_id="key_1", customer_id="cus_1", name="laptop", hint="sk_live_…", created_at_ms=1_700_000_000_123)


def test_an_instant_is_exact_and_in_utc() -> None:
    assert instant(1_700_000_000_123) == datetime(2023, 11, 14, 22, 13, 20, 123_000, tzinfo=UTC)
    assert msgspec.json.encode(instant(1_700_000_000_123)) == b'"2023-11-14T22:13:20.123000Z"'


def test_a_balance_is_shown_as_integers_and_as_decimals() -> None:
    balance = Balance(unit="credits", granted=2**53 - 1, available=1_500_000, held=1, spent=0, owed=20)
    view = BalanceView.of(balance, CREDITS)
    assert view.granted == 2**53 - 1
    assert msgspec.to_builtins(view)["display"] == {
        "available": "1.5",
        "held": "0.000001",
        "spent": "0",
        "owed": "0.00002",
        "granted": "9007199254.740991",
    }
    assert "display" not in msgspec.to_builtins(BalanceView.of(balance, None))


def test_a_new_key_is_the_key_with_its_secret_or_with_a_notice() -> None:
    plain = msgspec.to_builtins(KeyView.of(KEY))
    shown = NewKeyView.showing(KEY, "sk_live_x")
    assert msgspec.to_builtins(shown) == plain | {"secret": "sk_live_x"}
    later = msgspec.to_builtins(shown.without_secret())
    assert later == plain | {"notice": later["notice"]}
