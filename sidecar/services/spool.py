"""Keeps charges that the store has not acknowledged on the local disk, so that they outlive the process.

What goes well never touches the disk. A charge that could not be delivered at once is written, and marked as done
when the store has acknowledged it; what a process leaves behind, the next one with the same folder delivers, in its
order. A settlement takes effect once however often it is sent, so it does no harm to deliver one again.

Releases are not kept: a hold that nobody settles comes back by itself, at its deadline.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from sidecar.domain.errors import Conflict, InvalidInput, StoreCorrupt, StoreError, StoreTimeout
from sidecar.domain.outcomes import Settled, UnknownReservation
from sidecar.domain.tokens import Signer
from sidecar.services.charges import Charge, deliver
from sidecar.services.recovery import is_proved, log_recovered, token_of, without_hold
from sidecar.spool.file import SUFFIX, SpoolFile
from sidecar.store.hold_record import HoldRecord, held_again
from sidecar.store.ledger import Ledger
from sidecar.store.pauses import Pauses
from sidecar.tasks import Tasks

log = logging.getLogger("sidecar.spool")

LOOK_S: Final = 2.0
"""How often a process looks for what others left."""
TRY_S: Final = 2.0
"""How often, at most, it tries whether it can write."""
ROOM_BYTES: Final = 1024
"""So much must fit before charges are kept again."""

_DECODER = msgspec.msgpack.Decoder(Charge)


class Spool:
    """`keep` and `forget` for the charges of this process, `run` for those of its predecessors.

    `failing`: why nothing can be kept now, None while all is well.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int,
        tasks: Tasks,
        signer: Signer,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """`signer`: charges that are kept say by a token that their holds were taken."""
        self._folder = folder
        self._signer = signer
        self._now_ms = now_ms
        self._max_bytes = max_bytes
        self._tasks = tasks
        self._file: SpoolFile | None = None
        self._left: deque[SpoolFile] = deque()
        self._numbers: dict[str, int] = {}
        self._syncing: asyncio.Task[None] | None = None
        self._dirty = False
        self._refused: set[Path] = set()
        self._tried_at = -TRY_S
        self.failing: str | None = None
        self.allowed: dict[str, int] = {}
        """By unit, charges of predecessors that nobody may be there to pay: what was allowed without the store."""
        self.replayed_total = 0
        """Charges of predecessors that were delivered."""
        self.unknown_total = 0
        """Those among them of which the store knew nothing any more."""
        self.recovered_total = 0
        """Those that were charged all the same, since their tokens proved their holds."""

    @property
    def records(self) -> int:
        """Charges that are kept now."""
        return len(self._numbers) + sum(len(file.pending) for file in self._left)

    def keep(self, charge: Charge, left_s: float = 0) -> bool:
        """Write it, if it is not kept yet; False when that is not possible, which is logged once.

        `left_s`: from now to the deadline of its hold; of a bridged charge it does not matter.
        """
        if charge.hold.reservation_id in self._numbers:
            return True
        if not (charge.may_be_done or charge.bridged):
            token = token_of(self._signer, charge.hold, self._now_ms() + round(left_s * 1000))
            charge = msgspec.structs.replace(charge, token=token)
        try:
            if self._file is None:
                self._file = SpoolFile.make(self._folder)
            number = self._file.put(msgspec.msgpack.encode(charge), self._max_bytes)
        except OSError as error:
            self._fail(error)
            return False
        self._mend()
        self._numbers[charge.hold.reservation_id] = number
        self._sync_soon()
        return True

    def writable(self) -> bool:
        """Whether a charge could be kept: it tries, every `TRY_S` at most. For when the store is away."""
        if time.monotonic() - self._tried_at >= TRY_S:
            self._tried_at = time.monotonic()
            try:
                if self._file is None:
                    self._file = SpoolFile.make(self._folder)
                self._file.try_room(ROOM_BYTES, self._max_bytes)
            except OSError as error:
                self._fail(error)
            else:
                self._mend()
        return self.failing is None

    async def sending(self, reservation_id: str) -> None:
        """It is about to be sent: whoever finds it from then on cannot know whether it took effect."""
        number = self._numbers.get(reservation_id)
        if number is None or self._file is None:
            return
        self._numbers[reservation_id] = marked = self._mark(self._file, number)
        if marked != number:
            self._sync_soon()
            await self.synced()

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
                file = self._take_over(path)
                if file is not None:
                    self._left.append(file)
                    self._count_allowed(file)
            while self._left:
                await self._deliver(self._left[0], ledger)
            await asyncio.sleep(LOOK_S)

    def close(self) -> None:
        """Leave what is kept to the next process. Blocks until it is on the disk."""
        for file in (self._file, *self._left):
            if file is None:
                continue
            if file.pending:
                log.warning("%d charges are kept in %s for the next process", len(file.pending), file.path)
                try:
                    file.sync()
                except OSError as error:
                    self._fail(error)
            file.close()
        self._file = None
        self._left.clear()

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
        if file.pending:
            log.info("delivering %d charges that another process left in %s", len(file.pending), file.path)
        charges: list[tuple[int, Charge]] = []
        leases: dict[str, HoldRecord] = {}
        for number, payload in tuple(file.pending.items()):
            try:
                charge = _DECODER.decode(payload)
            except msgspec.MsgspecError as error:
                self._refused.add(file.path)
                log.error("record %d of %s cannot be read, it stays: %s", number, file.path, error)  # noqa: TRY400  (says it all)
                continue
            charges.append((self._mark(file, number), charge))
        await self._sync_file(file)
        for number, charge in charges:
            await self._deliver_one(charge, ledger)
            self._done(file, number)
            self._allowed(charge, -charge.charge)
            if charge.paid_by:
                leases[charge.paid_by] = held_again(charge.hold, charge.paid_by, charge.hold.held)
        # Before the next wait, or our end could close it again.
        self._left.remove(file)
        file.close()
        for lease in leases.values():
            # Nobody is left to spend it. What is not given back now comes back by itself.
            with contextlib.suppress(StoreError, InvalidInput):
                await ledger.release(lease, "the process that had the lease has ended")

    def _count_allowed(self, file: SpoolFile) -> None:
        for payload in file.pending.values():
            try:
                charge = _DECODER.decode(payload)
            except msgspec.MsgspecError:
                # Said where it should be delivered.
                continue
            self._allowed(charge, charge.charge)

    def _allowed(self, charge: Charge, amount: int) -> None:
        if charge.bridged and not charge.paid_by:
            self.allowed[charge.hold.unit] = self.allowed.get(charge.hold.unit, 0) + amount

    async def _deliver_one(self, charge: Charge, ledger: Ledger) -> None:
        """Until the store has answered."""
        pauses, hold, recovering = Pauses(), charge.hold, False
        while True:
            try:
                outcome = await deliver(charge, ledger)
                lost = isinstance(outcome, UnknownReservation) and not charge.may_be_done
                proved = lost and not charge.bridged and is_proved(self._signer, charge, self._now_ms())
            except (StoreCorrupt, InvalidInput, Conflict) as error:
                self._lose(charge, error.detail)
                return
            except StoreError as error:
                log.debug("hold %s: %s", hold.reservation_id, error.detail)
                if isinstance(error, StoreTimeout):
                    charge = msgspec.structs.replace(charge, may_be_done=True)
                await asyncio.sleep(pauses.next_s())
                continue
            if proved:
                charge, recovering = without_hold(charge), True
                continue
            if lost:
                self._lose(charge, "the store does not know it any more")
            elif recovering and isinstance(outcome, Settled):
                self.recovered_total += 1
                log_recovered(charge)
            self.replayed_total += 1
            return

    def _mark(self, file: SpoolFile, number: int) -> int:
        """Take its token away, before it is sent; the number of what is kept from now on."""
        charge = _DECODER.decode(file.pending[number])
        if not charge.token:
            return number
        try:
            marked = file.put(msgspec.msgpack.encode(msgspec.structs.replace(charge, token="")), self._max_bytes)
        except OSError as error:
            self._fail(error)
            return number
        self._done(file, number)
        return marked

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

    def _mend(self) -> None:
        if self.failing is not None:
            log.warning("spool.mended: charges can be kept in %s again", self._folder)
            self.failing = None

    def _sync_soon(self) -> None:
        """Many at a time, in a thread: a disk may take its time, and nobody waits for this."""
        self._dirty = True
        if self._syncing is None or self._syncing.done():
            self._syncing = self._tasks.start(self._sync(), "spool sync")

    async def _sync(self) -> None:
        while self._dirty and self._file is not None:
            self._dirty = False
            await self._sync_file(self._file)

    async def _sync_file(self, file: SpoolFile) -> None:
        try:
            await asyncio.to_thread(file.sync)
        except OSError as error:
            self._fail(error)
