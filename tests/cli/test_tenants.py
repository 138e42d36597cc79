import pytest

from tests.cli.conftest import Command
from tests.support.control import Control


async def test_a_tenant_is_made_and_listed(sidecar: Command, control: Control) -> None:
    made = await sidecar("tenants", "create", "acme", "--name", "Acme Inc.")
    assert made.code == 0
    live, test = (line.split() for line in made.out.splitlines()[-2:])
    assert (live[0], live[1][:8], test[0], test[1][:8]) == ("live", "ck_live_", "test", "ck_test_")
    listed = await sidecar("tenants", "list")
    assert "Acme Inc." in listed.out
    assert live[1] not in listed.out
    tenants = (await sidecar("tenants", "list", "--json")).json["data"]
    assert [each["tenant"] for each in tenants] == ["acme", "default"]
    again = await sidecar("tenants", "create", "acme")
    assert (again.code, "acme" in again.err) == (1, True)


async def test_a_tenant_gets_another_key(sidecar: Command) -> None:
    assert "keys" in (await sidecar("tenants", "create", "acme", "--json")).json
    made = (await sidecar("control-keys", "create", "--tenant", "acme", "--environment", "test", "--json")).json
    assert made["secret"].startswith("ck_test_")
    assert (await sidecar("control-keys", "create", "--tenant", "nobody")).code == 1


@pytest.mark.parametrize("arguments", [[], ["create"], ["list", "acme"]])
async def test_wrong_usage(sidecar: Command, arguments: list[str]) -> None:
    assert (await sidecar("tenants", *arguments)).code == 2
