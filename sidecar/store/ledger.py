"""The typed face of the ledger's scripts: one method for each operation, one command for each method.

It holds no state and repeats nothing. Everything is safe to repeat by the same id; after a `StoreTimeout` that is
the way to find out what happened. Amounts are base units.
"""

import asyncio
import re
from functools import lru_cache, partial

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
from sidecar.store.commands import COMMIT, EXPIRE, GRANT, OVERDUE, RELEASE, RESERVE, bulk
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
_ENDS = {b"committed": Settlement.COMMITTED, b"released": Settlement.RELEASED}
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

    def reserve(
        self,
        *,
        customer_id: str,
        credential: str,
        reservation_id: str,
        unit: str,
        amount: int,
        ttl_ms: int,
        rule: str,
    ) -> Reply[Reserved | Refused | Settled]:
        """Hold `amount` for one request.

        Outcomes, in this order: Settled (the reservation has ended: nothing is held), Reserved with `replayed`,
        Refused as unidentified, customer_suspended, holds_in_flight or insufficient_credits, Reserved.
        """
        if ttl_ms <= 0:
            raise InvalidInput(f"A hold lives for at least 1 ms; got {ttl_ms}.", "ttl_ms")
        place = self._keys.of(customer_id)
        hold = _name(customer_id, reservation_id)
        packed = b"".join((
            RESERVE.head, place.packed_customer, bulk(place.holds + hold), place.packed_due,
            _known(credential), bulk(hold), _known_unit(unit), bulk(b"%d" % checked(amount)), _known(ttl_ms),
            _known(rule),
        ))  # fmt: skip
        return self._lane.ask(packed, partial(_reserved, amount))

    def commit(
        self, *, customer_id: str, reservation_id: str, unit: str, charge: int, usage: str, source: str
    ) -> Reply[Settled | UnknownReservation]:
        """Charge the real cost and give the rest of the hold back.

        A charge above the hold takes the difference from what is available; what that does not cover is owed. A hold
        that has expired is charged from what is available, and `late`. Debt stops at 2^53 − 1, and `charged` with it.

        Outcomes, in this order: UnknownReservation, Settled with `replayed` (as it ended then), Settled as committed.
        """
        place = self._keys.of(customer_id)
        hold = _name(customer_id, reservation_id)
        packed = b"".join((
            COMMIT.head, place.packed_customer, bulk(place.holds + hold), place.packed_due, place.packed_journal,
            bulk(hold), _known_unit(unit), bulk(b"%d" % checked(charge, "charge")), bulk(usage.encode()),
            _known(source),
        ))  # fmt: skip
        return self._lane.ask(packed, _settled)

    def release(
        self, *, customer_id: str, reservation_id: str, unit: str, reason: str
    ) -> Reply[Settled | UnknownReservation]:
        """Give the whole hold back.

        Outcomes, in this order: UnknownReservation (a reserve of it that is still under way will do nothing), Settled
        with `replayed` (as it ended then), Settled as released.
        """
        place = self._keys.of(customer_id)
        hold = _name(customer_id, reservation_id)
        packed = b"".join((
            RELEASE.head, place.packed_customer, bulk(place.holds + hold), place.packed_due, place.packed_journal,
            bulk(hold), _known_unit(unit), bulk(reason.encode()),
        ))  # fmt: skip
        return self._lane.ask(packed, _settled)

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
            customer_id.encode(), _checked_unit(unit), b"%d" % checked(amount), grant_id.encode(), source.encode(),
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


def _name(customer_id: str, reservation_id: str) -> bytes:
    """How the index of deadlines and the journal call a hold."""
    if " " in reservation_id:
        raise InvalidInput(f"A reservation id has no spaces; got {reservation_id!r}.", "reservation_id")
    return f"{customer_id}:{reservation_id}".encode()


@lru_cache(maxsize=CACHED_CUSTOMERS)
def _known(value: str | int) -> bytes:
    """An argument that comes with many requests, packed."""
    return bulk(str(value).encode())


@lru_cache(maxsize=64)
def _known_unit(unit: str) -> bytes:
    return bulk(_checked_unit(unit))


def _checked_unit(unit: str) -> bytes:
    """The name as bytes; checked because the records are split at spaces."""
    if _UNIT.match(unit) is None:
        raise InvalidInput(f"A unit has 1 to 64 letters, digits, dots or dashes; got {unit!r}.", "unit")
    return unit.encode()


def _balance(unit: str, text: bytes) -> Balance:
    """As `lua/shared/amounts.lua` describes it."""
    granted, available, held, spent, owed = map(int, text.split(b" "))
    return Balance(unit=unit, granted=granted, available=available, held=held, spent=spent, owed=owed)


def _reserved(amount: int, reply: list[bytes]) -> Reserved | Refused | Settled:
    word = reply[0]
    if word == b"reserved":
        return Reserved(amount, int(reply[1]))
    if word == b"replayed":
        return Reserved(int(reply[2]), int(reply[1]), replayed=True)
    if word == b"ended":
        return _ended(reply)
    code = _REFUSALS.get(word)
    if code is None:
        raise _unexpected("reserve", reply)
    return Refused(code, amount, *map(int, reply[1:]))


def _settled(reply: list[bytes]) -> Settled | UnknownReservation:
    """``[word, charged, owed, late, available]``, or as it ended before, or unknown."""
    word = reply[0]
    state = _ENDS.get(word)
    if state is not None:
        return Settled(state, int(reply[1]), int(reply[4]), int(reply[2]), late=reply[3] == b"1")
    if word == b"replayed":
        return _ended(reply)
    if word == b"unknown":
        return UnknownReservation()
    raise _unexpected("commit or release", reply)


def _ended(reply: list[bytes]) -> Settled:
    """``[word, state, charged, owed, late, available]``."""
    _, state, charged, owed, late, available = reply
    return Settled(
        Settlement(state.decode()), int(charged), int(available), int(owed), replayed=True, late=late == b"1"
    )


def _unexpected(script: str, reply: list[bytes]) -> StoreCorrupt:
    return StoreCorrupt(f"The script {script} answered {reply!r}.")
