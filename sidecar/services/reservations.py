"""Reservations of who calls the API instead of the proxy: taken, charged, in steps too, given back, looked at.

A reservation's id says whose it is, so that it is found by its id alone; it follows from who asks and from the key of
the request, so that a repetition takes nothing twice. What was charged is always said as what it came to in all, so
that to say it again changes nothing.
"""

import hashlib
import re
from collections.abc import Sequence
from functools import partial

import msgspec

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.costs import Cost
from sidecar.domain.counters import Advance, Stand, counter_of
from sidecar.domain.customers import Customer
from sidecar.domain.errors import AboveHold, Conflict, InvalidInput, NotActive, NotFound
from sidecar.domain.history import Entry, EntryFilter
from sidecar.domain.journal import Kind
from sidecar.domain.metering import Source
from sidecar.domain.metering_rules import is_rule_id
from sidecar.domain.notes import NO_NOTE, Note, note_of, told_apart
from sidecar.domain.once import Once
from sidecar.domain.outcomes import (
    CountersMoved,
    Ended,
    HoldState,
    Overrun,
    RefusalCode,
    Refused,
    Rejected,
    Reserved,
    Resolved,
    Settled,
    UnknownReservation,
)
from sidecar.domain.price import Number
from sidecar.services.counting import Counting
from sidecar.services.denying import denied
from sidecar.services.history import History
from sidecar.services.pricing import Pricing
from sidecar.store.counters import Counters
from sidecar.store.hold_record import HoldRecord, StoredHold, record_of
from sidecar.store.ledger import CommitTerms, Ledger, PaidBy
from sidecar.store.open_holds import OpenHolds

LIFE_MAX_S = 7 * 86_400
"""However often it is extended."""
EXISTS = "status"
"""The field that every customer has: who asks for it has shown a control key."""

_ID = re.compile(r"res_([0-7][0-9a-hjkmnp-tv-z]{25})([0-9a-f]{24})\Z", re.ASCII)
_ENTRIES_MAX = 250
_STATUSES = {
    Kind.COMMIT: HoldState.COMMITTED,
    Kind.LATE_COMMIT: HoldState.COMMITTED_LATE,
    Kind.RELEASE: HoldState.RELEASED,
    Kind.HOLD_EXPIRY: HoldState.EXPIRED,
}


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What it comes to in all: an amount in base units, or units of the metric that it was reserved for."""

    amount: int = 0
    units: Number | None = None


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a reservation stands. `held`: now; `charged`: so far. Amounts are base units of `unit`."""

    reservation_id: str
    customer_id: str
    payer_id: str
    state: HoldState
    unit: str
    held: int = 0
    charged: int = 0
    feature: str = ""
    rule: str = ""
    note: Note = NO_NOTE
    created_at_ms: int | None = None
    """Not known of one that has ended and is still in the store."""
    expires_at_ms: int | None = None
    """Of one that is open."""


class Committed(msgspec.Struct, frozen=True, kw_only=True):
    """What a commit did: `charged` now, of that `owed`; `uncollected` was let go, `released` went back."""

    standing: Standing
    charged: int
    released: int
    owed: int
    uncollected: int
    available: int


