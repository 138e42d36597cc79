"""Spend caps as the scripts keep them: what is held counts at once, what it came to for good, window by window."""

import random
from typing import Any

import pytest

from sidecar.domain import proxy_keys
from sidecar.domain.errors import Conflict, NotFound, StoreCorrupt
from sidecar.domain.outcomes import Overrun, RefusalCode, Refused, Reserved, Settled
from sidecar.domain.spend_caps import Capped, CapScope, SpendCap, Window, caps_of, window_at
from sidecar.store.spend_caps import CAPS_MAX, SpendCaps, cap_line
from tests.support.books import ENVIRONMENT, NOW_MS, TENANT, TOKENS, TTL_MS, UNIT, Purse, open_member
from tests.support.clock import StoreClock
from tests.support.sums import assert_right

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
ZONES = ("UTC", "Europe/Berlin", "America/Havana", "Asia/Beirut", "Asia/Kathmandu", "America/Los_Angeles")
"""Some whose clocks change at midnight, or by other than whole hours."""


def cap(name: str, amount: int, **terms: Any) -> SpendCap:
    terms = {"window": None if "rolling_ms" in terms else Window.DAY, "unit": UNIT, "created_at_ms": NOW_MS} | terms
    return SpendCap(cap_id=f"cap_{name}", amount=amount, **terms)


def caps(purse: Purse) -> SpendCaps:
    return SpendCaps(purse.lane, tenant=TENANT, environment=ENVIRONMENT)


async def add(purse: Purse, *wanted: SpendCap) -> None:
    for each in wanted:
        await caps(purse).add(purse.payer_id, purse.customer_id, each)


async def stands(purse: Purse, unit: str = UNIT) -> list[tuple[int, int]]:
    """What was spent and what is held, by cap."""
    return [(stand.spent, stand.held) for stand in await caps(purse).of(purse.payer_id, purse.customer_id, unit)]


async def taken(purse: Purse, name: str, amount: int, **terms: Any) -> None:
    assert isinstance(await purse.reserve(name, amount, **terms), Reserved)


async def capped(purse: Purse, name: str, amount: int, **terms: Any) -> Capped:
    outcome = await purse.reserve(name, amount, **terms)
    assert isinstance(outcome, Refused), outcome
    assert outcome.code is RefusalCode.SPEND_CAP_REACHED, outcome
    assert outcome.capped is not None
    assert (outcome.required, outcome.available) == (
        amount,
        max(outcome.capped.amount - outcome.capped.spent - outcome.capped.held, 0),
    )
    return outcome.capped


async def test_holds_count_at_once_and_are_corrected(purse: Purse, clock: StoreClock) -> None:
    await purse.grant(20_000, "more")
    await add(purse, cap("day", 10_000))
    await taken(purse, "before", 8_000)
    await purse.commit("before", 8_000)
    await taken(purse, "held", 1_500)
    assert await stands(purse) == [(8_000, 1_500)]
    end_ms = window_at(Window.DAY, "UTC", clock.now_ms)[1]
    assert await capped(purse, "refused", 600) == Capped(
        cap_id="cap_day", scope=CapScope.TOTAL, window=Window.DAY, amount=10_000, spent=8_000, held=1_500,
        reset_at_ms=end_ms, wait_ms=0,
    )  # fmt: skip
    await purse.commit("held", 900)
    await taken(purse, "refused", 600)
    assert await stands(purse) == [(8_900, 600)]
    assert (await capped(purse, "last", 501)).wait_ms == 0
    await purse.release("refused")
    assert (await capped(purse, "much", 1_101)).wait_ms == end_ms - clock.now_ms
    assert (await capped(purse, "never", 10_001)).wait_ms is None
    await taken(purse, "rest", 1_100)
    await assert_right(purse)
    clock.tick(end_ms - clock.now_ms)
    assert await stands(purse) == [(0, 0)]
    await taken(purse, "tomorrow", 10_000)


