"""What happens to a hold while its request runs: it is kept alive, held again if it was lost all the same, and grows.

Holds live for a short time only, so that a process that dies does not keep credit for long. One timer for the whole
process lengthens the lives of those of which half is over, many in one write; a request that ends before costs
nothing. It settles nothing.
"""

import asyncio
import itertools
import logging
import time
from collections.abc import Callable

from sidecar.domain.errors import StoreError, StoreTimeout
from sidecar.domain.outcomes import Refused, Reserved
from sidecar.services.hold import Hold
from sidecar.services.steps import Steps
from sidecar.store.hold_record import HoldRecord, held_again
from sidecar.store.ledger import Ledger
from sidecar.tasks import Tasks

log = logging.getLogger("sidecar.holds")

BATCH = 100
"""So many holds are lengthened at a time: a few milliseconds of the store."""
TICK_MAX_S = 0.5


class Upkeep:
    """`run` keeps what `begin` was given alive until `end`; see the module.

    `ttl_s` is how long a hold lives without it. `give_back` releases a hold that nobody wants.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        ttl_s: float,
        give_back: Callable[[HoldRecord], None],
        tasks: Tasks,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._ttl_s = ttl_s
        self._ttl_ms = round(ttl_s * 1000)
        self._give_back = give_back
        self._tasks = tasks
        self._now = now
        # Each with the credential that it was taken with, in the order of their deadlines.
        self._running: dict[Hold, str] = {}
        self._watched: dict[Hold, Callable[[], None]] = {}
        self._again = itertools.count(2)
        self.beats_total = 0
        """Holds that were kept alive."""
        self.failures_total = 0
        """Holds that could not be, because the store did not answer; the next try follows by itself."""
        self.lost_total = 0
        """Holds that had expired all the same."""
        self.steps_total = 0
        """Steps of long requests that were charged."""
        self.grown_total = 0
        self.exhausted_total = 0
        """How often a hold has grown, and how often there was not enough for all that was wanted."""

    def begin(self, hold: Hold, credential: str) -> None:
        """Keep a hold alive from now on."""
        self._running[hold] = credential

    def end(self, hold: Hold) -> None:
        """Its settlement begins: from now on it is left alone."""
        self._running.pop(hold, None)
        if self._watched:
            self._watched.pop(hold, None)

    def watch(self, hold: Hold, look: Callable[[], None]) -> None:
        """Call `look` on every tick until `end`: what is used up by time alone is seen by nobody else."""
        self._watched[hold] = look

    def grow(self, hold: Hold, amount: int, then: Callable[[], None]) -> None:
        """Begin to hold at least `amount`, or all that there is; `then` is called when that has been tried."""
        self._tasks.start(self._grow(hold, amount, then), f"grow {hold.reservation_id}")

    def step(self, steps: Steps, then: Callable[[], None]) -> None:
        """Begin to charge the step that is pending; `then` is called when that has been tried."""
        self._tasks.start(self._step(steps, then), "charge a step")

    async def run(self) -> None:
        """For ever."""
        tick_s = min(TICK_MAX_S, self._ttl_s / 8)
        while True:
            await asyncio.sleep(tick_s)
            self.look()
            await self.beat()

    def look(self) -> None:
        """Let everybody look who watches a hold."""
        for look in tuple(self._watched.values()):
            try:
                look()
            except Exception:
                # One request must not keep the holds of all others from being kept alive.
                log.exception("looking at a hold failed")

    async def beat(self) -> None:
        """Lengthen the lives of which half is over."""
        half_over = self._now() + self._ttl_s / 2
        due = list(itertools.takewhile(lambda hold: hold.deadline <= half_over, self._running))
        for start in range(0, len(due), BATCH):
            await asyncio.gather(*map(self._lengthen, due[start : start + BATCH]))

    async def _lengthen(self, hold: Hold) -> None:
        if hold not in self._running:
            return
        deadline = self._now() + self._ttl_s
        try:
            outcome = await self._ledger.resize(hold.record, [0] * len(hold.record.parts), self._ttl_ms)
        except StoreError:
            self.failures_total += 1
            return
        if hold not in self._running:
            # It was settled meanwhile.
            return
        if isinstance(outcome, Reserved):
            self.beats_total += 1
            hold.deadline = deadline
            self._running[hold] = self._running.pop(hold)
            return
        self.lost_total += 1
        log.warning("hold %s has expired, though its request still runs", hold.reservation_id)
        await self._hold_again(hold, hold.held)

    async def _step(self, steps: Steps, then: Callable[[], None]) -> None:
        try:
            await steps.deliver(self._ledger)
            self.steps_total += 1
        except StoreError as error:
            self.failures_total += 1
            log.debug("a step cannot be charged for now: %s", error.detail)
        then()

    async def _grow(self, hold: Hold, amount: int, then: Callable[[], None]) -> None:
        try:
            if not await self._hold_more(hold, amount) and hold in self._running:
                self.lost_total += 1
                if await self._hold_again(hold, hold.held):
                    await self._hold_more(hold, amount)
        except StoreError as error:
            self.failures_total += 1
            log.debug("hold %s cannot grow for now: %s", hold.reservation_id, error.detail)
        if hold.held < amount and hold in self._running:
            self.exhausted_total += 1
        then()

    async def _hold_more(self, hold: Hold, amount: int) -> bool:
        """Hold up to `amount`; False: the hold has expired."""
        outcome = await self._ledger.resize(hold.record, [amount])
        if isinstance(outcome, Refused) and outcome.available > 0:
            outcome = await self._ledger.resize(hold.record, [hold.held + outcome.available])
        if isinstance(outcome, Reserved) and outcome.held > hold.held:
            self.grown_total += 1
            hold.held = outcome.held
        return isinstance(outcome, Reserved | Refused)

    async def _hold_again(self, hold: Hold, amount: int) -> bool:
        """Hold `amount` in place of a hold that has expired, under an id that continues its own.

        False: it does not fit, or its settlement has begun; the old one will be charged late. Or the store does not
        answer, and the next beat tries again.
        """
        number = next(self._again)
        record = held_again(hold.record, f"{hold.reservation_id.partition('.')[0]}.{number}", amount)
        deadline = self._now() + self._ttl_s
        try:
            reserve = self._ledger.reserve_and_claim if record.claims else self._ledger.reserve
            outcome = await reserve(record, self._running[hold])
        except StoreError as error:
            self.failures_total += 1
            if isinstance(error, StoreTimeout):
                self._give_back(record)
            return False
        taken = isinstance(outcome, Reserved)
        if hold not in self._running:
            if taken:
                self._give_back(record)
            return False
        if not taken:
            self.end(hold)
            hold.held = 0
            log.warning("hold %s cannot be held again: there is not enough", hold.reservation_id)
            return False
        hold.record, hold.held, hold.deadline = record, amount, deadline
        self._running[hold] = self._running.pop(hold)
        log.warning("hold %s stands in its place", hold.reservation_id)
        return True
