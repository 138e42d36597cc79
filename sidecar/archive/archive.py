"""The archive's face: everything that the rest of the program can ask of it."""

from collections.abc import AsyncIterator, Sequence

from sqlalchemy import select

from sidecar.archive import audit, customers, documents, events, history, schema, topup_requests, watches
from sidecar.archive.address import parse_archive_address
from sidecar.archive.append import append
from sidecar.archive.blocks import block_sums, topups_page
from sidecar.archive.counts import counted
from sidecar.archive.database import Database
from sidecar.archive.fold import Fold, fold, known_accounts
from sidecar.archive.states import customer_states
from sidecar.archive.stats import stats
from sidecar.archive.transfers import not_arrived
from sidecar.archive.usage import clock_between, top_usage, usage_conditions, usage_page
from sidecar.archive.verify import broken_links
from sidecar.domain.audit import Audited, AuditFilter
from sidecar.domain.auto_topups import RequestFilter, TopupRequest
from sidecar.domain.customers import Customer
from sidecar.domain.documents import Changes, Document
from sidecar.domain.errors import OthersArchive
from sidecar.domain.events import Event, EventFilter
from sidecar.domain.history import (
    Anomaly,
    Appended,
    BlockSums,
    BrokenLink,
    CustomerFilter,
    CustomerState,
    Entry,
    EntryFilter,
    Page,
    Stats,
    UsageRow,
)
from sidecar.domain.journal import Line, Position, Record, Totals
from sidecar.domain.transfers import Transfer
from sidecar.domain.watches import Watch, WatchKind

ALL = EntryFilter()