async def test_every_end_corrects(purse: Purse, clock: StoreClock) -> None:
    await add(purse, cap("day", 900))
    await taken(purse, "steps", 100)
    await purse.commit("steps", 30, step=1)
    assert await stands(purse) == [(30, 70)]
    await purse.resize("steps", 200)
    assert await stands(purse) == [(30, 200)]
    refused = await purse.resize("steps", 871)
    assert isinstance(refused, Refused)
    assert (refused.code, refused.required, refused.available) == (RefusalCode.SPEND_CAP_REACHED, 671, 670)
    await purse.resize("steps", 0, ttl_ms=2 * TTL_MS)
    await purse.commit("steps", 10)
    assert await stands(purse) == [(40, 0)]
    await taken(purse, "late", 50, ttl_ms=1)
    clock.tick(2)
    await purse.sweep()
    assert await stands(purse) == [(40, 0)]
    assert isinstance(settled := await purse.commit("late", 60), Settled)
    assert settled.late
    assert await stands(purse) == [(100, 0)]
    await taken(purse, "above", 10)
    await purse.commit("above", 25)
    assert await stands(purse) == [(125, 0)]
    await taken(purse, "capped", 10)
    await purse.commit("capped", 2_000, overrun=Overrun.CAP)
    assert await stands(purse) == [(1_000, 0)]
    assert (await capped(purse, "none", 0)).wait_ms is not None
    await assert_right(purse)


async def test_a_replayed_reserve_counts_once(purse: Purse) -> None:
    await add(purse, cap("day", 100))
    await taken(purse, "a", 60)
    again = await purse.reserve("a", 60)
    assert isinstance(again, Reserved)
    assert again.replayed
    assert await stands(purse) == [(0, 60)]


async def test_a_charge_counts_and_is_never_refused(purse: Purse) -> None:
    await add(purse, cap("day", 100))
    await taken(purse, "lease", 90)
    record = purse.record("c1", 0, remember=True)
    charged = await purse.ledger.charge(record, 70, "", "reported", overrun=Overrun.OWE, paid_by="lease")
    assert isinstance(charged, Settled)
    assert await stands(purse) == [(70, 20)]
    await purse.ledger.charge(purse.record("c2", 0, remember=True), 70, "", "reported", overrun=Overrun.OWE)
    assert await stands(purse) == [(140, 20)]
    await purse.commit("lease", 5)
    assert await stands(purse) == [(145, 0)]
    await assert_right(purse)


async def test_all_of_several_must_pass_and_the_longest_wait_is_told(purse: Purse, clock: StoreClock) -> None:
    await add(purse, cap("hour", 50, window=Window.HOUR), cap("day", 60), cap("watch", 1, blocks=False))
    await taken(purse, "a", 50)
    await purse.commit("a", 50)
    assert (await capped(purse, "b", 5)).cap_id == "cap_hour"
    assert (await capped(purse, "b", 15)).cap_id == "cap_day"
    clock.tick(HOUR_MS)
    await taken(purse, "b", 10)
    assert await stands(purse) == [(0, 10), (50, 10), (50, 10)]
    assert (await capped(purse, "c", 51)).wait_ms is None


async def test_scopes(purse: Purse) -> None:
    _, text = await purse.customers.create_key(purse.customer_id, name="", now_ms=NOW_MS)
    (key,) = await purse.customers.keys(purse.customer_id)
    credential = proxy_keys.credential(text)
    await add(
        purse,
        cap("chat", 10, scope=CapScope.FEATURE, of="chat"),
        cap("draw", 20, scope=CapScope.RULE, of="draw"),
        cap("key", 30, scope=CapScope.KEY, of=key.key_id),
    )
    await taken(purse, "other", 100, feature="images", rule="paint")
    assert await stands(purse) == [(0, 0), (0, 0), (0, 0)]
    assert (await capped(purse, "a", 11, feature="chat", rule="draw")).cap_id == "cap_chat"
    assert (await capped(purse, "a", 21, feature="images", rule="draw")).cap_id == "cap_draw"
    assert (await capped(purse, "a", 31, credential=credential)).cap_id == "cap_key"
    await taken(purse, "a", 10, feature="chat", rule="draw", credential=credential)
    assert await stands(purse) == [(0, 10)] * 3
    assert (await capped(purse, "b", 1, feature="chat")).of == "chat"


async def test_members_have_caps_of_their_own_within_those_of_who_pays(purse: Purse) -> None:
    ben = await open_member(purse, "ben")
    await add(purse, cap("all", 100))
    await add(ben, cap("ben", 30))
    assert (await capped(ben, "b1", 31)).cap_id == "cap_ben"
    await taken(ben, "b1", 30)
    assert (await stands(purse), await stands(ben)) == ([(0, 30)], [(0, 30)])
    await taken(purse, "a1", 70)
    assert (await stands(purse), await stands(ben)) == ([(0, 100)], [(0, 30)])
    await ben.commit("b1", 10)
    assert (await capped(ben, "b2", 21)).cap_id == "cap_ben"
    await taken(ben, "b2", 20)
    assert (await capped(purse, "a2", 1)).cap_id == "cap_all"
    await assert_right(purse)


