"""A customer to try the ledger on, and the journal read back as balances."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import redis

from sidecar.domain.ids import PARTITIONS
from sidecar.domain.once import Once
from sidecar.domain.outcomes import Balance, Ended, Refused, Reserved, Settled, UnknownReservation
from sidecar.store.address import parse_address
from sidecar.store.customers import Customers
from sidecar.store.hold_record import HoldRecord, hold_record
from sidecar.store.keys import Keys
from sidecar.store.lane import Lane
from sidecar.store.ledger import Granted, Ledger
from tests.support.until import until_async

TENANT, ENVIRONMENT = "default", "live"
NOW_MS = 1_700_000_000_000
UNIT = "credits"
HELD = 300


class Purse:
    """One customer with an external id, and the ledger's operations on it in few words.

    It remembers what it reserved: a settlement of another reservation is one of `HELD` base units.
    """

    def __init__(self, ledger: Ledger, customer_id: str, external_id: str) -> None:
        self.ledger = ledger
        self.customer_id = customer_id
        self.credential = f"external:{external_id}"
        self.records: dict[str, HoldRecord] = {}

    def record(self, reservation_id: str, amount: int, *, unit: str = UNIT, ttl_ms: int = 60_000) -> HoldRecord:
        return hold_record(
            customer_id=self.customer_id,
            reservation_id=reservation_id,
            unit=unit,
            amount=amount,
            ttl_ms=ttl_ms,
            rule="a rule with spaces",
        )

    def known(self, reservation_id: str) -> HoldRecord:
        return self.records.get(reservation_id) or self.record(reservation_id, HELD)

    async def grant(self, amount: int, key: str = "", unit: str = UNIT, fingerprint: str = "f0") -> Granted:
        return await self.ledger.grant(
            customer_id=self.customer_id,
            unit=unit,
            amount=amount,
            grant_id=f"grt_{key.replace(' ', '_')}",
            source="test",
            reason="a reason with spaces",
            once=Once(key or f"key {amount}", fingerprint),
        )

    async def reserve(
        self, reservation_id: str, amount: int, *, unit: str = UNIT, ttl_ms: int = 60_000, credential: str = ""
    ) -> Reserved | Refused | Ended:
        record = self.records[reservation_id] = self.record(reservation_id, amount, unit=unit, ttl_ms=ttl_ms)
        return await self.ledger.reserve(record, credential=credential or self.credential)

    async def commit(self, reservation_id: str, charge: int) -> Settled | UnknownReservation:
        return await self.ledger.commit(
            self.known(reservation_id), charge=charge, usage="input_tokens=1 output_tokens=2", source="reported"
        )

    async def release(self, reservation_id: str) -> Settled | UnknownReservation:
        return await self.ledger.release(self.known(reservation_id), reason="the upstream failed")

    async def balance(self, unit: str = UNIT) -> Balance:
        (balance,) = [balance for balance in await self.ledger.balances(self.customer_id) if balance.unit == unit]
        return balance

    async def sweep(self) -> int:
        """Expire everything that is overdue."""
        return sum(await asyncio.gather(*(self.ledger.sweep(partition, 1000) for partition in range(PARTITIONS))))

    async def expired(self, reservation_id: str, amount: int) -> None:
        """Reserve, let the deadline pass, and sweep it away."""
        await self.reserve(reservation_id, amount, ttl_ms=1)

        async def swept() -> bool:
            return await self.sweep() == 1

        await until_async(swept, "the hold to expire")


@asynccontextmanager
async def open_lane(url: str, timeout_s: float = 5.0) -> AsyncIterator[Lane]:
    lane = Lane(parse_address(url), timeout_s=timeout_s)
    await lane.open()
    try:
        yield lane
    finally:
        await lane.close()


async def open_purse(lane: Lane, external_id: str = "alice", granted: int = 0) -> Purse:
    """A new customer; with `granted` credits when that is not 0."""
    customers = Customers(lane, tenant=TENANT, environment=ENVIRONMENT)
    customer, _ = await customers.create(external_id=external_id, now_ms=NOW_MS)
    purse = Purse(Ledger(lane, tenant=TENANT, environment=ENVIRONMENT), customer.customer_id, external_id)
    if granted:
        await purse.grant(granted, "opening")
    return purse


def journal(client: redis.Redis, customer_id: str) -> list[dict[str, str]]:
    """The lines about one customer, oldest first; the first field of each says what happened to which hold."""
    stream = Keys(TENANT, ENVIRONMENT).of(customer_id).journal
    entries: Any = client.xrange(stream)
    lines = [{name.decode(): value.decode() for name, value in fields.items()} for _, fields in entries]
    return [line for line in lines if customer_id in event_of(line)[1]]


def event_of(line: dict[str, str]) -> tuple[str, str]:
    """``("committed", hold)`` and the like, or ``("granted", customer id)``."""
    return next(iter(line.items()))


def folded(lines: list[dict[str, str]], open_holds: dict[str, int]) -> list[Balance]:
    """What the journal and the open holds of each unit say that the balances are."""
    units: dict[str, dict[str, int]] = {}
    for line in lines:
        unit = line["unit"] if "granted" in line else event_of(line)[1].split(" ")[1]
        sums = units.setdefault(unit, {"granted": 0, "spent": 0, "owed": 0})
        sums["granted"] += int(line.get("amount", 0))
        sums["spent"] += int(line.get("charged", 0)) - int(line["owed"])
        sums["owed"] += int(line["owed"])
    return [
        Balance(
            unit=unit,
            granted=sums["granted"],
            held=open_holds.get(unit, 0),
            spent=sums["spent"],
            owed=sums["owed"],
            available=sums["granted"] - sums["spent"] - open_holds.get(unit, 0),
        )
        for unit, sums in sorted(units.items())
    ]
