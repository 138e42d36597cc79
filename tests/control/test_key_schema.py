import msgspec
import pytest

from sidecar.control.key_schema import ChangeKey, CreateKey, KeyView, NewKeyView
from sidecar.domain.errors import InvalidInput
from sidecar.domain.proxy_keys import KeyLimits, KeyRate
from sidecar.store.proxy_keys import ProxyKey

NOW_MS = 1_700_000_000_123
KEY = ProxyKey(key_id="key_1", customer_id="cus_1", name="laptop", hint="sk_live_…", created_at_ms=NOW_MS)
ALL = b'{"expires_at": "2030-01-01T00:00:00Z", "features": ["chat"], "rate": {"requests": 9, "period_seconds": 60}}'
LIMITS = KeyLimits(
    expires_at_ms=1_893_456_000_000, features=("chat",), rate=KeyRate(requests=9, period_ms=60_000, burst=9)
)


def changed(body: bytes, limits: KeyLimits = LIMITS) -> tuple[str, KeyLimits]:
    key = msgspec.structs.replace(KEY, limits=limits)
    return msgspec.json.decode(body, type=ChangeKey).applied_to(key, NOW_MS)


def test_a_new_key_is_the_key_with_its_secret_or_with_a_notice() -> None:
    view = KeyView.of(KEY, [], NOW_MS)
    plain = msgspec.to_builtins(view)
    shown = NewKeyView.showing(view, "sk_live_x")
    assert msgspec.to_builtins(shown) == plain | {"secret": "sk_live_x"}
    later = msgspec.to_builtins(shown.without_secret())
    assert later == plain | {"notice": later["notice"]}


def test_limits_are_read_and_shown() -> None:
    assert msgspec.json.decode(ALL, type=CreateKey).limits(NOW_MS) == LIMITS
    view = KeyView.of(msgspec.structs.replace(KEY, limits=LIMITS), [], LIMITS.expires_at_ms or 0)
    assert view.status == "expired"
    assert msgspec.to_builtins(view.rate) == {"requests": 9, "period_seconds": 60, "burst": 9}


def test_a_change_leaves_the_rest_as_it_is() -> None:
    assert changed(b"{}") == ("laptop", LIMITS)
    assert changed(b'{"name": "b"}') == ("b", LIMITS)
    for field in ("expires_at_ms", "features", "rate"):
        without = msgspec.structs.replace(LIMITS, **{field: None})
        assert changed(b'{"%b": null}' % field.removesuffix("_ms").encode()) == ("laptop", without)
    assert changed(ALL, KeyLimits()) == ("laptop", LIMITS)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"expires_at": "2023-11-14T22:13:20.123Z"}', "expires_at"),
        (b'{"rate": {"requests": 2, "period_seconds": 1, "burst": 3}}', "rate.burst"),
    ],
)
def test_what_cannot_be_is_refused(body: bytes, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        changed(body)
    assert caught.value.field == field
