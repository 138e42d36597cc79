"""Corrections and refunds in the store; the state machine compares them with the model."""

import pytest

from sidecar.domain.blocks import Grant, Slice
from sidecar.domain.errors import IdempotencyMismatch, InvalidInput, NotFound
from sidecar.domain.ids import new_id
from sidecar.domain.journal import HoldStory, Kind, Moved
from sidecar.domain.once import Once
from sidecar.domain.outcomes import Exceeded, Refunded, Short, Taken
from sidecar.store.corrections import Charged, Corrections
from sidecar.store.lane import Lane
from tests.support.books import ENVIRONMENT, NOW_MS, TENANT, UNIT, Purse, open_purse
from tests.support.clock import StoreClock

NOBODY = new_id("cus", 1, b"0123456789")
STORY = HoldStory(
    reservation_id="r1", customer_id="", feature="chat", rule="", held=0, reserved_at_ms=0, charged_before=0
)
REST = Grant(block_id="blk_rest", unit=UNIT, amount=1, source="refund")


@pytest.fixture
async def purse(clock: StoreClock, lane: Lane) -> Purse:
    return await open_purse(lane)


@pytest.fixture
def corrections(lane: Lane) -> Corrections:
    return Corrections(lane, tenant=TENANT, environment=ENVIRONMENT)


async def take(
    corrections: Corrections, customer_id: str, amount: int, key: str = "k", *, owe: bool = False
) -> Taken | Short:
    once = Once(key, f"f{amount}")
    return await corrections.take(customer_id, UNIT, amount, kind=Kind.ADJUSTMENT, owe=owe, once=once)


async def test_what_is_taken_burns_blocks_in_their_order_restricted_ones_too(
    corrections: Corrections, purse: Purse
) -> None:
    await purse.grant(50, "late", priority=2)
    await purse.grant(30, "first", priority=1, eligible_features=("chat",))
    taken = await take(corrections, purse.customer_id, 60)
    assert isinstance(taken, Taken)
    assert (taken.amount, taken.owed, taken.slices) == (60, 0, (Slice(2, 30), Slice(1, 30)))
    assert (taken.totals.available, taken.totals.spent) == (20, 60)
    assert await take(corrections, purse.customer_id, 60) == Taken(
        amount=60, owed=0, slices=taken.slices, totals=taken.totals, entry=taken.entry, replayed=True
    )
    with pytest.raises(IdempotencyMismatch):
        await take(corrections, purse.customer_id, 61)
    assert await take(corrections, purse.customer_id, 21, "k2") == Short(21, 20)
    owed = await take(corrections, purse.customer_id, 25, "k3", owe=True)
    assert isinstance(owed, Taken)
    assert (owed.amount, owed.owed, owed.totals.owed) == (25, 5, 5)


async def test_nobody_and_nothing_are_refused(corrections: Corrections, purse: Purse) -> None:
    with pytest.raises(NotFound):
        await take(corrections, NOBODY, 1)
    with pytest.raises(InvalidInput):
        await take(corrections, purse.customer_id, 0)


async def test_a_refund_pays_debt_first_and_ends_with_the_charge(corrections: Corrections, purse: Purse) -> None:
    await purse.grant(50, "one")
    charged = Charged(reference="ent_1", amount=40, slices=(Slice(1, 40),), story=STORY)
    await take(corrections, purse.customer_id, 45)
    await take(corrections, purse.customer_id, 15, "k2", owe=True)
    some = await corrections.refund(purse.customer_id, UNIT, charged, 25, REST, Once("r1", "f"))
    assert isinstance(some, Refunded)
    # Its block was used up by what was taken, so it is a new one; what was owed is paid out of it.
    assert (some.amount, some.restored, some.granted, some.total) == (25, 0, 25, 25)
    assert (some.totals.owed, some.totals.available) == (0, 15)
    assert await corrections.refund(purse.customer_id, UNIT, charged, 16, REST, Once("r2", "f")) == Exceeded(25, 40)
    lines = (await purse.lines())[-2:]
    assert [line.kind for line in lines] == [Kind.REFUND, Kind.GRANT]
    assert [move.what for move in lines[1].moves] == [Moved.GRANTED, Moved.REPAID]


async def test_what_becomes_a_new_block_must_last(corrections: Corrections, purse: Purse) -> None:
    await purse.grant(50, "one")
    charged = Charged(reference="ent_1", amount=40, slices=(Slice(9, 40),), story=STORY)
    past = Grant(block_id="blk_rest", unit=UNIT, amount=1, source="refund", expires_at_ms=NOW_MS - 1)
    with pytest.raises(InvalidInput, match="in the future"):
        await corrections.refund(purse.customer_id, UNIT, charged, None, past, Once("r1", "f"))
