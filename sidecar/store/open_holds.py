"""Lists the holds that have not ended, page by page, out of the partitions' deadlines. It changes nothing."""

import base64
import binascii

import msgspec

from sidecar.domain.errors import InvalidInput
from sidecar.domain.ids import PARTITIONS
from sidecar.domain.outcomes import OpenHold
from sidecar.store.hold_record import parsed
from sidecar.store.keys import Keys
from sidecar.store.lane import Lane

READ_AT_ONCE = 256


class _Position(msgspec.Struct, frozen=True, order=True):
    """A place in the order of all open holds: after this one. Also the cursor, once encoded."""

    partition: int = 0
    deadline_ms: int = 0
    entry: str = ""

    @classmethod
    def parse(cls, cursor: str | None) -> "_Position":
        if cursor is None:
            return cls()
        try:
            partition, deadline_ms, entry = base64.urlsafe_b64decode(cursor).decode().split(" ", 2)
            return cls(int(partition), int(deadline_ms), entry)
        except (binascii.Error, ValueError) as error:
            raise InvalidInput(
                f"The cursor must be one that a former page gave; got {cursor!r}.", "cursor"
            ) from error

    def __str__(self) -> str:
        return base64.urlsafe_b64encode(f"{self.partition} {self.deadline_ms} {self.entry}".encode()).decode()


class OpenHolds:
    """The open holds of one tenant's environment."""

    def __init__(self, lane: Lane, keys: Keys) -> None:
        self._lane = lane
        self._keys = keys

    async def page(
        self, *, customer_id: str | None, limit: int, cursor: str | None
    ) -> tuple[list[OpenHold], str | None]:
        """See `Ledger.open_holds`."""
        after = _Position.parse(cursor)
        partitions = range(PARTITIONS) if customer_id is None else [self._keys.partition(customer_id)]
        prefix = "" if customer_id is None else f"{customer_id}:"
        found: list[tuple[_Position, OpenHold]] = []
        for partition in partitions:
            start: _Position | None = max(after, _Position(partition))
            while start is not None and start.partition == partition and len(found) <= limit:
                holds, start = await self._read(start, prefix)
                found += holds
        cursor = str(found[limit - 1][0]) if len(found) > limit else None
        return [hold for _, hold in found[:limit]], cursor

    async def _read(self, after: _Position, prefix: str) -> tuple[list[tuple[_Position, OpenHold]], _Position | None]:
        """Some of one partition's open holds, and where to go on; None at the partition's end."""
        positions = await self._positions(after)
        wanted = [position for position in positions if position.entry.startswith(prefix)]
        return [(position, _open_hold(position)) for position in wanted], positions[-1] if positions else None

    async def _positions(self, after: _Position) -> list[_Position]:
        """At most READ_AT_ONCE places behind `after`; those of one millisecond are sorted by entry, as Redis does."""
        offset = 0
        while True:
            reply: list[bytes] = await self._lane.execute(
                "ZRANGEBYSCORE", self._keys.due(after.partition), after.deadline_ms, "+inf", "WITHSCORES",
                "LIMIT", offset, READ_AT_ONCE,
            )  # fmt: skip
            positions = [
                _Position(after.partition, int(score), entry.decode())
                for entry, score in zip(reply[0::2], reply[1::2], strict=True)
            ]
            behind = [position for position in positions if position > after]
            if behind or not positions:
                return behind
            offset += READ_AT_ONCE


def _open_hold(position: _Position) -> OpenHold:
    record = parsed(position.entry.encode())
    return OpenHold(
        reservation_id=record.reservation_id,
        customer_id=record.customer_id,
        unit=record.unit,
        held=record.held,
        rule=record.rule,
        created_at_ms=position.deadline_ms - record.ttl_ms,
        expires_at_ms=position.deadline_ms,
    )
