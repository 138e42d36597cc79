"""What was: the archive's answers, read after all that was written before the question.

A question first waits until the archive has passed the journal's end as it was when it was asked; a write that has to
be durable waits for its own place in the journal. It knows neither SQL nor Redis.
"""

from collections.abc import AsyncIterator, Sequence

from sidecar.archive.archive import Archive
from sidecar.domain.customers import Customer
from sidecar.domain.errors import ArchiveUnavailable
from sidecar.domain.events import Event, EventFilter
from sidecar.domain.history import BlockSums, CustomerFilter, Entry, EntryFilter, Page, Stats, UsageRow
from sidecar.domain.journal import Kind, Position, Totals
from sidecar.services.written import Written
from sidecar.store.journal import Journal

_CHARGES = frozenset({Kind.COMMIT, Kind.LATE_COMMIT})


class History:
    """The past of one tenant's environment.

    Everything raises ArchiveUnavailable when the archive does not answer, or does not catch up in time, and
    StoreError when the store does not say where the journal ends.
    """

    def __init__(self, archive: Archive, journal: Journal, written: Written, *, wait_for_writes: bool = True) -> None:
        self._archive = archive
        self._journal = journal
        self._written = written
        self._wait_for_writes = wait_for_writes

    async def written(self, customer_id: str, entry: str) -> None:
        """Return when what `entry` (a place in the journal of this customer's partition) says is archived.

        At once if `entry` is empty, for then nothing was written, or if writes need not wait.
        """
        if self._wait_for_writes:
            await self.archived(customer_id, entry)

    async def archived(self, customer_id: str, entry: str) -> None:
        """The same, whether or not writes need wait."""
        if not entry:
            return
        try:
            await self._written.archived_upto({self._journal.partition(customer_id): Position.parse(entry)})
        except ArchiveUnavailable as error:
            raise ArchiveUnavailable(
                "It is done and in effect, but the archive did not take it in time. It will be archived; to learn "
                "when, repeat the request with the same Idempotency-Key: nothing is done twice."
            ) from error

    async def everything_of(self, customer_id: str) -> None:
        """Return when all that was written of a customer is archived; at once if writes need not wait."""
        if self._wait_for_writes:
            await self._written.everything_of(customer_id)

    async def entries(self, wanted: EntryFilter, cursor: str | None, limit: int) -> Page[Entry]:
        """The newest first. InvalidInput for a cursor that is none."""
        await self.catch_up(wanted.customer_id)
        return await self._archive.entries(wanted, cursor, limit)

    async def charge_of(self, reservation_id: str) -> Entry | None:
        """What an event was charged whose end the store has forgotten, which is archived long since.

        It waits for nothing.
        """
        page = await self._archive.entries(EntryFilter(reservation_id=reservation_id), None, 1)
        return next((entry for entry in page.items if entry.type in _CHARGES), None)

    async def export(self, wanted: EntryFilter) -> AsyncIterator[Entry]:
        """All of them, the oldest first, in bounded memory."""
        await self.catch_up(wanted.customer_id)
        async for entry in self._archive.export(wanted):
            yield entry

    async def customers(self, wanted: CustomerFilter, cursor: str | None, limit: int) -> Page[Customer]:
        """The newest first. InvalidInput for a cursor that is none."""
        await self.catch_up(None)
        return await self._archive.customers(wanted, cursor, limit)

    async def block(self, customer_id: str, block_id: str) -> BlockSums | None:
        """What became of a block of a customer, live or not; None: it has none of this id."""
        await self.catch_up(customer_id)
        return await self._archive.block(customer_id, block_id)

    async def topups(self, customer_id: str, cursor: str | None, limit: int) -> Page[BlockSums]:
        """What a customer has paid for, the newest first. InvalidInput for a cursor that is none."""
        await self.catch_up(customer_id)
        return await self._archive.topups(customer_id, cursor, limit)

    async def totals_at(self, customer_id: str, at_ms: int) -> dict[str, Totals]:
        """What each account of a payer came to at some time, by unit; `held` as of the last entry before."""
        await self.catch_up(customer_id)
        return await self._archive.balance_at(customer_id, at_ms)

    async def usage(
        self,
        group_by: Sequence[str],
        wanted: EntryFilter,
        cursor: str | None,
        limit: int,
        tz: str = "UTC",
    ) -> Page[UsageRow]:
        """What commits charged, by one or two keys; of `wanted`, customer, asker, unit and time matter."""
        await self.catch_up(wanted.customer_id)
        return await self._archive.usage(
            group_by,
            wanted.from_ms,
            wanted.to_ms,
            customer_id=wanted.customer_id,
            asker_id=wanted.asker_id,
            unit=wanted.unit,
            cursor=cursor,
            limit=limit,
            tz=tz,
        )

    async def top_usage(self, by: str, wanted: EntryFilter, limit: int, tz: str = "UTC") -> tuple[UsageRow, ...]:
        """What was charged most, the most first; of `wanted`, unit and time matter."""
        assert wanted.unit is not None, "units are never compared"
        await self.catch_up(None)
        return await self._archive.top_usage(by, wanted.unit, wanted.from_ms, wanted.to_ms, limit=limit, tz=tz)

    async def stats(self) -> Stats:
        """How much of everything there is."""
        await self.catch_up(None)
        return await self._archive.stats()

    async def events(self, wanted: EventFilter, cursor: str | None, limit: int) -> Page[Event]:
        """The newest first, or from behind a sequence on the oldest first. InvalidInput for a cursor that is none."""
        await self.catch_up(wanted.customer_id)
        return await self._archive.events(wanted, cursor, limit)

    async def event(self, event_id: str) -> Event:
        """Raises NotFound. It waits for nothing: who knows the id has it from the archive."""
        return await self._archive.event(event_id)

    async def catch_up(self, customer_id: str | None) -> None:
        """Return when all that has happened to a customer, None: to anybody, is archived."""
        if customer_id is None:
            await self._written.everything()
        else:
            await self._written.everything_of(customer_id)
