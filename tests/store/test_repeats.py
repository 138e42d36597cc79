"""Whose attempt a client's key is, told by the holds of its attempts."""

import asyncio
from collections import Counter

import pytest

from sidecar.domain.idempotency import ANSWERS_MAX_BYTES, REPEATS_MAX, Idempotency, Keyed, OnRepeat
from sidecar.domain.outcomes import Ended, RefusalCode, Refused, Reserved, Settled
from sidecar.store.lane import Lane
from sidecar.store.repeats import CLAIM_MS, Claim, Kept
from tests.support.books import TTL_MS, Purse, open_lane, open_member, open_purse
from tests.support.clock import StoreClock
from tests.support.sums import assert_due_in_time, assert_right

REQUEST = Keyed("aa", "01")
OTHER = Keyed("aa", "02")
HOUR_MS = 3_600_000
REPLAY = Idempotency(on_repeat=OnRepeat.REPLAY, keep_ms=HOUR_MS)
TERMS = Idempotency(on_repeat=OnRepeat.CHARGE_ONCE, keep_ms=HOUR_MS)
RUNNING = Refused(RefusalCode.REQUEST_IN_PROGRESS)
MISMATCH = Refused(RefusalCode.IDEMPOTENCY_MISMATCH)


async def claim(
    purse: Purse, attempt: str, request: Keyed = REQUEST, wait_ms: int = 0, terms: Idempotency = TERMS
) -> Claim | Kept | Refused:
    repeats = purse.ledger.repeats
    return await repeats.claim(purse.customer_id, purse.credential, request, attempt, terms, wait_ms)


async def charge(purse: Purse, attempt: str, cost: int = 100) -> None:
    assert isinstance(await claim(purse, attempt), Claim)
    assert isinstance(await purse.reserve(attempt, 300, remember=True), Reserved)
    assert isinstance(await purse.commit(attempt, cost), Settled)


async def test_the_first_claims_and_the_next_waits(purse: Purse) -> None:
    assert await claim(purse, "r1") == Claim(purse.customer_id, "aa", "r1")
    assert await claim(purse, "r2") == RUNNING
    await purse.reserve("r1", 300, remember=True)
    assert await claim(purse, "r2") == RUNNING
    assert await claim(purse, "r2", OTHER) == MISMATCH


async def test_of_fifty_parallel_claims_one_is_made(purse: Purse, store_url: str) -> None:
    """From two processes."""
    async with open_lane(store_url) as lane:
        elsewhere = Purse(lane, purse.customer_id, "alice")
        asked = [claim(who, f"{name}{n}") for n in range(25) for name, who in (("a", purse), ("b", elsewhere))]
        assert Counter(type(each).__name__ for each in await asyncio.gather(*asked)) == {"Claim": 1, "Refused": 49}


async def test_charges_add_up_over_the_attempts(purse: Purse) -> None:
    await charge(purse, "r1", 100)
    await charge(purse, "r2", 20)
    assert await claim(purse, "r3") == Claim(purse.customer_id, "aa", "r3", 120)
    await assert_right(purse)


async def test_a_release_frees_the_key(purse: Purse) -> None:
    await claim(purse, "r1")
    await purse.reserve("r1", 300, remember=True)
    await purse.release("r1")
    assert await claim(purse, "r2", OTHER) == Claim(purse.customer_id, "aa", "r2")


async def test_a_released_repetition_keeps_the_charge(purse: Purse) -> None:
    await charge(purse, "r1")
    await claim(purse, "r2")
    await purse.reserve("r2", 0, remember=True)
    await purse.release("r2")
    assert await claim(purse, "r3") == Claim(purse.customer_id, "aa", "r3", 100)


async def test_who_is_charged_may_not_ask_for_something_else(purse: Purse) -> None:
    await charge(purse, "r1")
    assert await claim(purse, "r2", OTHER) == MISMATCH


