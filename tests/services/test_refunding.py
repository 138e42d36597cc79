"""Charges are found in the ledger and go back; over HTTP refunds are tried in tests/control."""

from sidecar.domain.blocks import Grant
from sidecar.domain.once import Once
from sidecar.domain.outcomes import Exceeded, Refunded
from sidecar.store.lane import Lane
from tests.support.control import Control, serving


async def test_a_charge_is_found_by_its_entry(lane: Lane) -> None:
    async with serving(lane) as control:
        customer_id, rest = await _charged(control)
        entries = (await control.ask("GET", f"/v1/customers/{customer_id}/ledger?type=commit")).json["data"]
        entry = await control.parts.refunding.entry(customer_id, entries[0]["entry_id"])
        first = await control.parts.refunding.refund(entry, 4, rest, Once("r1", "f"), {})
        assert isinstance(first, Refunded)
        await control.history.written(customer_id, first.entry)
        assert await control.parts.refunding.refund(entry, 7, rest, Once("r2", "f"), {}) == Exceeded(4, 10)


async def _charged(control: Control) -> tuple[str, Grant]:
    customer_id = await control.customer()
    await control.grant(f"/v1/customers/{customer_id}", 100, "g1")
    await control.ledger.commit(await control.hold(customer_id, "r1", 10), 10, "", "reported")
    return customer_id, Grant(block_id="blk_rest", unit="credits", amount=10, source="refund")
