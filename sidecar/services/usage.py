"""Usage that callers of the API report when it has happened: charged once for each event, for ever.

An event's id is good for one charge in its environment. For a day the store knows it, and what was answered; after
that the archive does. An event that may not be charged leaves nothing, and may be reported again.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Sequence

import msgspec

from sidecar.domain.costs import Cost
from sidecar.domain.counters import Stand
from sidecar.domain.customers import Customer
from sidecar.domain.errors import Conflict, InvalidInput, SidecarError, StoreError
from sidecar.domain.metering import Source
from sidecar.domain.notes import NO_NOTE, Note
from sidecar.domain.once import Once
from sidecar.domain.outcomes import Ended, HoldState, Overrun, Settled
from sidecar.services.charges import Charge, charge_bridged
from sidecar.services.history import History
from sidecar.services.reservations import Reservations
from sidecar.store.counters import Counters
from sidecar.store.hold_record import HoldRecord, record_of
from sidecar.store.ledger import Ledger
from sidecar.store.once import OnceRecords
from sidecar.store.open_holds import OpenHolds

SCOPE = "usage-event"
"""Among the records of what was answered."""
TTL_MS = 60_000
"""So long an event is held that is not charged, since its process died."""
AT_ONCE = 32
"""Events of a batch that are charged at a time."""


def hold_id_of(event_id: str) -> str:
    """Under which the ledger has a usage event."""
    return f"evt:{event_id}"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was used. `event_id` has visible ASCII only; `fingerprint` is of all that was said of it."""

    event_id: str
    fingerprint: str
    customer: Customer
    cost: Cost
    note: Note = NO_NOTE
    enforce: bool = True
    """False: it is charged in any case, and what is not there is owed."""

    @property
    def reservation_id(self) -> str:
        """Under which the ledger has it."""
        return hold_id_of(self.event_id)


class Charged(msgspec.Struct, frozen=True, kw_only=True):
    """What an event was charged, in base units of `unit`; `owed` is the part that became debt."""

    event_id: str
    customer_id: str
    unit: str
    charged: int
    owed: int = 0
    available: int | None = None
    """What is left to who pays; None of one that was charged before."""
    feature: str
    rule: str
    duplicate: bool = False


