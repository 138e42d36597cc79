"""Lines of the journal as the scripts write them, packed by hand, for who reads them without a ledger."""

import struct
from collections.abc import Mapping
from typing import Any

import msgspec
import redis

from sidecar.domain.blocks import NEVER_MS, Grant
from sidecar.domain.ids import PARTITIONS, new_id, partition_of
from sidecar.domain.journal import Kind, Moved, Position
from sidecar.store.keys import Keys

TENANT, ENVIRONMENT = "default", "live"

Fields = Mapping[str, bytes]
"""A line, in the order in which it is written."""

UNIT = "credits"
STATES = {"active": 1, "scheduled": 2, "queued": 3, "expired": 4, "voided": 5}


def customer_in(partition: int) -> str:
    """The id of a customer that lies in this partition."""
    for number in range(100 * PARTITIONS):
        customer_id = new_id("cus", 1_700_000_000_000, number.to_bytes(10, "big"))
        if partition_of(TENANT, ENVIRONMENT, customer_id) == partition:
            return customer_id
    raise AssertionError(f"no id found for partition {partition}")


def stream_of(partition: int) -> bytes:
    return Keys(TENANT, ENVIRONMENT).journal(partition)


def write(client: redis.Redis, partition: int, fields: Fields, at: str = "*") -> Position:
    """Append a line; its position."""
    entry: Any = fields
    given: Any = client.xadd(stream_of(partition), entry, id=at)
    return Position.parse(given.decode())


def image(seq: int, **totals: int) -> bytes:
    """The totals of an account, those that are not given 0."""
    names = ("granted", "scheduled", "available", "held", "spent", "expired", "voided", "owed")
    assert not totals.keys() - set(names)
    return struct.pack(">9d", seq, *(totals.get(name, 0) for name in names))


def moves(*each: tuple[Moved, int, int]) -> bytes:
    """What, block number, amount of each."""
    return b"".join(struct.pack(">BId", *move) for move in each)


def block(
    number: int = 1,
    *,
    granted: int,
    available: int = 0,
    held: int = 0,
    lapsed: int = 0,
    state: str = "active",
    ends_at: int = NEVER_MS,
    starts_at: int = 0,
    created_at: int = 0,
    priority: int = 0,
    paid: bool = False,
) -> bytes:
    """A block's entry in its account."""
    return struct.pack(
        ">IdddHBBiHIdddd",
        number, available, held, ends_at, 0, STATES[state], int(paid), priority, 0, 0,
        starts_at, created_at, granted, lapsed,
    )  # fmt: skip


def hold(
    customer_id: str,
    reservation_id: str,
    *slices: tuple[int, int, int],
    units: str = f"{UNIT}=0",
    time: int = 60_000,
    ttl_ms: int = 60_000,
    state: int = 1,
    charged: int = 0,
    steps: int = 0,
    feature: str = "-",
    rule: str = "a-rule",
) -> bytes:
    """A hold's record; `slices` are part, block, amount."""
    text = f"{reservation_id} {customer_id} {ttl_ms} 0 {units} {feature} {rule}"
    packed = b"".join(struct.pack(">BId", *each) for each in slices)
    return struct.pack(">dBdIH", time, state, charged, steps, len(slices)) + packed + text.encode()


def line(
    kind: Kind | str, customer_id: str, after: bytes, moved: bytes = b"", unit: str = UNIT, **rest: bytes
) -> Fields:
    """A line about an account."""
    return {str(kind): f"{customer_id} {unit}".encode(), "after": after, "moves": moved, **rest}


def numbers(part: int = 1, charged: int = 0, owed: int = 0, uncollected: int = 0) -> bytes:
    return struct.pack(">4d", part, charged, owed, uncollected)


def record(what: str, customer_id: str, **data: object) -> Fields:
    """A line about a customer or a key."""
    return {what: customer_id.encode(), "data": msgspec.json.encode(data)}


def grant_line(
    customer_id: str, number: int, amount: int, *, seq: int = 0, granted: int = 0, unit: str = UNIT
) -> Fields:
    """The grant of a block of `amount` to an account that nobody draws from; `granted`: before it."""
    total = granted + amount
    terms = Grant(block_id=f"blk_{customer_id[4:]}{number}", unit=unit, amount=amount, source="test")
    return line(
        Kind.GRANT,
        customer_id,
        image(seq or number, granted=total, available=total),
        moves((Moved.GRANTED, number, amount)),
        unit,
        block=block(number, granted=amount, available=amount),
        terms=msgspec.json.encode(terms),
        detail=b"{}",
    )


def write_grants(client: redis.Redis, partition: int, count: int, *, first: int = 1) -> list[Position]:
    """So many grants of 10 to the one customer of the partition; `first`: the number of the first block."""
    customer_id = customer_in(partition)
    with client.pipeline(transaction=False) as pipe:
        for number in range(first, first + count):
            fields: Any = grant_line(customer_id, number, 10, granted=10 * (number - 1))
            pipe.xadd(stream_of(partition), fields)
        return [Position.parse(given.decode()) for given in pipe.execute()]
