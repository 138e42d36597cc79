"""What lies in the store: exact to the last base unit, checked when it is read, and told whole by the journal."""

import struct

import pytest

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.blocks import Slice
from sidecar.domain.errors import StoreCorrupt
from sidecar.domain.journal import Kind, Move, Moved, Totals
from sidecar.domain.outcomes import Overrun, RefusalCode, Refused, Reserved, Settled
from sidecar.store.lane import Lane
from tests.support.books import (
    NOW_MS,
    REASON,
    RULE,
    SOURCE,
    TOKENS,
    TTL_MS,
    UNIT,
    USAGE,
    Purse,
    in_credits,
    open_member,
    open_purse,
)
from tests.support.clock import StoreClock
from tests.support.sums import assert_right

HUGE = [10**14, 2**53 - 1, 2**53 - 2, 2**52 + 1, 123_456_789_012_345]


def header(*totals: float, seq: float = 1) -> bytes:
    """granted, scheduled, available, held, spent, expired, voided, owed; nothing due, no block."""
    return struct.pack(">10dIHH", seq, *totals, MAX_AMOUNT, 1, 0, 0)


def account_of(purse: Purse) -> bytes:
    return purse.keys.account(purse.customer_id, UNIT).account


async def test_the_largest_amounts_stay_exact(lane: Lane) -> None:
    """In balances, answers, entries and the journal alike."""
    purse = await open_purse(lane, granted=MAX_AMOUNT)
    assert await purse.reserve("r1", MAX_AMOUNT - 1) == Reserved(MAX_AMOUNT - 1, 1, drawn=(Slice(1, MAX_AMOUNT - 1),))
    refused = await purse.reserve("r2", 2)
    assert refused == Refused(RefusalCode.HOLDS_IN_FLIGHT, 2, available=1, held=MAX_AMOUNT - 1, unit=UNIT)
    assert [hold.held for hold in await purse.holds()] == [MAX_AMOUNT - 1]
    assert await purse.commit("r1", 2) == Settled(charged=2, available=MAX_AMOUNT - 2)
    assert await purse.balance() == in_credits(MAX_AMOUNT, MAX_AMOUNT - 2, 0, 2)
    await purse.reserve("r3", MAX_AMOUNT - 2)
    settled = await purse.commit("r3", MAX_AMOUNT)
    assert settled == Settled(charged=MAX_AMOUNT, available=0, owed=2)
    assert await purse.balance() == in_credits(MAX_AMOUNT, 0, 0, MAX_AMOUNT, 2)
    grant, first, second = await purse.lines()
    assert grant.after == Totals(granted=MAX_AMOUNT, available=MAX_AMOUNT)
    assert (first.after.available, second.charged) == (MAX_AMOUNT - 2, MAX_AMOUNT)
    assert second.moves == (Move(Moved.SPENT, 1, MAX_AMOUNT - 2), Move(Moved.OWED, 0, 2))
    await assert_right(purse)


@pytest.mark.parametrize("amount", HUGE)
async def test_an_amount_is_never_rounded_on_its_way(lane: Lane, amount: int) -> None:
    purse = await open_purse(lane, granted=amount)
    assert await purse.reserve("r1", amount) == Reserved(amount, 0, drawn=(Slice(1, amount),))
    assert await purse.release("r1") == Settled(charged=0, available=amount)
    assert await purse.balance() == in_credits(amount, amount, 0, 0)
    assert [line.after.available for line in await purse.lines()] == [amount] * 2
    await assert_right(purse)


