"""The typed face of the scripts of holds: one method for each operation, one command for each method.

It repeats nothing. A settlement may be repeated at any time, and takes effect once: after a `StoreTimeout`, a
repetition that finds nothing to settle says that it did. Amounts are base units.
"""

import asyncio
import logging
import struct
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

import msgspec

from sidecar.domain.amounts import checked
from sidecar.domain.errors import IdempotencyMismatch, InvalidInput, StoreCorrupt
from sidecar.domain.outcomes import (
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
    Waiting,
)
from sidecar.store.commands import COMMIT, DUE, PUT_OFF, RELEASE, RESERVE, RESIZE, SWEEP, bulk
from sidecar.store.hold_record import HoldRecord, hold_record, slices_of
from sidecar.store.keys import CACHED_CUSTOMERS, Keys
from sidecar.store.lane import Lane
from sidecar.store.reply import Reply

log = logging.getLogger("sidecar.ledger")

_REFUSALS = {
    code.value.encode(): code
    for code in (
        RefusalCode.UNIDENTIFIED,
        RefusalCode.CUSTOMER_SUSPENDED,
        RefusalCode.POOL_CAP_REACHED,
        RefusalCode.HOLDS_IN_FLIGHT,
        RefusalCode.INSUFFICIENT_CREDITS,
    )
}
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
        self._payers: dict[str, str] = {}
        """Of members, who pays for them. It never changes, and the scripts check it."""
        self.corrupt_total = 0
        """Payers that a sweep had to leave alone because their books cannot be read."""

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
    ) -> HoldRecord:
        """What to reserve: units with their amounts. InvalidInput for what could not be kept.

        `remember`: its end is kept for 24 hours, so that a repeated commit is answered as the first.
        """
        return hold_record(
            customer_id=customer_id,
            payer_id=self._payers.get(customer_id, customer_id),
            reservation_id=reservation_id,
            parts=parts,
            ttl_ms=ttl_ms,
            feature=feature,
            rule=rule,
            rules_version=rules_version,
            remember=remember,
        )

    def reserve(self, record: HoldRecord, credential: str) -> Reply[Reserved | Refused | Ended | PaidBy]:
        """Hold the amounts of `record` for one request, all or none. Safe to repeat until the hold ends.

        Outcomes, in this order: Reserved with `replayed`, Ended, PaidBy, Refused as unidentified,
        customer_suspended, pool_cap_reached, holds_in_flight or insufficient_credits, Reserved.
        Raises IdempotencyMismatch when the reservation id was used for other terms.
        """
        parts, payer = record.parts, record.payer_id
        if len(parts) == 1 and payer == record.customer_id:
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

    def commit(
        self, record: HoldRecord, cost: int, usage: str, source: str, terms: CommitTerms = FINAL
    ) -> Reply[Settled | UnknownReservation | Resolved | Rejected]:
        """Charge the real cost and give the rest of the hold back. Safe to repeat at any time.

        A cost above the hold takes the difference from what is available in burn order; `terms.overrun` says what
        becomes of the rest. A hold that has expired is charged from what is available, and `late`.
        """
        if terms is FINAL and len(record.parts) == 1:
            _, start, name = self._usual(record.payer_id, record.parts[0][0])
            packed = b"".join((
                start, record.packed_id, _FINAL_OWE, _known(record.member), bulk(usage.encode()), _known(source),
                name, bulk(b"%d" % checked(cost, "cost")),
            ))  # fmt: skip
            return self._lane.ask(packed, partial(_committed, record))
        costs = (cost, *terms.others)
        accounts, amounts = self._parts(record.payer_id, record.parts, costs)
        packed = b"".join((
            COMMIT.head(4 + len(costs), 6 + 2 * len(costs)), self._keys.of(record.payer_id).packed_ledger, accounts,
            record.packed_id, _known(terms.step), _known(terms.overrun), _known(record.member),
            bulk(usage.encode()), _known(source), amounts,
        ))  # fmt: skip
        return self._lane.ask(packed, partial(_committed, record))

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
        return self._lane.ask(packed, _released)

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
        return self._lane.ask(packed, partial(_resized, record))

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
            return Waiting(_refused("reserve", record, [b"holds_in_flight", *reply[1:]]))
        return self._reserved(record, reply)

    def _reserved(self, record: HoldRecord, reply: list[Any]) -> Reserved | Refused | Ended | PaidBy:
        word = reply[0]
        if word == b"reserved":
            return _held(record, reply)
        if word == b"replayed":
            return _as_it_is(_held(record, reply), replayed=True)
        if word == b"ended":
            return Ended()
        if word == b"mismatch":
            raise IdempotencyMismatch(f"The reservation id {record.reservation_id} was used for other terms.")
        if word == b"member":
            payer_id = reply[1].decode() or record.customer_id
            if len(self._payers) >= CACHED_CUSTOMERS:
                self._payers.clear()
            self._payers[record.customer_id] = payer_id
            return PaidBy(payer_id)
        return _refused("reserve", record, reply)


