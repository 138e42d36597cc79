"""Requests that wait for holds to come back: they stand in a queue in the store, and try again when they are told.

The queue, its order and who is next are the scripts' (`lua/shared/queue.lua`); here is who waits in this process. A
process listens on one channel of its own, from its first waiter on. Whenever it begins to listen, all of its waiters
try again, because what was said before was not heard; and each tries a last time when its patience ends. So a lost
message costs time, and nothing else.
"""

import asyncio
import logging
import math
import secrets
import time
from collections.abc import Callable

from sidecar.domain.errors import StoreError, StoreTimeout
from sidecar.domain.outcomes import Ended, Refused, Reserved, Waiting
from sidecar.services.listening import keep_listening
from sidecar.store.hold_record import HoldRecord
from sidecar.store.lane import Lane
from sidecar.store.ledger import Ledger, PaidBy, Patience
from sidecar.store.pauses import Pauses
from sidecar.tasks import Tasks
from sidecar.telemetry import Histogram

log = logging.getLogger("sidecar.queue")

Outcome = Reserved | Refused | Ended | PaidBy
TellHow = Callable[[Callable[[], None] | None], object]
"""Is told how to make a request give up while it waits, and None when it waits no more."""

IN_TURN = Patience()
"""A first try: takes nothing that those want who wait, and does not wait."""


class _Waiter:
    """One request that waits."""

    __slots__ = ("_sleep", "_woken", "gave_up")

    def __init__(self) -> None:
        self._sleep: asyncio.Future[None] | None = None
        self._woken = False
        self.gave_up = False

    def wake(self) -> None:
        self._woken = True
        if self._sleep is not None and not self._sleep.done():
            self._sleep.set_result(None)

    def give_up(self) -> None:
        self.gave_up = True
        self.wake()

    async def sleep(self, most_s: float) -> None:
        """Until it is woken, perhaps since the last sleep, or `most_s` have passed."""
        if not self._woken and most_s > 0:
            loop = asyncio.get_running_loop()
            self._sleep = loop.create_future()
            alarm = loop.call_later(most_s, self.wake)
            try:
                await self._sleep
            finally:
                alarm.cancel()
                self._sleep = None
        self._woken = False


class Queue:
    """The waiters of one process: at most `waiting_max`, and at most `account_max` in the queue of one account."""

    def __init__(self, lane: Lane, ledger: Ledger, *, waiting_max: int, account_max: int, tasks: Tasks) -> None:
        self._lane = lane
        self._ledger = ledger
        self._waiting_max = waiting_max
        self._account_max = account_max
        self._tasks = tasks
        self._waiters: dict[str, _Waiter] = {}
        self._listener: asyncio.Task[None] | None = None
        self._hears = False
        self.process = f"rsv_{secrets.token_hex(8)}"
        """What the reservation ids of this process begin with; scripts tell its waiters by it."""
        self.admitted_total = 0
        """Requests that were admitted after they had waited."""
        self.in_vain_total = 0
        """Requests that waited in vain: their patience ended, they could not fit any more, or their client went."""
        self.waited = Histogram()

    @property
    def waiting(self) -> int:
        return len(self._waiters)

    async def wait(
        self, record: HoldRecord, credential: str, refused: Refused, wait_ms: int, tell_how: TellHow
    ) -> Outcome | None:
        """Stand in the queue for at most `wait_ms`, and answer as the last try did; None when it was made to give up.

        After None, and after StoreTimeout, something may be held, and the reservation may still stand in the queue.
        `refused` is what the first try got; it is the answer where too many wait.
        """
        if len(self._waiters) >= self._waiting_max:
            return refused
        began = time.monotonic()
        waiter = self._waiters[record.reservation_id] = _Waiter()
        self._listen()
        outcome: Outcome | None = None
        tell_how(waiter.give_up)
        try:
            outcome = await self._turn(waiter, record, credential, began + wait_ms / 1000)
        finally:
            tell_how(None)
            del self._waiters[record.reservation_id]
            self.waited.add(time.monotonic() - began)
            if isinstance(outcome, Reserved):
                self.admitted_total += 1
            else:
                self.in_vain_total += 1
        return outcome

    async def _turn(self, waiter: _Waiter, record: HoldRecord, credential: str, until: float) -> Outcome | None:
        pauses = Pauses()
        if not self._hears:
            await waiter.sleep(until - time.monotonic())
        while not waiter.gave_up:
            left_s = max(until - time.monotonic(), 0.0)
            patience = Patience(wait_ms=math.ceil(left_s * 1000), queue_max=self._account_max)
            try:
                outcome = await self._ledger.reserve_in_turn(record, credential, patience)
            except StoreError as error:
                if left_s == 0:
                    # An earlier try may have had an effect.
                    raise StoreTimeout(error.detail) from error
                await waiter.sleep(min(pauses.next_s(), left_s))
            else:
                if not isinstance(outcome, Waiting):
                    return outcome
                await waiter.sleep(left_s)
        return None

    def _listen(self) -> None:
        if self._listener is None or self._listener.done():
            self._listener = self._tasks.start(
                keep_listening(
                    self._lane, f"sidecar:woken:{self.process}".encode(), self._heard, log, hears=self._now_hears
                ),
                "queue",
            )

    def _now_hears(self, hears: bool) -> None:
        self._hears = hears
        if hears:
            for waiter in self._waiters.values():
                waiter.wake()

    def _heard(self, reservation_id: bytes) -> None:
        waiter = self._waiters.get(reservation_id.decode())
        if waiter is not None:
            waiter.wake()