async def test_each_unit_has_its_caps(purse: Purse) -> None:
    await purse.grant(100, "tokens", TOKENS)
    await add(purse, cap("tokens", 10, unit=TOKENS))
    refused = await purse.reserve("a", 500, tokens=11)
    assert isinstance(refused, Refused)
    assert (refused.code, refused.unit, refused.available) == (RefusalCode.SPEND_CAP_REACHED, TOKENS, 10)
    await taken(purse, "a", 500, tokens=10)
    await purse.commit("a", 400, 7)
    assert await stands(purse, TOKENS) == [(7, 0)]


async def test_a_window_that_goes_along_gives_back_step_by_step(purse: Purse, clock: StoreClock) -> None:
    await add(purse, cap("rolling", 100, rolling_ms=24 * HOUR_MS))
    clock.tick(HOUR_MS - clock.now_ms % HOUR_MS)
    for name, amount in (("a", 40), ("b", 50)):
        await taken(purse, name, amount)
        await purse.commit(name, amount)
        clock.tick(HOUR_MS)
    assert await stands(purse) == [(90, 0)]
    refused = await capped(purse, "c", 30)
    # It fits when the first of them has left: with the end of its step, a day later.
    assert refused.wait_ms == 23 * HOUR_MS
    assert (await capped(purse, "c", 60)).wait_ms == 24 * HOUR_MS
    clock.tick(refused.wait_ms - 1)
    assert (await capped(purse, "c", 30)).wait_ms == 1
    clock.tick(1)
    await taken(purse, "c", 30)
    assert await stands(purse) == [(50, 30)]


async def test_it_counts_from_when_it_is_set_until_it_is_removed(purse: Purse, clock: StoreClock) -> None:
    await taken(purse, "before", 50)
    await add(purse, cap("day", 10))
    await purse.commit("before", 50)
    assert await stands(purse) == [(0, 0)]
    await taken(purse, "a", 10)
    await caps(purse).remove(purse.payer_id, purse.customer_id, UNIT, "cap_day")
    assert await stands(purse) == []
    await taken(purse, "b", 500)
    await purse.commit("a", 10)
    await assert_right(purse)
    with pytest.raises(NotFound, match="cap_day"):
        await caps(purse).remove(purse.payer_id, purse.customer_id, UNIT, "cap_day")
    account = purse.keys.account(purse.payer_id, UNIT).account
    clock.tick(3 * DAY_MS)
    await purse.sweep()
    # The short way is open again.
    assert await purse.lane.execute("GETRANGE", account, 84, 84) == b"\0"


async def test_before_the_first_grant(purse: Purse) -> None:
    await add(purse, cap("tokens", 10, unit=TOKENS))
    await purse.grant(100, "tokens", TOKENS)
    assert (await capped(purse, "a", 11, unit=TOKENS)).cap_id == "cap_tokens"
    await taken(purse, "a", 10, unit=TOKENS)


async def test_how_many_there_may_be_and_whose(purse: Purse) -> None:
    await add(purse, *(cap(f"n{number}", 1) for number in range(CAPS_MAX)))
    with pytest.raises(Conflict, match="as many as one may have"):
        await add(purse, cap("more", 1))
    ben = await open_member(purse, "ben")
    with pytest.raises(NotFound, match="pays for"):
        await caps(purse).add(ben.customer_id, ben.customer_id, cap("wrong", 1))


def test_what_none_of_ours_wrote_is_said() -> None:
    every = cap("a", 5, scope=CapScope.RULE, of="draw", tz="Europe/Berlin", warn_at=(50, 100), blocks=False)
    assert caps_of(cap_line(every, NOW_MS), UNIT) == [every]
    with pytest.raises(StoreCorrupt, match="spend caps"):
        caps_of("cap_a 5 block", UNIT)


async def test_the_scripts_find_the_windows_that_the_clocks_have(purse: Purse, clock: StoreClock) -> None:
    wanted = [(tz, window) for tz in ZONES for window in Window]
    for index, (tz, window) in enumerate(wanted):
        unit = f"unit{index // CAPS_MAX}"
        await add(purse, cap(f"{index}", 1, unit=unit, window=window, tz=tz, created_at_ms=clock.now_ms))
    randomly = random.Random(7)
    for _ in range(60):
        clock.tick(randomly.choice([HOUR_MS // 2, 7 * HOUR_MS, 5 * DAY_MS, 23 * DAY_MS]) + randomly.randrange(DAY_MS))
        found = [
            stand
            for unit in ("unit0", "unit1")
            for stand in await caps(purse).of(purse.payer_id, purse.customer_id, unit)
        ]
        ends = [window_at(window, tz, clock.now_ms)[1] for tz, window in wanted]
        assert [stand.reset_at_ms for stand in found] == ends
