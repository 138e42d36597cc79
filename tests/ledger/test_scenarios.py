"""The tables of `scenarios/`, on the model and on a real store."""

import pytest

from sidecar.store.lane import Lane
from tests.ledger.drivers import ModelDriver
from tests.ledger.player import Player
from tests.ledger.scenario import Scenario, scenarios
from tests.ledger.store_driver import StoreDriver
from tests.support.clock import StoreClock

SCENARIOS = [pytest.param(scenario, id=scenario.name) for scenario in scenarios()]


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_on_the_model(scenario: Scenario) -> None:
    driver = ModelDriver()
    await Player(driver).play(scenario)
    driver.books.check()


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_on_the_store(scenario: Scenario, clock: StoreClock, lane: Lane) -> None:
    driver = StoreDriver(lane, clock)
    await driver.open()
    await Player(driver).play(scenario)