@pytest.mark.parametrize("amount", HUGE)
async def test_nor_on_any_other(clock: StoreClock, lane: Lane, amount: int) -> None:
    """Through a pool with caps, several blocks and units, steps, resizes, expiries, voids and debts."""
    purse = await open_purse(lane)
    one = 3
    await purse.grant(one, "first", priority=-1, eligible_features=("chat",))
    await purse.grant(amount - one, "second", expires_at_ms=NOW_MS + 10 * TTL_MS)
    await purse.grant(amount, "tokens", unit=TOKENS)
    member = await open_member(purse, cap=amount)
    reserved = await member.reserve("r1", amount - 1, tokens=1, feature="chat", remember=True)
    assert isinstance(reserved, Reserved)
    assert (reserved.drawn, reserved.available) == ((Slice(1, one), Slice(2, amount - 1 - one)), 1)
    refused = await member.reserve("r2", 2)
    assert refused == Refused(RefusalCode.POOL_CAP_REACHED, 2, available=1, held=amount - 1, unit=UNIT)
    await member.resize("r1", amount, amount)
    assert await member.commit("r1", 1, 1, step=1) == Settled(1, 0, others=(Settled(1, 0),))
    await assert_right(purse)
    clock.tick(TTL_MS)
    assert await purse.sweep() == 1
    share = await member.share()
    assert (share.cap, share.held, share.spent) == (amount, 0, 1)
    late = await member.commit("r1", amount - 1, 0)
    assert late == Settled(amount - 1, 0, late=True, others=(Settled(0, amount - 1, late=True),))
    await assert_right(purse)
    await member.reserve("r3", 0)
    settled = await member.commit("r3", MAX_AMOUNT, overrun=Overrun.OWE)
    assert settled == Settled(MAX_AMOUNT, 0, owed=MAX_AMOUNT)
    assert (await purse.void("tokens", TOKENS)).amount == amount - 1
    assert (await purse.balance(TOKENS)).voided == amount - 1
    await assert_right(purse)
    if amount < MAX_AMOUNT:
        await purse.grant(MAX_AMOUNT - amount, "more")
        assert (await purse.balance()).owed == amount
        await assert_right(purse)


async def test_a_broken_account_is_refused_before_anything_is_written(purse: Purse, lane: Lane) -> None:
    await purse.reserve("r1", 300)
    for at, what in ((32, 299), (88 + 12, 299)):
        whole = await lane.execute("GET", account_of(purse))
        await lane.execute("SETRANGE", account_of(purse), at, struct.pack(">d", what))
        damaged, lines = await lane.execute("GET", account_of(purse)), await purse.lines()
        for attempt in (purse.commit("r1", 100), purse.release("r1"), purse.commit("r1", 300, step=1)):
            with pytest.raises(StoreCorrupt, match=r"settle\.lua:\d+: an account holds less than one of its holds"):
                await attempt
        assert await lane.execute("GET", account_of(purse)) == damaged
        assert await purse.lines() == lines
        await lane.execute("SET", account_of(purse), whole)
    await purse.commit("r1", 300)
    await assert_right(purse)


@pytest.mark.parametrize("part", [1, 2])
async def test_a_hold_ends_in_all_its_units_or_in_none(
    clock: StoreClock, purse: Purse, lane: Lane, part: int
) -> None:
    """One of its accounts is damaged: nothing moves in the other, however often it is tried."""
    await purse.grant(100, "tokens", unit=TOKENS)
    await purse.reserve("r1", 10, tokens=10)
    damaged = purse.keys.account(purse.customer_id, (UNIT, TOKENS)[part - 1]).account
    other = purse.keys.account(purse.customer_id, (TOKENS, UNIT)[part - 1]).account
    await lane.execute("SETRANGE", damaged, 32, struct.pack(">d", 0))
    before = await lane.execute("GET", other), await purse.lines()
    clock.tick(TTL_MS)
    for attempt in (purse.commit("r1", 3, 3), purse.release("r1")):
        with pytest.raises(StoreCorrupt):
            await attempt
    assert await purse.sweep() == 0
    assert (await lane.execute("GET", other), await purse.lines()) == before


@pytest.mark.parametrize(
    "text",
    [
        header(1000, 0, 699.5, 300, 0, 0, 0, 0),
        header(1000, 0, -1, 300, 0, 0, 0, 0),
        header(1e300, 0, 0, 0, 0, 0, 0, 0),
        header(float("nan"), 0, 0, 0, 0, 0, 0, 0),
    ],
)
async def test_totals_that_we_never_write_are_corrupt(purse: Purse, lane: Lane, text: bytes) -> None:
    await lane.execute("SET", account_of(purse), text)
    with pytest.raises(StoreCorrupt, match="not nine whole amounts"):
        await purse.balance()


