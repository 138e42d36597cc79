import pytest

from tests.cli.conftest import Command
from tests.support.control import Control


async def test_it_says_whether_and_for_how_many(sidecar: Command, control: Control) -> None:
    await sidecar("grant", "alice", "2.5")
    await control.ask("POST", "/v1/billable-metrics", {"key": "look"})
    rule = {"billable_metric_key": "look", "cost_type": "per_unit", "unit_cost": 1_000_000}
    await control.ask("POST", "/v1/metering-rules", rule)
    told = await sidecar("check", "alice", "look")
    assert told.out == "alice could use 1 look: it would cost 1, and 2.5 credits are there, enough for 2.\n"
    told = await sidecar("check", "alice", "look", "--units", "3")
    assert told.out.startswith("alice could not use 3 look (insufficient_credits): it would cost 3, and 2.5 credits")
    assert (await sidecar("check", "alice", "look", "--units", "0.5", "--json")).json["estimated_cost"] == 500_000
    assert (await sidecar("check", "alice", "nonesuch")).code == 1


@pytest.mark.parametrize("arguments", [["check", "alice"], ["check", "alice", "look", "--units", "x"]])
async def test_wrong_usage(sidecar: Command, arguments: list[str]) -> None:
    assert (await sidecar(*arguments)).code == 2
