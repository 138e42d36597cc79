from tests.cli.conftest import Command


async def test_credit_is_given_to_another_customer_once(sidecar: Command) -> None:
    await sidecar("grant", "alice", "100")
    await sidecar("grant", "bob", "1")
    first = await sidecar("transfer", "alice", "bob", "30.5", "--reason", "a gift", "--idempotency-key", "gift-1")
    assert first.code == 0
    assert first.out.startswith("Given: 30.5 credits from alice to bob (trf_")
    assert first.out.endswith("); 69.5 left.\n")
    again = await sidecar("transfer", "alice", "bob", "30.5", "--reason", "a gift", "--idempotency-key", "gift-1")
    assert again.out.startswith("Given before with this key, so nothing changed: 30.5 credits")
    assert "31.5" in (await sidecar("balance", "bob")).out


async def test_what_is_not_there_is_not_given(sidecar: Command) -> None:
    await sidecar("grant", "alice", "1")
    await sidecar("grant", "bob", "1")
    ran = await sidecar("transfer", "alice", "bob", "2", "--json")
    assert (ran.code, ran.out) == (1, "")
    assert "nothing was taken" in ran.err
