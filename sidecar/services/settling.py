"""Settlements inside the process: each is sent until the store has acknowledged it, whatever happens to its request.

A settlement takes effect once, however often it is sent, so this is all there is to it: whatever is not acknowledged
is repeated, in a task that outlives the request, until the store answers, or has forgotten the hold. A charge that
does not arrive is kept in the spool meanwhile.
"""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable

import msgspec

from sidecar.domain.errors import Conflict, InvalidInput, StoreCorrupt, StoreError, StoreTimeout
from sidecar.domain.outcomes import Rejected, Resolved, Settled, UnknownReservation
from sidecar.services.charges import Charge, Told, charge_bridged, charge_of
from sidecar.services.counting import Counting
from sidecar.services.hold import Bridged, Hold
from sidecar.services.outage import Outage
from sidecar.services.recovery import CHARGED_LATE_S, log_recovered, without_hold
from sidecar.services.spool import Spool
from sidecar.store.pauses import Pauses
from sidecar.tasks import Tasks

log = logging.getLogger("sidecar.holds")

REPEAT_FIRST_S = 0.05
REPEAT_MOST_S = 2.0

Ending = Settled | UnknownReservation | Resolved | Rejected


class Settlement(msgspec.Struct, frozen=True):
    """What has to be acknowledged. `attempt` sends it once.

    Of a charge, which is kept where it does not arrive, `told` is what it says beside its amount; or it is `bridged`,
    and has been made up already. `recovers`: its hold was taken, and the store has lost it.
    """

    hold: Hold
    charge: int
    attempt: Callable[[], Awaitable[Ending]]
    told: Told | None = None
    bridged: Charge | None = None
    recovers: bool = False