class Reservations:
    """Those of one tenant's environment. Everything may raise StoreError, and ArchiveUnavailable for ended ones."""

    def __init__(
        self, ledger: Ledger, open_holds: OpenHolds, counters: Counters, history: History, pricing: Pricing
    ) -> None:
        self._pricing = pricing
        self._ledger = ledger
        self._counters = counters
        self._open_holds = open_holds
        self._history = history
        self._counting = Counting(ledger)

    async def reserve(
        self, customer: Customer, once: Once, cost: Cost, ttl_ms: int, note: Note
    ) -> tuple[Standing, int | None]:
        """Hold what `cost` may come to, and say how it stands, and what is left to the payer.

        None: it was reserved before, by the same request. Denied when it cannot be held.
        """
        reservation_id = id_of(customer.customer_id, once)
        held = await self.take(customer.customer_id, reservation_id, cost, ttl_ms, note)
        available = None if isinstance(held, Ended) or held[1].replayed else held[1].available
        return await self.show(reservation_id), available

    async def take(
        self, customer_id: str, reservation_id: str, cost: Cost, ttl_ms: int, note: Note, *, exactly: bool = False
    ) -> tuple[HoldRecord, Reserved] | Ended:
        """Hold it under this id, and answer what settles it. `exactly`: it is known what will be charged.

        Denied when it cannot be held; Ended when it was before.
        """

        async def ask(
            amount: int, advances: tuple[Advance, ...] = ()
        ) -> tuple[HoldRecord, Reserved] | Ended | Refused | CountersMoved:
            describe = partial(
                self._ledger.hold,
                customer_id,
                reservation_id,
                ((cost.unit, amount),),
                ttl_ms,
                cost.feature,
                cost.rule,
                remember=True,
                claims=advances,
                note=note.word,
            )
            for _ in range(2):
                record = describe()
                if advances:
                    outcome = await self._ledger.reserve_and_claim(record, EXISTS)
                else:
                    outcome = await self._ledger.reserve(record, EXISTS)
                if isinstance(outcome, Reserved):
                    return record, outcome
                if not isinstance(outcome, PaidBy):
                    return outcome
            raise Conflict(f"Who pays for {customer_id} changes while it asks.")

        if (claims := cost.claims) is not None:
            held: tuple[HoldRecord, Reserved] | Ended | Refused | CountersMoved = await self._counting.take(
                customer_id, claims, ask
            )
        else:
            held = await ask(cost.exactly if exactly else cost.at_most)
        assert not isinstance(held, CountersMoved), "amounts were worked out until they were right"
        if isinstance(held, Refused):
            raise denied(held, customer_id)
        return held

    async def look(self, reservation_id: str) -> tuple[str, StoredHold]:
        """Who pays, and the record in the store. NotFound, and NotActive for what only the archive knows."""
        payer_id, stored = await self._stored(reservation_id)
        if stored is None:
            raise _ended(await self._past(reservation_id))
        return payer_id, stored

    async def show(self, reservation_id: str) -> Standing:
        """How it stands, also when it has ended. NotFound."""
        payer_id, stored = await self._stored(reservation_id)
        return await self._past(reservation_id) if stored is None else _standing(payer_id, stored)

    async def commit(
        self, reservation_id: str, said: Said, *, final: bool = True, overrun: Overrun = Overrun.OWE
    ) -> Committed:
        """Charge what it has come to in all, as far as it was not charged, and if `final`, give the rest back.

        To repeat it changes nothing. Raises NotFound; NotActive when it has ended otherwise; AboveHold when it costs
        more than is held and the policy is to reject that; Conflict when more was charged before.
        """
        while True:
            payer_id, stored = await self.look(reservation_id)
            paid = _paid(stored)
            record, cost = record_of(stored, payer_id), self._cost(stored, said)
            if final:
                outcome = await self._end(record, cost, paid, overrun)
                break
            if stored.state is not HoldState.OPEN:
                raise _ended(_standing(payer_id, stored))
            more = await self._more(record, cost, paid)
            terms = CommitTerms(step=stored.steps + 1, overrun=overrun)
            outcome = await self._ledger.commit(record, more, cost.usage, Source.REPORTED, terms)
            if not (isinstance(outcome, Settled) and outcome.replayed):
                break
            # Another step came between: what it charged is known now.
        if isinstance(outcome, Rejected):
            raise AboveHold(
                f"It holds {outcome.held} base units of {outcome.unit} and costs more. Commit less, increase it, or "
                "say `on_over: owe` or `cap`."
            )
        if not isinstance(outcome, Settled):
            raise _ended(await self.show(reservation_id))
        held = sum(each.amount for each in stored.drawn(1)) if stored.state is HoldState.OPEN else 0
        return Committed(
            standing=await self.show(reservation_id),
            charged=outcome.charged,
            released=max(held - outcome.charged, 0) if final and not outcome.replayed else 0,
            owed=outcome.owed,
            uncollected=outcome.uncollected,
            available=outcome.available,
        )

    async def _end(
        self, record: HoldRecord, cost: Cost, paid: int, overrun: Overrun
    ) -> Settled | UnknownReservation | Resolved | Rejected:
        usage, source = cost.usage, Source.REPORTED
        if record.claims and (counted := cost.counted(paid)) is not None:
            return await self._counting.commit(record, counted, usage, source, overrun)
        return await self._ledger.commit(
            record, _less(cost.exactly, paid), usage, source, CommitTerms(overrun=overrun)
        )

    async def _more(self, record: HoldRecord, cost: Cost, paid: int) -> int:
        """What a step charges."""
        if cost.counts:
            cost = cost.placed(await self._stands(record.payer_id))
        return _less(cost.exactly, paid)

    async def settle(self, record: HoldRecord, cost: Cost) -> Settled | UnknownReservation | Resolved | Rejected:
        """Charge what was taken for a cost that is known."""
        return await self._end(record, cost, 0, Overrun.OWE)

    async def release(self, reservation_id: str, reason: str) -> tuple[Standing, int]:
        """Give back all that is held, and say how it stands, and what is left to the payer. To repeat it is safe.

        Raises NotFound, NotActive when it has ended otherwise.
        """
        payer_id, stored = await self.look(reservation_id)
        outcome = await self._ledger.release(record_of(stored, payer_id), reason)
        if not isinstance(outcome, Settled):
            raise _ended(await self.show(reservation_id))
        return await self.show(reservation_id), outcome.available

    async def extend(self, reservation_id: str, ttl_ms: int) -> Standing:
        """Let it live for at least so long from now on. NotFound, NotActive, Conflict beyond `LIFE_MAX_S`."""
        payer_id, stored = await self.look(reservation_id)
        _check_open(payer_id, stored)
        if stored.ttl_ms + ttl_ms > LIFE_MAX_S * 1000:
            raise Conflict(
                f"A reservation lives for at most {LIFE_MAX_S // 86_400} days: commit it, and reserve anew."
            )
        await self._resize(payer_id, stored, 0, ttl_ms)
        return await self.show(reservation_id)

    async def increase(self, reservation_id: str, said: Said) -> tuple[Standing, int]:
        """Hold what `said` may come to in all, less what was charged of it; how it stands, and what is left.

        Nothing is given back. NotFound, NotActive, Denied when it cannot be held.
        """
        payer_id, stored = await self.look(reservation_id)
        _check_open(payer_id, stored)
        cost = self._cost(stored, said)
        if cost.counts:
            cost = cost.placed(await self._stands(payer_id))
        available = await self._resize(payer_id, stored, max(cost.at_most - stored.charged, 0), 0)
        return await self.show(reservation_id), available

    async def _resize(self, payer_id: str, stored: StoredHold, amount: int, ttl_ms: int) -> int:
        outcome = await self._ledger.resize(record_of(stored, payer_id), [amount], ttl_ms)
        if isinstance(outcome, Refused):
            raise denied(_but_for(stored, outcome), stored.customer_id)
        if isinstance(outcome, Resolved | UnknownReservation):
            raise _ended(await self.show(stored.reservation_id))
        return outcome.available

    def _cost(self, stored: StoredHold, said: Said) -> Cost:
        """What it comes to, by the rule that it was reserved by. InvalidInput: by none, but units were said."""
        if said.units is None:
            return Cost(unit=stored.parts[0][0], amount=said.amount)
        if not is_rule_id(stored.rule):
            raise InvalidInput("It was reserved by an amount, not by a metric: say `credits`.", "actual_units")
        counters = {counter.name: counter for key in stored.claims if (counter := counter_of(key)) is not None}
        return self._pricing.again(stored.rule, said.units, counters)

    async def _stands(self, payer_id: str) -> dict[str, Stand]:
        return {state.counter.key: state.stand for state in await self._counters.of(payer_id)}

    async def _stored(self, reservation_id: str) -> tuple[str, StoredHold | None]:
        found = _ID.match(reservation_id)
        if found is None:
            raise NotFound(
                f"There is no reservation {reservation_id[:64]!r} of this API; those of the proxy are at "
                "/v1/customers/{customer_id}/reservations."
            )
        return await self._open_holds.known(f"cus_{found[1]}", reservation_id)

    async def _past(self, reservation_id: str) -> Standing:
        """What the archive tells of one that the store has forgotten."""
        page = await self._history.entries(EntryFilter(reservation_id=reservation_id), None, _ENTRIES_MAX)
        ends = [entry for entry in page.items if entry.type in _STATUSES]
        if not ends:
            raise NotFound(f"There is no reservation {reservation_id}.")
        return _told(reservation_id, page.items, ends[0])


