"""When a rule may ask again."""

from msgspec.structs import replace

from sidecar.domain.auto_topups import DAY_MS, MONTH_MS, AutoTopup

RULE = AutoTopup(threshold=5, package_id="small", max_per_day=None, max_per_month=None, cool_down_s=60)
NOW_MS = 100 * MONTH_MS


def test_it_waits_after_a_request() -> None:
    assert RULE.asks([], NOW_MS)
    assert not RULE.asks([NOW_MS - 59_999], NOW_MS)
    assert RULE.asks([NOW_MS - 60_000], NOW_MS)
    assert replace(RULE, cool_down_s=0).asks([NOW_MS], NOW_MS)


def test_it_asks_so_often_in_a_day_and_in_a_month() -> None:
    daily = replace(RULE, max_per_day=2)
    assert not daily.asks([NOW_MS - 70_000, NOW_MS - DAY_MS + 1], NOW_MS)
    assert daily.asks([NOW_MS - 70_000, NOW_MS - DAY_MS], NOW_MS)
    monthly = replace(RULE, max_per_month=1)
    assert not monthly.asks([NOW_MS - MONTH_MS + 1], NOW_MS)
    assert monthly.asks([NOW_MS - MONTH_MS], NOW_MS)


def test_one_that_is_off_does_not_ask() -> None:
    assert not replace(RULE, active=False).asks([], NOW_MS)
