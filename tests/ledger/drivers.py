"""Who performs the operations of a scenario: the model here, the real store behind the same protocol.

Names of customers, blocks and reservations are those of the scenario; a driver may map them to ids of its own, but
answers in these names. `alice` pays; others are members of her pool. Errors are those of `sidecar.domain.errors`.
"""

from collections.abc import Sequence
from typing import Protocol

from sidecar.domain.blocks import Grant, Slice
from sidecar.domain.book_holds import Reservation
from sidecar.domain.book_members import Pool
from sidecar.domain.books import Books
from sidecar.domain.counters import Advance, CounterState
from sidecar.domain.history import BlockSums
from sidecar.domain.journal import HoldStory, Kind, Line
from sidecar.domain.once import Once
from sidecar.domain.outcomes import (
    Account,
    Bought,
    Changed,
    CountersMoved,
    Ended,
    Exceeded,
    Granted,
    OpenHold,
    Overrun,
    Refunded,
    Refused,
    Rejected,
    Reserved,
    Resolved,
    Sent,
    Settled,
    Short,
    Taken,
    TakenBack,
    UnknownReservation,
)
from sidecar.domain.periods import Closing, Turned
from sidecar.domain.spend_caps import CapStand, SpendCap
from sidecar.domain.transfers import Room, Way

PAYER = "alice"
START_MS = 1_700_000_000_000


class Driver(Protocol):
    """One ledger, one payer, and a clock that stands still but for `tick`."""

    @property
    def now_ms(self) -> int: ...

    async def tick(self, ms: int) -> None: ...

    async def join(self, member: str) -> None: ...

    async def set_cap(self, member: str, unit: str, cap: int | None) -> None: ...

    async def pool(self, member: str, unit: str) -> Pool: ...

    async def allow_overage(self, unit: str, most: int) -> None: ...

    async def suspend(self, customer: str) -> None: ...

    async def resume(self, customer: str) -> None: ...

    async def grant(self, grant: Grant, once: Once) -> Granted: ...

    async def void(self, unit: str, block: str, once: Once) -> Changed: ...

    async def extend(self, unit: str, block: str, expires_at_ms: int | None, once: Once) -> Changed: ...

    async def take_back(
        self, unit: str, block: str, amount: int | None, policy: Overrun, once: Once
    ) -> TakenBack | None: ...

    async def take(self, unit: str, amount: int, owe: bool, once: Once) -> Taken | Short: ...

    async def buy(self, grant: Grant, once: Once) -> Bought | Short: ...

    async def turn(self, unit: str, closing: Closing | None, grant: Grant | None, once: Once) -> Turned:
        """From one period to the next."""
        ...

    async def send(self, unit: str, amount: int | None, owe: bool, room: Room, once: Once) -> Sent | Short:
        """To somebody else; None: all that there is."""
        ...

    async def refund(
        self, unit: str, reference: str, most: int, slices: Sequence[Slice], by: str, amount: int | None, rest: Grant,
        caps: Sequence[str], once: Once,
    ) -> Refunded | Exceeded: ...  # fmt: skip

    async def reserve(self, reservation: Reservation) -> Reserved | Refused | Ended | CountersMoved: ...

    async def resize(
        self, reservation: Reservation, amounts: Sequence[int], ttl_ms: int | None
    ) -> Reserved | Refused | UnknownReservation | Resolved: ...

    async def commit(
        self, reservation: Reservation, charges: Sequence[int], *, step: int, policy: Overrun
    ) -> Settled | UnknownReservation | Resolved | Rejected:
        """`step` 0 is the final commit."""
        ...

    async def count(
        self, reservation: Reservation, charge: int, advances: Sequence[Advance]
    ) -> Settled | UnknownReservation | Resolved | Rejected | CountersMoved:
        """The final commit of a reservation with claims."""
        ...

    async def charge(
        self, reservation: Reservation, cost: int, paid_by: str, policy: Overrun
    ) -> Settled | UnknownReservation | Resolved | Rejected:
        """Without a hold of its own."""
        ...

    async def counters(self) -> list[CounterState]: ...

    async def add_spend_cap(self, customer: str, cap: SpendCap) -> None: ...

    async def remove_spend_cap(self, customer: str, cap: SpendCap) -> None: ...

    async def spend_caps(self, customer: str, unit: str) -> list[CapStand]: ...

    async def release(self, reservation: Reservation) -> Settled | UnknownReservation | Resolved: ...

    async def sweep(self) -> int: ...

    async def account(self, unit: str) -> Account: ...

    async def open_holds(self) -> list[OpenHold]: ...

    async def lines(self) -> list[Line]:
        """The whole journal so far, oldest first."""
        ...


def story_of(customer: str) -> HoldStory:
    """Of a charge that is reversed."""
    return HoldStory(
        reservation_id="R", customer_id=customer, feature="chat", rule="", held=0, reserved_at_ms=0, charged_before=0
    )


def way_of(payer: str, unit: str, once: Once) -> Way:
    """Of a transfer to somebody else."""
    transfer_id = f"trf_{once.key.replace(' ', '_')}"
    return Way(transfer_id=transfer_id, from_id=payer, to_id="zoe", unit=unit)