def id_of(customer_id: str, once: Once) -> str:
    """The id of the reservation that this request of the customer makes."""
    asked = hashlib.sha256(f"{once.key}\n{once.fingerprint}".encode()).hexdigest()
    return f"res_{customer_id.removeprefix('cus_')}{asked[:24]}"


def _less(total: int, paid: int) -> int:
    if total < paid:
        raise Conflict(f"Steps have charged {paid} base units; what it comes to in all, {total}, is less than that.")
    return total - paid


def _paid(stored: StoredHold) -> int:
    """What steps have charged; of one that was committed and is remembered, before its end."""
    ended = stored.state in {HoldState.COMMITTED, HoldState.COMMITTED_LATE}
    return stored.charged - stored.slices[-1][1].amount if ended else stored.charged


def _check_open(payer_id: str, stored: StoredHold) -> None:
    if stored.state is not HoldState.OPEN:
        raise _ended(_standing(payer_id, stored))


def _but_for(stored: StoredHold, refused: Refused) -> Refused:
    """What a hold itself keeps will not come back to it."""
    others = max(refused.held - sum(each.amount for each in stored.drawn(1)), 0)
    code = refused.code
    if code is RefusalCode.HOLDS_IN_FLIGHT and refused.available + others < refused.required:
        code = RefusalCode.INSUFFICIENT_CREDITS
    return msgspec.structs.replace(refused, code=code, held=others)


