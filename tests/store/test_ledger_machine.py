"""Any sequence of operations against a model: conservation, repetition, and the journal as the whole truth."""

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from sidecar.domain.outcomes import Balance, OpenHold, RefusalCode, Refused, Reserved, Settled, Settlement
from sidecar.store.lane import Lane
from tests.support.books import UNIT, Purse, folded, journal, open_lane, open_purse
from tests.support.store import StoreServer

AMOUNTS = st.integers(0, 60)


class Model:
    """What the ledger should do, written as plainly as possible."""

    def __init__(self) -> None:
        self.granted = self.available = self.spent = self.owed = 0
        self.open: dict[str, int] = {}
        self.ended: dict[str, Settled] = {}

    @property
    def balance(self) -> Balance:
        return Balance(
            unit=UNIT,
            granted=self.granted,
            available=self.available,
            held=sum(self.open.values()),
            spent=self.spent,
            owed=self.owed,
        )

    def grant(self, amount: int) -> Balance:
        self.granted += amount
        self._comes_back(amount)
        return self.balance

    def reserve(self, name: str, amount: int) -> Reserved | Refused | Settled:
        if name in self.ended:
            return self._again(name)
        if name in self.open:
            return Reserved(self.open[name], self.available, replayed=True)
        held = sum(self.open.values())
        if self.owed or amount > self.available:
            fits_later = self.available + held - self.owed >= amount
            code = RefusalCode.HOLDS_IN_FLIGHT if fits_later else RefusalCode.INSUFFICIENT_CREDITS
            return Refused(code, amount, self.available, held)
        self.available -= amount
        self.open[name] = amount
        return Reserved(amount, self.available)

    def commit(self, name: str, charge: int) -> Settled:
        late = name in self.ended and self.ended[name].state is Settlement.EXPIRED
        if name in self.ended and not late:
            return self._again(name)
        held = self.open.pop(name, 0)
        covered = min(charge, held)
        taken = min(charge - covered, self.available)
        owed = charge - covered - taken
        self.available -= taken
        self.spent += covered + taken
        self.owed += owed
        self._comes_back(held - covered)
        self.ended[name] = Settled(Settlement.COMMITTED, charge, self.available, owed, late=late)
        return self.ended[name]

    def end(self, name: str, state: Settlement) -> Settled:
        if name in self.ended:
            return self._again(name)
        self._comes_back(self.open.pop(name))
        self.ended[name] = Settled(state, 0, self.available)
        return self.ended[name]

    def _comes_back(self, amount: int) -> None:
        repaid = min(amount, self.owed)
        self.owed -= repaid
        self.spent += repaid
        self.available += amount - repaid

    def _again(self, name: str) -> Settled:
        first = self.ended[name]
        return Settled(first.state, first.charged, self.available, first.owed, replayed=True, late=first.late)


class LedgerMachine(RuleBasedStateMachine):
    """One customer; the loop and the lane are shared by all runs."""

    loop: asyncio.AbstractEventLoop
    lane: Lane
    server: StoreServer
    number = 0

    names = Bundle("names")

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.grants: list[tuple[int, Balance]] = []
        LedgerMachine.number += 1
        self.purse: Purse = self.run(open_purse(self.lane, f"customer {LedgerMachine.number}"))
        self.grant(0)

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    @rule(amount=AMOUNTS)
    def grant(self, amount: int) -> None:
        result = self.run(self.purse.grant(amount, f"key {len(self.grants)}"))
        assert result.balance == self.model.grant(amount)
        self.grants.append((amount, result.balance))

    @rule(data=st.data())
    def grant_again(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.grants) - 1))
        amount, balance = self.grants[index]
        result = self.run(self.purse.grant(amount, f"key {index}"))
        assert (result.replayed, result.balance) == (True, balance)

    @rule(target=names, amount=AMOUNTS)
    def reserve(self, amount: int) -> str:
        name = f"r{len(self.model.open) + len(self.model.ended)}-{amount}"
        assert self.run(self.purse.reserve(name, amount)) == self.model.reserve(name, amount)
        return name

    @rule(name=names, amount=AMOUNTS)
    def reserve_again(self, name: str, amount: int) -> None:
        assert self.run(self.purse.reserve(name, amount)) == self.model.reserve(name, amount)

    @rule(name=names, charge=AMOUNTS)
    def commit(self, name: str, charge: int) -> None:
        if name in self.model.open or name in self.model.ended:
            assert self.run(self.purse.commit(name, charge)) == self.model.commit(name, charge)

    @rule(name=names)
    def release(self, name: str) -> None:
        if name in self.model.open or name in self.model.ended:
            assert self.run(self.purse.release(name)) == self.model.end(name, Settlement.RELEASED)

    @rule(target=names, amount=AMOUNTS)
    def expire(self, amount: int) -> str:
        name = f"overdue{len(self.model.open) + len(self.model.ended)}-{amount}"
        if isinstance(self.model.reserve(name, amount), Reserved) and name not in self.model.ended:
            self.run(self.purse.expired(name, amount))
            self.model.end(name, Settlement.EXPIRED)
        return name

    @invariant()
    def the_balance_is_the_model_s(self) -> None:
        balance = self.run(self.purse.balance())
        assert balance == self.model.balance
        assert balance.granted == balance.available + balance.held + balance.spent
        assert not (balance.owed and balance.available)

    @invariant()
    def the_open_holds_are_what_is_held(self) -> None:
        holds: list[OpenHold]
        holds, _ = self.run(self.purse.ledger.open_holds(customer_id=self.purse.customer_id, limit=500, cursor=None))
        assert {hold.reservation_id: hold.held for hold in holds} == self.model.open

    def teardown(self) -> None:
        with self.server.client() as client:
            lines = journal(client, self.purse.customer_id)
        assert folded(lines, {UNIT: sum(self.model.open.values())}) == [self.run(self.purse.balance())]


def test_any_sequence_keeps_the_books(shared_store: StoreServer, store_url: str) -> None:
    loop = asyncio.new_event_loop()
    lane_opened = open_lane(store_url)
    LedgerMachine.loop, LedgerMachine.server = loop, shared_store
    LedgerMachine.lane = loop.run_until_complete(lane_opened.__aenter__())
    try:
        run_state_machine_as_test(
            LedgerMachine,
            settings=settings(
                max_examples=60,
                stateful_step_count=40,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        loop.run_until_complete(lane_opened.__aexit__(None, None, None))
        loop.close()


@pytest.mark.parametrize("charge", [0, 5, 9])
def test_the_model_is_worth_comparing_with(charge: int) -> None:
    """The numbers of the reference: a commit above the hold leaves the other hold alone."""
    model = Model()
    model.grant(20)
    model.reserve("a", 5)
    model.reserve("b", 10)
    settled = model.commit("a", charge)
    assert (settled.charged, model.open) == (charge, {"b": 10})
    assert model.granted == model.available + sum(model.open.values()) + model.spent
