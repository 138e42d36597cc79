"""The life of a hold inside the process: taken once, settled once, whatever happens to the request.

What may have been taken, though nobody knows, is given back; how settlements arrive is the matter of `settling`.
"""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from sidecar.domain.counted_quotes import Claims
from sidecar.domain.counters import Advance
from sidecar.domain.errors import Conflict, SidecarError, StoreError, StoreTimeout
from sidecar.domain.exits import Event, Phase
from sidecar.domain.limits import Taking
from sidecar.domain.outcomes import (
    CountersMoved,
    Ended,
    Overrun,
    RefusalCode,
    Refused,
    Reserved,
    Settled,
    Waiting,
)
from sidecar.domain.price_counted import CountedCharge
from sidecar.services.bridging import Bridging
from sidecar.services.counting import Counting
from sidecar.services.credit_leases import USUAL, LeaseTerms
from sidecar.services.hold import Bridged, Hold
from sidecar.services.outage import Outage
from sidecar.services.pressure import Pressure
from sidecar.services.queue import IN_TURN, Outcome, Queue, TellHow
from sidecar.services.settling import REPEAT_FIRST_S, Ending, Settlement, Settling
from sidecar.services.spool import Spool
from sidecar.services.steps import Steps
from sidecar.services.upkeep import Upkeep
from sidecar.store.hold_record import HoldRecord
from sidecar.store.ledger import FINAL, CommitTerms, Ledger, PaidBy
from sidecar.store.pauses import Pauses
from sidecar.store.repeats import CLAIM_MS, Claim, Repeats
from sidecar.store.reply import Reply
from sidecar.tasks import Tasks

_UNACKNOWLEDGED = f"{Phase.HOLD}.{Event.STORE_TIMEOUT}: the reserve was not acknowledged"

_Asked = tuple[str, str, str, str, str, str, tuple[Taking, ...]]
"""Customer id, credential, unit, feature, rule, version of the rules, what it takes of limits."""
_M = TypeVar("_M")


def _nobody(_give_up: object) -> None:
    """Is told how to make a request give up, and never does."""