@lru_cache(maxsize=CACHED_CUSTOMERS)
def _known(value: str | int) -> bytes:
    """An argument that comes with many requests, packed."""
    return bulk(str(value).encode())


def _held(record: HoldRecord, reply: list[Any]) -> Reserved:
    if len(record.parts) == 1:
        return Reserved(record.parts[0][1], reply[2], False, tuple(each for _, each in _slices(reply[1])))
    slices = _slices(reply[1])
    parts = [
        Reserved(amount, reply[1 + part], drawn=tuple(each for of, each in slices if of == part))
        for part, (_, amount) in enumerate(record.parts, 1)
    ]
    return msgspec.structs.replace(parts[0], others=tuple(parts[1:]))


def _as_it_is(reserved: Reserved, *, replayed: bool = False) -> Reserved:
    """With what is held by now: a hold that was resized, or charged in steps, has another amount than at first."""
    parts = [
        msgspec.structs.replace(each, held=sum(part.amount for part in each.drawn), replayed=replayed)
        for each in (reserved, *reserved.others)
    ]
    return msgspec.structs.replace(parts[0], others=tuple(parts[1:]))


def _slices(packed: bytes) -> Any:
    try:
        return slices_of(packed)
    except struct.error as error:
        raise StoreCorrupt(f"A script answered the slices {packed!r}.") from error


def _refused(script: str, record: HoldRecord, reply: list[Any]) -> Refused:
    code = _REFUSALS.get(reply[0])
    if code is None:
        raise _unexpected(script, reply)
    if len(reply) == 1:
        return Refused(code, record.held, unit=record.unit)
    _, available, held, part, required = reply
    return Refused(code, required, available, held, record.parts[part - 1][0])


def _committed(record: HoldRecord, reply: list[Any]) -> Settled | UnknownReservation | Resolved | Rejected:
    word = reply[0]
    if word in {b"committed", b"late"}:
        late = word == b"late"
        if len(reply) == 5:
            _, charged, debt, uncollected, available = reply
            return Settled(charged, available, debt, late, uncollected)
        parts = [
            Settled(charged, available, debt, late, uncollected)
            for charged, debt, uncollected, available in zip(*[iter(reply[1:])] * 4, strict=True)
        ]
        return msgspec.structs.replace(parts[0], others=tuple(parts[1:]))
    if word == b"unknown":
        return UnknownReservation()
    if word == b"replayed":
        pairs = zip(*[iter(reply[1:])] * 2, strict=True)
        parts = [Settled(charged, available, replayed=True) for charged, available in pairs]
        return msgspec.structs.replace(parts[0], others=tuple(parts[1:]))
    if word == b"rejected":
        return Rejected(reply[1], record.parts[reply[2] - 1][0])
    return _resolved("commit", reply)


def _released(reply: list[Any]) -> Settled | UnknownReservation | Resolved:
    word = reply[0]
    if word in {b"released", b"replayed"}:
        parts = [Settled(0, available, replayed=word == b"replayed") for available in reply[1:]]
        return parts[0] if len(parts) == 1 else msgspec.structs.replace(parts[0], others=tuple(parts[1:]))
    if word == b"unknown":
        return UnknownReservation()
    return _resolved("release", reply)


def _resized(record: HoldRecord, reply: list[Any]) -> Reserved | Refused | UnknownReservation | Resolved:
    word = reply[0]
    if word == b"resized":
        return _as_it_is(_held(record, reply))
    if word == b"unknown":
        return UnknownReservation()
    if word == b"resolved":
        return _resolved("resize", reply)
    return _refused("resize", record, reply)


def _resolved(script: str, reply: list[Any]) -> Resolved:
    try:
        word, state = reply
        assert word == b"resolved"
        return Resolved(HoldState(state.decode()))
    except (AssertionError, ValueError) as error:
        raise _unexpected(script, reply) from error


def _unexpected(script: str, reply: list[Any]) -> StoreCorrupt:
    return StoreCorrupt(f"The script {script} answered {reply!r}.")
