"""The typed face of the scripts of holds: one method for each operation, one command for each method.

It repeats nothing. A settlement may be repeated at any time, and takes effect once: after a `StoreTimeout`, a
repetition that finds nothing to settle says that it did. Amounts are base units.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

import msgspec

from sidecar.domain.amounts import checked
from sidecar.domain.counters import Advance
from sidecar.domain.errors import IdempotencyMismatch, InvalidInput, StoreCorrupt
from sidecar.domain.limits import Taking, ends_of
from sidecar.domain.outcomes import (
    CountersMoved,
    Ended,
    Overrun,
    Refused,
    Rejected,
    Reserved,
    Resolved,
    Settled,
    UnknownReservation,
    Waiting,
)
from sidecar.store.commands import CHARGE, COMMIT, DUE, PUT_OFF, RELEASE, RESERVE, RESIZE, SWEEP, bulk
from sidecar.store.counter_text import arguments_of, without_stands
from sidecar.store.hold_record import HoldRecord, hold_record
from sidecar.store.keys import CACHED_CUSTOMERS, Keys
from sidecar.store.lane import Lane
from sidecar.store.ledger_replies import as_it_is, committed, counted, held, refused, released, resized
from sidecar.store.payers import Payers
from sidecar.store.repeats import Repeats
from sidecar.store.reply import Reply

log = logging.getLogger("sidecar.ledger")

_EMPTY = bulk(b"")
_FINAL_OWE = bulk(b"0") + bulk(Overrun.OWE.value.encode())
CACHED_USUAL = 2_048
"""Customers of whom the start of both commands is kept packed: 1 kB each."""
_HOLDS_AT_ONCE = 256
"""About so many holds of a payer one call of the sweep looks at."""
CORRUPT_AGAIN_MS = 60_000
"""So long the sweep leaves a payer alone whose books cannot be read."""


class PaidBy(msgspec.Struct, frozen=True):
    """Nothing is held: the customer's payer is another than the record says. Make a new record; it will be right."""

    payer_id: str


class CommitTerms(msgspec.Struct, frozen=True, kw_only=True):
    """How to commit. `step`: 0 ends the hold; from 1, counted by the caller, it charges a part and keeps the rest."""

    step: int = 0
    overrun: Overrun = Overrun.OWE
    others: tuple[int, ...] = ()
    """The costs in the further units of the hold."""


