"""The circuit of the store: while it does not answer, requests are refused at once instead of each waiting for it.

It opens after timeouts in a row, between which nothing at all was answered. Then nobody's request finds out whether
the store is back, one PING after the other does, with growing pauses. What is not connected needs no circuit, since
it fails at once; and settlements are sent in any case, because they must arrive.
"""

import asyncio
import logging
from types import TracebackType
from typing import Final, Self

from sidecar.domain.errors import StoreError, StoreTimeout, StoreUnavailable
from sidecar.services.breaker import Breaker
from sidecar.store.lane import Lane
from sidecar.tasks import Tasks

log = logging.getLogger("sidecar.store")

TIMEOUTS_MAX: Final = 5
"""It opens after so many in a row."""
PAUSE_FIRST_S: Final = 0.1
PAUSE_MOST_S: Final = 1.0
"""Between two probes; each pause is twice the one before."""


class Outage:
    """`check` before a request's question to the store and `noticed` after it failed; `with` does both.

    `open`: the store does not answer, and requests do not ask it.
    """

    def __init__(self, lane: Lane, tasks: Tasks) -> None:
        self._lane = lane
        self._tasks = tasks
        self._breaker = Breaker(failures_max=TIMEOUTS_MAX, pause_first_s=PAUSE_FIRST_S, pause_most_s=PAUSE_MOST_S)
        self._answers = 0
        self.open = False

    @property
    def opened_total(self) -> int:
        """How often it opened."""
        return self._breaker.opened_total

    @property
    def connected(self) -> bool:
        """Whether a question would leave this process at all."""
        return self._lane.connected

    @property
    def away(self) -> bool:
        """Whether it is known that a question would not be answered now."""
        return self.open or not self._lane.connected

    def check(self) -> None:
        """Raise StoreUnavailable while it is open."""
        if self.open:
            raise StoreUnavailable("The store does not answer; it is asked again when it does.")

    def noticed(self, error: BaseException | None) -> None:
        """A request's question failed with this; only a StoreTimeout counts."""
        if self.open or not isinstance(error, StoreTimeout):
            return
        # So that what succeeds needs not be counted here: the lane does that already.
        answers = sum(self._lane.round_trips.counts)
        if answers != self._answers:
            self._answers = answers
            self._breaker.succeeded(probe=False)
        if self._breaker.failed(self._now(), probe=False):
            self.open = True
            log.warning("store.circuit_opened: %d timeouts in a row; requests are refused at once", TIMEOUTS_MAX)
            self._tasks.start(self._probe(), "store probe")

    def __enter__(self) -> Self:
        self.check()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.noticed(error)

    async def _probe(self) -> None:
        """Ask until an answer comes."""
        opened = self._now()
        while self.open:
            await asyncio.sleep(self._breaker.opens_in_s(self._now()))
            probe = self._breaker.begin()
            try:
                await self._lane.execute("PING")
            except StoreError as error:
                log.debug("the store still does not answer: %s", error.detail)
                self._breaker.failed(self._now(), probe=probe)
            else:
                self._breaker.succeeded(probe=probe)
                self.open = False
        log.warning("store.circuit_closed: the store answers again, after %.1f s", self._now() - opened)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
