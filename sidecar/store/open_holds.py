"""Lists the holds that have not ended, page by page. It changes nothing.

Who has open holds is due at some time, so the partitions' index of what is due names every payer to look at.
"""

import base64
import binascii

import msgspec

from sidecar.domain.errors import InvalidInput, NotFound
from sidecar.domain.ids import PARTITIONS
from sidecar.domain.outcomes import HoldState, OpenHold
from sidecar.store.hold_record import StoredHold, open_hold, stored_hold
from sidecar.store.keys import Keys
from sidecar.store.lane import Lane

_READ_AT_ONCE = 256


class _Position(msgspec.Struct, frozen=True, order=True):
    """A place in the order of all open holds: after this one. Also the cursor, once encoded."""

    partition: int = 0
    payer_id: str = ""
    reservation_id: str = ""

    @classmethod
    def parse(cls, cursor: str | None) -> "_Position":
        if cursor is None:
            return cls()
        try:
            partition, payer_id, reservation_id = base64.urlsafe_b64decode(cursor).decode().split(" ")
            return cls(int(partition), payer_id, reservation_id)
        except (binascii.Error, ValueError) as error:
            raise InvalidInput(
                f"The cursor must be one that a former page gave; got {cursor!r}.", "cursor"
            ) from error

    def __str__(self) -> str:
        return base64.urlsafe_b64encode(f"{self.partition} {self.payer_id} {self.reservation_id}".encode()).decode()


class OpenHolds:
    """The open holds of one tenant's environment. Every method raises StoreError when the store does not answer."""

    def __init__(self, lane: Lane, *, tenant: str, environment: str) -> None:
        self._lane = lane
        self._keys = Keys(tenant, environment)

    async def page(
        self, *, customer_id: str | None, limit: int, cursor: str | None
    ) -> tuple[list[OpenHold], str | None]:
        """Open holds of one customer (and of its pool's members, and its own in its parent's pool) or of all.

        By partition, payer and reservation id: at most `limit` of them, and a cursor for the rest or None. Holds that
        end meanwhile are left out; none that stays open is missed. Raises InvalidInput for a cursor that we did not
        make, NotFound for an unknown customer.
        """
        after = _Position.parse(cursor)
        found: list[tuple[_Position, OpenHold]] = []
        for partition, payer_id in await self._payers(after, customer_id):
            start = max(after, _Position(partition, payer_id))
            found += await self._of_payer(start, customer_id, limit + 1 - len(found))
            if len(found) > limit:
                return [hold for _, hold in found[:limit]], str(found[limit - 1][0])
        return [hold for _, hold in found], None

    async def known(self, customer_id: str, reservation_id: str) -> tuple[str, StoredHold | None]:
        """Who pays for the customer, and its reservation as the store has it, open or ended; None if it has none.

        Raises NotFound for an unknown customer.
        """
        _, payer_id = (await self._payer_of(customer_id))[0]
        record = await self._lane.execute("HGET", self._keys.of(payer_id).holds, reservation_id)
        stored = stored_hold(record) if record else None
        return payer_id, stored if stored is None or stored.customer_id == customer_id else None

    async def find(self, customer_id: str, reservation_id: str) -> OpenHold:
        """One open hold that the customer asked for or pays for. Raises NotFound, also when it has ended."""
        _, payer_id = (await self._payer_of(customer_id))[0]
        record = await self._lane.execute("HGET", self._keys.of(payer_id).holds, reservation_id)
        stored = stored_hold(record) if record else None
        if stored is None or stored.state is not HoldState.OPEN or customer_id not in {payer_id, stored.customer_id}:
            raise NotFound(f"{customer_id} has no open hold {reservation_id}.")
        return open_hold(stored, payer_id)

    async def _payers(self, after: _Position, customer_id: str | None) -> list[tuple[int, str]]:
        if customer_id is not None:
            return await self._payer_of(customer_id)
        payers: list[tuple[int, str]] = []
        for partition in range(after.partition, PARTITIONS):
            names: list[bytes] = await self._lane.execute("ZRANGE", self._keys.due(partition), 0, -1)
            payers += [(partition, name.decode()) for name in sorted(names)]
        return [payer for payer in payers if payer >= (after.partition, after.payer_id)]

    async def _payer_of(self, customer_id: str) -> list[tuple[int, str]]:
        status, parent = await self._lane.execute("HMGET", self._keys.of(customer_id).customer, "status", "parent")
        if status is None:
            raise NotFound(f"There is no customer {customer_id}.")
        return [(self._keys.partition(customer_id), parent.decode() if parent else customer_id)]

    async def _of_payer(
        self, after: _Position, customer_id: str | None, limit: int
    ) -> list[tuple[_Position, OpenHold]]:
        """At most `limit` open holds of one payer behind `after`."""
        holds = self._keys.of(after.payer_id).holds
        names: list[bytes] = await self._lane.execute("HKEYS", holds)
        ids = sorted(name for name in names if name.decode() > after.reservation_id)
        found: list[tuple[_Position, OpenHold]] = []
        for start in range(0, len(ids), _READ_AT_ONCE):
            records = await self._lane.execute("HMGET", holds, *ids[start : start + _READ_AT_ONCE])
            for record in filter(None, records):
                stored = stored_hold(record)
                if stored is None or stored.state is not HoldState.OPEN:
                    continue
                if customer_id in {None, after.payer_id, stored.customer_id}:
                    position = _Position(after.partition, after.payer_id, stored.reservation_id)
                    found.append((position, open_hold(stored, after.payer_id)))
            if len(found) >= limit:
                break
        return found[:limit]
