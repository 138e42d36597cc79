from tests.cli.conftest import Command


async def test_what_was_used_is_charged_once(sidecar: Command) -> None:
    await sidecar("grant", "alice", "10")
    assert (await sidecar("charge", "alice", "3", "--dry-run")).out == "Would be charged: 3 credits to alice.\n"
    assert (await sidecar("charge", "alice", "3", "--event-id", "e")).out == "Charged: 3 credits to alice.\n"
    assert (await sidecar("charge", "alice", "3", "--event-id", "e")).out == "Charged before: 3 credits to alice.\n"
    refused = await sidecar("charge", "alice", "8")
    assert refused.code == 1
    assert "available" in refused.err
    ran = await sidecar("charge", "alice", "8", "--no-enforce")
    assert ran.out == "Charged: 8 credits to alice, 1 of it owed.\n"


async def test_a_metric_without_a_price_cannot_be_charged(sidecar: Command) -> None:
    await sidecar("grant", "alice", "10")
    ran = await sidecar("charge", "alice", "3", "--metric", "look")
    assert ran.code == 1
    assert "no billable metric" in ran.err
    assert (await sidecar("charge", "alice", "1", "--json")).json["cost"] == 1_000_000
