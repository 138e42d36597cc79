"""The typed face of the ledger's scripts: one method for each operation, one command for each method.

It holds no state and repeats nothing. Everything is safe to repeat by the same id; after a `StoreTimeout` that is
the way to find out what happened. Amounts are base units.
"""

import asyncio
import re

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
    OpenHold,
    RefusalCode,
    Refused,
    Reserved,
    Settled,
    Settlement,
    UnknownReservation,
)
from sidecar.store.commands import COMMIT, EXPIRE, GRANT, OVERDUE, RELEASE, RESERVE
from sidecar.store.keys import Keys
from sidecar.store.lane import Lane
from sidecar.store.open_holds import OpenHolds

_REFUSALS = {
    code.value.encode(): code
    for code in (
        RefusalCode.UNIDENTIFIED,
        RefusalCode.CUSTOMER_SUSPENDED,
        RefusalCode.HOLDS_IN_FLIGHT,
        RefusalCode.INSUFFICIENT_CREDITS,
    )
}
_UNIT = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z", re.ASCII)


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
        self._units: dict[str, bytes] = {}

    async def reserve(
        self,
        *,
        customer_id: str,
        credential: str,
        reservation_id: str,
        unit: str,
        amount: int,
        ttl_ms: int,
        rule: str,
    ) -> Reserved | Refused | Settled:
        """Hold `amount` for one request.

        Outcomes, in this order: Settled (the reservation has ended: nothing is held), Reserved with `replayed`,
        Refused as unidentified, customer_suspended, holds_in_flight or insufficient_credits, Reserved.
        """
        if ttl_ms <= 0:
            raise InvalidInput(f"A hold lives for at least 1 ms; got {ttl_ms}.", "ttl_ms")
        place = self._keys.of(customer_id)
        hold = _name(customer_id, reservation_id)
        packed = RESERVE.pack(
            place.customer, place.holds + hold, place.due,
            credential.encode(), hold, self._unit(unit), b"%d" % checked(amount), b"%d" % ttl_ms, rule.encode(),
        )  # fmt: skip
        reply = await self._lane.send(packed)
        match reply[0]:
            case b"reserved":
                return Reserved(amount, int(reply[1]))
            case b"replayed":
                return Reserved(int(reply[2]), int(reply[1]), replayed=True)
            case b"ended":
                return _settled(reply, replayed=True)
            case word if (code := _REFUSALS.get(word)) is not None:
                return Refused(code, amount, *map(int, reply[1:]))
        raise _unexpected("reserve", reply)

    async def commit(
        self, *, customer_id: str, reservation_id: str, unit: str, charge: int, usage: str, source: str
    ) -> Settled | UnknownReservation:
        """Charge the real cost and give the rest of the hold back.

        A charge above the hold takes the difference from what is available; what that does not cover is owed. A hold
        that has expired is charged from what is available, and `late`. Debt stops at 2^53 − 1, and `charged` with it.

        Outcomes, in this order: UnknownReservation, Settled with `replayed` (as it ended then), Settled as committed.
        """
        place = self._keys.of(customer_id)
        hold = _name(customer_id, reservation_id)
        packed = COMMIT.pack(
            place.customer, place.holds + hold, place.due, place.journal,
            hold, self._unit(unit), b"%d" % checked(charge, "charge"), usage.encode(),
            source.encode(),
        )  # fmt: skip
        reply = await self._lane.send(packed)
        match reply[0]:
            case b"committed":
                return Settled(
                    Settlement.COMMITTED, int(reply[1]), int(reply[4]), int(reply[2]), late=reply[3] == b"1"
                )
            case b"replayed":
                return _settled(reply, replayed=True)
            case b"unknown":
                return UnknownReservation()
        raise _unexpected("commit", reply)

    async def release(
        self, *, customer_id: str, reservation_id: str, unit: str, reason: str
    ) -> Settled | UnknownReservation:
        """Give the whole hold back.

        Outcomes, in this order: UnknownReservation (a reserve of it that is still under way will do nothing), Settled
        with `replayed` (as it ended then), Settled as released.
        """
        place = self._keys.of(customer_id)
        hold = _name(customer_id, reservation_id)
        packed = RELEASE.pack(
            place.customer, place.holds + hold, place.due, place.journal,
            hold, self._unit(unit), reason.encode(),
        )  # fmt: skip
        reply = await self._lane.send(packed)
        match reply[0]:
            case b"released":
                return Settled(Settlement.RELEASED, int(reply[1]), int(reply[4]), int(reply[2]))
            case b"replayed":
                return _settled(reply, replayed=True)
            case b"unknown":
                return UnknownReservation()
        raise _unexpected("release", reply)

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
            customer_id.encode(), self._unit(unit), b"%d" % checked(amount), grant_id.encode(), source.encode(),
            reason.encode(), once.fingerprint.encode(),
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
                    f"{customer_id} was granted {int(reply[1])} base units of {unit} so far; {amount} more would "
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
        due = self._keys.due(partition)
        names: list[bytes] = await self._lane.send(OVERDUE.pack(due, b"%d" % limit))
        if not names:
            return 0
        replies = await asyncio.gather(*(self._expire(name) for name in names))
        return sum(reply[0] == b"expired" for reply in replies)

    def _expire(self, name: bytes) -> "asyncio.Future[list[bytes]]":
        place = self._keys.of(name.partition(b":")[0].decode())
        keys = (place.customer, place.holds + name, place.due, place.journal)
        return self._lane.send(EXPIRE.pack(*keys, name))

    def _unit(self, unit: str) -> bytes:
        """The name as bytes; checked when it is first seen, because the records are split at spaces."""
        known = self._units.get(unit)
        if known is None:
            if _UNIT.match(unit) is None:
                raise InvalidInput(f"A unit has 1 to 64 letters, digits, dots or dashes; got {unit!r}.", "unit")
            known = self._units[unit] = unit.encode()
        return known


def _name(customer_id: str, reservation_id: str) -> bytes:
    """How the index of deadlines and the journal call a hold."""
    if " " in reservation_id:
        raise InvalidInput(f"A reservation id has no spaces; got {reservation_id!r}.", "reservation_id")
    return f"{customer_id}:{reservation_id}".encode()


def _balance(unit: str, text: bytes) -> Balance:
    """As `lua/shared/amounts.lua` describes it."""
    granted, available, held, spent, owed = map(int, text.split(b" "))
    return Balance(unit=unit, granted=granted, available=available, held=held, spent=spent, owed=owed)


def _settled(reply: list[bytes], *, replayed: bool) -> Settled:
    """``[word, state, charged, owed, late, available]``."""
    return Settled(
        Settlement(reply[1].decode()),
        int(reply[2]),
        int(reply[5]),
        int(reply[3]),
        replayed=replayed,
        late=reply[4] == b"1",
    )


def _unexpected(script: str, reply: list[bytes]) -> StoreCorrupt:
    return StoreCorrupt(f"The script {script} answered {reply!r}.")