class Archive:
    """The ledger of one tenant's environment in one database.

    `url`: ``sqlite:///path`` or ``postgresql://…``; `InvalidInput` when it is neither. `apart`: the database is
    another's, so this is in a file beside it, or in a schema of its own. Every call raises `ArchiveUnavailable` when
    the database does not answer; the next call tries again.
    """

    def __init__(self, url: str, *, tenant: str = "default", environment: str = "live", apart: bool = False) -> None:
        address = parse_archive_address(url)
        self._database = Database(address.apart(tenant, environment) if apart else address)
        self._scope = f"{tenant}/{environment}"

    def __str__(self) -> str:
        return str(self._database.address)

    def __repr__(self) -> str:
        return f"Archive({self})"

    async def open(self) -> None:
        """Connect, and bring the schema up to date.

        `StartupError` when the database is newer than this program, or its driver is not installed; `OthersArchive`
        when it keeps another ledger.
        """
        await self._database.open()
        async with self._database.writing() as transaction:
            kept = (await transaction.connection.execute(select(schema.scope.c.name))).scalar_one_or_none()
            if kept is None:
                await transaction.bulk.upsert(schema.scope, [(1, self._scope)])
        if kept not in {None, self._scope}:
            await self.close()
            raise OthersArchive(
                f"The archive {self} keeps the ledger of {kept}, not of {self._scope}: each tenant and "
                "environment has an archive of its own; name another one with archive.url."
            )

    async def close(self) -> None:
        await self._database.close()

    async def append(self, partition: int, lines: Sequence[Line | Record], after: Position) -> Appended:
        """Archive `lines`, which follow `after` in the journal of `partition`: all or nothing, each once.

        `Overtaken` when the archive of the partition does not stand at `after`; nothing was written.
        """
        return await append(self._database, partition, lines, after)

    async def positions(self) -> dict[int, Position]:
        """How far each partition is archived; one that never was is missing."""
        table = schema.positions
        async with self._database.reading() as transaction:
            rows = await transaction.connection.execute(table.select())
            return {row.partition: Position(row.ms, row.number) for row in rows}

    async def entries(self, wanted: EntryFilter = ALL, cursor: str | None = None, limit: int = 50) -> Page[Entry]:
        """The newest first, by event time; `limit` up to 1,000. `InvalidInput` for a cursor that is none."""
        return await history.entries_page(self._database, wanted, cursor, limit)

    def export(self, wanted: EntryFilter = ALL) -> AsyncIterator[Entry]:
        """All of them, the oldest first, in bounded memory. It holds no connection while the reader works."""
        return history.export(self._database, wanted)

    async def balance_at(self, customer_id: str, at_ms: int) -> dict[str, Totals]:
        """The totals of each of the customer's accounts, by unit, after all that had happened by `at_ms`.

        Empty when it had no account. What fell due by then counts, even where it was recorded later; `held` is as of
        the account's last entry, since a hold alone writes none.
        """
        return await history.balance_at(self._database, customer_id, at_ms)

    async def usage(
        self,
        group_by: Sequence[str],
        from_ms: int | None = None,
        to_ms: int | None = None,
        *,
        customer_id: str | None = None,
        asker_id: str | None = None,
        unit: str | None = None,
        cursor: str | None = None,
        limit: int = 100,
        tz: str = "UTC",
    ) -> Page[UsageRow]:
        """What commits charged from `from_ms` until before `to_ms`, by one or two keys, in the order of the keys.

        A key is a `UsageBy`, or the name of a dimension that the price was chosen by, such as ``request.size``.
        `customer_id` is the payer, `asker_id` who asked: a member of its pool, or itself. Hours and days are those of
        the clocks of `tz`; InvalidInput for what is no time zone.
        """
        conditions = usage_conditions(from_ms, to_ms, customer_id, asker_id, unit)
        clock = clock_between(tz, from_ms, to_ms)
        return await usage_page(self._database, group_by, conditions, cursor, limit, clock)

    async def top_usage(
        self,
        by: str,
        unit: str,
        from_ms: int | None = None,
        to_ms: int | None = None,
        *,
        limit: int = 10,
        tz: str = "UTC",
    ) -> tuple[UsageRow, ...]:
        """The groups that were charged most of one unit, the most first; without their meters."""
        conditions = usage_conditions(from_ms, to_ms, None, None, unit)
        return await top_usage(self._database, by, conditions, limit, clock_between(tz, from_ms, to_ms))

    async def stats(self) -> Stats:
        """How many customers, accounts and entries there are, and what is in all accounts together."""
        return await stats(self._database)

    async def block(self, customer_id: str, block_id: str) -> BlockSums | None:
        """What became of a block of a customer; None: it has none of this id."""
        return await block_sums(self._database, customer_id, block_id)

    async def topups(self, customer_id: str, cursor: str | None = None, limit: int = 50) -> Page[BlockSums]:
        """What a customer has paid for, the newest first. `InvalidInput` for a cursor that is none."""
        return await topups_page(self._database, customer_id, cursor, limit)

    def transfers_not_arrived(self, transfer_id: str | None = None) -> AsyncIterator[Transfer]:
        """What was sent from one customer to another and has not arrived, or the one with this id if it has not."""
        return not_arrived(self._database, transfer_id)

    async def anomalies(self, cursor: str | None = None, limit: int = 50) -> Page[Anomaly]:
        """What could not be right in the journal, the newest first."""
        return await history.anomalies_page(self._database, cursor, limit)

    async def customers(self, wanted: CustomerFilter, cursor: str | None = None, limit: int = 50) -> Page[Customer]:
        """The newest first; `limit` up to 1,000. `InvalidInput` for a cursor that is none."""
        return await customers.customers_page(self._database, wanted, cursor, limit)

    async def put_document(self, kind: str, key: str, body: bytes, *, expected: int | None, now_ms: int) -> Document:
        """Write a document whose version is `expected` (0: there must be none; None: any).

        Raises Conflict when there must be none and there is one, VersionConflict when it has another version.
        """
        return await documents.put(self._database, kind, key, body, expected, now_ms)

    async def remove_document(self, kind: str, key: str, *, expected: int | None, now_ms: int) -> None:
        """Remove it. Raises NotFound, VersionConflict."""
        await documents.remove(self._database, kind, key, expected, now_ms)

    async def changed_documents(self, after: int) -> Changes:
        """All documents that have changed after the change `after`; 0 for everything."""
        return await documents.changes(self._database, after)

    async def append_audited(self, records: Sequence[Audited]) -> None:
        """Add to the audit log, all or nothing, each once."""
        await audit.append(self._database, records)

    async def audited(self, wanted: AuditFilter, cursor: str | None = None, limit: int = 50) -> Page[Audited]:
        """The audit log, the newest first."""
        return await audit.page(self._database, wanted, cursor, limit)

    async def events(self, wanted: EventFilter, cursor: str | None = None, limit: int = 50) -> Page[Event]:
        """The newest first, or from behind a sequence on the oldest first. InvalidInput for a cursor that is none."""
        return await events.page(self._database, wanted, cursor, limit)

    async def event(self, event_id: str) -> Event:
        """Raises NotFound."""
        return await events.one(self._database, event_id)

    async def drop_events(self, before_ms: int) -> int:
        """Forget the events of before then; how many they were. Numbers are never given again."""
        return await events.drop(self._database, before_ms)

    async def put_watch(
        self, kind: WatchKind, customer_id: str, unit: str, body: bytes, *, expected: int | None, now_ms: int
    ) -> Watch:
        """Say what is watched for on a balance, if what was said before has the version `expected`, None for any.

        Raises VersionConflict.
        """
        return await watches.put(self._database, kind, customer_id, unit, body, expected, now_ms)

    async def remove_watch(
        self, kind: WatchKind, customer_id: str, unit: str, *, expected: int | None, now_ms: int
    ) -> None:
        """Take it away, and what it asks for. Raises NotFound, VersionConflict."""
        await watches.remove(self._database, kind, customer_id, unit, expected, now_ms)

    async def watches(self, kind: WatchKind, customer_ids: Sequence[str]) -> list[Watch]:
        """What is watched for on balances of some customers."""
        return await watches.of(self._database, kind, customer_ids)

    async def ask_for_topups(self, now_ms: int) -> int:
        """Make the requests that are due for balances of which there is no news; how many that were."""
        return await topup_requests.look(self._database, now_ms)

    async def ask_for_topup(self, customer_id: str, unit: str, *, now_ms: int) -> bool:
        """The same for one balance."""
        return await topup_requests.look_at(self._database, customer_id, unit, now_ms)

    async def topup_requests(
        self, wanted: RequestFilter, cursor: str | None = None, limit: int = 50
    ) -> Page[TopupRequest]:
        """The newest first. InvalidInput for a cursor that is none."""
        return await topup_requests.page(self._database, wanted, cursor, limit)

    async def topup_request(self, request_id: str) -> TopupRequest:
        """Raises NotFound."""
        return await topup_requests.one(self._database, request_id)

    async def decline_topup(self, request_id: str, reason: str, *, now_ms: int) -> TopupRequest:
        """Say that a request will not be fulfilled. Raises NotFound, Conflict for one that has ended otherwise."""
        return await topup_requests.decline(self._database, request_id, reason, now_ms)

    def verify_chain(self, customer_id: str | None = None) -> AsyncIterator[BrokenLink]:
        """Everything in the ledger that is not as it was written; nothing when all is well."""
        return broken_links(self._database, customer_id)

    async def folded(self, customer_id: str, unit: str, upto: str) -> Fold:
        """What the postings of one account come to, up to the entry id `upto`."""
        return await fold(self._database, customer_id, unit, upto)

    async def counted(self, customer_id: str, upto: str) -> dict[str, int]:
        """What the customer's entries up to the id `upto` have counted, by the keys of its counters."""
        return await counted(self._database, customer_id, upto)

    async def known_accounts(self, customer_ids: Sequence[str]) -> dict[str, set[str]]:
        """Those of the customers that were ever archived, with the units that they have accounts in."""
        return await known_accounts(self._database, customer_ids)

    def account_states(
        self, *, partition: int | None = None, customer_id: str | None = None
    ) -> AsyncIterator[CustomerState]:
        """All that the archive knows of each customer, in the order of their ids, in bounded memory."""
        return customer_states(self._database, partition, customer_id)
