"""The tables of `scenarios/`, on the model."""

import pytest

from tests.ledger.drivers import ModelDriver
from tests.ledger.player import Player
from tests.ledger.scenario import Scenario, scenarios

SCENARIOS = [pytest.param(scenario, id=scenario.name) for scenario in scenarios()]


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_on_the_model(scenario: Scenario) -> None:
    driver = ModelDriver()
    await Player(driver).play(scenario)
    driver.books.check()
