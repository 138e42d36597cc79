"""Asks upstreams how their jobs stand, and settles those that are done by what the answers say.

One process asks for all, under a lease. A job that is asked for twice is settled once all the same; one whose asker
dies is asked for again by the next. Jobs are kept in the store; their prices are those that were agreed.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple

import msgspec

from sidecar.domain.errors import Conflict, NotFound, SidecarError, StoreError
from sidecar.domain.ids import PARTITIONS
from sidecar.domain.later import Poll, SettleClaims, State
from sidecar.domain.metering import Charge, End, Meters, OnUnknown, Tariff, open_meter
from sidecar.domain.rules import RuleSet
from sidecar.services.deferred import Deferred
from sidecar.store.jobs import Jobs

log = logging.getLogger("sidecar.polling")

TICK_S: Final = 1.0
IDLE_TICK_S: Final = 30.0
"""The same while no rule polls: there may be jobs of rules that have gone."""
LIMIT: Final = 20
"""So many jobs of a partition are asked for at a time."""
AT_ONCE: Final = 16
ASKED_WITHIN_MS: Final = 60_000
"""A job whose asker has died is asked for again after so long."""
PAUSE_MAX_S: Final = 300.0


class Job(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One job. What is agreed about it is in its token; `on_unknown`: what it costs if nobody learns its end."""

    token: str
    path: str
    rule: str
    poll: Poll
    on_unknown: OnUnknown
    failures: int = 0


class Polled(NamedTuple):
    """What an upstream answered."""

    status: int
    fields: Mapping[bytes, bytes]
    """By name in small letters."""
    body: bytes


Fetch = Callable[[str], Awaitable[Polled | None]]
"""Asks for a path; None: there was no answer."""


class Polling:
    """`begin` for requests; `run` asks."""

    def __init__(
        self,
        jobs: Jobs,
        deferred: Deferred,
        rules: Callable[[], RuleSet],
        fetch: Fetch,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._jobs = jobs
        self._deferred = deferred
        self._rules = rules
        self._fetch = fetch
        self._now_s = now_s
        self.settled_total = 0
        """Jobs that were done or had failed."""
        self.given_up_total = 0
        """Jobs that nobody knows the end of: they cost what the rule says then."""
        self.failures_total = 0
        """Polls without an answer that could be used."""

    async def begin(self, customer_id: str, poll: Poll, job: Job) -> None:
        """Ask for this job from now on. Raises StoreError."""
        await self._jobs.put(customer_id, msgspec.msgpack.encode(job), self._later_ms(poll.every_s))

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                await self.look()
            except StoreError as error:
                log.debug("jobs are asked for later: %s", error.detail)
            await asyncio.sleep(TICK_S if self._polls else IDLE_TICK_S)

    @property
    def _polls(self) -> bool:
        return any(rule.later is not None and rule.later.poll is not None for rule in self._rules().rules)

    async def look(self) -> None:
        """Ask for all that are due. Raises StoreError."""
        now_ms = round(self._now_s() * 1000)
        found = await asyncio.gather(*(self._jobs.due(each, now_ms, LIMIT) for each in range(PARTITIONS)))
        packed = [job for jobs in found for job in jobs]
        for start in range(0, len(packed), AT_ONCE):
            await asyncio.gather(*(self._ask(job) for job in packed[start : start + AT_ONCE]))

    async def _ask(self, packed: bytes) -> None:
        """Ask for one job. StoreError is for the next look to meet."""
        job = msgspec.msgpack.decode(packed, type=Job)
        claims = self._deferred.claims(job.token)
        if claims is None:
            log.error("a job of the rule %s has a token that is not ours; it is not asked for any more", job.rule)
            return
        try:
            await self._jobs.put(claims.customer_id, packed, round(self._now_s() * 1000) + ASKED_WITHIN_MS)
            await self._settle_or_wait(job, packed, claims)
        except StoreError as error:
            log.debug("the job %s is asked for again: %s", claims.reservation_id, error.detail)

    async def _settle_or_wait(self, job: Job, packed: bytes, claims: SettleClaims) -> None:
        answer = await self._fetch(job.path)
        usable = answer is not None and 200 <= answer.status < 300
        state = job.poll.state_of(answer.body) if answer is not None and usable else State.RUNNING
        if answer is not None and state is not State.RUNNING:
            await self._finish(packed, claims, self._charge(job, claims, answer) if state is State.DONE else None)
            self.settled_total += 1
        elif self._now_s() * 1000 >= self._last_ms(job, claims):
            log.warning("nobody knows how the job %s of %s ended", claims.reservation_id, claims.rule)
            unknown = Tariff(Meters(), on_unknown=job.on_unknown)
            await self._finish(packed, claims, claims.bill(unknown).unknown({}))
            self.given_up_total += 1
        else:
            await self._wait(job, packed, claims, usable=usable)

    async def _wait(self, job: Job, packed: bytes, claims: SettleClaims, *, usable: bool) -> None:
        """It runs on, or the upstream has trouble: then it is asked less and less often."""
        self.failures_total += not usable
        every_s, failures = job.poll.every_s, 0 if usable else job.failures + 1
        pause_s = min(every_s * 2 ** min(failures, 16), max(PAUSE_MAX_S, every_s))
        # Not in step with others that began at the same time, and before the hold's end in any case.
        due_ms = self._later_ms(pause_s * random.uniform(0.9, 1.1))  # noqa: S311 - spreads load, guards nothing
        again = msgspec.msgpack.encode(msgspec.structs.replace(job, failures=failures))
        await self._jobs.put(claims.customer_id, again, min(due_ms, self._last_ms(job, claims)))
        if again != packed:
            await self._jobs.drop(claims.customer_id, packed)

    def _charge(self, job: Job, claims: SettleClaims, answer: Polled) -> Charge:
        """What the answer says that it cost, as the rule reads answers by now; the price is as it was agreed."""
        rule = next((rule for rule in self._rules().rules if rule.name == job.rule), None)
        tariff = Tariff(Meters(), on_unknown=job.on_unknown) if rule is None else rule.quoter.tariff
        tariff = msgspec.structs.replace(tariff, charge_on=frozenset({answer.status}))
        if rule is None:
            return claims.bill(tariff).unknown({})
        meter = open_meter(claims.bill(tariff), answer.status, answer.fields, hides=False)
        meter.feed(answer.body)
        meter.flush()
        return meter.finish(End.COMPLETE, 0, len(answer.body), 0)

    @staticmethod
    def _last_ms(job: Job, claims: SettleClaims) -> int:
        """When it is asked for the last time, while its hold is there."""
        return claims.until_ms - 1000 * job.poll.every_s

    async def _finish(self, packed: bytes, claims: SettleClaims, charge: Charge | None) -> None:
        try:
            await self._deferred.end(claims, charge)
        except (Conflict, NotFound) as error:
            # Its upstream has settled it by itself, or it was too late.
            log.info("the job %s: %s", claims.reservation_id, error.detail)
        except StoreError:
            raise
        except SidecarError as error:
            log.error("the job %s cannot be settled: %s", claims.reservation_id, error.detail)  # noqa: TRY400  (says it all)
        await self._jobs.drop(claims.customer_id, packed)

    def _later_ms(self, span_s: float) -> int:
        return round((self._now_s() + span_s) * 1000)
