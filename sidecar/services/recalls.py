"""Asks all processes to give back what they have on lease of a payer who is short of credit.

Said on a channel of the store, which nobody has to hear: a lease that is not used comes back by itself.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from sidecar.domain.errors import StoreError
from sidecar.domain.rules import RuleSet
from sidecar.domain.store_down import OnStoreDown
from sidecar.services.credit_leases import CreditLeases
from sidecar.services.listening import keep_listening
from sidecar.store.lane import Lane
from sidecar.tasks import Tasks

log = logging.getLogger("sidecar.leases")

AGAIN_S: Final = 1.0
"""So long after others were asked for a payer they are not asked again."""
PAUSE_S: Final = 0.05
"""The time that they get."""
_REMEMBERED_MAX: Final = 1000


class Recalls:
    """`ask` others, and `run` to be asked, both only once a rule has leases."""

    def __init__(
        self,
        lane: Lane,
        leases: CreditLeases,
        *,
        tenant: str,
        environment: str,
        tasks: Tasks,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lane = lane
        self._leases = leases
        self._channel = f"sidecar:recalls:{tenant}.{environment}".encode()
        self._tasks = tasks
        self._now = now
        self._wanted = asyncio.Event()
        self._asked: dict[tuple[str, str], float] = {}
        self.hears = False

    def use(self, rules: RuleSet) -> None:
        """Take these rules from now on."""
        if any(rule.on_store_down.way is OnStoreDown.LEASE for rule in rules.rules):
            self._wanted.set()

    async def ask(self, payer_id: str, unit: str) -> bool:
        """Whether others were asked now. What they had is back then, if they are not slow."""
        now = self._now()
        asked_at = self._asked.get((payer_id, unit))
        if not self._wanted.is_set() or (asked_at is not None and now - asked_at < AGAIN_S):
            return False
        if len(self._asked) >= _REMEMBERED_MAX:
            self._asked.clear()
        self._asked[payer_id, unit] = now
        try:
            count = await self._lane.execute("PUBLISH", self._channel, f"{payer_id} {unit}")
        except StoreError as error:
            log.debug("others were not asked for their leases: %s", error.detail)
            return False
        if self._lane.counts_listeners and count <= self.hears:
            # Nobody else listens.
            return False
        await asyncio.sleep(PAUSE_S)
        return True

    async def run(self) -> None:
        """For ever."""
        await self._wanted.wait()
        await keep_listening(self._lane, self._channel, self._heard, log, hears=self._now_hears)

    def _now_hears(self, hears: bool) -> None:
        self.hears = hears

    def _heard(self, message: bytes) -> None:
        payer_id, _, unit = message.decode().partition(" ")
        self._tasks.start(self._leases.give_up(payer_id, unit), "recall of leases")
