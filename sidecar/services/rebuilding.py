"""Makes an empty store again from the archive, after which everything goes on as if nothing had been held.

First the journals begin where the archive is, so that no new line is taken for an old one. Then come the counters and
accounts of a partition, then its customers: none can ask for credit before its account is there. It can be
interrupted at any point and begun again.
"""

import asyncio
import time
from collections.abc import Callable

import msgspec

from sidecar.archive.archive import Archive
from sidecar.domain.counters import Counter, counter_of
from sidecar.domain.errors import Conflict
from sidecar.domain.history import CustomerState
from sidecar.domain.ids import PARTITIONS
from sidecar.domain.journal import Position
from sidecar.services.archiver import Archiver
from sidecar.services.batches import batches
from sidecar.services.clock import Clock
from sidecar.services.lease import WORKER
from sidecar.store.audit import Audit
from sidecar.store.journal import START, Journal
from sidecar.store.leases import Leases
from sidecar.store.restore import Restore

_LAST_ENTRY = "f"
"""Behind every entry's id."""
_DRAIN_S = 600.0


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """What was made; what had been made by an attempt before is not counted."""

    customers: int = 0
    accounts: int = 0
    failed: tuple[str, ...] = ()
    """What could not be made, and why."""
    archived: bool = True
    """Whether what the rebuilding itself wrote is in the archive."""


class Rebuilding:
    """Of one tenant's environment."""

    def __init__(
        self,
        restore: Restore,
        audit: Audit,
        journal: Journal,
        leases: Leases,
        archive: Archive,
        archiver: Archiver,
        *,
        clock: Clock | None = None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._restore = restore
        self._audit = audit
        self._journal = journal
        self._leases = leases
        self._archive = archive
        self._archiver = archiver
        self._clock = clock
        self._now_s = now_s
        self._customers = self._accounts = 0
        self._failed: list[str] = []

    async def run(self) -> Rebuilt:
        """Make everything that is not there yet.

        Raises Conflict, and changes nothing, when the store is not empty, unless by an attempt that was interrupted,
        or when a worker is at work on it; StoreError or ArchiveUnavailable when one does not answer.
        """
        await self._refuse_beside_a_worker()
        positions = await self._archive.positions()
        if not await self._restore.begun():
            await self._refuse_what_is_there(positions)
            await self._restore.begin()
        self._customers = self._accounts = 0
        self._failed = []
        if self._clock is not None:
            # How far it was ahead was lost with the store; it was not earlier than what is archived.
            await self._clock.catch_up(max((position.ms for position in positions.values()), default=0))
        for partition, position in positions.items():
            await self._journal.lift(partition, position)
        for partition in range(PARTITIONS):
            position = positions.get(partition, START)
            async for some in batches(self._archive.account_states(partition=partition)):
                await asyncio.gather(*(self._make_accounts(state, position) for state in some))
            async for some in batches(self._archive.account_states(partition=partition)):
                await asyncio.gather(*(self._make_customer(state) for state in some))
        async for transfer in self._archive.transfers_not_arrived():
            await self._restore.transfer(transfer)
        await self._restore.end()
        return Rebuilt(
            customers=self._customers,
            accounts=self._accounts,
            failed=tuple(self._failed),
            archived=await self._archiver.drain(_DRAIN_S),
        )

    async def _refuse_beside_a_worker(self) -> None:
        if not await self._leases.take(WORKER, "rebuilding", 1_000):
            raise Conflict(
                "A sidecar is at work on this store: stop every `sidecar control`, `sidecar run` and "
                "`sidecar proxy`, then begin again."
            )
        await self._leases.give_back(WORKER, "rebuilding")

    async def _refuse_what_is_there(self, positions: dict[int, Position]) -> None:
        customers = accounts = 0
        for partition in range(PARTITIONS):
            names = {name async for name in self._audit.names(partition)}
            accounts += sum(bool(unit) for _, unit in names)
            customers += sum(not unit for _, unit in names)
        extents = await self._journal.extents()
        lines = sum(
            extent.length for number, extent in enumerate(extents) if extent.last > positions.get(number, START)
        )
        if customers or accounts or lines:
            raise Conflict(
                f"The store is not empty: it has {customers} customers, {accounts} accounts and {lines} "
                "journal lines that are not archived. Only an empty store is made again; nothing was changed."
            )

    async def _make_accounts(self, state: CustomerState, position: Position) -> None:
        await self._make_counters(state.customer_id)
        for account in state.accounts:
            fold = await self._archive.folded(state.customer_id, account.unit, _LAST_ENTRY)
            used = [key for key in state.business_keys if key.unit == account.unit]
            try:
                made = await self._restore.account(
                    state.customer_id, account, used, fold.members, fold.refunded, fold.periods, str(position)
                )
            except Conflict as error:
                self._failed.append(error.detail)
                continue
            self._accounts += made

    async def _make_counters(self, customer_id: str) -> None:
        """Those of periods that are running, or that were over a short while ago."""
        kept: dict[Counter, int] = {}
        for key, used in (await self._archive.counted(customer_id, _LAST_ENTRY)).items():
            counter = counter_of(key)
            if counter is None:
                self._failed.append(f"{customer_id}: nobody knows how long the counter {key!r} is kept.")
            elif counter.forget_at_ms > self._now_s() * 1000:
                kept[counter] = used
        await self._restore.counters(customer_id, kept)

    async def _make_customer(self, state: CustomerState) -> None:
        if state.data is None:
            self._failed.append(f"{state.customer_id}: the archive has accounts of it, but no record.")
            return
        try:
            made = await self._restore.customer(state)
        except Conflict as error:
            self._failed.append(error.detail)
            return
        self._customers += made