def _ended(standing: Standing) -> NotActive:
    return NotActive(f"The reservation {standing.reservation_id} is {standing.state}.")


def _standing(payer_id: str, stored: StoredHold) -> Standing:
    is_open = stored.state is HoldState.OPEN
    return Standing(
        reservation_id=stored.reservation_id,
        customer_id=stored.customer_id,
        payer_id=payer_id,
        state=stored.state,
        unit=stored.parts[0][0],
        held=sum(each.amount for each in stored.drawn(1)) if is_open else 0,
        charged=stored.charged,
        feature=stored.feature,
        rule=stored.rule,
        note=note_of(stored.note),
        created_at_ms=stored.time_ms - stored.ttl_ms if is_open else None,
        expires_at_ms=stored.time_ms if is_open else None,
    )


def _told(reservation_id: str, entries: Sequence[Entry], end: Entry) -> Standing:
    asked, metadata = told_apart(end.detail)
    return Standing(
        reservation_id=reservation_id,
        customer_id=end.asker_id,
        payer_id=end.customer_id,
        state=_STATUSES[end.type],
        unit=end.unit,
        charged=min(sum(entry.charged for entry in entries), MAX_AMOUNT),
        feature=end.feature,
        rule=end.rule,
        note=Note(asked=asked, metadata=metadata),
        created_at_ms=end.reserved_at_ms,
    )