class Holds:
    """Takes holds and settles each of them exactly once.

    `timeout_s` is how long a settlement may keep its caller; `ttl_s` how long a hold lives when nobody settles it
    and nobody keeps it alive, as `upkeep` does while it runs. Charges that do not arrive are kept in the `spool`;
    `bridging` serves without the store.
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
        spool: Spool | None = None,
        lease_terms: LeaseTerms = USUAL,
    ) -> None:
        self.outage = outage
        self._ledger = ledger
        self._pressure = pressure
        self._queue = queue
        self._ttl_s = ttl_s
        self._ttl_ms = round(ttl_s * 1000)
        self._tasks = tasks
        self._counting = Counting(ledger)
        self.settling = Settling(self._counting, outage, spool, timeout_s=timeout_s, tasks=tasks)
        self.upkeep = Upkeep(ledger, ttl_s=ttl_s, give_back=self._give_back_unwanted, tasks=tasks)
        self.bridging = Bridging(
            ledger,
            self.settling,
            spool,
            next_id=self.next_id,
            give_back=self._give_back_unwanted,
            away=lambda: outage.away,
            lease_terms=lease_terms,
        )
        self._numbers = itertools.count(1)

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
            if isinstance(outcome, Refused) and await self.bridging.leases.made_room(outcome, record.payer_id, unit):
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
            stood, limited_key = (outcome.stands, outcome.limits, outcome.available), outcome.limited_key
            hold = Hold(record, deadline, *stood, limited_key=limited_key)
            self.upkeep.begin(hold, credential)
            return hold
        if isinstance(outcome, Ended | PaidBy | Waiting):
            raise Conflict(f"The reservation {reservation_id} ended before it began.")
        return outcome

    @property
    def repeats(self) -> Repeats:
        """Whose attempts the keys are that clients repeat their requests with."""
        return self._ledger.repeats

    def unclaim_later(self, claim: Claim) -> None:
        """Free a key that may have been claimed, though nobody knows, as soon as the store answers."""
        self._tasks.start(self._unclaim(claim), f"unclaim for {claim.reservation_id}")

    async def _unclaim(self, claim: Claim) -> None:
        pauses, over_at = Pauses(), time.monotonic() + CLAIM_MS / 1000
        while time.monotonic() < over_at:
            await asyncio.sleep(pauses.next_s())
            try:
                await self.repeats.unclaim(claim)
            except StoreError as error:
                self.outage.noticed(error)
            else:
                return

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
        steps: Steps | None = None,
    ) -> Coroutine[Any, Any, Settled | None]:
        """Charge the real cost, give the rest back; `overrun` says what becomes of a cost that nothing is left for.

        After `steps`, `charge` is what they have not promised; the one that is pending goes first.
        `counted`: the charge is what this comes to where the customer's counters stand by then, and may be owed.
        None: not acknowledged within `timeout_s`, and the work goes on; it took effect, but the reply that said what
        it did was lost; or the store knows no such hold any more.
        Cancelling the caller does not cancel the work.
        """
        terms = FINAL if overrun is Overrun.OWE else CommitTerms(overrun=overrun)

        def attempt() -> Awaitable[Ending]:
            if counted is None:
                return self._ledger.commit(hold.record, charge, usage, source, terms)
            return self._counting.commit(hold.record, counted, usage, source)

        self.upkeep.end(hold)
        if isinstance(hold, Bridged):
            return self.bridging.settle(hold, charge, usage, source)
        if steps is not None:
            attempt = partial(self._end_steps, steps, hold, charge, usage, source, terms)
        return self.settling.settle(Settlement(hold, charge, attempt, (usage, source, counted, overrun)))

    async def _end_steps(
        self, steps: Steps, hold: Hold, charge: int, usage: str, source: str, terms: CommitTerms
    ) -> Ending:
        steps.lost += await steps.deliver(self._ledger)
        return await self._ledger.commit(hold.record, charge + steps.lost, usage, source, terms)

    def release(self, hold: Hold, reason: str) -> Coroutine[Any, Any, Settled | None]:
        """Give the whole hold back; None as for `commit`."""
        self.upkeep.end(hold)
        if isinstance(hold, Bridged):
            return self.bridging.release(hold)
        return self.settling.settle(self._release(hold, reason))

    async def leave_open(self, hold: Hold, within_s: int) -> None:
        """Somebody else settles it, within so long, and until then nobody keeps it alive.

        Without an answer of the store it is kept alive by us until there is one.
        """
        if not await self._open_for(hold, within_s):
            self._tasks.start(self._keep_open(hold, within_s), f"leave {hold.reservation_id} open")

    async def _keep_open(self, hold: Hold, within_s: int) -> None:
        pauses = Pauses()
        while True:
            await asyncio.sleep(pauses.next_s())
            if await self._open_for(hold, within_s):
                return

    async def _open_for(self, hold: Hold, within_s: int) -> bool:
        try:
            # Whatever the answer is: the hold lives so long, or has been settled already.
            await self._ledger.resize(hold.record, [0], within_s * 1000)
        except StoreError as error:
            self.outage.noticed(error)
            return False
        self.upkeep.end(hold)
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

    def _give_back(self, hold: Hold, why: str = _UNACKNOWLEDGED, *, pause_s: float = REPEAT_FIRST_S) -> None:
        """Release a hold that may have been taken, though nobody knows."""
        self.settling.settle_later(self._release(hold, why), pause_s)

    def _give_back_unwanted(self, record: HoldRecord) -> None:
        self._give_back(Hold(record, time.monotonic()), "its request does not want it any more")

    def _release(self, hold: Hold, reason: str) -> Settlement:
        return Settlement(hold, 0, lambda: self._ledger.release(hold.record, reason))
