"""The ledger as a model: the accounts of one payer and of the members of its pool.

This is what the scripts of the store do, written to be read: no I/O, no clock, each operation is told the time.

An operation has three beats. What is due at its moment happens first (`BookAccount.advance`). Then it is decided,
and nothing was changed if it is refused. Then it is done, all of it: amounts move, and each account that they touch
gets a line in the journal. A hold alone has no line: the line that settles it tells its whole story.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from sidecar.domain.amounts import checked
from sidecar.domain.blocks import BlockState, Slice
from sidecar.domain.book_account import BookAccounts
from sidecar.domain.book_caps import BookCaps
from sidecar.domain.book_chargebacks import BookChargebacks
from sidecar.domain.book_corrections import BookCorrections
from sidecar.domain.book_counters import BookCounters
from sidecar.domain.book_grants import BookGrants
from sidecar.domain.book_holds import (
    DEAD_MS,
    LATE_COMMIT_MS,
    REMEMBERED_MS,
    BookHold,
    Reservation,
    checked_reservation,
    checked_ttl_ms,
    held_by,
)
from sidecar.domain.book_may_hold import MayHold
from sidecar.domain.book_members import BookMembers
from sidecar.domain.book_overage import NO_BLOCK, BookOverage
from sidecar.domain.book_periods import BookPeriods
from sidecar.domain.book_purchases import BookPurchases
from sidecar.domain.book_transfers import BookTransfers
from sidecar.domain.burn_order import draw, shown_order
from sidecar.domain.counters import Advance, Counted
from sidecar.domain.errors import IdempotencyMismatch
from sidecar.domain.journal import Kind, Line
from sidecar.domain.outcomes import (
    Account,
    CountersMoved,
    Ended,
    HoldState,
    OpenHold,
    Overrun,
    Refused,
    Rejected,
    Reserved,
    Resolved,
    Settled,
    UnknownReservation,
)

_COMMITTED = (HoldState.COMMITTED, HoldState.COMMITTED_LATE)


class Books:
    """One payer. Who may draw, what comes in and what is taken by right are parts; the methods are of holds."""

    def __init__(self, payer_id: str, *, partition: int = 0) -> None:
        self.payer_id = payer_id
        self._accounts = BookAccounts(payer_id, partition)
        self.grants = BookGrants(self._accounts)
        self.chargebacks = BookChargebacks(payer_id, self._accounts, self.grants)
        self.members = BookMembers(payer_id)
        self.counters = BookCounters()
        self.corrections = BookCorrections(self._accounts, self.grants, self.members, self.counters)
        self.purchases = BookPurchases(self._accounts, self.grants)
        self.periods = BookPeriods(self._accounts, self.grants)
        self.transfers = BookTransfers(payer_id, self._accounts, self.grants)
        self.caps = BookCaps(payer_id, self.counters)
        self.overage = BookOverage()
        self._may = MayHold(self._accounts, self.members, self.caps, self.overage)
        self._holds: dict[str, BookHold] = {}
        self._dead: dict[str, int] = {}
        """Reservations that were released before they were reserved, and until when that is known."""

    # Holds

    def reserve(self, reservation: Reservation, *, now_ms: int) -> Reserved | Refused | Ended | CountersMoved:
        """Hold every part, or none. Safe to repeat.

        Outcomes, in this order: Reserved with `replayed`, Ended, Refused (its codes in the order of `Refused`),
        Reserved. With claims, CountersMoved is between those refusals that concern customers and those that concern
        amounts, and these are inside one.
        Raises InvalidInput, and IdempotencyMismatch when the id is open with other terms.
        """
        checked_reservation(reservation)
        known = self._holds.get(reservation.reservation_id)
        if known is not None and known.state is HoldState.OPEN:
            if known.reservation != reservation:
                raise IdempotencyMismatch(f"Reservation {reservation.reservation_id} is open with other terms.")
            return self._reserved(known, now_ms, replayed=True)
        if known is not None or reservation.reservation_id in self._dead:
            return Ended()
        hold = BookHold(reservation, now_ms)
        amounts = [part.amount for part in reservation.parts]
        refused = self.members.barred(reservation.customer_id, reservation.parts[0].unit, amounts[0])
        if refused is not None:
            return refused
        stands = self.counters.stands(reservation.claims)
        if self.counters.moved(reservation.claims, claims=True):
            return CountersMoved(stands)
        refused = self._may.refusal(hold, list(enumerate(amounts)), now_ms, grows=False)
        if refused is not None:
            return CountersMoved(stands, refused) if stands else refused
        self.counters.claim(reservation.claims)
        self._holds[reservation.reservation_id] = hold
        self.caps.begin(hold, now_ms)
        self._take(hold, amounts, now_ms)
        return self._reserved(hold, now_ms)

    def resize(
        self, reservation_id: str, amounts: Sequence[int], *, now_ms: int, ttl_ms: int | None = None
    ) -> Reserved | Refused | UnknownReservation | Resolved:
        """Hold at least `amounts` (by part) from now on, and until `ttl_ms` from now at least; nothing is given back.

        What is missing is held as a reserve would, all or nothing; a hold that misses nothing is not refused.
        Outcomes, in this order: UnknownReservation, Resolved (ended, and not forgotten), Refused, Reserved.
        """
        hold = self._holds.get(reservation_id)
        if hold is None:
            return UnknownReservation()
        if hold.state is not HoldState.OPEN:
            return Resolved(hold.state)
        hold.check_parts(amounts)
        checked_ttl_ms(1 if ttl_ms is None else ttl_ms)
        missing = [max(0, amount - hold.held(index)) for index, amount in enumerate(amounts)]
        wanted = [(index, amount) for index, amount in enumerate(missing) if amount]
        refused = self._may.refusal(hold, wanted, now_ms, grows=True)
        if refused is not None:
            return refused
        self._take(hold, missing, now_ms)
        if ttl_ms is not None:
            hold.until_ms = max(hold.until_ms, now_ms + ttl_ms)
        return replace(self._reserved(hold, now_ms), stands=())

    def commit(
        self,
        reservation_id: str,
        charges: Sequence[int],
        *,
        now_ms: int,
        step: int = 0,
        policy: Overrun = Overrun.OWE,
        usage: str = "",
        source: str = "",
        advances: tuple[Advance, ...] = (),
    ) -> Settled | UnknownReservation | Resolved | Rejected | CountersMoved:
        """Charge `charges` (by part): from the hold's slices, then from what is available, then by `policy`.

        `step` 0 ends the hold: what is left of its slices goes back. Steps count from 1: the hold stays as it is but
        for what was charged, and a step that was charged before is a repetition.
        `advances`: of a final commit, what it counts in the counters that the hold claims of, all in their order.
        Outcomes, in this order: UnknownReservation, Settled with `replayed`, Resolved, CountersMoved, Rejected,
        Settled.
        """
        hold = self._holds.get(reservation_id)
        if hold is None:
            return UnknownReservation()
        hold.check_parts(charges)
        final = checked(step, "step") == 0
        if final and hold.state in _COMMITTED and hold.charges == tuple(charges):
            return self._settled_before(hold, [settled.charged for settled in hold.settled], now_ms, advances)
        if hold.state not in {HoldState.OPEN, HoldState.EXPIRED}:
            return Resolved(hold.state)
        if not final and step <= hold.steps:
            return self._settled_before(hold, [hold.charged] + [0 for _ in charges[1:]], now_ms)
        if self.counters.moved(advances, claims=False):
            return CountersMoved(self.counters.stands(advances))
        if policy is Overrun.REJECT and (rejected := hold.above(charges)) is not None:
            return rejected
        late = hold.state is HoldState.EXPIRED
        kind = Kind.LATE_COMMIT if late else Kind.COMMIT if final else Kind.STEP_COMMIT
        if final and not late:
            self.counters.give_back(hold.reservation.claims)
        counted = self.counters.count(advances)
        told: dict[str, Any] = {"policy": policy, "usage": usage, "source": source}
        settled = [
            self._settle_part(
                hold, index, charge, now_ms, kind, final=final, counted=() if index else counted, **told
            )
            for index, charge in enumerate(charges)
        ]
        hold.charged += settled[0].charged
        if final:
            hold.charges, hold.settled = tuple(charges), tuple(settled)
            self._end(hold, HoldState.COMMITTED_LATE if late else HoldState.COMMITTED, now_ms)
        else:
            hold.steps = step
        return replace(settled[0], others=tuple(settled[1:]), stands=self.counters.stands(advances))

    def charge(
        self, reservation: Reservation, cost: int, *, now_ms: int, policy: Overrun, paid_by: str = "", **told: Any
    ) -> Settled | UnknownReservation | Resolved:
        """Charge what was used without a hold; `reservation`, in one unit, says for what, and is remembered.

        The open hold `paid_by` pays first, if it is the same customer's and in this unit; then what is available.
        `told` are further fields of its line.
        Outcomes, in this order: UnknownReservation, Settled with `replayed`, Resolved, Settled.
        """
        checked_reservation(reservation)
        known, payer = self._holds.get(reservation.reservation_id), self._holds.get(paid_by)
        if reservation.reservation_id in self._dead:
            return UnknownReservation()
        if known is not None:
            if known.state is HoldState.COMMITTED and known.charges == (cost,) and known.is_like(reservation):
                return self._settled_before(known, [known.settled[0].charged], now_ms)
            return Resolved(known.state)
        hold = BookHold(reservation, now_ms)
        self._accounts.at(reservation.parts[0].unit, now_ms)
        if payer is not None and payer.state is HoldState.OPEN and payer.is_like(reservation):
            hold.slices[0] = payer.pay(cost)
            self.caps.correct(payer, 0, -hold.held(0))
        self.caps.begin(hold, now_ms)
        self.caps.correct(hold, 0, hold.held(0))
        settled = self._settle_part(hold, 0, cost, now_ms, Kind.COMMIT, policy=policy, **told)
        hold.charged, hold.charges, hold.settled = settled.charged, (cost,), (settled,)
        self._holds[reservation.reservation_id] = hold
        self._end(hold, HoldState.COMMITTED, now_ms)
        return settled

    def release(
        self, reservation_id: str, *, now_ms: int, reason: str = ""
    ) -> Settled | UnknownReservation | Resolved:
        """Give everything back that is held. A reserve that comes after its release finds it dead, for a minute.

        Outcomes, in this order: UnknownReservation (it never was, is forgotten, dead or expired), Settled with
        `replayed`, Resolved, Settled.
        """
        hold = self._holds.get(reservation_id)
        if hold is None:
            self._dead.setdefault(reservation_id, now_ms + DEAD_MS)
            return UnknownReservation()
        if hold.state is HoldState.EXPIRED:
            return UnknownReservation()
        if hold.state is HoldState.RELEASED:
            return self._settled_before(hold, [0 for _ in hold.reservation.parts], now_ms)
        if hold.state is not HoldState.OPEN:
            return Resolved(hold.state)
        self.counters.give_back(hold.reservation.claims)
        settled = self._give_back(hold, now_ms, Kind.RELEASE, reason=reason)
        self._end(hold, HoldState.RELEASED, now_ms)
        return replace(settled[0], others=tuple(settled[1:]))

    def expire(self, reservation_id: str, *, now_ms: int) -> bool:
        """Give everything back that is held, since the deadline has passed. False when there is nothing to expire."""
        hold = self._holds.get(reservation_id)
        if hold is None or hold.state is not HoldState.OPEN or hold.until_ms > now_ms:
            return False
        self.counters.give_back(hold.reservation.claims)
        self._give_back(hold, now_ms, Kind.HOLD_EXPIRY)
        hold.state, hold.until_ms = HoldState.EXPIRED, now_ms + LATE_COMMIT_MS
        return True

    def sweep(self, *, now_ms: int) -> int:
        """Let happen what is due: in every account, then overdue holds expire, and old ends are forgotten.

        Answers how many holds expired. Their order is not specified; here it is that of their ids.
        """
        for unit in list(self._accounts.by_unit):
            self._accounts.at(unit, now_ms)
        expired = [self.expire(reservation_id, now_ms=now_ms) for reservation_id in sorted(self._holds)]
        self._forget(now_ms)
        self.counters.forget(now_ms)
        return sum(expired)

    # Reading

    @property
    def lines(self) -> list[Line]:
        """The journal so far."""
        return self._accounts.lines.written

    def units(self) -> list[str]:
        """Those with an account: something was granted, charged or owed in them."""
        return sorted(unit for unit, account in self._accounts.by_unit.items() if account.seq)

    def account(self, unit: str, *, now_ms: int) -> Account:
        """The account as it is at `now_ms`: what is due happens first, as in every operation."""
        account = self._accounts.at(unit, now_ms)
        ordered = sorted(account.live.values(), key=shown_order)
        blocks = tuple(
            replace(block, burn_position=position if block.state is BlockState.ACTIVE else None)
            for position, block in enumerate(ordered, 1)
        )
        return Account(unit=unit, seq=account.seq, totals=account.totals, blocks=blocks)

    def open_holds(self) -> list[OpenHold]:
        """Holds that have not ended, the next to expire first."""
        ordered = sorted(self._open(), key=lambda hold: (hold.until_ms, hold.reservation.reservation_id))
        return [hold.shown(self.payer_id) for hold in ordered]

    def check(self) -> None:
        """AssertionError unless everything adds up: accounts, blocks, journal, open holds and pools."""
        held, by_member = held_by(self._open())
        for unit, account in self._accounts.by_unit.items():
            account.check()
            assert all(block.held == held.get((unit, block.number), 0) for block in account.blocks)
            assert self.overage.held[unit] == held.get((unit, NO_BLOCK), 0)
        for member, pool in self.members.pools().items():
            assert pool.held == by_member.get(member, 0)

    # Doing

    def _take(self, hold: BookHold, amounts: Iterable[int], now_ms: int) -> None:
        asked = hold.reservation
        for index, amount in enumerate(amounts):
            account = self._accounts.at(asked.parts[index].unit, now_ms)
            slices, missing = draw(account.live.values(), amount, asked.feature, asked.rule)
            account.hold(slices)
            if missing:
                slices += (Slice(NO_BLOCK, missing),)
                self.overage.held[account.unit] += missing
            hold.slices[index] += slices
            self.members.count(asked.customer_id, account.unit, held=amount)
            self.caps.correct(hold, index, amount)

    def _settle_part(
        self,
        hold: BookHold,
        index: int,
        charge: int,
        now_ms: int,
        kind: Kind,
        *,
        final: bool = True,
        policy: Overrun = Overrun.OWE,
        counted: tuple[Counted, ...] = (),
        **told: Any,
    ) -> Settled:
        """One part: its slices, then what they do not cover, then its line; `told` are further fields of the line."""
        asked, story = hold.reservation, hold.story(index)
        account = self._accounts.at(asked.parts[index].unit, now_ms)
        uncovered, may_owe = charge, 0
        for slice_, pays in hold.settle(index, charge, final=final):
            if slice_.block == NO_BLOCK:
                self.overage.held[account.unit] -= slice_.amount
                may_owe += pays
            else:
                account.settle(slice_, pays)
                uncovered -= pays
        slices, missing = draw(account.live.values(), uncovered, asked.feature, asked.rule)
        account.spend(slices)
        owed = account.owe(missing if policy is Overrun.OWE else min(missing, may_owe))
        uncollected = missing - owed
        charged = charge - uncollected
        back = hold.held(index) - story.held
        self.members.count(asked.customer_id, account.unit, held=back, spent=charged)
        told["counted"] = counted + self.caps.correct(hold, index, back, charged)
        account.write(kind, now_ms, hold=story, charged=charged, uncollected=uncollected, **told)
        account.advance(now_ms)
        return Settled(
            charged, account.totals.available, owed, late=kind is Kind.LATE_COMMIT, uncollected=uncollected
        )

    def _give_back(self, hold: BookHold, now_ms: int, kind: Kind, **told: Any) -> list[Settled]:
        parts = range(len(hold.reservation.parts))
        return [self._settle_part(hold, index, 0, now_ms, kind, **told) for index in parts]

    def _end(self, hold: BookHold, state: HoldState, now_ms: int) -> None:
        hold.state, hold.until_ms = state, now_ms + REMEMBERED_MS
        if not hold.reservation.remember:
            del self._holds[hold.reservation.reservation_id]

    def _forget(self, now_ms: int) -> None:
        for reservation_id, hold in list(self._holds.items()):
            if hold.state is not HoldState.OPEN and hold.until_ms <= now_ms:
                del self._holds[reservation_id]
        for reservation_id, until_ms in list(self._dead.items()):
            if until_ms <= now_ms:
                del self._dead[reservation_id]

    # Answering

    def _reserved(self, hold: BookHold, now_ms: int, *, replayed: bool = False) -> Reserved:
        parts = [
            Reserved(
                hold.held(index), self._accounts.at(part.unit, now_ms).totals.available, replayed, hold.slices[index]
            )
            for index, part in enumerate(hold.reservation.parts)
        ]
        stands = self.counters.stands(hold.reservation.claims)
        return replace(parts[0], others=tuple(parts[1:]), stands=stands)

    def _settled_before(
        self, hold: BookHold, charged: Sequence[int], now_ms: int, advances: Iterable[Advance] = ()
    ) -> Settled:
        parts = [
            Settled(amount, self._accounts.at(part.unit, now_ms).totals.available, replayed=True)
            for amount, part in zip(charged, hold.reservation.parts, strict=True)
        ]
        return replace(parts[0], others=tuple(parts[1:]), stands=self.counters.stands(advances))

    def _open(self) -> list[BookHold]:
        return [hold for hold in self._holds.values() if hold.state is HoldState.OPEN]
