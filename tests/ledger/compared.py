"""A state machine that does everything in the model and in a real store, and compares all of it after each step."""

import asyncio
from collections.abc import Awaitable
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine, invariant

from sidecar.domain.book_overage import NO_BLOCK
from sidecar.domain.outcomes import OpenHold
from sidecar.store.lane import Lane
from tests.ledger.comparing import answer_of, bare, bare_line
from tests.ledger.drivers import PAYER, Driver, ModelDriver
from tests.ledger.store_driver import StoreDriver
from tests.support.clock import StoreClock

UNITS = ("credits", "tokens")


class Compared(RuleBasedStateMachine):
    """The loop and the lane are shared by all runs."""

    loop: asyncio.AbstractEventLoop
    lane: Lane
    clock: StoreClock

    def __init__(self) -> None:
        super().__init__()
        self.model = ModelDriver()
        self.store = StoreDriver(self.lane, self.clock, self.model.known)
        self.compared: dict[str, int] = dict.fromkeys(UNITS, 0)
        self.looks = True

    def run(self, work: Awaitable[Any]) -> Any:
        return self.loop.run_until_complete(work)

    def both(self, operation: str, *asked: Any, **terms: Any) -> Any:
        """Do it in the store and in the model: the same answer, which is returned, or the same error.

        The model is later, since it is the archive that the store's caller asks before.
        """
        self.looks = operation != "tick"
        store, model = (
            self.run(answer_of(driver, operation, *asked, **terms)) for driver in (self.store, self.model)
        )
        assert store == model, operation
        return model

    @invariant()
    def the_accounts_are_the_same(self) -> None:
        if not self.looks:
            return
        for unit in UNITS:
            self.both("account", unit)
            for member in ("ben", "cem"):
                self.both("pool", member, unit)
        self.both("counters")
        for customer in (PAYER, "ben"):
            self.both("spend_caps", customer, "credits")
        self.model.books.check()

    @invariant()
    def the_open_holds_are_the_same_and_are_what_is_held(self) -> None:
        if not self.looks:
            return
        model, store = (
            {hold.reservation_id: bare(hold) for hold in self.run(driver.open_holds())} for driver in self.drivers
        )
        assert store == model
        for unit in UNITS:
            parts = [part for hold in model.values() for part in (hold, *hold.others) if part.unit == unit]
            assert self.run(self.store.account(unit)).totals.held == sum(map(_of_blocks, parts))

    @invariant()
    def the_journals_are_the_same(self) -> None:
        if not self.looks:
            return
        model, store = (self.run(driver.lines()) for driver in self.drivers)
        for unit in UNITS:
            new = [[line for line in lines if line.unit == unit][self.compared[unit] :] for lines in (model, store)]
            assert [bare_line(line) for line in new[1]] == [bare_line(line) for line in new[0]]
            self.compared[unit] += len(new[0])

    @property
    def drivers(self) -> tuple[Driver, Driver]:
        return self.model, self.store


def _of_blocks(part: OpenHold) -> int:
    """What a hold keeps, but for what it may yet owe."""
    return sum(slice_.amount for slice_ in part.drawn if slice_.block != NO_BLOCK)