class ModelDriver:
    """The model, with a clock."""

    def __init__(self) -> None:
        self.books = Books(PAYER)
        self.now_ms = START_MS

    async def tick(self, ms: int) -> None:
        self.now_ms += ms

    async def join(self, member: str) -> None:
        self.books.members.join(member)

    async def set_cap(self, member: str, unit: str, cap: int | None) -> None:
        self.books.members.set_cap(member, unit, cap)

    async def pool(self, member: str, unit: str) -> Pool:
        return self.books.members.pool(member, unit)

    async def allow_overage(self, unit: str, most: int) -> None:
        self.books.overage.allow(unit, most)

    async def suspend(self, customer: str) -> None:
        self.books.members.suspend(customer)

    async def resume(self, customer: str) -> None:
        self.books.members.resume(customer)

    async def grant(self, grant: Grant, once: Once) -> Granted:
        return self.books.grants.grant(grant, now_ms=self.now_ms, once=once)

    async def void(self, unit: str, block: str, once: Once) -> Changed:
        return self.books.grants.void(block, now_ms=self.now_ms, once=once)

    async def extend(self, unit: str, block: str, expires_at_ms: int | None, once: Once) -> Changed:
        return self.books.grants.extend(block, expires_at_ms, now_ms=self.now_ms, once=once)

    def known(self, unit: str, block: str) -> BlockSums:
        """What an archive that has heard of everything would say of the block."""
        return self.books.chargebacks.known(unit, block, now_ms=self.now_ms)

    async def take_back(
        self, unit: str, block: str, amount: int | None, policy: Overrun, once: Once
    ) -> TakenBack | None:
        owe = policy is Overrun.OWE
        return self.books.chargebacks.take_back(unit, block, amount, owe=owe, now_ms=self.now_ms, once=once)

    async def take(self, unit: str, amount: int, owe: bool, once: Once) -> Taken | Short:
        return self.books.corrections.take(
            unit, amount, kind=Kind.ADJUSTMENT, owe=owe, now_ms=self.now_ms, once=once, detail={"reason": "asked"}
        )

    async def buy(self, grant: Grant, once: Once) -> Bought | Short:
        return self.books.purchases.buy(grant, now_ms=self.now_ms, once=once)

    async def turn(self, unit: str, closing: Closing | None, grant: Grant | None, once: Once) -> Turned:
        return self.books.periods.turn(unit, closing, grant, now_ms=self.now_ms, once=once)

    async def send(self, unit: str, amount: int | None, owe: bool, room: Room, once: Once) -> Sent | Short:
        return self.books.transfers.send(
            way_of(PAYER, unit, once), amount, room, owe=owe, now_ms=self.now_ms, once=once
        )

    async def refund(
        self, unit: str, reference: str, most: int, slices: Sequence[Slice], by: str, amount: int | None, rest: Grant,
        caps: Sequence[str], once: Once,
    ) -> Refunded | Exceeded:  # fmt: skip
        return self.books.corrections.refund(
            unit, reference, amount, most=most, slices=slices, story=story_of(by), rest=rest, now_ms=self.now_ms,
            caps=caps, once=once,
        )  # fmt: skip

    async def reserve(self, reservation: Reservation) -> Reserved | Refused | Ended | CountersMoved:
        return self.books.reserve(reservation, now_ms=self.now_ms)

    async def resize(
        self, reservation: Reservation, amounts: Sequence[int], ttl_ms: int | None
    ) -> Reserved | Refused | UnknownReservation | Resolved:
        return self.books.resize(reservation.reservation_id, amounts, now_ms=self.now_ms, ttl_ms=ttl_ms)

    async def commit(
        self, reservation: Reservation, charges: Sequence[int], *, step: int, policy: Overrun
    ) -> Settled | UnknownReservation | Resolved | Rejected:
        outcome = self.books.commit(
            reservation.reservation_id,
            charges,
            now_ms=self.now_ms,
            step=step,
            policy=policy,
            usage="units=1",
            source="reported",
        )
        assert not isinstance(outcome, CountersMoved), "nothing is counted"
        return outcome

    async def count(
        self, reservation: Reservation, charge: int, advances: Sequence[Advance]
    ) -> Settled | UnknownReservation | Resolved | Rejected | CountersMoved:
        return self.books.commit(
            reservation.reservation_id,
            [charge],
            now_ms=self.now_ms,
            usage="units=1",
            source="reported",
            advances=tuple(advances),
        )

    async def charge(
        self, reservation: Reservation, cost: int, paid_by: str, policy: Overrun
    ) -> Settled | UnknownReservation | Resolved | Rejected:
        told = {"usage": "units=1", "source": "reported"}
        return self.books.charge(reservation, cost, now_ms=self.now_ms, policy=policy, paid_by=paid_by, **told)

    async def counters(self) -> list[CounterState]:
        return self.books.counters.all()

    async def add_spend_cap(self, customer: str, cap: SpendCap) -> None:
        self.books.caps.add(customer, cap)

    async def remove_spend_cap(self, customer: str, cap: SpendCap) -> None:
        self.books.caps.remove(customer, cap.cap_id)

    async def spend_caps(self, customer: str, unit: str) -> list[CapStand]:
        return self.books.caps.stands(customer, unit, self.now_ms)

    async def release(self, reservation: Reservation) -> Settled | UnknownReservation | Resolved:
        return self.books.release(reservation.reservation_id, now_ms=self.now_ms, reason="asked")

    async def sweep(self) -> int:
        return self.books.sweep(now_ms=self.now_ms)

    async def account(self, unit: str) -> Account:
        self.books.check()
        return self.books.account(unit, now_ms=self.now_ms)

    async def open_holds(self) -> list[OpenHold]:
        return self.books.open_holds()

    async def lines(self) -> list[Line]:
        return self.books.lines