class Settling:
    """Sends settlements; `timeout_s` is how long one may keep its caller."""

    def __init__(
        self, counting: Counting, outage: Outage, spool: Spool | None, *, timeout_s: float, tasks: Tasks
    ) -> None:
        self._counting = counting
        self._outage = outage
        self._spool = spool
        self._timeout_s = timeout_s
        self._tasks = tasks
        self._drained: asyncio.Event | None = None
        self._in_turn: deque[Settlement] = deque()
        self.pending = 0
        """Settlements that the store has not acknowledged."""
        self.abandoned_total = 0
        """Settlements that were given up: not acknowledged in time, unknown to the store, or corrupt."""
        self.late_total = 0
        """Charges of holds that had expired, and had gone back."""
        self.recovered_total = 0
        """Charges of holds that the store had lost."""

    async def settle(self, settlement: Settlement) -> Settled | None:
        """Send it. The first attempt runs in the caller, without a task; only what is not acknowledged gets one.

        None: not acknowledged within `timeout_s`, and the work goes on; it took effect, but the reply that said what
        it did was lost; or the store knows no such hold any more. Cancelling the caller does not cancel the work.
        """
        give_up_at = time.monotonic() + self._timeout_s
        self.pending += 1
        if self._outage.open:
            # Whoever ends a request need not wait for a store that does not answer.
            self._start(settlement, may_be_done=False)
            return None
        try:
            return self._acknowledged(settlement, await settlement.attempt(), may_be_done=False)
        except StoreCorrupt as error:
            self._abandon(settlement, error.detail)
            return None
        except StoreError as error:
            self._outage.noticed(error)
            repeated = self._start(settlement, may_be_done=isinstance(error, StoreTimeout))
        except asyncio.CancelledError:
            self._start(settlement, may_be_done=True)
            raise
        except InvalidInput:
            self._count_down()
            raise
        except Exception:
            log.exception("settling hold %s has failed, and is tried once more", settlement.hold.reservation_id)
            repeated = self._start(settlement, may_be_done=True)
        left_s = max(0.0, give_up_at - time.monotonic())
        done, _ = await asyncio.wait({repeated}, timeout=left_s)
        return repeated.result() if done else None

    def settle_later(self, settlement: Settlement, pause_s: float) -> None:
        """Send it after a pause, in the background."""
        self.pending += 1
        self._start(settlement, may_be_done=False, pause_s=pause_s)

    async def settle_in_turn(self, settlement: Settlement) -> None:
        """Keep it on the disk first, so that not even our end loses it; it is sent after those before it.

        Its end is one that the store remembers.
        """
        self.pending += 1
        self._in_turn.append(settlement)
        kept = self._keep(settlement, may_be_done=False)
        if len(self._in_turn) == 1:
            self._tasks.start(self._send_in_turn(), "settle in turn")
        if kept and self._spool is not None:
            await self._spool.synced()

    async def drain(self, timeout_s: float) -> bool:
        """Wait until the store has acknowledged every settlement; False when `timeout_s` was not enough."""
        if self.pending == 0:
            return True
        self._drained = asyncio.Event()
        try:
            async with asyncio.timeout(timeout_s):
                await self._drained.wait()
        except TimeoutError:
            return False
        return True

    def _start(
        self, settlement: Settlement, *, may_be_done: bool, pause_s: float = REPEAT_FIRST_S
    ) -> "asyncio.Task[Settled | None]":
        work = self._repeat(settlement, may_be_done, pause_s)
        return self._tasks.start(work, f"settle {settlement.hold.reservation_id}")

    async def _repeat(self, settlement: Settlement, may_be_done: bool, pause_s: float) -> Settled | None:
        """`may_be_done`: an attempt was made whose effect is unknown."""
        while True:
            try:
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 — spreads load, guards nothing.
                if self._spool is not None and self._outage.connected:
                    await self._spool.sending(settlement.hold.reservation_id)
                done = self._acknowledged(settlement, await settlement.attempt(), may_be_done)
            except (StoreCorrupt, Conflict) as error:
                self._abandon(settlement, error.detail)
                return None
            except StoreError as error:
                if time.monotonic() > settlement.hold.deadline + CHARGED_LATE_S:
                    self._abandon(settlement, error.detail)
                    return None
                may_be_done = may_be_done or isinstance(error, StoreTimeout)
                self._keep(settlement, may_be_done)
            except asyncio.CancelledError:
                self._stop(settlement)
                raise
            except Exception:
                log.exception("settling hold %s has failed again", settlement.hold.reservation_id)
                self._abandon(settlement, "a defect of ours, which is logged above")
                return None
            else:
                self._forget(settlement)
                return done
            pause_s = min(max(2 * pause_s, REPEAT_FIRST_S), REPEAT_MOST_S)

    async def _send_in_turn(self) -> None:
        pauses = Pauses()
        try:
            while self._in_turn:
                if await self._send_next():
                    pauses.reset()
                else:
                    await asyncio.sleep(pauses.next_s())
        except asyncio.CancelledError:
            for settlement in self._in_turn:
                self._stop(settlement)
            raise

    async def _send_next(self) -> bool:
        """The first of those in turn; False: the store has not answered, and it stays."""
        settlement = self._in_turn[0]
        try:
            self._acknowledged(settlement, await settlement.attempt(), may_be_done=False)
        except (StoreCorrupt, Conflict) as error:
            self._abandon(settlement, error.detail)
        except StoreError as error:
            log.debug("hold %s: %s", settlement.hold.reservation_id, error.detail)
            return False
        except Exception:
            log.exception("settling hold %s has failed", settlement.hold.reservation_id)
            self._abandon(settlement, "a defect of ours, which is logged above")
        self._forget(settlement)
        self._in_turn.popleft()
        if isinstance(settlement.hold, Bridged):
            settlement.hold.purse.delivered(settlement.charge)
        return True

    def _stop(self, settlement: Settlement) -> None:
        """We are stopping: it is for the next process, or lost."""
        if self._keep(settlement, may_be_done=True):
            self._count_down()
        else:
            self._abandon(settlement, "we are stopping")

    def _keep(self, settlement: Settlement, may_be_done: bool) -> bool:
        """Whether it is on the disk now. A release need not be: at its deadline the hold comes back by itself."""
        charge = settlement.bridged
        if self._spool is None or (charge is None and settlement.told is None):
            return False
        if charge is None:
            assert settlement.told is not None
            record, told = settlement.hold.record, settlement.told
            charge = charge_of(record, settlement.charge, told, self._counting, may_be_done=may_be_done)
        return self._spool.keep(charge, settlement.hold.deadline - time.monotonic())

    def _forget(self, settlement: Settlement) -> None:
        if self._spool is not None:
            self._spool.forget(settlement.hold.reservation_id)

    def _acknowledged(self, settlement: Settlement, outcome: Ending, may_be_done: bool) -> Settled | None:
        if isinstance(outcome, Settled):
            self._count_down()
            self.late_total += outcome.late
            if settlement.recovers and settlement.bridged is not None:
                self.recovered_total += 1
                log_recovered(settlement.bridged)
            return outcome
        if settlement.charge and not may_be_done:
            if isinstance(outcome, UnknownReservation) and self._recover(settlement):
                return None
            self._abandon(settlement, "the store does not know it any more")
        else:
            self._count_down()
        return None

    def _recover(self, settlement: Settlement) -> bool:
        """Charge without the hold that the store has lost; False when it may have forgotten it in time."""
        hold, told = settlement.hold, settlement.told
        if told is None or time.monotonic() > hold.deadline + CHARGED_LATE_S:
            return False
        charge = without_hold(charge_of(hold.record, settlement.charge, told, self._counting, may_be_done=False))
        ledger = self._counting.ledger
        recovering = Settlement(
            hold, charge.charge, lambda: charge_bridged(charge, ledger), bridged=charge, recovers=True
        )
        self._start(recovering, may_be_done=False, pause_s=0)
        return True

    def _abandon(self, settlement: Settlement, why: str) -> None:
        self._forget(settlement)
        self._count_down()
        self.abandoned_total += 1
        hold = settlement.hold.record
        log.error(
            "hold %s of %s (%s): the end of it, a charge of %d base units of %s, was never acknowledged: %s",
            *(hold.reservation_id, hold.customer_id, hold.rule, settlement.charge, hold.unit, why),
        )

    def _count_down(self) -> None:
        self.pending -= 1
        if self.pending == 0 and self._drained is not None:
            self._drained.set()
