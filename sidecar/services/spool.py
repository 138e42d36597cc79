"""Keeps charges that the store has not acknowledged on the local disk, so that they outlive the process.

What goes well never touches the disk. A charge that could not be delivered at once is written, and marked as done
when the store has acknowledged it; what a process leaves behind, the next one with the same folder delivers, in its
order. A settlement takes effect once however often it is sent, so it does no harm to deliver one again.

Releases are not kept: a hold that nobody settles comes back by itself, at its deadline.
"""

import asyncio
import logging
from pathlib import Path
from typing import Final

import msgspec

from sidecar.domain.counters import Advance
from sidecar.domain.errors import Conflict, InvalidInput, StoreCorrupt, StoreError
from sidecar.domain.outcomes import CountersMoved, Overrun, Rejected, Resolved, Settled, UnknownReservation
from sidecar.domain.price_counted import CountedCharge
from sidecar.services.counting import Counting
from sidecar.spool.file import SUFFIX, SpoolFile
from sidecar.store.hold_record import HoldRecord
from sidecar.store.ledger import CommitTerms, Ledger, PaidBy
from sidecar.store.pauses import Pauses
from sidecar.tasks import Tasks

log = logging.getLogger("sidecar.spool")

LOOK_S: Final = 2.0
"""How often a process looks for what others left."""


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """A charge to be delivered. What counts over periods is fixed to where the counters stood when it was kept."""

    hold: HoldRecord
    charge: int
    usage: str
    source: str
    advances: tuple[Advance, ...] = ()
    overrun: Overrun = Overrun.OWE
    may_be_done: bool = False
    bridged: bool = False
    """Nothing was held for it: the store was away."""
    paid_by: str = ""
    """Another reservation that pays for what was bridged."""


Told = tuple[str, str, CountedCharge | None, Overrun]
"""Usage, source, how the amount depends on counters, and what becomes of a cost that nothing is left for."""


def charge_of(record: HoldRecord, amount: int, told: Told, counting: Counting, *, may_be_done: bool) -> Charge:
    """What is to be kept of a commit. `may_be_done`: an attempt was made whose effect is unknown."""
    usage, source, counted, overrun = told
    advances: tuple[Advance, ...] = ()
    if counted is not None:
        amount, advances = counting.as_it_stands(record, counted)
    return Charge(
        hold=record,
        charge=amount,
        usage=usage,
        source=source,
        advances=advances,
        overrun=overrun,
        may_be_done=may_be_done,
    )


_DECODER = msgspec.msgpack.Decoder(Charge)


