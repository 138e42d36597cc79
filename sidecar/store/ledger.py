"""The typed face of the ledger's scripts: one method for each operation, one command for each method.

It holds no state and repeats nothing. A settlement may be repeated at any time, and takes effect once: after a
`StoreTimeout`, a repetition that finds nothing to settle says that it did. Amounts are base units.
"""

import asyncio
import struct
from functools import lru_cache, partial
from typing import Any

import msgspec

from sidecar.domain.amounts import MAX_AMOUNT, checked
from sidecar.domain.errors import (
    AmountOverflow,
    IdempotencyMismatch,
    InvalidInput,
    NotFound,
    StoreCorrupt,
)
from sidecar.domain.once import Once
from sidecar.domain.outcomes import (
    Balance,
    Ended,
    OpenHold,
    RefusalCode,
    Refused,
    Reserved,
    Settled,
    UnknownReservation,
)
from sidecar.store.commands import COMMIT, EXPIRE, GRANT, OVERDUE, RELEASE, RESERVE, bulk
from sidecar.store.hold_record import HoldRecord, checked_unit, parsed
from sidecar.store.keys import CACHED_CUSTOMERS, Keys
from sidecar.store.lane import Lane
from sidecar.store.open_holds import OpenHolds
from sidecar.store.reply import Reply

_REFUSALS = {
    code.value.encode(): code
    for code in (
        RefusalCode.UNIDENTIFIED,
        RefusalCode.CUSTOMER_SUSPENDED,
        RefusalCode.HOLDS_IN_FLIGHT,
        RefusalCode.INSUFFICIENT_CREDITS,
    )
}
_BALANCE = struct.Struct(">5d")


class Granted(msgspec.Struct, frozen=True):
    """The amount is the customer's. `replayed`: it was already; `balance` is what was answered then."""

    grant_id: str
    balance: Balance
    replayed: bool = False


class Ledger:
    """The balances and holds of one tenant's environment.

    Every method raises `StoreUnavailable` (nothing happened), `StoreTimeout` (unknown) or `StoreCorrupt`.
    """

    def __init__(self, lane: Lane, *, tenant: str, environment: str) -> None:
        self._lane = lane
        self._keys = Keys(tenant, environment)
        self._open_holds = OpenHolds(lane, self._keys)

    def reserve(self, record: HoldRecord, credential: str) -> Reply[Reserved | Refused | Ended]:
        """Hold the amount of `record` for one request. Safe to repeat until it is committed or released.

        Outcomes, in this order: Reserved with `replayed`, Ended, Refused as unidentified, customer_suspended,
        holds_in_flight or insufficient_credits, Reserved.
        """
        place = self._keys.of(record.customer_id)
        packed = b"".join((
            RESERVE.head, place.packed_customer, place.packed_due,
            record.packed, _known(record.ttl_ms), _known(credential),
        ))  # fmt: skip
        return self._lane.ask(packed, partial(_reserved, record.held))

    def commit(self, record: HoldRecord, charge: int, usage: str, source: str) -> Reply[Settled | UnknownReservation]:
        """Charge the real cost and give the rest of the hold back. Safe to repeat at any time.

        A charge above the hold takes the difference from what is available; what that does not cover is owed. A hold
        that has expired is charged from what is available, and `late`. Debt stops at 2^53 − 1, and `charged` with it.

        Outcomes: Settled; UnknownReservation when it never was or has ended.
        """
        place = self._keys.of(record.customer_id)
        packed = b"".join((
            COMMIT.head, place.packed_customer, place.packed_due, place.packed_expired, place.packed_journal,
            record.packed, bulk(b"%d" % checked(charge, "charge")), bulk(usage.encode()), _known(source),
        ))  # fmt: skip
        return self._lane.ask(packed, _committed)

    def release(self, record: HoldRecord, reason: str) -> Reply[Settled | UnknownReservation]:
        """Give the whole hold back. Safe to repeat at any time.

        Outcomes: Settled; UnknownReservation when it never was (a reserve of it that is still under way will do
        nothing) or has ended.
        """
        place = self._keys.of(record.customer_id)
        packed = b"".join((
            RELEASE.head, place.packed_customer, place.packed_due, place.packed_journal,
            record.packed, bulk(reason.encode()),
        ))  # fmt: skip
        return self._lane.ask(packed, _released)

    async def grant(
        self, *, customer_id: str, unit: str, amount: int, grant_id: str, source: str, reason: str, once: Once
    ) -> Granted:
        """Give `amount` to a customer, once for each idempotency key in 24 hours; debt is repaid first.

        Raises, in this order: IdempotencyMismatch, NotFound, AmountOverflow; nothing was changed then.
        """
        if " " in grant_id:
            raise InvalidInput(f"A grant id has no spaces; got {grant_id!r}.", "grant_id")
        place = self._keys.of(customer_id)
        packed = GRANT.pack(
            place.customer, self._keys.grant_once(customer_id, once.key), place.journal,
            customer_id.encode(), checked_unit(unit).encode(), b"%d" % checked(amount), grant_id.encode(),
            source.encode(), reason.encode(), once.fingerprint.encode(),
        )  # fmt: skip
        reply = await self._lane.send(packed)
        match reply[0]:
            case b"granted" | b"replayed":
                return Granted(reply[1].decode(), _balance(unit, reply[2]), replayed=reply[0] == b"replayed")
            case b"mismatch":
                raise IdempotencyMismatch(
                    "This idempotency key was used for a different request; use a new key for a new grant."
                )
            case b"unknown":
                raise NotFound(f"There is no customer {customer_id}.")
            case b"overflow":
                raise AmountOverflow(
                    f"{customer_id} was granted {reply[1]} base units of {unit} so far; {amount} more would "
                    f"pass {MAX_AMOUNT}. Nothing was granted."
                )
        raise _unexpected("grant", reply)

    async def balances(self, customer_id: str) -> list[Balance]:
        """One balance for each unit the customer was ever granted, sorted by unit. Raises NotFound."""
        reply: list[bytes] = await self._lane.execute("HGETALL", self._keys.of(customer_id).customer)
        if not reply:
            raise NotFound(f"There is no customer {customer_id}.")
        return [
            _balance(name.removeprefix(b"unit:").decode(), value)
            for name, value in sorted(zip(reply[0::2], reply[1::2], strict=True))
            if name.startswith(b"unit:")
        ]

    async def open_holds(
        self, *, customer_id: str | None, limit: int, cursor: str | None
    ) -> tuple[list[OpenHold], str | None]:
        """Holds that have not ended, of one customer or of all: by partition, then the next to expire first.

        At most `limit` of them, and a cursor for the rest or None. Holds that end meanwhile are left out; none that
        stays open is missed. Raises InvalidInput for a cursor that we did not make.
        """
        return await self._open_holds.page(customer_id=customer_id, limit=limit, cursor=cursor)

    async def sweep(self, partition: int, limit: int) -> int:
        """Expire at most `limit` overdue holds of one partition; answers how many it expired."""
        keys = self._keys.due(partition), self._keys.expired(partition)
        entries: list[bytes] = await self._lane.send(OVERDUE.pack(*keys, b"%d" % limit))
        if not entries:
            return 0
        replies = await asyncio.gather(*(self._expire(parsed(entry)) for entry in entries))
        return sum(reply[0] == b"expired" for reply in replies)

    def _expire(self, record: HoldRecord) -> "asyncio.Future[list[bytes]]":
        place = self._keys.of(record.customer_id)
        return self._lane.send(b"".join((
            EXPIRE.head, place.packed_customer, place.packed_due, place.packed_expired, place.packed_journal,
            record.packed,
        )))  # fmt: skip