class Usage:
    """Of one tenant's environment. Everything may raise StoreError and ArchiveUnavailable."""

    def __init__(
        self,
        ledger: Ledger,
        reservations: Reservations,
        open_holds: OpenHolds,
        counters: Counters,
        once_records: OnceRecords,
        history: History,
    ) -> None:
        self._ledger = ledger
        self._reservations = reservations
        self._open_holds = open_holds
        self._counters = counters
        self._once_records = once_records
        self._history = history

    async def cost_now(self, event: Event) -> int:
        """What it would be charged, where the customer's counters stand now."""
        if not event.cost.counts:
            return event.cost.exactly
        payer_id = event.customer.parent_id or event.customer.customer_id
        stands: dict[str, Stand] = {each.counter.key: each.stand for each in await self._counters.of(payer_id)}
        return event.cost.placed(stands).exactly

    async def charge(self, event: Event) -> Charged:
        """Charge one event, once. Denied when it is not affordable, and enforced; Conflict when its id was used."""
        if (known := await self._begin(event)) is not None:
            return known
        try:
            charged = await (self._enforced(event) if event.enforce else self._in_any_case(event))
        except BaseException:
            await self._abandon([event])
            raise
        await self._finish(event, charged)
        return charged

    async def charge_each(self, events: Sequence[Event]) -> list[Charged | SidecarError]:
        """Charge those that can be charged; for each what it was, or why it was not."""
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(event: Event) -> Charged | SidecarError:
            async with turns:
                try:
                    return await self.charge(event)
                except SidecarError as error:
                    return error

        return list(await asyncio.gather(*map(one, events)))

    async def charge_all(self, events: Sequence[Event]) -> list[Charged]:
        """Charge all of them, or none. Raises what keeps the first of them from being charged.

        All are held before one is charged, so what is held covers them.
        """
        if any(event.cost.counts or not event.enforce for event in events):
            raise InvalidInput(
                "An atomic batch has no events that are not enforced, and none of metrics with tiers over a period.",
                "atomic",
            )
        done: dict[str, Charged] = {}
        begun: list[Event] = []
        holds: dict[tuple[str, str, str], HoldRecord] = {}
        try:
            for event in events:
                known = await self._begin(event)
                if known is None:
                    begun.append(event)
                else:
                    done[event.event_id] = known
            await self._hold_all(begun, holds)
        except BaseException:
            await self._let_go(holds)
            await self._abandon(begun)
            raise
        for event in begun:
            charged = await self._in_any_case(event, paid_by=holds[_purse(event)].reservation_id)
            await self._finish(event, charged)
            done[event.event_id] = charged
        await self._let_go(holds)
        return [done[event.event_id] for event in events]

    async def _hold_all(self, events: Sequence[Event], holds: dict[tuple[str, str, str], HoldRecord]) -> None:
        """One hold for all events of a customer that draw from the same blocks."""
        sums: dict[tuple[str, str, str], int] = {}
        for event in events:
            sums[_purse(event)] = sums.get(_purse(event), 0) + event.cost.exactly
        for purse, amount in sums.items():
            customer_id, unit, feature = purse
            cost = Cost(unit=unit, feature=feature, amount=amount)
            held = await self._reservations.take(customer_id, f"bat:{secrets.token_hex(12)}", cost, TTL_MS, NO_NOTE)
            assert not isinstance(held, Ended), "its id is new"
            holds[purse] = held[0]

    async def _let_go(self, holds: dict[tuple[str, str, str], HoldRecord]) -> None:
        for record in holds.values():
            # What is not given back now lapses with its time.
            with contextlib.suppress(StoreError):
                await self._ledger.release(record, "of a batch of usage")

    async def _enforced(self, event: Event) -> Charged:
        held = await self._reservations.take(
            event.customer.customer_id, event.reservation_id, event.cost, TTL_MS, event.note, exactly=True
        )
        if isinstance(held, Ended):
            return await self._begun_before(event)
        return await self._settle(event, held[0])

    async def _settle(self, event: Event, record: HoldRecord) -> Charged:
        settled = await self._reservations.settle(record, event.cost)
        if not isinstance(settled, Settled):
            raise Conflict(f"The event {event.event_id} is being charged by another request.")
        return _charged(event, settled)

    async def _begun_before(self, event: Event) -> Charged:
        """Its process died on the way: what was held is charged, late if need be; what was charged is told."""
        payer_id, stored = await self._open_holds.known(event.customer.customer_id, event.reservation_id)
        if stored is None:
            raise Conflict(f"The event {event.event_id} is being charged by another request.")
        if stored.state in {HoldState.COMMITTED, HoldState.COMMITTED_LATE}:
            return _known(event, stored.charged, stored.rule)
        return await self._settle(event, record_of(stored, payer_id))

    async def _in_any_case(self, event: Event, paid_by: str = "") -> Charged:
        cost = event.cost
        if cost.counts:
            raise InvalidInput("What has tiers over a period is always enforced: leave `enforce` out.", "enforce")
        record = self._ledger.hold(
            event.customer.customer_id,
            event.reservation_id,
            ((cost.unit, cost.exactly),),
            TTL_MS,
            cost.feature,
            cost.rule,
            remember=True,
            note=event.note.word,
        )
        charge = Charge(
            hold=record,
            charge=cost.exactly,
            usage=cost.usage,
            source=Source.REPORTED,
            overrun=Overrun.OWE,
            bridged=True,
            paid_by=paid_by,
        )
        settled = await charge_bridged(charge, self._ledger)
        if not isinstance(settled, Settled):
            raise Conflict(f"The event {event.event_id} was reported otherwise before.")
        return _charged(event, settled)

    async def _begin(self, event: Event) -> Charged | None:
        """None: it is ours to charge. Else what it was charged. Conflict: its id was used for something else."""
        once = _once(event)
        stored = await self._once_records.begin(SCOPE, once)
        if stored is not None:
            return msgspec.structs.replace(msgspec.json.decode(stored, type=Charged), duplicate=True, available=None)
        try:
            entry = await self._history.charge_of(event.reservation_id)
        except BaseException:
            await self._abandon([event])
            raise
        if entry is None:
            return None
        await self._abandon([event])
        if (entry.asker_id, entry.unit, entry.feature) != (
            event.customer.customer_id,
            event.cost.unit,
            event.cost.feature,
        ):
            raise Conflict(
                f"The event id {event.event_id!r} was used for another event; it is good for one, for ever."
            )
        return _known(event, entry.charged, entry.rule)

    async def _finish(self, event: Event, charged: Charged) -> None:
        await self._once_records.finish(SCOPE, _once(event), msgspec.json.encode(charged))

    async def _abandon(self, events: Sequence[Event]) -> None:
        # If the store is away, the claims end by themselves.
        with contextlib.suppress(StoreError):
            for event in events:
                await self._once_records.abandon(SCOPE, _once(event))


def _once(event: Event) -> Once:
    return Once(event.event_id, event.fingerprint)


def _purse(event: Event) -> tuple[str, str, str]:
    return event.customer.customer_id, event.cost.unit, event.cost.feature


def _charged(event: Event, settled: Settled) -> Charged:
    return Charged(
        event_id=event.event_id,
        customer_id=event.customer.customer_id,
        unit=event.cost.unit,
        charged=settled.charged,
        owed=settled.owed,
        available=settled.available,
        feature=event.cost.feature,
        rule=event.cost.rule,
    )


def _known(event: Event, charged: int, rule: str) -> Charged:
    return Charged(
        event_id=event.event_id,
        customer_id=event.customer.customer_id,
        unit=event.cost.unit,
        charged=charged,
        feature=event.cost.feature,
        rule=rule,
        duplicate=True,
    )
