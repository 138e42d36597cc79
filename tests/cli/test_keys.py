import pytest

from sidecar.domain.proxy_keys import customer_id_of
from tests.cli.conftest import Command
from tests.support.control import Control


async def test_a_key_is_made_listed_and_revoked(sidecar: Command, control: Control) -> None:
    await control.customer("alice")
    made = await sidecar("keys", "create", "alice", "--name", "laptop")
    assert made.code == 0
    secret = made.out.splitlines()[-1]
    assert secret.startswith("sk_live_")
    listed = await sidecar("keys", "list", "alice")
    assert "laptop" in listed.out
    assert secret not in listed.out
    (key,) = (await sidecar("keys", "list", "alice", "--json")).json["data"]
    revoked = await sidecar("keys", "revoke", "alice", key["key_id"])
    assert revoked.out == f"Revoked key {key['key_id']} of alice.\n"
    assert (await sidecar("keys", "list", "alice")).out.startswith("alice has no keys.")
    again = await sidecar("keys", "revoke", "alice", key["key_id"])
    assert again.code == 1


async def test_a_key_is_made_with_limits_and_rotated(sidecar: Command, control: Control) -> None:
    await control.customer("alice")
    limits = ("--expires", "2100-01-01", "--feature", "chat", "--feature", "draw", "--rate", "60/1m")
    made = await sidecar("keys", "create", "alice", *limits, "--json")
    assert made.json["rate"] == {"requests": 60, "period_seconds": 60, "burst": 60}
    listed = await sidecar("keys", "list", "alice")
    assert "until 2100-01-01 00:00:00Z, chat or draw, 60/60s" in listed.out
    rotated = await sidecar("keys", "rotate", "alice", made.json["key_id"], "--grace", "0s")
    assert rotated.out.startswith(f"Rotated key {made.json['key_id']} for alice.")
    assert made.json["secret"] not in rotated.out


async def test_scripts_get_the_secret(sidecar: Command, control: Control) -> None:
    customer_id = await control.customer("a/b")
    made = await sidecar("keys", "create", "a/b", "--json")
    assert customer_id_of(made.json["secret"], "live") == customer_id
    revoked = await sidecar("keys", "revoke", "a/b", made.json["key_id"], "--json")
    assert revoked.json["key_id"] == made.json["key_id"]
    assert "secret" not in revoked.json


async def test_a_shell_gets_the_secret_alone(sidecar: Command, control: Control) -> None:
    customer_id = await control.customer("alice")
    made = await sidecar("keys", "create", "alice", "--quiet")
    assert customer_id_of(made.out.removesuffix("\n"), "live") == customer_id


async def test_all_pages_are_listed(sidecar: Command, control: Control) -> None:
    customer_id = await control.customer("alice")
    for number in range(251):
        await control.customers.create_key(customer_id, name=str(number), now_ms=number)
    assert len((await sidecar("keys", "list", "alice", "--json")).json["data"]) == 251


@pytest.mark.parametrize(
    "arguments", [["keys"], ["keys", "create"], ["keys", "revoke", "alice"], ["keys", "create", "a", "--rate", "60"]]
)
async def test_wrong_usage(sidecar: Command, arguments: list[str]) -> None:
    assert (await sidecar(*arguments)).code == 2


async def test_a_strange_key_id_is_not_found(sidecar: Command, control: Control) -> None:
    await control.customer("alice")
    ran = await sidecar("keys", "revoke", "alice", "a/../b c")
    assert (ran.code, ran.err.count("\n")) == (1, 1)
