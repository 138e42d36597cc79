"""A customer to try the ledger on: its operations in few words, and all that the store has about it.

`sums.py` says whether that adds up.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from sidecar.domain.blocks import Block, Grant
from sidecar.domain.ids import PARTITIONS
from sidecar.domain.journal import Line
from sidecar.domain.once import Once
from sidecar.domain.outcomes import (
    Balance,
    Changed,
    Ended,
    Granted,
    OpenHold,
    Overrun,
    Refused,
    Rejected,
    Reserved,
    Resolved,
    Settled,
    UnknownReservation,
)
from sidecar.store.accounts import Accounts
from sidecar.store.address import parse_address
from sidecar.store.customers import Customers, PoolShare
from sidecar.store.hold_record import HoldRecord
from sidecar.store.journal import START, Journal
from sidecar.store.keys import Keys
from sidecar.store.lane import Lane
from sidecar.store.lanes import make_lane
from sidecar.store.ledger import CommitTerms, Ledger, PaidBy
from sidecar.store.open_holds import OpenHolds
from tests.support.until import until_async

TENANT, ENVIRONMENT = "default", "live"
NOW_MS = 1_700_000_000_000
UNIT, TOKENS = "credits", "tokens"
HELD = 300
RULE = "a-rule"
USAGE, SOURCE, REASON = "input_tokens=1 output_tokens=2", "reported", "the upstream failed"
TTL_MS = 60_000
_PAGE = 500


class Purse:
    """One customer with an external id; if it is a member of a pool, its parent pays.

    It remembers what it reserved: a settlement of another reservation is one of `HELD` base units.
    """

    def __init__(self, lane: Lane, customer_id: str, external_id: str, payer_id: str = "") -> None:
        names = {"tenant": TENANT, "environment": ENVIRONMENT}
        self.lane = lane
        self.ledger = Ledger(lane, **names)
        self.accounts = Accounts(lane, **names)
        self.customers = Customers(lane, **names)
        self.open_holds = OpenHolds(lane, **names)
        self.journal = Journal(lane, **names)
        self.keys = Keys(**names)
        self.customer_id = customer_id
        self.external_id = external_id
        self.payer_id = payer_id or customer_id
        self.credential = f"external:{external_id}"
        self.records: dict[str, HoldRecord] = {}

    @property
    def partition(self) -> int:
        return self.keys.partition(self.customer_id)

    # Blocks

    async def grant(
        self, amount: int, key: str = "", unit: str = UNIT, fingerprint: str = "f0", **terms: Any
    ) -> Granted:
        """A block with the id ``blk_<key>``; `terms` are further fields of `Grant`."""
        key = key or f"key {amount}"
        block_id = terms.pop("block_id", None) or block_named(key)
        grant = Grant(block_id=block_id, unit=unit, amount=amount, source="test", **terms)
        detail = {"reason": "a reason with spaces"}
        return await self.accounts.grant(self.payer_id, grant, Once(key, fingerprint), detail)

    async def void(self, key: str, unit: str = UNIT, once: str = "", fingerprint: str = "f0") -> Changed:
        repeatable = Once(once or f"void {key}", fingerprint)
        return await self.accounts.void(self.payer_id, unit, block_named(key), repeatable)

    async def extend(
        self, key: str, at_ms: int | None, unit: str = UNIT, once: str = "", fingerprint: str = "f0"
    ) -> Changed:
        repeatable = Once(once or f"extend {key} {at_ms}", fingerprint)
        return await self.accounts.extend(self.payer_id, unit, block_named(key), at_ms, repeatable)

    # Holds

    def record(
        self,
        reservation_id: str,
        amount: int,
        *,
        unit: str = UNIT,
        tokens: int | None = None,
        ttl_ms: int = TTL_MS,
        feature: str = "",
        rule: str = RULE,
        remember: bool = False,
    ) -> HoldRecord:
        """`tokens`: so many are the second part."""
        parts = ((unit, amount),) if tokens is None else ((unit, amount), (TOKENS, tokens))
        return self.ledger.hold(self.customer_id, reservation_id, parts, ttl_ms, feature, rule, remember=remember)

    def known(self, reservation_id: str) -> HoldRecord:
        return self.records.get(reservation_id) or self.record(reservation_id, HELD)

    async def reserve(
        self, reservation_id: str, amount: int, *, credential: str = "", **terms: Any
    ) -> Reserved | Refused | Ended:
        """`terms` are those of `record`. Asks again with the payer that the first answer named, if it did."""
        for _ in range(2):
            record = self.records[reservation_id] = self.record(reservation_id, amount, **terms)
            outcome = await self.ledger.reserve(record, credential or self.credential)
            if not isinstance(outcome, PaidBy):
                return outcome
        raise AssertionError(f"{outcome} was not enough")

    async def commit(
        self, reservation_id: str, charge: int, *others: int, step: int = 0, overrun: Overrun = Overrun.OWE
    ) -> Settled | UnknownReservation | Resolved | Rejected:
        terms = CommitTerms(step=step, overrun=overrun, others=others)
        return await self.ledger.commit(self.known(reservation_id), charge, USAGE, SOURCE, terms)

    async def release(self, reservation_id: str) -> Settled | UnknownReservation | Resolved:
        return await self.ledger.release(self.known(reservation_id), REASON)

    async def resize(
        self, reservation_id: str, *amounts: int, ttl_ms: int = 0
    ) -> Reserved | Refused | UnknownReservation | Resolved:
        return await self.ledger.resize(self.known(reservation_id), amounts, ttl_ms)

    async def sweep(self) -> int:
        """Let happen everything that is due; answers how many holds expired."""
        swept = await asyncio.gather(*(self.ledger.sweep(partition, 1000) for partition in range(PARTITIONS)))
        return sum(expired for _, expired in swept)

    async def expired(self, reservation_id: str, amount: int, **terms: Any) -> None:
        """Reserve, let the deadline pass by the server's own clock, and sweep it away."""
        await self.reserve(reservation_id, amount, **terms, ttl_ms=1)

        async def swept() -> bool:
            return await self.sweep() == 1

        await until_async(swept, "the hold to expire")

    # Looking

    async def balance(self, unit: str = UNIT) -> Balance:
        (balance,) = [each for each in await self.accounts.balances(self.payer_id) if each.unit == unit]
        return balance

    async def blocks(self, unit: str = UNIT) -> tuple[Block, ...]:
        return (await self.accounts.account(self.payer_id, unit)).blocks

    async def share(self, unit: str = UNIT) -> PoolShare:
        return await self.customers.pool_share(self.customer_id, unit)

    async def holds(self) -> list[OpenHold]:
        holds, cursor = await self.open_holds.page(customer_id=self.customer_id, limit=_PAGE, cursor=None)
        assert cursor is None
        return holds

    async def lines(self) -> list[Line]:
        """What the journal has about the payer's accounts, oldest first."""
        after, lines = START, []
        while read := await self.journal.read(self.partition, after, _PAGE):
            after = read[-1].position
            lines += [line for line in read if isinstance(line, Line) and line.customer_id == self.payer_id]
        return lines

    def elsewhere(self, lane: Lane) -> "Purse":
        """The same customer with the same reservations, through another connection."""
        other = Purse(lane, self.customer_id, self.external_id, self.payer_id)
        other.records = self.records
        return other


