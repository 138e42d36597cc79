"""Charges that are delivered by whoever finds them."""

import msgspec

from sidecar.domain.outcomes import Settled, UnknownReservation
from sidecar.services.charges import Charge, deliver
from sidecar.services.recovery import without_hold
from sidecar.store.lane import Lane
from tests.support.books import UNIT, open_member, open_purse
from tests.support.sums import assert_right


async def test_a_charge_of_a_hold_settles_it_once(lane: Lane) -> None:
    purse = await open_purse(lane, granted=100)
    await purse.reserve("rsv_1", 50)
    charge = Charge(hold=purse.known("rsv_1"), charge=30, usage="calls=1", source="reported")
    done = await deliver(charge, purse.ledger)
    assert isinstance(done, Settled)
    assert done.charged == 30
    assert isinstance(await deliver(charge, purse.ledger), UnknownReservation)
    await assert_right(purse)


async def test_one_without_a_hold_finds_who_pays(lane: Lane) -> None:
    payer = await open_purse(lane, granted=100)
    member = await open_member(payer)
    record = payer.ledger.hold(member.customer_id, "rsv_1", ((UNIT, 50),), 1000, "", "a-rule")
    unaware = msgspec.structs.replace(record, payer_id=member.customer_id)
    charge = without_hold(Charge(hold=unaware, charge=30, usage="", source="reported"))
    for replayed in (False, True):
        done = await deliver(charge, payer.ledger)
        assert isinstance(done, Settled)
        assert (done.charged, done.available, done.replayed) == (30, 70, replayed)
    await assert_right(payer)
