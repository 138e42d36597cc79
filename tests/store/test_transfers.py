"""What is on its way from one customer to another, as the store keeps it; the state machine tries what is taken."""

import pytest

from sidecar.domain.blocks import BlockState, Grant
from sidecar.domain.errors import IdempotencyMismatch, NotFound, StoreCorrupt
from sidecar.domain.ids import new_id
from sidecar.domain.once import Once
from sidecar.domain.outcomes import Sent, Short
from sidecar.domain.transfers import Piece, Room, Transfer, Way
from sidecar.store.keys import Keys
from sidecar.store.lane import Lane
from sidecar.store.transfers import Transfers
from tests.support.books import ENVIRONMENT, NOW_MS, TENANT, UNIT, Purse, open_purse
from tests.support.clock import StoreClock

NOBODY = new_id("cus", 1, b"0123456789")
TERMS = Grant(block_id="blk_1", unit=UNIT, amount=70, source="test", duration_ms=9)


@pytest.fixture
async def purse(clock: StoreClock, lane: Lane) -> Purse:
    return await open_purse(lane)


@pytest.fixture
def transfers(lane: Lane) -> Transfers:
    return Transfers(lane, tenant=TENANT, environment=ENVIRONMENT)


def way(from_id: str) -> Way:
    return Way(transfer_id="trf_1", from_id=from_id, to_id=NOBODY, unit=UNIT, reason="two\nlines")


async def test_what_is_sent_is_on_its_way_until_it_has_arrived(purse: Purse, transfers: Transfers) -> None:
    await purse.grant(50, "one", priority=2)
    asked = way(purse.customer_id)
    sent = await transfers.send(asked, 20, Room(), owe=False, once=Once("k", "f0"), detail={})
    assert isinstance(sent, Sent)
    found = await transfers.on_its_way(purse.customer_id, "trf_1")
    assert found is not None
    assert (found.way, found.entry) == (asked, sent.taken.entry)
    (piece,) = found.pieces
    assert (piece.number, piece.amount, piece.granted, piece.starts_at_ms) == (1, 20, 50, NOW_MS)
    assert piece.terms is not None
    assert piece.terms.priority == 2
    partition = Keys(TENANT, ENVIRONMENT).partition(purse.customer_id)
    assert [each async for each in transfers.waiting(partition)] == [found]
    with pytest.raises(IdempotencyMismatch):
        await transfers.send(asked, 21, Room(), owe=False, once=Once("k", "f1"), detail={})
    assert await transfers.send(asked, 31, Room(), owe=False, once=Once("k2", "f0"), detail={}) == Short(31, 30)
    await transfers.arrived(found)
    assert await transfers.on_its_way(purse.customer_id, "trf_1") is None
    assert [each async for each in transfers.waiting(partition)] == []


async def test_what_is_put_back_is_what_it_was(purse: Purse, transfers: Transfers) -> None:
    pieces = (
        Piece(number=3, after=2, state=BlockState.QUEUED, amount=7, granted=70, ends_at_ms=9, terms=TERMS),
        Piece(number=0, amount=2**53 - 1, granted=2**53 - 1),
    )
    transfer = Transfer(way=way(purse.customer_id), pieces=pieces)
    await transfers.put_back(transfer)
    assert await transfers.on_its_way(purse.customer_id, "trf_1") == transfer


async def test_nobody_has_nothing_to_send(transfers: Transfers) -> None:
    with pytest.raises(NotFound):
        await transfers.send(way(NOBODY), 1, Room(), owe=False, once=Once("k", "f0"), detail={})


async def test_what_no_script_has_written_is_not_guessed_at(purse: Purse, transfers: Transfers) -> None:
    keys = Keys(TENANT, ENVIRONMENT)
    place = keys.transfers(keys.partition(purse.customer_id))
    for record in ("nothing", "1-1 {}\n", '1-1 {"transfer_id":1}\nabc'):
        await purse.lane.execute("HSET", place, "trf_1", record)
        with pytest.raises(StoreCorrupt):
            await transfers.on_its_way(purse.customer_id, "trf_1")
