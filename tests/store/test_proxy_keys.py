"""Proxy keys that may do less than their customer, as the scripts of the store heed them."""

import asyncio

import pytest

from sidecar.domain.errors import Conflict, NotFound
from sidecar.domain.idempotency import Idempotency, Keyed, OnRepeat
from sidecar.domain.limits import Per, Rate
from sidecar.domain.outcomes import RefusalCode, Refused, Reserved
from sidecar.domain.proxy_keys import KeyLimits, KeyRate, credential
from sidecar.domain.spend_caps import CapScope, SpendCap, Window
from sidecar.store.proxy_keys import ProxyKey, fields_of
from sidecar.store.repeats import Claim
from sidecar.store.spend_caps import SpendCaps
from tests.store.test_limits import units
from tests.support.books import ENVIRONMENT, NOW_MS, TENANT, UNIT, Purse, open_member
from tests.support.clock import StoreClock

KEEPING = Idempotency(on_repeat=OnRepeat.REPLAY, keep_ms=3_600_000)


async def make(purse: Purse, **limits: object) -> tuple[ProxyKey, str]:
    """A key, and the credential of its text."""
    terms = KeyLimits(**limits)  # type: ignore[arg-type]  # the fields are the test's
    key, text = await purse.customers.create_key(purse.customer_id, name="k", now_ms=NOW_MS, limits=terms)
    assert key.limits == terms
    return key, credential(text)


async def code(purse: Purse, name: str, key: str, **terms: object) -> RefusalCode | None:
    """Why the key is refused; None: it is not."""
    outcome = await purse.reserve(name, 1, credential=key, **terms)
    return outcome.code if isinstance(outcome, Refused) else None


async def test_a_key_ends_by_the_clock_of_the_store(purse: Purse, clock: StoreClock) -> None:
    _, key = await make(purse, expires_at_ms=NOW_MS + 1000)
    assert await code(purse, "a", key) is None
    clock.tick(999)
    assert await code(purse, "b", key) is None
    clock.tick(1)
    assert await code(purse, "c", key) is RefusalCode.KEY_EXPIRED
    assert await code(purse, "a", key) is None, "a hold that was taken is still replayed"


async def test_a_key_may_use_its_features_only(purse: Purse) -> None:
    _, key = await make(purse, features=("chat", "chat-2"))
    wanted = {"chat": None, "chat-2": None}
    for feature in ("chat", "chat-2", "hat", "chat-", "-", ""):
        refused = RefusalCode.FEATURE_NOT_ALLOWED
        assert await code(purse, f"r-{feature}", key, feature=feature) is wanted.get(feature, refused), feature


async def test_a_key_has_a_rate_of_its_own(purse: Purse, clock: StoreClock) -> None:
    _, key = await make(purse, rate=KeyRate(requests=4, period_ms=1000, burst=2))
    _, other = await make(purse, rate=KeyRate(requests=4, period_ms=1000, burst=2))
    first = await purse.reserve("a", 1, credential=key)
    assert isinstance(first, Reserved)
    ((limit, taken),) = first.limits
    assert isinstance(limit, Rate)
    assert (limit.per, limit.count, limit.period_ms, limit.burst, limit.left(taken)) == (Per.KEY, 4, 1000, 2, 1)
    assert await purse.reserve("a", 1, credential=key) == Reserved(
        1, 999, True, first.drawn, (), (), first.limits, True
    )
    assert await code(purse, "b", key) is None
    refused = await purse.reserve("c", 1, credential=key)
    assert isinstance(refused, Refused)
    assert refused.limited is not None
    assert (refused.code, refused.limited.limit, refused.limited.wait_ms) == (RefusalCode.RATE_LIMITED, limit, 250)
    assert await code(purse, "c", other) is None
    clock.tick(250)
    assert await code(purse, "d", key) is None


async def test_it_stands_behind_the_limits_of_the_rule(purse: Purse) -> None:
    _, key = await make(purse, rate=KeyRate(requests=2, period_ms=1000, burst=2))
    for name, expected in (("a", 3), ("b", 3), ("c", None)):
        record = purse.ledger.hold(purse.customer_id, name, ((UNIT, 1),), 1000, "", "a-rule", limits=(units(),))
        outcome = await purse.ledger.reserve(record, key)
        if expected:
            assert isinstance(outcome, Reserved)
            assert [limit.name for limit, _ in outcome.limits] == ["speed", "key"]
        else:
            assert isinstance(outcome, Refused)
            assert outcome.limited is not None
            assert outcome.limited.limit.name == "key"


async def test_a_key_with_limits_counts_in_its_spend_caps(purse: Purse) -> None:
    key, text = await make(purse, features=("chat",))
    cap = SpendCap(
        cap_id="cap_1",
        unit=UNIT,
        amount=1,
        window=Window.DAY,
        scope=CapScope.KEY,
        of=key.key_id,
        created_at_ms=NOW_MS,
    )
    await SpendCaps(purse.lane, tenant=TENANT, environment=ENVIRONMENT).add(purse.customer_id, purse.customer_id, cap)
    assert await code(purse, "a", text, feature="chat") is None
    assert await code(purse, "b", text, feature="chat") is RefusalCode.SPEND_CAP_REACHED


