"""Lists the holds that have not ended, page by page, out of the partitions' deadlines. It changes nothing."""

import base64
import binascii

import msgspec

from sidecar.domain.errors import InvalidInput
from sidecar.domain.ids import PARTITIONS
from sidecar.domain.outcomes import OpenHold
from sidecar.store.keys import Keys
from sidecar.store.lane import Lane

READ_AT_ONCE = 256


class _Position(msgspec.Struct, frozen=True, order=True):
    """A place in the order of all open holds: after this one. Also the cursor, once encoded."""

    partition: int = 0
    deadline_ms: int = 0
    name: str = ""

    @classmethod
    def parse(cls, cursor: str | None) -> "_Position":
        if cursor is None:
            return cls()
        try:
            partition, deadline_ms, name = base64.urlsafe_b64decode(cursor).decode().split(" ")
            return cls(int(partition), int(deadline_ms), name)
        except (binascii.Error, ValueError) as error:
            raise InvalidInput(
                f"The cursor must be one that a former page gave; got {cursor!r}.", "cursor"
            ) from error

    def __str__(self) -> str:
        return base64.urlsafe_b64encode(f"{self.partition} {self.deadline_ms} {self.name}".encode()).decode()


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
        last = positions[-1] if positions else None
        wanted = [position for position in positions if position.name.startswith(prefix)]
        if not wanted:
            return [], last
        holds_prefix = self._keys.holds(after.partition)
        records = await self._lane.execute("MGET", *(holds_prefix + position.name.encode() for position in wanted))
        holds = [
            (position, hold)
            for position, record in zip(wanted, records, strict=True)
            if (hold := _open_hold(position.name, record)) is not None
        ]
        return holds, last

    async def _positions(self, after: _Position) -> list[_Position]:
        """At most READ_AT_ONCE places behind `after`; those of one millisecond are sorted by name, as Redis does."""
        offset = 0
        while True:
            reply: list[bytes] = await self._lane.execute(
                "ZRANGEBYSCORE", self._keys.due(after.partition), after.deadline_ms, "+inf", "WITHSCORES",
                "LIMIT", offset, READ_AT_ONCE,
            )  # fmt: skip
            positions = [
                _Position(after.partition, int(score), name.decode())
                for name, score in zip(reply[0::2], reply[1::2], strict=True)
            ]
            behind = [position for position in positions if position > after]
            if behind or not positions:
                return behind
            offset += READ_AT_ONCE


def _open_hold(name: str, record: bytes | None) -> OpenHold | None:
    """The record of a hold, as `lua/shared/ended.lua` describes it; None when it is not open."""
    state, _, fields = (record or b"").decode().partition(" ")
    if state != "open":
        return None
    unit, held, expires_at_ms, ttl_ms, rule = fields.split(" ", 4)
    customer_id, _, reservation_id = name.partition(":")
    return OpenHold(
        reservation_id=reservation_id,
        customer_id=customer_id,
        unit=unit,
        held=int(held),
        rule=rule,
        created_at_ms=int(expires_at_ms) - int(ttl_ms),
        expires_at_ms=int(expires_at_ms),
    )
