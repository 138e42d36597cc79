"""Proves that the store's books are right, on a live store: each account against its open holds and its ledger.

A customer's books are read at one moment, which is a place in its journal. Once the archive has passed that place,
the ledger up to there must add up to them. It repairs nothing; all it writes is a copy of many holds, for a moment.
"""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

import msgspec

from sidecar.archive.archive import Archive
from sidecar.domain.counters import counter_of
from sidecar.domain.errors import StoreCorrupt
from sidecar.domain.history import Anomaly, BrokenLink, CustomerState
from sidecar.domain.ids import PARTITIONS
from sidecar.domain.journal import Position, entry_id
from sidecar.services.batches import batches
from sidecar.services.comparison import Archived, Difference, differences
from sidecar.store.audit import Audit, PayerBooks
from sidecar.store.journal import START, Journal

KEPT_MAX = 1_000
"""Most differences that a report lists; further ones are counted."""
_LOOK_S = 0.05


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was looked at, and what is wrong with it."""

    customers: int = 0
    accounts: int = 0
    holds: int = 0
    entries: int = 0
    differences: tuple[Difference, ...] = ()
    """The first `KEPT_MAX` of them."""
    differences_total: int = 0
    unchecked: tuple[str, ...] = ()
    """What could not be looked at, and why."""

    @property
    def clean(self) -> bool:
        """Everything was looked at, and all is well."""
        return not self.differences_total and not self.unchecked


class _Findings:
    """A report that is being made."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.differences: list[Difference] = []
        self.differences_total = 0
        self.unchecked: list[str] = []

    def add(self, *found: Difference) -> None:
        self.differences_total += len(found)
        self.differences += found[: KEPT_MAX - len(self.differences)]

    def report(self) -> Report:
        return Report(
            customers=self.seen["customers"],
            accounts=self.seen["accounts"],
            holds=self.seen["holds"],
            entries=self.seen["entries"],
            differences=tuple(self.differences),
            differences_total=self.differences_total,
            unchecked=tuple(self.unchecked),
        )