def block_named(key: str) -> str:
    return "blk_" + key.replace(" ", "_")


def in_credits(granted: int, available: int, held: int, spent: int, owed: int = 0, **more: int) -> Balance:
    """A balance in `UNIT`; `more` may be scheduled, expired, voided."""
    known = Balance(unit=UNIT, granted=granted, available=available, held=held, spent=spent, owed=owed)
    return msgspec.structs.replace(known, **more)


@asynccontextmanager
async def open_lane(url: str, timeout_s: float = 5.0) -> AsyncIterator[Lane]:
    lane = make_lane(parse_address(url), timeout_s=timeout_s)
    await lane.open()
    try:
        yield lane
    finally:
        await lane.close()


async def open_purse(lane: Lane, external_id: str = "alice", granted: int = 0) -> Purse:
    """A new customer; with `granted` credits in one block when that is not 0."""
    customers = Customers(lane, tenant=TENANT, environment=ENVIRONMENT)
    customer, _ = await customers.create(external_id=external_id, now_ms=NOW_MS)
    purse = Purse(lane, customer.customer_id, external_id)
    if granted:
        await purse.grant(granted, "opening")
    return purse


async def open_member(payer: Purse, external_id: str = "bob", cap: int | None = None) -> Purse:
    """A new member of the payer's pool; with a cap in credits when that is not None."""
    made, _ = await payer.customers.create(external_id=external_id, now_ms=NOW_MS, parent_id=payer.customer_id)
    if cap is not None:
        await payer.customers.set_pool_cap(made.customer_id, UNIT, cap)
    return Purse(payer.lane, made.customer_id, external_id, payer.customer_id)
