"""The life of a hold inside the process: taken once, settled once, whatever happens to the request.

A settlement takes effect once, however often it is sent, so this is all there is to it: whatever is not acknowledged
is repeated, in a task that outlives the request, until the store answers, or has forgotten the hold.
"""

import asyncio
import itertools
import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

import msgspec

from sidecar.domain.counted_quotes import Claims
from sidecar.domain.counters import Advance, Stand
from sidecar.domain.errors import Conflict, InvalidInput, SidecarError, StoreCorrupt, StoreError, StoreTimeout
from sidecar.domain.exits import Event, Phase
from sidecar.domain.limits import Limit, Taking
from sidecar.domain.outcomes import (
    CountersMoved,
    Ended,
    Overrun,
    RefusalCode,
    Refused,
    Rejected,
    Reserved,
    Resolved,
    Settled,
    UnknownReservation,
    Waiting,
)
from sidecar.domain.price_counted import CountedCharge
from sidecar.domain.usage_words import recorded
from sidecar.services.counting import Counting
from sidecar.services.outage import Outage
from sidecar.services.pressure import Pressure
from sidecar.services.queue import IN_TURN, Outcome, Queue, TellHow
from sidecar.services.upkeep import Upkeep
from sidecar.store.hold_record import HoldRecord
from sidecar.store.ledger import FINAL, CommitTerms, Ledger, PaidBy
from sidecar.store.repeats import Repeats
from sidecar.store.reply import Reply
from sidecar.tasks import Tasks

log = logging.getLogger("sidecar.holds")

REPEAT_FIRST_S = 0.05
REPEAT_MOST_S = 2.0
CHARGED_LATE_S = 900.0
"""So long after a hold's deadline the store still knows it, and charges it."""
_UNACKNOWLEDGED = f"{Phase.HOLD}.{Event.STORE_TIMEOUT}: the reserve was not acknowledged"


class Hold:
    """What is held for one request; while that runs, its upkeep may change all of it (see `upkeep`).

    `deadline` is on the monotonic clock: from then on the sweep may give the hold back. `stands` are where the
    counters that it claims of stood when it was taken.
    """

    __slots__ = ("deadline", "held", "limits", "record", "stands")

    def __init__(
        self,
        record: HoldRecord,
        deadline: float,
        stands: tuple[Stand, ...] = (),
        limits: tuple[tuple[Limit, int], ...] = (),
    ) -> None:
        self.record = record
        self.deadline = deadline
        self.held = record.held
        self.stands = stands
        self.limits = limits

    @property
    def reservation_id(self) -> str:
        return self.record.reservation_id

    def correct_limits(self, usage: str) -> None:
        """What it takes of limits is what this usage says, once it is committed."""
        read = recorded(usage).usage
        self.record = msgspec.structs.replace(
            self.record, limits=tuple(each.corrected(read) for each in self.record.limits)
        )


_Asked = tuple[str, str, str, str, str, str, tuple[Taking, ...]]
"""Customer id, credential, unit, feature, rule, version of the rules, what it takes of limits."""
_M = TypeVar("_M")
_Ending = Settled | UnknownReservation | Resolved | Rejected


def _nobody(_give_up: object) -> None:
    """Is told how to make a request give up, and never does."""


class _Work(msgspec.Struct, frozen=True):
    """One settlement that has to be acknowledged."""

    hold: Hold
    charge: int
    attempt: Callable[[], Awaitable[_Ending]]