class Verification:
    """Of one tenant's environment. `wait_s`: how long the archive may need to catch up with what was read."""

    def __init__(
        self,
        audit: Audit,
        journal: Journal,
        archive: Archive,
        *,
        wait_s: float = 10.0,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._audit = audit
        self._journal = journal
        self._archive = archive
        self._wait_s = wait_s
        self._now_s = now_s
        self._found = _Findings()
        self._passed: Mapping[int, Position] = {}
        self._stalled: set[int] = set()
        """Partitions that were waited for in vain."""
        self._still = False
        """The archive did not move at all while it was waited for."""

    async def run(self, customer_id: str | None = None) -> Report:
        """Look at every customer, or at one. Raises StoreError or ArchiveUnavailable when one does not answer.

        What comes or goes meanwhile does no harm, and may or may not be looked at.
        """
        self._found, self._passed, self._stalled, self._still = _Findings(), {}, set(), False
        await self._check_positions(None if customer_id is None else self._audit.partition(customer_id))
        await self._check_ledger(customer_id)
        if customer_id is not None:
            state = await self._state(customer_id)
            await self._check({customer_id: state}, {})
            if state is None and not self._found.differences_total:
                self._found.unchecked.append(f"There is no customer {customer_id}.")
            return self._found.report()
        async for batch in batches(self._archive.account_states()):
            await self._check({state.customer_id: state for state in batch}, {})
        for partition in range(PARTITIONS):
            async for names in batches(self._audit.names(partition)):
                await self._check_strangers(names)
        await self._check_transfers()
        return self._found.report()

    async def _check_positions(self, partition: int | None) -> None:
        """The archive cannot be beyond the journal, unless the store has lost what it had."""
        positions = await self._archive.positions()
        extents = await self._journal.extents()
        for number, position in sorted(positions.items()):
            if partition in {None, number} and extents[number].last < position:
                wanted, last = f"at {position} or beyond, as the archive", str(extents[number].last)
                what = f"journal of partition {number}"
                self._found.add(Difference(what=what, expected=wanted, found=f"at {last}"))

    async def _check_ledger(self, customer_id: str | None) -> None:
        """The archive with itself: no entry was changed or lost, and none came that could not be right."""
        async for link in self._archive.verify_chain(customer_id):
            what = f"entry {link.entry_id}, number {link.seq}: {link.what}"
            self._found.add(_difference(link, what, "as it was archived"))
        cursor: str | None = None
        while True:
            page = await self._archive.anomalies(cursor, limit=100)
            for each in page.items:
                if customer_id in {None, each.customer_id}:
                    what = f"entry {each.entry_id}: {each.what}"
                    self._found.add(_difference(each, what, "what follows from before"))
            if (cursor := page.next_cursor) is None:
                return

    async def _check_transfers(self) -> None:
        """What one customer gave has arrived at the other, or is on its way."""
        lost = [
            each.way.transfer_id
            async for each in self._archive.transfers_not_arrived()
            if not await self._audit.on_its_way(each.way.from_id, each.way.transfer_id)
        ]
        if not lost:
            return
        # What has arrived a moment ago is archived a moment later.
        for partition, extent in enumerate(await self._journal.extents()):
            await self._archived(partition, extent.last)
        for transfer_id in lost:
            async for each in self._archive.transfers_not_arrived(transfer_id):
                way, what = each.way, f"transfer {transfer_id}"
                wanted, found = f"with {way.to_id}, or on its way to it", "neither"
                self._found.add(
                    Difference(customer_id=way.from_id, unit=way.unit, what=what, expected=wanted, found=found)
                )

    async def _check_strangers(self, names: Sequence[tuple[str, str]]) -> None:
        """Those that only the store has. Most others were looked at before."""
        known = await self._archive.known_accounts(sorted({customer_id for customer_id, _ in names}))
        strangers: defaultdict[str, set[str]] = defaultdict(set)
        for customer_id, unit in names:
            units = known.get(customer_id)
            if units is None or (unit and unit not in units):
                strangers[customer_id] |= {unit} - {""}
        if strangers:
            await self._check({each: await self._state(each) for each in strangers}, strangers)

    async def _check(self, states: Mapping[str, CustomerState | None], units: Mapping[str, set[str]]) -> None:
        """Compare these customers; what differs is looked at once more, for it may only have changed meanwhile."""
        wanted = {each: _units(state) | units.get(each, set()) for each, state in states.items()}
        for books in await self._read(wanted):
            found, entries = await self._compared(books, states[books.customer_id], wanted[books.customer_id])
            if found:
                state = await self._state(books.customer_id)
                again = {books.customer_id: _units(state) | wanted[books.customer_id]}
                found = []
                for new in await self._read(again):
                    found, entries = await self._compared(new, state, again[books.customer_id])
            self._found.add(*found)
            if states[books.customer_id] is None or not units:
                # The others were counted with the rest of their accounts.
                self._found.seen.update(customers=1, accounts=len(books.accounts), holds=books.holds, entries=entries)

    async def _read(self, units: Mapping[str, set[str]]) -> list[PayerBooks]:
        """The books of these customers, those of which the archive has all that they tell of."""
        results = await asyncio.gather(
            *(self._audit.payer(customer_id, names) for customer_id, names in units.items()), return_exceptions=True
        )
        read: list[PayerBooks] = []
        for customer_id, result in zip(units, results, strict=True):
            if isinstance(result, StoreCorrupt):
                wanted, found = "as our scripts write it", result.detail
                self._found.add(Difference(customer_id=customer_id, what="torn", expected=wanted, found=found))
            elif isinstance(result, BaseException):
                raise result
            elif await self._archived(self._audit.partition(customer_id), result.position):
                read.append(result)
        return read

    async def _archived(self, partition: int, position: Position) -> bool:
        """Whether the archive has come there; waits for it, but only once for a partition or if all stands still."""
        if self._passed.get(partition, START) >= position:
            return True
        before = self._passed = await self._archive.positions()
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + (0 if self._still or partition in self._stalled else self._wait_s)
        while self._passed.get(partition, START) < position and loop.time() < give_up_at:
            await asyncio.sleep(_LOOK_S)
            self._passed = await self._archive.positions()
        if self._passed.get(partition, START) >= position:
            return True
        self._still |= self._passed == before
        if partition not in self._stalled:
            self._stalled.add(partition)
            self._found.unchecked.append(
                f"Partition {partition}: the archive did not come to {position} within {self._wait_s:g} s, so some "
                "of its customers were not compared; only a running `sidecar control` or `sidecar run` archives."
            )
        return False

    async def _compared(
        self, books: PayerBooks, state: CustomerState | None, units: Iterable[str]
    ) -> tuple[list[Difference], int]:
        """What is wrong, and how many entries there are to the account."""
        upto = entry_id(self._audit.partition(books.customer_id), books.position)
        folds = {
            unit: await self._archive.folded(books.customer_id, unit, upto) for unit in {*units, *books.accounts}
        }
        external_id = (state.data or {}).get("external_id", "") if state is not None else books.external_id
        indexed = await self._audit.external(str(external_id)) if external_id else None
        counted = await self._counted(books, upto)
        archived = Archived(state=state, folds=folds, counted=counted, upto=upto)
        found = list(differences(books, archived, indexed))
        if state is not None:
            found += [each async for each in self._caps(books, state)]
            found += [each async for each in self._spend_caps(books, state)]
        return found, sum(fold.entries for fold in folds.values())

    async def _counted(self, books: PayerBooks, upto: str) -> dict[str, int]:
        """Where the ledger says that counters stand: those that the store has, and those that it must have."""
        counted = await self._archive.counted(books.customer_id, upto)
        now_ms = self._now_s() * 1000

        def must_be_there(key: str) -> bool:
            counter = counter_of(key)
            return counter is not None and counter.forget_at_ms > now_ms

        return {key: used for key, used in counted.items() if key in books.counters or must_be_there(key)}

    async def _caps(self, books: PayerBooks, state: CustomerState) -> AsyncIterator[Difference]:
        """Of a member, what its parent lets it spend."""
        for unit, cap in state.pool_caps.items():
            found = await self._audit.cap(books.parent_id, books.customer_id, unit) if books.parent_id else None
            if found != cap:
                wanted, has = ("none" if each is None else str(each) for each in (cap, found))
                what = "cap of its pool"
                yield Difference(customer_id=books.customer_id, unit=unit, what=what, expected=wanted, found=has)

    async def _spend_caps(self, books: PayerBooks, state: CustomerState) -> AsyncIterator[Difference]:
        """What a customer may spend in windows of time, which stands with who pays for it."""
        found: dict[str, str | None] = dict(books.spend_caps)
        if books.parent_id:
            for unit in state.spend_caps:
                found[unit] = await self._audit.spend_caps(books.parent_id, books.customer_id, unit)
        for unit in sorted(found.keys() | state.spend_caps.keys()):
            wanted, has = state.spend_caps.get(unit, "none"), found.get(unit) or "none"
            if wanted != has:
                yield Difference(
                    customer_id=books.customer_id, unit=unit, what="spend caps", expected=wanted, found=has
                )

    async def _state(self, customer_id: str) -> CustomerState | None:
        async for state in self._archive.account_states(customer_id=customer_id):
            return state
        return None


def _difference(about: BrokenLink | Anomaly, what: str, expected: str) -> Difference:
    return Difference(
        customer_id=about.customer_id, unit=about.unit, what=what, expected=expected, found=about.detail
    )


def _units(state: CustomerState | None) -> set[str]:
    return set() if state is None else {account.unit for account in state.accounts}
