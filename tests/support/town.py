"""Customers on a real store with a real archive behind it, and the ledger's operations on them in few words."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from sidecar.archive.archive import Archive
from sidecar.domain.blocks import Grant
from sidecar.domain.ids import PARTITIONS, new_id
from sidecar.domain.once import Once
from sidecar.domain.outcomes import Granted, Overrun
from sidecar.domain.spend_caps import SpendCap
from sidecar.services.archiver import Archiver
from sidecar.store.accounts import Accounts
from sidecar.store.address import parse_address
from sidecar.store.customers import Customers
from sidecar.store.hold_record import HoldRecord
from sidecar.store.journal import Journal
from sidecar.store.lane import Lane
from sidecar.store.lanes import make_lane
from sidecar.store.ledger import CommitTerms, Ledger, PaidBy
from sidecar.store.spend_caps import SpendCaps

TENANT, ENVIRONMENT = "default", "live"
NOW_MS = 1_700_000_000_000
UNIT = "credits"


class Town:
    """Customers are known by their external ids here."""

    def __init__(self, lane: Lane, archive: Archive) -> None:
        names = {"tenant": TENANT, "environment": ENVIRONMENT}
        self.lane = lane
        self.archive = archive
        self.ledger = Ledger(lane, **names)
        self.accounts = Accounts(lane, **names)
        self.customers = Customers(lane, **names)
        self.spend_caps = SpendCaps(lane, **names)
        self.journal = Journal(lane, **names)
        self.archiver = Archiver(self.journal, archive)
        self.ids: dict[str, str] = {}
        self.secrets: dict[str, str] = {}
        """The texts of proxy keys."""
        self.holds: dict[str, HoldRecord] = {}
        self._count = itertools.count(1)

    async def customer(self, name: str, *, parent: str | None = None) -> str:
        parent_id = None if parent is None else self.ids[parent]
        made, _ = await self.customers.create(external_id=name, now_ms=NOW_MS, parent_id=parent_id)
        self.ids[name] = made.customer_id
        return made.customer_id

    async def cap_spend(self, name: str, cap_name: str, amount: int, **terms: object) -> None:
        """A spend cap with the id ``cap_<cap_name>``; `terms` are fields of `SpendCap`."""
        fields = {"cap_id": f"cap_{cap_name}", "unit": UNIT, "amount": amount, "created_at_ms": NOW_MS, **terms}
        cap = SpendCap(**fields)  # type: ignore[arg-type]  # the fields are the test's
        payer_id = (await self.customers.get(self.ids[name])).parent_id or self.ids[name]
        await self.spend_caps.add(payer_id, self.ids[name], cap)

    async def grant(self, name: str, amount: int, unit: str = UNIT, **terms: object) -> Granted:
        """A block; `terms` are fields of `Grant`."""
        number = next(self._count)
        block_id = new_id("blk", NOW_MS, number.to_bytes(10, "big"))
        fields = {"block_id": block_id, "unit": unit, "amount": amount, "source": "test", **terms}
        grant = Grant(**fields)  # type: ignore[arg-type]  # the fields are the test's
        return await self.accounts.grant(self.ids[name], grant, Once(f"grant {number}", "f0"))

    async def void(self, name: str, block_id: str | None, unit: str = UNIT) -> None:
        assert block_id is not None
        await self.accounts.void(self.ids[name], unit, block_id, Once(f"void {next(self._count)}", "f0"))

    async def extend(self, name: str, block_id: str | None, expires_at_ms: int | None, unit: str = UNIT) -> None:
        assert block_id is not None
        once = Once(f"extend {next(self._count)}", "f0")
        await self.accounts.extend(self.ids[name], unit, block_id, expires_at_ms, once)

    async def reserve(
        self,
        name: str,
        reservation_id: str,
        *amounts: int,
        units: Iterable[str] = (UNIT, "tokens"),
        feature: str = "",
        ttl_ms: int = 600_000,
        remember: bool = False,
        credential: str = "",
    ) -> object:
        """Hold `amounts`, one in each of the first `units`."""
        parts = tuple(zip(units, amounts, strict=False))
        for _ in range(2):
            record = self.ledger.hold(
                self.ids[name], reservation_id, parts, ttl_ms, feature, "a-rule", remember=remember
            )
            self.holds[reservation_id] = record
            outcome = await self.ledger.reserve(record, credential or f"external:{name}")
            if not isinstance(outcome, PaidBy):
                break
        return outcome

    async def commit(
        self, reservation_id: str, *charges: int, step: int = 0, overrun: Overrun = Overrun.OWE
    ) -> object:
        terms = CommitTerms(step=step, overrun=overrun, others=charges[1:])
        return await self.ledger.commit(
            self.holds[reservation_id], charges[0], "model=m input_tokens=7", "reported", terms
        )

    async def release(self, reservation_id: str) -> object:
        return await self.ledger.release(self.holds[reservation_id], "the upstream failed")

    async def sweep(self) -> int:
        """Let happen what is due everywhere; answers how many holds expired."""
        swept = await asyncio.gather(*(self.ledger.sweep(partition, 1000) for partition in range(PARTITIONS)))
        return sum(expired for _, expired in swept)

    async def archived(self) -> None:
        """Archive all that is in the journals."""
        while await self.archiver.archive_once():
            pass
        assert not self.archiver.stopped


@asynccontextmanager
async def open_town(store_url: str, archive_url: str) -> AsyncIterator[Town]:
    lane, archive = make_lane(parse_address(store_url), timeout_s=5.0), Archive(archive_url)
    await lane.open()
    await archive.open()
    try:
        yield Town(lane, archive)
    finally:
        await archive.close()
        await lane.close()