async def test_an_account_of_another_size_cannot_be_spent(purse: Purse, lane: Lane) -> None:
    await lane.execute("SET", account_of(purse), "1000 700 300 0 0")
    with pytest.raises(StoreCorrupt, match=r"account\.lua:\d+"):
        await purse.reserve("r1", 1)
    with pytest.raises(StoreCorrupt, match=r"account\.lua:\d+"):
        await purse.balance()
    with pytest.raises(StoreCorrupt, match=r"account\.lua:\d+"):
        await purse.grant(1)


async def test_an_account_that_is_gone_cannot_settle_its_holds(purse: Purse, lane: Lane) -> None:
    await purse.reserve("r1", 10)
    await lane.execute("DEL", account_of(purse))
    for attempt in (purse.commit("r1", 1), purse.release("r1"), purse.commit("r1", 1, step=1)):
        with pytest.raises(StoreCorrupt, match=r"\w+\.lua:\d+"):
            await attempt


async def test_a_hold_that_we_never_write_is_corrupt(purse: Purse, lane: Lane) -> None:
    await purse.reserve("r1", 10)
    await lane.execute("HSET", purse.keys.of(purse.customer_id).holds, "r1", "credits many")
    with pytest.raises(StoreCorrupt, match=r"commit\.lua:\d+"):
        await purse.commit("r1", 1)
    with pytest.raises(StoreCorrupt, match="credits many"):
        await purse.holds()


async def test_the_journal_tells_the_whole_story(clock: StoreClock, purse: Purse) -> None:
    await purse.reserve("r1", 300)
    await purse.commit("r1", 120)
    await purse.reserve("r2", 300, feature="chat")
    await purse.release("r2")
    await purse.reserve("r3", 40)
    clock.tick(TTL_MS)
    await purse.sweep()
    await purse.commit("r3", 1000)
    await purse.grant(200, "more")
    lines = await purse.lines()
    totals = [
        Totals(granted=1000, available=1000),
        Totals(granted=1000, available=880, spent=120),
        Totals(granted=1000, available=880, spent=120),
        Totals(granted=1000, available=880, spent=120),
        Totals(granted=1000, available=0, spent=1000, owed=120),
        Totals(granted=1200, available=80, spent=1120),
    ]
    assert [line.after for line in lines] == totals
    assert [line.kind for line in lines] == [
        Kind.GRANT, Kind.COMMIT, Kind.RELEASE, Kind.HOLD_EXPIRY, Kind.LATE_COMMIT, Kind.GRANT,
    ]  # fmt: skip
    assert [line.moves for line in lines] == [
        (Move(Moved.GRANTED, 1, 1000),),
        (Move(Moved.SPENT, 1, 120),),
        (),
        (),
        (Move(Moved.SPENT, 1, 880), Move(Moved.OWED, 0, 120)),
        (Move(Moved.GRANTED, 2, 200), Move(Moved.REPAID, 2, 120)),
    ]
    commit, release, expiry, late = lines[1:5]
    assert (commit.charged, commit.usage, commit.source) == (120, USAGE, SOURCE)
    assert (late.charged, late.usage, late.source) == (1000, USAGE, SOURCE)
    assert release.reason == REASON
    holds = [line.hold for line in (commit, release, expiry, late)]
    assert [(hold.reservation_id, hold.held, hold.feature) for hold in holds if hold] == [
        ("r1", 300, ""), ("r2", 300, "chat"), ("r3", 40, ""), ("r3", 0, ""),
    ]  # fmt: skip
    assert {hold.rule for hold in holds if hold} == {RULE}
    assert lines[0].detail == {"reason": "a reason with spaces"}
    await assert_right(purse)