class Holds:
    """Takes holds and settles each of them exactly once.

    `timeout_s` is how long a settlement may keep its caller; `ttl_s` how long a hold lives when nobody settles it
    and nobody keeps it alive, as `upkeep` does while it runs.
    """

    def __init__(
        self,
        ledger: Ledger,
        pressure: Pressure,
        queue: Queue,
        outage: Outage,
        *,
        ttl_s: float,
        timeout_s: float,
        tasks: Tasks,
    ) -> None:
        self.outage = outage
        self._ledger = ledger
        self._pressure = pressure
        self._queue = queue
        self._ttl_s = ttl_s
        self._ttl_ms = round(ttl_s * 1000)
        self._timeout_s = timeout_s
        self._tasks = tasks
        self._counting = Counting(ledger)
        self.upkeep = Upkeep(ledger, ttl_s=ttl_s, give_back=self._give_back_unwanted, tasks=tasks)
        self._numbers = itertools.count(1)
        self._drained: asyncio.Event | None = None
        self.pending = 0
        """Settlements that the store has not acknowledged."""
        self.abandoned_total = 0
        """Settlements that were given up: not acknowledged in time, unknown to the store, or corrupt."""

    def take(
        self,
        customer_id: str,
        credential: str,
        unit: str,
        amount: int,
        feature: str,
        rule: str,
        *,
        rules_version: str = "",
        wait_ms: int = 0,
        tell_how: TellHow = _nobody,
        claims: Claims | None = None,
        attempt_id: str = "",
        limits: tuple[Taking, ...] = (),
    ) -> Coroutine[Any, Any, Hold | Refused]:
        """Hold `amount`, or say why not. What asks for it is kept with it: feature, rule and the rules' version.

        With `wait_ms`, what does not fit because of holds in flight waits for so long at most, in fair order;
        `tell_how` is told how to make it give up, which is answered by the refusal.
        With `attempt_id`, from `next_id`, that is the reservation's id, and how it ends is remembered for 24 hours.
        With `limits`, it takes these in the same step, or nothing.
        With `claims`, the amount is what they come to where the customer's counters stand, and nothing waits.
        Raises StoreUnavailable (nothing is held), also while the journal is full and, at once, while the store does
        not answer (see `outage`); and StoreTimeout. After that, after a defect, and when the caller is cancelled,
        what may have been taken is given back in the background.
        """
        asked = (customer_id, credential, unit, feature, rule, rules_version, limits)
        if claims is None:
            return self._take(asked, amount, (), self._reserve, wait_ms, tell_how, attempt_id)

        def ask(amount: int, advances: tuple[Advance, ...]) -> Coroutine[Any, Any, Hold | Refused | CountersMoved]:
            return self._take(asked, amount, advances, self._claim, attempt_id=attempt_id)

        return self._counting.take(customer_id, claims, ask)

    async def _take(
        self,
        asked: _Asked,
        amount: int,
        claims: tuple[Advance, ...],
        reserve: Callable[[HoldRecord, str, int], Awaitable[Outcome | Waiting | _M]],
        wait_ms: int = 0,
        tell_how: TellHow = _nobody,
        attempt_id: str = "",
    ) -> Hold | Refused | _M:
        """One hold by one way to reserve it."""
        customer_id, credential, unit, feature, rule, rules_version, limits = asked
        self.outage.check()
        self._pressure.check(customer_id)
        reservation_id = attempt_id or self.next_id()
        parts = ((unit, amount),)
        describe = partial(
            self._ledger.hold, customer_id, reservation_id, parts, self._ttl_ms, feature, rule,
            rules_version=rules_version, claims=claims, remember=bool(attempt_id), limits=limits,
        )  # fmt: skip
        record = describe()
        deadline = time.monotonic() + self._ttl_s
        try:
            outcome = await reserve(record, credential, wait_ms)
            if isinstance(outcome, PaidBy):
                record = describe()
                deadline = time.monotonic() + self._ttl_s
                outcome = await reserve(record, credential, wait_ms)
            if wait_ms and isinstance(outcome, Refused):
                hold, outcome = await self._wait(Hold(record, deadline), credential, outcome, wait_ms, tell_how)
                deadline = hold.deadline
        except BaseException as error:
            if isinstance(error, SidecarError) and not isinstance(error, StoreTimeout):
                # An answer, or the certainty that the store has not heard of it.
                raise
            self.outage.noticed(error)
            self._give_back(Hold(record, deadline))
            raise
        if isinstance(outcome, Reserved):
            hold = Hold(record, deadline, outcome.stands, outcome.limits)
            self.upkeep.begin(hold, credential)
            return hold
        if isinstance(outcome, Ended | PaidBy | Waiting):
            raise Conflict(f"The reservation {reservation_id} ended before it began.")
        return outcome

    @property
    def repeats(self) -> Repeats:
        """Whose attempts the keys are that clients repeat their requests with."""
        return self._ledger.repeats

    def next_id(self) -> str:
        """The id of a reservation that is yet to be made."""
        return f"{self._queue.process}_{next(self._numbers):x}"

    def commit(
        self,
        hold: Hold,
        charge: int,
        usage: str,
        source: str,
        counted: CountedCharge | None = None,
        overrun: Overrun = Overrun.OWE,
    ) -> Coroutine[Any, Any, Settled | None]:
        """Charge the real cost, give the rest back; `overrun` says what becomes of a cost that nothing is left for.

        `counted`: the charge is what this comes to where the customer's counters stand by then, and may be owed.
        None: not acknowledged within `timeout_s`, and the work goes on; it took effect, but the reply that said what
        it did was lost; or the store knows no such hold any more.
        Cancelling the caller does not cancel the work.
        """
        terms = FINAL if overrun is Overrun.OWE else CommitTerms(overrun=overrun)

        def attempt() -> Awaitable[_Ending]:
            if counted is None:
                return self._ledger.commit(hold.record, charge, usage, source, terms)
            return self._counting.commit(hold.record, counted, usage, source)

        return self._settle(_Work(hold, charge, attempt))

    def release(self, hold: Hold, reason: str) -> Coroutine[Any, Any, Settled | None]:
        """Give the whole hold back; None as for `commit`."""
        return self._settle(self._release(hold, reason))

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

    def _claim(self, record: HoldRecord, credential: str, _wait_ms: int) -> Reply[Outcome | CountersMoved]:
        return self._ledger.reserve_and_claim(record, credential)

    def _reserve(
        self, record: HoldRecord, credential: str, wait_ms: int
    ) -> Reply[Outcome] | Reply[Outcome | Waiting]:
        if wait_ms:
            return self._ledger.reserve_in_turn(record, credential, IN_TURN)
        return self._ledger.reserve(record, credential)

    async def _wait(
        self, hold: Hold, credential: str, refused: Refused, wait_ms: int, tell_how: TellHow
    ) -> tuple[Hold, Outcome]:
        if refused.code is not RefusalCode.HOLDS_IN_FLIGHT:
            return hold, refused
        outcome = await self._queue.wait(hold.record, credential, refused, wait_ms, tell_how)
        if outcome is None:
            # At once, since others stand behind it.
            self._give_back(hold, f"{Phase.WAIT}: it gave up waiting", pause_s=0)
            return hold, refused
        return Hold(hold.record, time.monotonic() + self._ttl_s), outcome

    def _give_back(
        self,
        hold: Hold,
        why: str = _UNACKNOWLEDGED,
        *,
        pause_s: float = REPEAT_FIRST_S,
    ) -> None:
        """Release a hold that may have been taken, though nobody knows."""
        self.pending += 1
        self._start(self._release(hold, why), may_be_done=False, pause_s=pause_s)

    def _give_back_unwanted(self, record: HoldRecord) -> None:
        self._give_back(Hold(record, time.monotonic()), "its request does not want it any more")

    def _release(self, hold: Hold, reason: str) -> _Work:
        def attempt() -> Awaitable[_Ending]:
            return self._ledger.release(hold.record, reason)

        return _Work(hold, 0, attempt)

    async def _settle(self, work: _Work) -> Settled | None:
        """The first attempt runs in the caller, without a task; only what is not acknowledged gets one."""
        give_up_at = time.monotonic() + self._timeout_s
        self.upkeep.end(work.hold)
        self.pending += 1
        if self.outage.open:
            # Whoever ends a request need not wait for a store that does not answer.
            self._start(work, may_be_done=False)
            return None
        try:
            return self._acknowledged(work, await work.attempt(), may_be_done=False)
        except StoreCorrupt as error:
            self._abandon(work, error.detail)
            return None
        except StoreError as error:
            self.outage.noticed(error)
            repeated = self._start(work, may_be_done=isinstance(error, StoreTimeout))
        except asyncio.CancelledError:
            self._start(work, may_be_done=True)
            raise
        except InvalidInput:
            self._count_down()
            raise
        except Exception:
            log.exception("settling hold %s has failed, and is tried once more", work.hold.reservation_id)
            repeated = self._start(work, may_be_done=True)
        left_s = max(0.0, give_up_at - time.monotonic())
        done, _ = await asyncio.wait({repeated}, timeout=left_s)
        return repeated.result() if done else None

    def _start(
        self, work: _Work, *, may_be_done: bool, pause_s: float = REPEAT_FIRST_S
    ) -> "asyncio.Task[Settled | None]":
        return self._tasks.start(self._repeat(work, may_be_done, pause_s), f"settle {work.hold.reservation_id}")

    async def _repeat(self, work: _Work, may_be_done: bool, pause_s: float) -> Settled | None:
        """`may_be_done`: an attempt was made whose effect is unknown."""
        while True:
            try:
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 — spreads load, guards nothing.
                return self._acknowledged(work, await work.attempt(), may_be_done)
            except StoreCorrupt as error:
                self._abandon(work, error.detail)
                return None
            except StoreError as error:
                if time.monotonic() > work.hold.deadline + CHARGED_LATE_S:
                    self._abandon(work, error.detail)
                    return None
                may_be_done = may_be_done or isinstance(error, StoreTimeout)
            except asyncio.CancelledError:
                self._abandon(work, "we are stopping")
                raise
            except Exception:
                log.exception("settling hold %s has failed again", work.hold.reservation_id)
                self._abandon(work, "a defect of ours, which is logged above")
                return None
            pause_s = min(max(2 * pause_s, REPEAT_FIRST_S), REPEAT_MOST_S)

    def _acknowledged(self, work: _Work, outcome: _Ending, may_be_done: bool) -> Settled | None:
        if isinstance(outcome, Settled):
            self._count_down()
            return outcome
        if work.charge and not may_be_done:
            self._abandon(work, "the store does not know it any more")
        else:
            self._count_down()
        return None

    def _abandon(self, work: _Work, why: str) -> None:
        self._count_down()
        self.abandoned_total += 1
        hold = work.hold.record
        log.error(
            "hold %s of %s (%s): the end of it, a charge of %d base units of %s, was never acknowledged: %s",
            *(hold.reservation_id, hold.customer_id, hold.rule, work.charge, hold.unit, why),
        )

    def _count_down(self) -> None:
        self.pending -= 1
        if self.pending == 0 and self._drained is not None:
            self._drained.set()
