"""What lies in the store: exact to the last base unit, checked when it is read, and told whole by the journal."""

import struct

import pytest

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.errors import StoreCorrupt
from sidecar.domain.outcomes import Balance, RefusalCode, Refused, Reserved, Settled
from sidecar.store.keys import Keys
from sidecar.store.lane import Lane
from tests.support.books import ENVIRONMENT, TENANT, UNIT, Purse, folded, journal, open_purse
from tests.support.store import StoreServer


def packed(*amounts: float) -> bytes:
    return struct.pack(">5d", *amounts)


def balance(granted: int, available: int, held: int, spent: int, owed: int = 0) -> Balance:
    return Balance(unit=UNIT, granted=granted, available=available, held=held, spent=spent, owed=owed)


async def test_the_largest_amounts_stay_exact(lane: Lane, shared_store: StoreServer) -> None:
    """In balances, answers, entries and the journal alike."""
    purse = await open_purse(lane, granted=MAX_AMOUNT)
    assert await purse.reserve("r1", MAX_AMOUNT - 1) == Reserved(held=MAX_AMOUNT - 1, available=1)
    assert await purse.reserve("r2", 2) == Refused(RefusalCode.HOLDS_IN_FLIGHT, 2, available=1, held=MAX_AMOUNT - 1)
    ((hold,), _) = await purse.ledger.open_holds(customer_id=purse.customer_id, limit=2, cursor=None)
    assert hold.held == MAX_AMOUNT - 1
    assert await purse.commit("r1", 2) == Settled(charged=2, available=MAX_AMOUNT - 2)
    assert await purse.balance() == balance(MAX_AMOUNT, MAX_AMOUNT - 2, 0, 2)
    await purse.reserve("r3", MAX_AMOUNT - 2)
    settled = await purse.commit("r3", MAX_AMOUNT)
    assert settled == Settled(charged=MAX_AMOUNT, available=0, owed=2)
    assert await purse.balance() == balance(MAX_AMOUNT, 0, 0, MAX_AMOUNT, 2)
    with shared_store.client() as client:
        lines = journal(client, purse.customer_id)
    assert lines[0]["amount"] == lines[0]["available"] == str(MAX_AMOUNT)
    assert (lines[1]["available"], lines[2]["charged"]) == (str(MAX_AMOUNT - 2), str(MAX_AMOUNT))
    assert folded(lines, {}) == [await purse.balance()]


@pytest.mark.parametrize("amount", [10**14, 2**53 - 1, 2**53 - 2, 2**52 + 1, 123_456_789_012_345])
async def test_an_amount_is_never_rounded_on_its_way(lane: Lane, shared_store: StoreServer, amount: int) -> None:
    purse = await open_purse(lane, granted=amount)
    assert await purse.reserve("r1", amount) == Reserved(held=amount, available=0)
    assert await purse.release("r1") == Settled(charged=0, available=amount)
    assert await purse.balance() == balance(amount, amount, 0, 0)
    with shared_store.client() as client:
        assert [line["available"] for line in journal(client, purse.customer_id)] == [str(amount)] * 2


async def test_a_broken_balance_is_refused_before_anything_is_written(purse: Purse, lane: Lane) -> None:
    await purse.reserve("r1", 300)
    customer = Keys(TENANT, ENVIRONMENT).of(purse.customer_id).customer
    await lane.execute("HSET", customer, "unit:credits", packed(1000, 700, 299, 0, 0))
    with pytest.raises(StoreCorrupt, match=r"settle\.lua:\d+: the customer holds less than one of its holds"):
        await purse.commit("r1", 300)
    assert await purse.balance() == balance(1000, 700, 299, 0)


@pytest.mark.parametrize(
    "value",
    [packed(1000, 699.5, 300, 0, 0), packed(1000, -1, 300, 0, 0), packed(1e300, 0, 0, 0, 0), b"1000 700 300 0 0"],
)
async def test_a_balance_that_we_never_write_is_corrupt(purse: Purse, lane: Lane, value: bytes) -> None:
    customer = Keys(TENANT, ENVIRONMENT).of(purse.customer_id).customer
    await lane.execute("HSET", customer, "unit:credits", value)
    with pytest.raises(StoreCorrupt, match="not five whole amounts"):
        await purse.balance()


async def test_a_balance_of_another_size_cannot_be_spent(purse: Purse, lane: Lane) -> None:
    customer = Keys(TENANT, ENVIRONMENT).of(purse.customer_id).customer
    await lane.execute("HSET", customer, "unit:credits", "1000 700 300 0 0")
    with pytest.raises(StoreCorrupt, match=r"reserve\.lua:\d+"):
        await purse.reserve("r1", 1)


async def test_an_entry_that_we_never_write_is_corrupt(purse: Purse, lane: Lane) -> None:
    place = Keys(TENANT, ENVIRONMENT).of(purse.customer_id)
    await lane.execute("ZADD", place.due, 1, f"{purse.customer_id}:r1 credits many")
    with pytest.raises(StoreCorrupt, match="many"):
        await purse.sweep()
    with pytest.raises(StoreCorrupt, match="many"):
        await purse.ledger.open_holds(customer_id=purse.customer_id, limit=1, cursor=None)


async def test_the_journal_tells_the_whole_story(purse: Purse, shared_store: StoreServer) -> None:
    await purse.reserve("r1", 300)
    await purse.commit("r1", 120)
    await purse.reserve("r2", 300)
    await purse.release("r2")
    await purse.expired("r3", 40)
    await purse.commit("r3", 1000)
    await purse.grant(200, "more")
    with shared_store.client() as client:
        lines = journal(client, purse.customer_id)
    holds = {
        name: f"{purse.customer_id}:{name} credits {held} {ttl_ms} a rule with spaces"
        for name, held, ttl_ms in (("r1", 300, 60_000), ("r2", 300, 60_000), ("r3", 40, 1))
    }
    usage = {"usage": "input_tokens=1 output_tokens=2", "source": "reported"}
    grant = {"granted": purse.customer_id, "unit": "credits", "source": "test", "reason": "a reason with spaces"}
    assert lines == [
        {**grant, "grant": "grt_opening", "amount": "1000", "owed": "0", "available": "1000"},
        {"committed": holds["r1"], "charged": "120", "owed": "0", "available": "880", **usage},
        {"released": holds["r2"], "owed": "0", "available": "880", "reason": "the upstream failed"},
        {"expired": holds["r3"], "owed": "0", "available": "880"},
        {"late": holds["r3"], "charged": "1000", "owed": "120", "available": "0", **usage},
        {**grant, "grant": "grt_more", "amount": "200", "owed": "-120", "available": "80"},
    ]
    assert folded(lines, {}) == [await purse.balance()]
