"""The tables of `scenarios/`, on the model and on a real store."""

import pytest

from sidecar.store.lane import Lane
from tests.ledger.drivers import ModelDriver
from tests.ledger.player import Player
from tests.ledger.scenario import Scenario, scenarios
from tests.ledger.store_driver import StoreDriver
from tests.support.clock import StoreClock

SCENARIOS = [pytest.param(scenario, id=scenario.name) for scenario in scenarios()]
DIFFERENT = {
    "blocks: what lapses unseen lapses in burn order, round by round": "later rounds are not sorted",
    "holds: a repetition shows what is held by now": "answers what was held at first",
    "pools: in whatever unit": "looks at a part's cap after the balance of those before it",
}
"""Where the store is not the model yet, and how."""


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_on_the_model(scenario: Scenario) -> None:
    driver = ModelDriver()
    await Player(driver).play(scenario)
    driver.books.check()


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_on_the_store(
    scenario: Scenario, clock: StoreClock, lane: Lane, request: pytest.FixtureRequest
) -> None:
    if scenario.name in DIFFERENT:
        request.applymarker(pytest.mark.xfail(reason=DIFFERENT[scenario.name]))
    driver = StoreDriver(lane, clock)
    await driver.open()
    await Player(driver).play(scenario)
