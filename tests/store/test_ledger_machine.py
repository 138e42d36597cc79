"""Any sequence of operations against a model: conservation, repetition, and the journal as the whole truth."""

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from sidecar.domain.outcomes import (
    Balance,
    Ended,
    OpenHold,
    RefusalCode,
    Refused,
    Reserved,
    Settled,
    UnknownReservation,
)
from sidecar.store.lane import Lane
from tests.support.books import UNIT, Purse, folded, journal, open_lane, open_purse
from tests.support.store import StoreServer

AMOUNTS = st.integers(0, 60)


class Model:
    """What the ledger should do, written as plainly as possible."""

    def __init__(self) -> None:
        self.granted = self.available = self.spent = self.owed = 0
        self.open: dict[str, int] = {}
        self.expired: set[str] = set()
        self.marked: set[str] = set()
        """What a reserve would find: it has expired, or its release came first."""
        self.settled: set[str] = set()

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

    def reserve(self, name: str, amount: int) -> Reserved | Refused | Ended:
        if name in self.marked:
            return Ended()
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

    def commit(self, name: str, charge: int) -> Settled | UnknownReservation:
        late = name in self.expired
        if name not in self.open and not late:
            return UnknownReservation()
        held = self.open.pop(name, 0)
        self.expired.discard(name)
        self.settled.add(name)
        covered = min(charge, held)
        taken = min(charge - covered, self.available)
        owed = charge - covered - taken
        self.available -= taken
        self.spent += covered + taken
        self.owed += owed
        self._comes_back(held - covered)
        return Settled(charge, self.available, owed, late=late)

    def release(self, name: str) -> Settled | UnknownReservation:
        if name not in self.open:
            self.marked.add(name)
            return UnknownReservation()
        self._comes_back(self.open.pop(name))
        self.settled.add(name)
        return Settled(0, self.available)

    def expire(self, name: str) -> None:
        self._comes_back(self.open.pop(name))
        self.expired.add(name)
        self.marked.add(name)

    def _comes_back(self, amount: int) -> None:
        repaid = min(amount, self.owed)
        self.owed -= repaid
        self.spent += repaid
        self.available += amount - repaid


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
        self.names_given = 0
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
        name = self.new_name()
        assert self.run(self.purse.reserve(name, amount)) == self.model.reserve(name, amount)
        return name

    @rule(name=names)
    def reserve_again(self, name: str) -> None:
        """Whoever settled a reservation has its reserve behind: that comes again only after a release came first."""
        if name not in self.model.settled or name in self.model.marked:
            amount = self.purse.known(name).held
            assert self.reserve_like_before(name) == self.model.reserve(name, amount)

    @rule(name=names, charge=AMOUNTS)
    def commit(self, name: str, charge: int) -> None:
        assert self.run(self.purse.commit(name, charge)) == self.model.commit(name, charge)

    @rule(name=names)
    def release(self, name: str) -> None:
        assert self.run(self.purse.release(name)) == self.model.release(name)

    @rule(target=names)
    def release_first(self) -> str:
        name = self.new_name()
        assert self.run(self.purse.release(name)) == self.model.release(name)
        return name

    @rule(target=names, amount=AMOUNTS)
    def expire(self, amount: int) -> str:
        name = self.new_name()
        if isinstance(self.model.reserve(name, amount), Reserved):
            self.run(self.purse.expired(name, amount))
            self.model.expire(name)
        return name

    @rule()
    def repeat_everything(self) -> None:
        """Every operation that was ever acknowledged, once more: it changes nothing."""
        before, lines = self.model.balance, self.journal()
        for name in self.model.settled:
            assert self.run(self.purse.commit(name, 7)) == self.model.commit(name, 7) == UnknownReservation()
            assert self.run(self.purse.release(name)) == self.model.release(name) == UnknownReservation()
        for name in self.model.open:
            assert self.reserve_like_before(name) == self.model.reserve(name, self.model.open[name])
        for index, (amount, _) in enumerate(self.grants):
            assert self.run(self.purse.grant(amount, f"key {index}")).replayed
        assert self.run(self.purse.sweep()) == 0
        assert (self.run(self.purse.balance()), self.journal()) == (before, lines)

    def new_name(self) -> str:
        self.names_given += 1
        return f"r{self.names_given}"

    def reserve_like_before(self, name: str) -> Reserved | Refused | Ended:
        record = self.purse.known(name)

        async def work() -> Reserved | Refused | Ended:
            return await self.purse.ledger.reserve(record, credential=self.purse.credential)

        result: Reserved | Refused | Ended = self.run(work())
        return result

    def journal(self) -> list[dict[str, str]]:
        with self.server.client() as client:
            return journal(client, self.purse.customer_id)

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
        assert folded(self.journal(), {UNIT: sum(self.model.open.values())}) == [self.run(self.purse.balance())]


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
    assert isinstance(settled, Settled)
    assert (settled.charged, model.open) == (charge, {"b": 10})
    assert model.granted == model.available + sum(model.open.values()) + model.spent
