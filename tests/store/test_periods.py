"""Periods in the store; the state machine compares them with the model."""

import pytest

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.blocks import BLOCKS_MAX, Grant
from sidecar.domain.errors import AmountOverflow, Conflict, IdempotencyMismatch, InvalidInput, MergedInto, NotFound
from sidecar.domain.ids import new_id
from sidecar.domain.journal import Kind
from sidecar.domain.once import Once
from sidecar.domain.periods import SERIES, Carry, Closed, Closing, Opened, Turned
from sidecar.store.customers import Customers
from sidecar.store.lane import Lane
from sidecar.store.periods import Periods
from tests.support.books import ENVIRONMENT, TENANT, UNIT, Purse, in_credits, open_purse
from tests.support.clock import StoreClock

NOBODY = new_id("cus", 1, b"0123456789")


@pytest.fixture
async def purse(clock: StoreClock, lane: Lane) -> Purse:
    return await open_purse(lane, granted=10)


@pytest.fixture
def periods(lane: Lane) -> Periods:
    return Periods(lane, tenant=TENANT, environment=ENVIRONMENT)


def opening(at_ms: int, amount: int = 100) -> Grant:
    return Grant(
        block_id=f"blk_{at_ms}", unit=UNIT, amount=amount, source=SERIES, series=SERIES, period_starts_at_ms=at_ms
    )


def closing(at_ms: int, limit: int | None = None) -> Closing:
    return Closing(ends_at_ms=at_ms, carry=Carry(limit=limit))


async def test_one_after_the_other_as_one(purse: Purse, periods: Periods) -> None:
    whose = purse.customer_id, UNIT
    assert await periods.opened_last_ms(*whose) is None
    first = await periods.turn(*whose, None, opening(1), Once("k1", "f0"), {})
    assert first.opened == Opened(block_id="blk_1", amount=100, balance=110)
    both = await periods.turn(*whose, closing(2, 30), opening(2, 50), Once("k2", "f0"), {"actor": "cron"})
    assert both.closed == Closed(available=100, expired=70, carried=30, balance=40)
    assert both.opened == Opened(block_id="blk_2", amount=50, balance=90)
    assert await periods.opened_last_ms(*whose) == 2
    assert await purse.balance() == in_credits(160, 90, 0, 0, expired=70)
    closed, granted = (await purse.lines())[-2:]
    assert (closed.kind, granted.kind, str(granted.position)) == (Kind.PERIOD_CLOSE, Kind.GRANT, both.entry)
    assert closed.detail == {"actor": "cron", "period": "2,100,70,30,40"}


async def test_each_end_and_each_start_is_good_for_one(purse: Purse, periods: Periods) -> None:
    whose = purse.customer_id, UNIT
    first = await periods.turn(*whose, closing(2), opening(2), Once("k1", "f0"), {})
    replayed = await periods.turn(*whose, closing(2), opening(2), Once("k1", "f0"), {})
    assert (replayed.replayed, replayed.closed, replayed.opened) == (True, first.closed, first.opened)
    with pytest.raises(IdempotencyMismatch):
        await periods.turn(*whose, closing(3), None, Once("k1", "f1"), {})
    lines = len(await purse.lines())
    again = await periods.turn(*whose, closing(2, 0), opening(2, 7), Once("k2", "f0"), {})
    assert again.entry == ""
    assert again.closed is not None
    assert again.opened is not None
    assert (again.closed.duplicate, again.opened.duplicate, again.opened.amount) == (True, True, 100)
    assert len(await purse.lines()) == lines
    assert await periods.turn(*whose, None, None, Once("k3", "f0"), {}) == Turned()
    # An instant of another unit is another one.
    tokens = await periods.turn(purse.customer_id, "tokens", closing(2), None, Once("k4", "f0"), {})
    assert tokens.closed == Closed(available=0, expired=0, carried=0, balance=0)


async def test_what_cannot_be_done_changes_nothing(purse: Purse, periods: Periods, lane: Lane) -> None:
    whose = purse.customer_id, UNIT
    with pytest.raises(NotFound):
        await periods.turn(NOBODY, UNIT, closing(1), None, Once("k", "f0"), {})
    with pytest.raises(InvalidInput):
        await periods.turn(*whose, closing(1, -1), None, Once("k", "f0"), {})
    with pytest.raises(InvalidInput):
        await periods.turn(*whose, None, opening(1, 0), Once("k", "f0"), {})
    await periods.turn(*whose, None, opening(1), Once("k1", "f0"), {})
    before = await purse.balance()
    with pytest.raises(AmountOverflow):
        await periods.turn(*whose, closing(2, 0), opening(2, MAX_AMOUNT), Once("k2", "f0"), {})
    for number in range(2, BLOCKS_MAX):
        await purse.accounts.grant(purse.customer_id, Grant(
            block_id=f"blk_g{number}", unit=UNIT, amount=1, source="grant"), Once(f"g{number}", "f0"))  # fmt: skip
    with pytest.raises(Conflict, match="256 live blocks"):
        await periods.turn(*whose, closing(2, 0), opening(2), Once("k2", "f0"), {})
    after = await purse.balance()
    assert (after.expired, after.available) == (before.expired, before.available + BLOCKS_MAX - 2)


async def test_who_is_another_customer_has_no_periods(purse: Purse, periods: Periods, lane: Lane) -> None:
    other = await open_purse(lane, "bob", granted=5)
    customers = Customers(lane, tenant=TENANT, environment=ENVIRONMENT)
    await customers.merge(purse.customer_id, other.customer_id)
    with pytest.raises(MergedInto):
        await periods.turn(purse.customer_id, UNIT, closing(1), None, Once("k", "f0"), {})