class Spool:
    """`keep` and `forget` for the charges of this process, `run` for those of its predecessors.

    `failing`: why nothing can be kept now, None while all is well.
    """

    def __init__(self, folder: Path, *, max_bytes: int, tasks: Tasks) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._tasks = tasks
        self._file: SpoolFile | None = None
        self._left: SpoolFile | None = None
        self._numbers: dict[str, int] = {}
        self._syncing: asyncio.Task[None] | None = None
        self._dirty = False
        self._refused: set[Path] = set()
        self.failing: str | None = None
        self.replayed_total = 0
        """Charges of predecessors that were delivered."""
        self.unknown_total = 0
        """Those among them of which the store knew nothing any more."""

    @property
    def records(self) -> int:
        """Charges that are kept now."""
        return len(self._numbers) + (len(self._left.pending) if self._left is not None else 0)

    def keep(self, charge: Charge) -> bool:
        """Write it, if it is not kept yet; False when that is not possible, which is logged once."""
        if charge.hold.reservation_id in self._numbers:
            return True
        try:
            if self._file is None:
                self._file = SpoolFile.make(self._folder)
            number = self._file.put(msgspec.msgpack.encode(charge), self._max_bytes)
        except OSError as error:
            self._fail(error)
            return False
        if self.failing is not None:
            log.info("the spool in %s can be written again", self._folder)
            self.failing = None
        self._numbers[charge.hold.reservation_id] = number
        self._sync_soon()
        return True

    async def synced(self) -> None:
        """Wait until what is kept is on the disk, or cannot be, which is logged."""
        while self._syncing is not None and not self._syncing.done():
            await asyncio.wait({self._syncing})

    def forget(self, reservation_id: str) -> None:
        """The store has acknowledged it, or never will."""
        number = self._numbers.pop(reservation_id, None)
        if number is not None and self._file is not None:
            self._done(self._file, number)

    async def run(self, ledger: Ledger) -> None:
        """Deliver what dead processes left, for ever."""
        while True:
            for path in sorted(self._folder.glob(f"*{SUFFIX}")):
                self._left = self._take_over(path)
                if self._left is not None:
                    await self._deliver(self._left, ledger)
                    self._left = None
            await asyncio.sleep(LOOK_S)

    def close(self) -> None:
        """Leave what is kept to the next process. Blocks until it is on the disk."""
        for file in (self._file, self._left):
            if file is None:
                continue
            if file.pending:
                log.warning("%d charges are kept in %s for the next process", len(file.pending), file.path)
                try:
                    file.sync()
                except OSError as error:
                    self._fail(error)
            file.close()
        self._file = self._left = None

    def _take_over(self, path: Path) -> SpoolFile | None:
        if path in self._refused or (self._file is not None and path == self._file.path):
            return None
        try:
            file = SpoolFile.take_over(path)
        except (OSError, ValueError) as error:
            self._refused.add(path)
            log.error("charges of another process cannot be read: %s", error)  # noqa: TRY400  (says it all)
            return None
        if file is not None and file.torn_bytes:
            log.warning("the last %d bytes of %s are torn, and dropped", file.torn_bytes, path)
        return file

    async def _deliver(self, file: SpoolFile, ledger: Ledger) -> None:
        log.info("delivering %d charges that another process left in %s", len(file.pending), file.path)
        for number, payload in tuple(file.pending.items()):
            try:
                charge = _DECODER.decode(payload)
            except msgspec.MsgspecError as error:
                self._refused.add(file.path)
                log.error("record %d of %s cannot be read, it stays: %s", number, file.path, error)  # noqa: TRY400  (says it all)
                continue
            await self._deliver_one(charge, ledger)
            self._done(file, number)
        file.close()

    async def _deliver_one(self, charge: Charge, ledger: Ledger) -> None:
        """Until the store has answered."""
        pauses, hold = Pauses(), charge.hold
        while True:
            try:
                outcome = await deliver(charge, ledger)
            except (StoreCorrupt, InvalidInput, Conflict) as error:
                self._lose(charge, error.detail)
                return
            except StoreError as error:
                log.debug("hold %s: %s", hold.reservation_id, error.detail)
                await asyncio.sleep(pauses.next_s())
                continue
            self.replayed_total += 1
            if isinstance(outcome, UnknownReservation) and not charge.may_be_done:
                self._lose(charge, "the store does not know it any more")
            return

    def _lose(self, charge: Charge, why: str) -> None:
        hold = charge.hold
        self.unknown_total += 1
        log.error(
            "hold %s of %s (%s): a charge of %d base units of %s was not taken, unless it was before: %s",
            *(hold.reservation_id, hold.customer_id, hold.rule, charge.charge, hold.unit, why),
        )

    def _done(self, file: SpoolFile, number: int) -> None:
        try:
            file.done(number)
        except OSError as error:
            # It may be delivered again, which has no effect.
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        if self.failing is None:
            log.error(
                "spool.failing: charges that the store does not acknowledge cannot be kept in %s: %s; they are tried "
                "again as long as this process lives",
                *(self._folder, error.strerror),
            )
        self.failing = error.strerror or str(error)

    def _sync_soon(self) -> None:
        """Many at a time, in a thread: a disk may take its time, and nobody waits for this."""
        self._dirty = True
        if self._syncing is None or self._syncing.done():
            self._syncing = self._tasks.start(self._sync(), "spool sync")

    async def _sync(self) -> None:
        while self._dirty and self._file is not None:
            self._dirty = False
            try:
                await asyncio.to_thread(self._file.sync)
            except OSError as error:
                self._fail(error)


async def deliver(
    charge: Charge, ledger: Ledger
) -> Settled | UnknownReservation | Resolved | Rejected | CountersMoved:
    """Charge it; safe to repeat. Raises as the ledger does."""
    if charge.bridged:
        return await charge_bridged(charge, ledger)
    hold = charge.hold
    if hold.claims:
        return await ledger.commit_and_count(hold, charge.charge, charge.usage, charge.source, charge.advances)
    terms = CommitTerms(overrun=charge.overrun)
    return await ledger.commit(hold, charge.charge, charge.usage, charge.source, terms)


async def charge_bridged(charge: Charge, ledger: Ledger) -> Settled | UnknownReservation | Resolved | Rejected:
    """The same, of one that nothing was held for. Raises Conflict when nobody can be found who pays."""
    hold = charge.hold
    for _ in range(2):
        outcome = await ledger.charge(
            hold, charge.charge, charge.usage, charge.source, overrun=charge.overrun, paid_by=charge.paid_by
        )
        if not isinstance(outcome, PaidBy):
            return outcome
        hold = msgspec.structs.replace(hold, payer_id=outcome.payer_id)
    raise Conflict(f"{hold.customer_id} is a member of the pool of {hold.payer_id}, which is one of another.")