async def test_a_refused_attempt_frees_the_key(purse: Purse) -> None:
    made = await claim(purse, "r1")
    assert isinstance(made, Claim)
    await purse.ledger.repeats.unclaim(made)
    assert await claim(purse, "r2", OTHER) == Claim(purse.customer_id, "aa", "r2")
    await purse.ledger.repeats.unclaim(made)
    assert await claim(purse, "r3", OTHER) == RUNNING


async def test_a_refused_repetition_keeps_the_charge_and_does_not_count(purse: Purse) -> None:
    await charge(purse, "r0")
    for number in range(REPEATS_MAX + 1):
        made = await claim(purse, f"r{number + 1}")
        assert isinstance(made, Claim)
        assert made.charged == 100
        await purse.ledger.repeats.unclaim(made)


async def test_after_ten_repetitions_it_is_a_first_one(purse: Purse) -> None:
    await charge(purse, "r0")
    for number in range(REPEATS_MAX):
        assert (await claim(purse, f"a{number}")) == Claim(purse.customer_id, "aa", f"a{number}", 100)
        await purse.reserve(f"a{number}", 0, remember=True)
        await purse.commit(f"a{number}", 0)
    assert await claim(purse, "r1") == Claim(purse.customer_id, "aa", "r1")


async def test_a_claim_that_is_not_reserved_ends_and_stays_without_effect(clock: StoreClock, purse: Purse) -> None:
    await claim(purse, "r1", wait_ms=500)
    clock.tick(CLAIM_MS + 499)
    assert await claim(purse, "r2") == RUNNING
    clock.tick(1)
    assert await claim(purse, "r2") == Claim(purse.customer_id, "aa", "r2")
    assert await purse.reserve("r1", 300, remember=True) == Ended()
    await assert_due_in_time(purse)
    assert isinstance(await purse.reserve("r2", 300, remember=True), Reserved)
    await assert_right(purse)


async def test_an_attempt_whose_process_died_ends_with_its_hold(clock: StoreClock, purse: Purse) -> None:
    await claim(purse, "r1")
    await purse.reserve("r1", 300, remember=True)
    clock.tick(TTL_MS)
    assert await claim(purse, "r2") == RUNNING
    assert await purse.sweep() == 1
    assert await claim(purse, "r2") == Claim(purse.customer_id, "aa", "r2")


async def test_a_late_charge_is_known_too(clock: StoreClock, purse: Purse) -> None:
    await claim(purse, "r1")
    await purse.reserve("r1", 300, remember=True)
    clock.tick(TTL_MS)
    await purse.sweep()
    await purse.commit("r1", 250)
    assert await claim(purse, "r2") == Claim(purse.customer_id, "aa", "r2", 250)


async def test_a_charge_is_known_for_a_while(clock: StoreClock, purse: Purse) -> None:
    await charge(purse, "r1")
    clock.tick(HOUR_MS - 1)
    assert await claim(purse, "r2", OTHER) == MISMATCH
    clock.tick(1)
    assert await claim(purse, "r2", OTHER) == Claim(purse.customer_id, "aa", "r2")


async def test_customers_and_keys_are_apart(purse: Purse, lane: Lane) -> None:
    other = await open_purse(lane, "bob")
    for who, request in ((purse, REQUEST), (other, REQUEST), (purse, Keyed("bb", "01"))):
        assert isinstance(await claim(who, "r1", request), Claim)


async def test_the_holds_of_a_member_are_its_payer_s(purse: Purse) -> None:
    member = await open_member(purse)
    await charge(member, "r1")
    elsewhere = await open_member(purse)
    assert await claim(elsewhere, "r2") == Claim(member.customer_id, "aa", "r2", 100)


async def test_who_may_not_pass_learns_nothing(purse: Purse) -> None:
    await charge(purse, "r1")
    repeats = purse.ledger.repeats
    unknown = await repeats.claim(purse.customer_id, "key:gone", REQUEST, "r2", TERMS)
    assert unknown == Refused(RefusalCode.UNIDENTIFIED)
    await purse.lane.execute("HSET", purse.keys.of(purse.customer_id).customer, "status", "suspended")
    assert await claim(purse, "r2") == Refused(RefusalCode.CUSTOMER_SUSPENDED)


