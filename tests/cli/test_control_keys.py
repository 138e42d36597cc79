import pytest

from tests.cli.conftest import Command
from tests.support.control import Control


async def test_a_key_is_made_rotated_listed_and_revoked(sidecar: Command, control: Control) -> None:
    assert "no control keys but the operator's own" in (await sidecar("control-keys", "list")).out
    made = await sidecar("control-keys", "create", "--name", "shop", "--scope", "credits:write", "--expires", "90d")
    assert made.code == 0
    secret = made.out.splitlines()[-1]
    assert secret.startswith("ck_live_")
    listed = await sidecar("control-keys", "list")
    assert all(word in listed.out for word in ("shop", "credits:write", "active", "never"))
    assert secret not in listed.out
    (key,) = (await sidecar("control-keys", "list", "--json")).json["data"]
    rotated = await sidecar("control-keys", "rotate", key["key_id"], "--grace", "0s")
    assert (await control.ask("GET", "/v1/units", key=secret)).status == 401
    fresh = rotated.out.splitlines()[-1]
    assert (await control.ask("GET", "/v1/units", key=fresh)).status == 403
    revoked = await sidecar("control-keys", "revoke", key["key_id"])
    assert revoked.out == f"Revoked control key {key['key_id']}.\n"
    assert (await control.ask("GET", "/v1/units", key=fresh)).status == 401
    assert (await sidecar("control-keys", "list", "--json")).json["data"][0]["status"] == "revoked"


async def test_scripts_get_the_secret(sidecar: Command) -> None:
    made = (await sidecar("control-keys", "create", "--environment", "test", "--json")).json
    assert made["secret"].startswith("ck_test_")
    assert made["expires_at"] is None
    own = (await sidecar("control-keys", "create", "--expires", "2101-01-01", "--json")).json
    assert own["expires_at"] == "2101-01-01T00:00:00Z"
    assert "secret" in (await sidecar("control-keys", "rotate", own["key_id"], "--grace", "1h", "--json")).json
    assert "secret" not in (await sidecar("control-keys", "revoke", own["key_id"], "--json")).json


@pytest.mark.parametrize(
    "arguments", [[], ["rotate"], ["rotate", "x", "--grace", "2027-01-31"], ["create", "--environment", "staging"]]
)
async def test_wrong_usage(sidecar: Command, arguments: list[str]) -> None:
    assert (await sidecar("control-keys", *arguments)).code == 2
