"""tests/control/test_usage.py has what is charged; here is what happens when a process dies on its way."""

from sidecar.domain.costs import Cost
from sidecar.domain.notes import NO_NOTE
from sidecar.services.usage import TTL_MS, Event
from sidecar.store.lane import Lane
from tests.support.control import Control, serving


async def reserved(control: Control) -> Event:
    customer_id = await control.customer()
    await control.grant(f"/v1/customers/{customer_id}", 100, "k")
    customer = await control.customers.get(customer_id)
    event = Event(event_id="e", fingerprint="ab", customer=customer, cost=Cost(unit="credits", amount=30))
    await control.parts.reservations.take(
        customer_id, event.reservation_id, event.cost, TTL_MS, NO_NOTE, exactly=True
    )
    return event


async def test_an_event_that_was_held_and_not_charged_is_charged_once(lane: Lane) -> None:
    async with serving(lane) as control:
        event = await reserved(control)
        charged = await control.parts.usage.charge(event)
        assert (charged.charged, charged.available, charged.duplicate) == (30, 70, False)
        assert (await control.parts.usage.charge(event)).duplicate