async def test_a_members_key_is_limited_too(purse: Purse) -> None:
    _, key = await make(await open_member(purse), features=("chat",))
    member = await open_member(purse)
    assert await code(member, "a", key) is RefusalCode.FEATURE_NOT_ALLOWED
    assert await code(member, "b", key, feature="chat") is None


async def test_an_answer_that_was_kept_is_not_for_every_key(purse: Purse, clock: StoreClock) -> None:
    _, key = await make(purse, features=("chat",), expires_at_ms=NOW_MS + 10)

    async def claim(feature: str) -> object:
        request = Keyed("aa", "01", feature)
        return await purse.ledger.repeats.claim(purse.customer_id, key, request, "r1", KEEPING)

    assert await claim("") == Refused(RefusalCode.FEATURE_NOT_ALLOWED)
    assert isinstance(await claim("chat"), Claim)
    clock.tick(10)
    assert await claim("chat") == Refused(RefusalCode.KEY_EXPIRED)


async def test_a_change_holds_from_then_on(purse: Purse) -> None:
    key, text = await make(purse)
    assert await code(purse, "a", text) is None
    changed = await purse.customers.change_key(
        purse.customer_id, key.key_id, lambda _: ("laptop", KeyLimits(features=("chat",)))
    )
    assert (changed.name, changed.limits) == ("laptop", KeyLimits(features=("chat",)))
    assert await purse.customers.keys(purse.customer_id) == [changed]
    assert await code(purse, "b", text) is RefusalCode.FEATURE_NOT_ALLOWED
    await purse.customers.change_key(purse.customer_id, key.key_id, lambda key: (key.name, KeyLimits()))
    assert await code(purse, "b", text) is None


async def test_parallel_changes_are_all_made(purse: Purse) -> None:
    key, _ = await make(purse)

    def longer(key: ProxyKey) -> tuple[str, KeyLimits]:
        return key.name + "x", key.limits

    change = purse.customers.change_key
    await asyncio.gather(*(change(purse.customer_id, key.key_id, longer) for _ in range(10)))
    (found,) = await purse.customers.keys(purse.customer_id)
    assert found.name == "k" + 10 * "x"


async def test_who_is_always_overtaken_gives_up(purse: Purse) -> None:
    key, _ = await make(purse)
    place = purse.keys.of(purse.customer_id)

    class Overtaken:
        async def execute(self, *_: object) -> bytes:
            details: bytes = await purse.lane.execute("HGET", place.keys, key.key_id)
            return details.replace(b'"k"', b'"other"')

        send = purse.lane.send

    customers = purse.customers
    customers._lane = Overtaken()  # type: ignore[assignment]  # somebody else is always faster
    with pytest.raises(Conflict, match="try again"):
        await customers.change_key(purse.customer_id, key.key_id, lambda key: (key.name, KeyLimits()))
    customers._lane = purse.lane


async def test_a_rotation_lets_both_secrets_work_for_a_while(purse: Purse, clock: StoreClock) -> None:
    key, first = await make(purse, rate=KeyRate(requests=3, period_ms=86_400_000, burst=3))
    rotate = purse.customers.rotate_key
    rotated, text = await rotate(purse.customer_id, key.key_id, now_ms=NOW_MS, grace_ms=1000)
    second = credential(text)
    assert (rotated.key_id, rotated.hint[-4:], rotated.retiring_until_ms) == (key.key_id, text[-4:], NOW_MS + 1000)
    assert [await code(purse, "a", first), await code(purse, "b", second)] == [None, None]
    clock.tick(1000)
    assert await code(purse, "c", first) is RefusalCode.KEY_EXPIRED
    assert [await code(purse, "c", second), await code(purse, "d", second)] == [None, RefusalCode.RATE_LIMITED]
    _, text = await rotate(purse.customer_id, key.key_id, now_ms=NOW_MS, grace_ms=0)
    third = credential(text)
    unidentified = RefusalCode.UNIDENTIFIED
    assert [await code(purse, "d", each) for each in (first, second)] == [unidentified, unidentified]
    await rotate(purse.customer_id, key.key_id, now_ms=NOW_MS + 2000, grace_ms=60_000)
    await purse.customers.revoke_key(purse.customer_id, key.key_id)
    assert await code(purse, "d", third) is unidentified
    names = await purse.lane.execute("HKEYS", purse.keys.of(purse.customer_id).customer)
    assert not [name for name in names if name.startswith(b"key:")]


async def test_a_retiring_secret_does_not_outlive_its_key(purse: Purse, clock: StoreClock) -> None:
    key, first = await make(purse, expires_at_ms=NOW_MS + 10)
    await purse.customers.rotate_key(purse.customer_id, key.key_id, now_ms=NOW_MS, grace_ms=1000)
    assert await code(purse, "a", first) is None
    clock.tick(10)
    assert await code(purse, "b", first) is RefusalCode.KEY_EXPIRED


async def test_a_key_that_is_not_there_cannot_be_changed(purse: Purse) -> None:
    with pytest.raises(NotFound, match="no proxy key"):
        await purse.customers.change_key(purse.customer_id, "key_1", lambda key: (key.name, key.limits))
    with pytest.raises(NotFound, match="no proxy key"):
        await purse.customers.rotate_key(purse.customer_id, "key_1", now_ms=NOW_MS, grace_ms=0)


def test_details_that_nobody_wrote_give_no_fields() -> None:
    assert fields_of({"key_id": "key_1"}) == {}