@lru_cache(maxsize=CACHED_CUSTOMERS)
def _known(value: str | int) -> bytes:
    """An argument that comes with many requests, packed."""
    return bulk(str(value).encode())


def _balance(unit: str, packed: bytes) -> Balance:
    """As `lua/shared/amounts.lua` describes it."""
    amounts = _BALANCE.unpack(packed) if len(packed) == _BALANCE.size else ()
    if not amounts or not all(amount.is_integer() and 0 <= amount <= MAX_AMOUNT for amount in amounts):
        raise StoreCorrupt(f"A balance of {unit} is {packed!r}: not five whole amounts.")
    granted, available, held, spent, owed = map(int, amounts)
    return Balance(unit=unit, granted=granted, available=available, held=held, spent=spent, owed=owed)


def _reserved(held: int, reply: list[Any]) -> Reserved | Refused | Ended:
    word = reply[0]
    if word == b"reserved":
        return Reserved(held, reply[1])
    if word == b"replayed":
        return Reserved(held, reply[1], replayed=True)
    if word == b"ended":
        return Ended()
    code = _REFUSALS.get(word)
    if code is None:
        raise _unexpected("reserve", reply)
    return Refused(code, held, *reply[1:])


def _committed(reply: list[Any]) -> Settled | UnknownReservation:
    word = reply[0]
    if word in {b"committed", b"late"}:
        _, charged, debt, available = reply
        return Settled(charged, available, max(debt, 0), late=word == b"late")
    if word == b"unknown":
        return UnknownReservation()
    raise _unexpected("commit", reply)


def _released(reply: list[Any]) -> Settled | UnknownReservation:
    word = reply[0]
    if word == b"released":
        return Settled(0, reply[1])
    if word == b"unknown":
        return UnknownReservation()
    raise _unexpected("release", reply)


def _unexpected(script: str, reply: list[Any]) -> StoreCorrupt:
    return StoreCorrupt(f"The script {script} answered {reply!r}.")