async def test_nor_do_members_of_a_pool_that_may_not(purse: Purse) -> None:
    member = await open_member(purse)
    await charge(member, "r1")
    await purse.lane.execute("HSET", purse.keys.of(purse.customer_id).customer, "status", "suspended")
    assert await claim(member, "r2") == Refused(RefusalCode.CUSTOMER_SUSPENDED)


@pytest.mark.parametrize("state", ["claimed", "charged"])
async def test_records_are_forgotten(purse: Purse, state: str) -> None:
    await claim(purse, "r1")
    if state == "charged":
        await purse.reserve("r1", 300, remember=True)
        await purse.commit("r1", 100)
        await claim(purse, "r2")
    left_ms = await purse.lane.execute("PTTL", purse.keys.request(purse.customer_id, "aa"))
    assert 24 * HOUR_MS < left_ms <= 25 * HOUR_MS


async def answered(purse: Purse, attempt: str, answer: bytes, request: Keyed = REQUEST) -> None:
    """An attempt that is charged, its answer kept."""
    made = await claim(purse, attempt, request)
    assert isinstance(made, Claim)
    await purse.reserve(attempt, 3, remember=True)
    await purse.ledger.repeats.keep(made, answer, HOUR_MS)
    await purse.commit(attempt, 1)


async def test_an_answer_is_given_again_once_it_is_charged(purse: Purse) -> None:
    made = await claim(purse, "r1")
    assert isinstance(made, Claim)
    await purse.reserve("r1", 300, remember=True)
    await purse.ledger.repeats.keep(made, b"the answer\n\x00", HOUR_MS)
    assert await claim(purse, "r2", terms=REPLAY) == RUNNING
    await purse.commit("r1", 100)
    for _ in range(REPEATS_MAX + 2):
        assert await claim(purse, "r2", terms=REPLAY) == Kept(b"the answer\n\x00")
    assert await claim(purse, "r2", OTHER, terms=REPLAY) == MISMATCH


async def test_an_answer_that_was_not_charged_is_given_to_nobody(purse: Purse) -> None:
    made = await claim(purse, "r1")
    assert isinstance(made, Claim)
    await purse.reserve("r1", 300, remember=True)
    await purse.ledger.repeats.keep(made, b"the answer", HOUR_MS)
    await purse.release("r1")
    assert await claim(purse, "r2", terms=REPLAY) == Claim(purse.customer_id, "aa", "r2")
    await purse.reserve("r2", 300, remember=True)
    await purse.commit("r2", 100)
    assert await claim(purse, "r3", terms=REPLAY) == Claim(purse.customer_id, "aa", "r3", 100)


async def test_answers_end_with_their_charges(clock: StoreClock, purse: Purse) -> None:
    await answered(purse, "r1", b"1")
    clock.tick(HOUR_MS - 1)
    assert await claim(purse, "r2", terms=REPLAY) == Kept(b"1")
    clock.tick(1)
    assert await claim(purse, "r2", terms=REPLAY) == Claim(purse.customer_id, "aa", "r2")
    await answered(purse, "r3", b"3", Keyed("bb", "01"))
    assert await purse.lane.execute("HKEYS", purse.keys.answers(purse.customer_id)[0]) == [b"", b"bb"]


async def test_the_oldest_answers_make_room(clock: StoreClock, purse: Purse) -> None:
    size = ANSWERS_MAX_BYTES // 3
    for number in range(4):
        await answered(purse, f"r{number}", b"x" * size, Keyed(f"a{number}", "01"))
        clock.tick(1)
    found = [await claim(purse, f"s{number}", Keyed(f"a{number}", "01"), terms=REPLAY) for number in range(4)]
    assert [isinstance(each, Kept) for each in found] == [False, False, True, True]
    answers = purse.keys.answers(purse.customer_id)[0]
    assert int(await purse.lane.execute("HGET", answers, "")) == 2 * (size + len("r2 "))