FINAL = CommitTerms()


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How to reserve in turn: nothing is taken that those want who stand in the queue before it.

    What does not fit because of other holds stands in the queue for `wait_ms`, if fewer than `queue_max` stand there;
    with 0 it leaves it. Its process is told by `Lane.listen` when to reserve again, by its reservation id.
    """

    wait_ms: int = 0
    queue_max: int = 0


class Ledger:
    """The holds of one tenant's environment.

    Every method raises `StoreUnavailable` (nothing happened), `StoreTimeout` (unknown) or `StoreCorrupt`.
    """

    def __init__(self, lane: Lane, *, tenant: str, environment: str) -> None:
        self._lane = lane
        self._keys = Keys(tenant, environment)
        self._usual = lru_cache(maxsize=CACHED_USUAL)(self._usual_case)
        self._payers = Payers()
        self.repeats = Repeats(lane, self._keys, self._payers)
        self.corrupt_total = 0
        """Payers that a sweep had to leave alone because their books cannot be read."""
        self.overspent: Counter[str] = Counter()
        """What was not there for charges without a hold, in base units, by unit: owed, or let go."""

    def hold(
        self,
        customer_id: str,
        reservation_id: str,
        parts: tuple[tuple[str, int], ...],
        ttl_ms: int,
        feature: str,
        rule: str,
        *,
        rules_version: str = "",
        remember: bool = False,
        claims: tuple[Advance, ...] = (),
        limits: tuple[Taking, ...] = (),
        note: str = "",
    ) -> HoldRecord:
        """What to reserve: units with their amounts. InvalidInput for what could not be kept.

        `remember`: its end is kept for 24 hours, so that a repeated commit is answered as the first. `claims`: what
        it may count, and where the counters may stand for the amounts to be enough. `limits`: what it takes of them.
        `note`: a word of who asks.
        """
        return hold_record(
            customer_id=customer_id,
            payer_id=self._payers.of(customer_id),
            reservation_id=reservation_id,
            parts=parts,
            ttl_ms=ttl_ms,
            feature=feature,
            rule=rule,
            rules_version=rules_version,
            remember=remember,
            claims=claims,
            limits=limits,
            note=note,
        )

    def reserve(self, record: HoldRecord, credential: str) -> Reply[Reserved | Refused | Ended | PaidBy]:
        """Hold the amounts of `record` for one request, all or none. Safe to repeat until the hold ends.

        Outcomes, in this order: Reserved with `replayed`, Ended, PaidBy, Refused as unidentified, key_expired,
        customer_suspended, feature_not_allowed, rate_limited, concurrency_limited, pool_cap_reached,
        spend_cap_reached, holds_in_flight or insufficient_credits, Reserved.
        Raises IdempotencyMismatch when the reservation id was used for other terms.
        """
        parts, payer = record.parts, record.payer_id
        if len(parts) == 1 and payer == record.customer_id and not record.limits:
            unit, amount = parts[0]
            start, _, name = self._usual(payer, unit)
            packed = b"".join((
                start, record.packed_id, _known(record.ttl_ms), _known(credential), _EMPTY, record.packed_text,
                name, bulk(b"%d" % amount),
            ))  # fmt: skip
            return self._lane.ask(packed, partial(self._reserved, record))
        return self._lane.ask(self._reserve(record, credential), partial(self._reserved, record))

    def reserve_in_turn(
        self, record: HoldRecord, credential: str, patience: Patience
    ) -> Reply[Reserved | Refused | Ended | PaidBy | Waiting]:
        """The same for a record of one part that waits its turn; Waiting takes the place of holds_in_flight."""
        more = (patience.wait_ms, patience.queue_max, int(self._lane.counts_listeners))
        packed = self._reserve(record, credential, *(bulk(b"%d" % each) for each in more))
        return self._lane.ask(packed, partial(self._reserved_in_turn, record))

    def reserve_and_claim(
        self, record: HoldRecord, credential: str
    ) -> Reply[Reserved | Refused | Ended | PaidBy | CountersMoved]:
        """As `reserve`, for a record with claims: what it may count is held of its counters, too.

        CountersMoved comes after feature_not_allowed; the refusals after it come inside one.
        """
        more = [each for claim in record.claims for each in arguments_of(claim)]
        return self._lane.ask(self._reserve(record, credential, *more), partial(self._claimed, record))

    def commit(
        self, record: HoldRecord, cost: int, usage: str, source: str, terms: CommitTerms = FINAL
    ) -> Reply[Settled | UnknownReservation | Resolved | Rejected]:
        """Charge the real cost and give the rest of the hold back. Safe to repeat at any time.

        A cost above the hold takes the difference from what is available in burn order; `terms.overrun` says what
        becomes of the rest. A hold that has expired is charged from what is available, and `late`. The final commit
        of a record with claims is `commit_and_count`.
        """
        if terms is FINAL and len(record.parts) == 1 and not ends_of(record.limits):
            _, start, name = self._usual(record.payer_id, record.parts[0][0])
            packed = b"".join((
                start, record.packed_id, _FINAL_OWE, _known(record.member), bulk(usage.encode()), _known(source),
                name, bulk(b"%d" % checked(cost, "cost")),
            ))  # fmt: skip
            return self._lane.ask(packed, partial(committed, record))
        packed = self._commit(record, (cost, *terms.others), usage, source, terms, ())
        return self._lane.ask(packed, partial(committed, record))

    def commit_and_count(
        self,
        record: HoldRecord,
        cost: int,
        usage: str,
        source: str,
        advances: Sequence[Advance],
        overrun: Overrun = Overrun.OWE,
    ) -> Reply[Settled | UnknownReservation | Resolved | Rejected | CountersMoved]:
        """The final commit of a record with claims: its counters move with the money, or nothing does.

        In a counter that it claims of and that is not among `advances`, it counts nothing.
        """
        known = {advance.counter.key: advance for advance in advances}
        ordered = [known.get(claim.counter.key) or Advance(claim.counter) for claim in record.claims]
        packed = self._commit(record, (cost,), usage, source, CommitTerms(overrun=overrun), ordered)
        return self._lane.ask(packed, partial(counted, record))

    def _commit(
        self,
        record: HoldRecord,
        costs: Sequence[int],
        usage: str,
        source: str,
        terms: CommitTerms,
        advances: Sequence[Advance],
    ) -> bytes:
        """The general command."""
        accounts, amounts = self._parts(record.payer_id, record.parts, costs)
        counted = [each for advance in advances for each in arguments_of(advance)]
        ends = ends_of(record.limits)
        if ends:
            counted.append(bulk(ends.encode()))
        return b"".join((
            COMMIT.head(4 + len(costs), 6 + 2 * len(costs) + len(counted)),
            self._keys.of(record.payer_id).packed_ledger, accounts,
            record.packed_id, _known(terms.step), _known(terms.overrun), _known(record.member),
            bulk(usage.encode()), _known(source), amounts, *counted,
        ))  # fmt: skip

    def release(self, record: HoldRecord, reason: str) -> Reply[Settled | UnknownReservation | Resolved]:
        """Give the whole hold back. Safe to repeat at any time.

        UnknownReservation when it never was (a reserve of it that is still under way will do nothing) or has ended
        and is not remembered.
        """
        place, count = self._keys.of(record.payer_id), len(record.parts)
        accounts = [self._keys.account(record.payer_id, unit) for unit, _ in record.parts]
        packed = b"".join((
            RELEASE.head(4 + count, 3 + count), place.packed_ledger, *(each.packed_account for each in accounts),
            record.packed_id, bulk(reason.encode()), _known(record.member), *(each.packed_name for each in accounts),
        ))  # fmt: skip
        return self._lane.ask(packed, released)

    async def charge(
        self, record: HoldRecord, cost: int, usage: str, source: str, *, overrun: Overrun, paid_by: str = ""
    ) -> Settled | UnknownReservation | Resolved | Rejected | PaidBy:
        """Charge what was used without a hold: `record` is what would have been reserved, and says `remember`.

        It is in one unit, without claims and limits. Another open reservation of the customer, `paid_by`, pays first,
        then what is available in burn order; `overrun`, which does not reject, says what becomes of the rest. Safe
        to repeat for 24 hours. UnknownReservation: there is no such payer; PaidBy: it has another one.
        """
        account = self._keys.account(record.payer_id, record.unit)
        packed = b"".join((
            CHARGE.head(5, 9), self._keys.of(record.payer_id).packed_ledger, account.packed_account,
            record.packed_id, account.packed_name, bulk(b"%d" % checked(cost, "cost")), _known(overrun),
            bulk(paid_by.encode()), _known(record.member), bulk(usage.encode()), _known(source), record.packed_text,
        ))  # fmt: skip
        outcome = await self._lane.ask(packed, partial(self._charged, record))
        if isinstance(outcome, Settled):
            # What it cost beyond what it was admitted for would be missing with a store as well.
            missing = outcome.owed + max(outcome.uncollected - max(cost - record.held, 0), 0)
            if missing:
                self.overspent[record.unit] += missing
        return outcome

    def resize(
        self, record: HoldRecord, amounts: Sequence[int], ttl_ms: int = 0
    ) -> Reply[Reserved | Refused | UnknownReservation | Resolved]:
        """Hold at least `amounts` from now on; with `ttl_ms`, for at least so long. Gives nothing back.

        Safe to repeat. The refusals are those of `reserve`.
        """
        accounts, packed_amounts = self._parts(record.payer_id, record.parts, amounts)
        packed = b"".join((
            RESIZE.head(4 + len(amounts), 3 + 2 * len(amounts)), self._keys.of(record.payer_id).packed_ledger,
            accounts, record.packed_id, bulk(b"%d" % ttl_ms), _known(record.member), packed_amounts,
        ))  # fmt: skip
        return self._lane.ask(packed, partial(resized, record))

    async def sweep(self, partition: int, limit: int) -> tuple[int, int]:
        """Let happen what is due of at most `limit` payers of one partition: blocks start and lapse, holds expire.

        Answers how many payers were looked at, and how many holds expired. A payer whose books are corrupt is
        counted, and left alone for `CORRUPT_AGAIN_MS`.
        """
        index = self._keys.due(partition)
        payers: list[bytes] = await self._lane.send(DUE.pack([index], [limit]))
        found = await asyncio.gather(*(self._sweep_payer(index, payer) for payer in payers))
        return len(payers), sum(found)

    async def _sweep_payer(self, index: bytes, payer: bytes) -> int:
        payer_id, expired = payer.decode(errors="replace"), 0
        try:
            place = self._keys.of(payer_id)
            units: bytes | None = await self._lane.execute("HGET", place.customer, "units")
            accounts = [self._keys.account(payer_id, unit) for unit in (units or b"").decode().split()]
            cursor: bytes = b"0"
            while True:
                packed = SWEEP.pack(
                    [*place.ledger, *(each.account for each in accounts)],
                    [cursor, _HOLDS_AT_ONCE, payer_id, *(each.name for each in accounts)],
                )
                cursor, count = await self._lane.send(packed)
                expired += int(count)
                if cursor == b"0":
                    break
        except (StoreCorrupt, InvalidInput) as error:
            self.corrupt_total += 1
            log.error("the books of %s cannot be swept: %s", payer_id, error.detail)  # noqa: TRY400  (says it all)
            await self._lane.send(PUT_OFF.pack([index], [payer, CORRUPT_AGAIN_MS]))
        return expired

    def _usual_case(self, payer_id: str, unit: str) -> tuple[bytes, bytes, bytes]:
        """How a reserve and a final commit in one unit, paid by who asks, begin; and the account's name."""
        account, place = self._keys.account(payer_id, unit), self._keys.of(payer_id)
        keys = place.packed_ledger + account.packed_account
        return RESERVE.head(6, 7) + keys + place.packed_customer, COMMIT.head(5, 8) + keys, account.packed_name

    def _parts(
        self, payer_id: str, parts: tuple[tuple[str, int], ...], amounts: Sequence[int]
    ) -> tuple[bytes, bytes]:
        """The accounts, and for each its name and amount, packed."""
        if len(amounts) != len(parts):
            raise InvalidInput(f"The hold has {len(parts)} units; got {len(amounts)} amounts.", "parts")
        accounts = [self._keys.account(payer_id, unit) for unit, _ in parts]
        pairs = zip(accounts, amounts, strict=True)
        return (
            b"".join([each.packed_account for each in accounts]),
            b"".join([each.packed_name + bulk(b"%d" % checked(amount, "cost")) for each, amount in pairs]),
        )

    def _reserve(self, record: HoldRecord, credential: str, *more: bytes) -> bytes:
        parts, payer = record.parts, record.payer_id
        if record.limits:
            more = (*more, bulk(" ".join([each.arguments for each in record.limits]).encode()))
        accounts, amounts = self._parts(payer, parts, [amount for _, amount in parts])
        return b"".join((
            RESERVE.head(5 + len(parts), 5 + 2 * len(parts) + len(more)),
            self._keys.of(payer).packed_ledger, accounts, self._keys.of(record.customer_id).packed_customer,
            record.packed_id, _known(record.ttl_ms), _known(credential),
            _EMPTY if payer == record.customer_id else _known(payer), record.packed_text, amounts, *more,
        ))  # fmt: skip

    def _reserved_in_turn(
        self, record: HoldRecord, reply: list[Any]
    ) -> Reserved | Refused | Ended | PaidBy | Waiting:
        if reply[0] == b"waiting":
            return Waiting(refused("reserve", record, [b"holds_in_flight", *reply[1:]]))
        return self._reserved(record, reply)

    def _claimed(self, record: HoldRecord, reply: list[Any]) -> Reserved | Refused | Ended | PaidBy | CountersMoved:
        reply, stands = without_stands(reply, len(record.claims))
        if reply[0] == b"moved":
            return CountersMoved(stands)
        outcome = self._reserved(record, reply)
        if isinstance(outcome, Reserved):
            return msgspec.structs.replace(outcome, stands=stands)
        return CountersMoved(stands, outcome) if stands and isinstance(outcome, Refused) else outcome

    def _reserved(self, record: HoldRecord, reply: list[Any]) -> Reserved | Refused | Ended | PaidBy:
        word = reply[0]
        if word == b"reserved":
            return held(record, reply)
        if word == b"replayed":
            return as_it_is(held(record, reply), replayed=True)
        if word == b"ended":
            return Ended()
        if word == b"mismatch":
            raise IdempotencyMismatch(f"The reservation id {record.reservation_id} was used for other terms.")
        if word == b"member":
            return PaidBy(self._payers.learn(record.customer_id, reply[1]))
        return refused("reserve", record, reply)

    def _charged(
        self, record: HoldRecord, reply: list[Any]
    ) -> Settled | UnknownReservation | Resolved | Rejected | PaidBy:
        if reply[0] == b"member":
            return PaidBy(self._payers.learn(record.customer_id, reply[1]))
        return committed(record, reply)


@lru_cache(maxsize=CACHED_CUSTOMERS)
def _known(value: str | int) -> bytes:
    """An argument that comes with many requests, packed."""
    return bulk(str(value).encode())
