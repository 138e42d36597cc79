"""Control keys through the API: what they may do, and how they come and go."""

from typing import Any

import pytest

from sidecar.control.endpoint import Endpoint
from sidecar.control.routes import ENDPOINTS
from sidecar.domain.control_keys import LEAST
from sidecar.domain.scopes import Scope
from tests.control.test_middleware import somewhere
from tests.support.control import Control, assert_problem

KEYS = "/v1/admin/api-keys"
CLOSED = [endpoint for endpoint in ENDPOINTS if not endpoint.open]


async def make(control: Control, *scopes: str, key: str | None = None, **terms: object) -> dict[str, Any]:
    """A new key with these scopes, as it is answered."""
    asker = {} if key is None else {"key": key}
    answer = await control.ask("POST", KEYS, {"scopes": list(scopes), **terms}, **asker)
    assert answer.status == 201, answer.raw
    made: dict[str, Any] = answer.json
    return made


async def test_a_key_may_do_what_its_scopes_say_and_nothing_else(control: Control) -> None:
    everything = await make(control, "*")
    by_scope = {scope: (await make(control, scope))["secret"] for scope in Scope}
    for endpoint in CLOSED:
        assert endpoint.scope is not None
        rest = (await make(control, *(scope for scope in Scope if scope != endpoint.scope)))["secret"]
        refused = await ask(control, endpoint, rest)
        assert_problem(refused, 403, "insufficient_scope")
        assert f" {endpoint.scope};" in refused.json["detail"]
        for key in (by_scope[endpoint.scope], everything["secret"]):
            assert (await ask(control, endpoint, key)).status not in {401, 403}, endpoint.name


async def ask(control: Control, endpoint: Endpoint[Any, Any, Any], key: str) -> Any:
    return await control.ask(endpoint.method, somewhere(endpoint.path), key=key, Idempotency_Key="k")


async def test_a_key_without_scopes_reads_little(control: Control) -> None:
    made = (await control.ask("POST", KEYS)).json
    assert made["scopes"] == sorted(LEAST)
    await control.customer()
    path = "/v1/customer-by-external-id/alice"
    assert (await control.ask("GET", path, key=made["secret"])).status == 200
    assert_problem(await control.ask("POST", f"{path}/keys", key=made["secret"]), 403, "insufficient_scope")
    none = await make(control)
    assert_problem(await control.ask("GET", path, key=none["secret"]), 403, "insufficient_scope")


async def test_the_secret_is_shown_once(control: Control) -> None:
    first = await control.ask("POST", KEYS, {"name": "shop"}, Idempotency_Key="k")
    again = await control.ask("POST", KEYS, {"name": "shop"}, Idempotency_Key="k")
    secret = first.json["secret"]
    assert again.replayed
    assert "secret" not in again.json
    assert "shown once" in again.json["notice"]
    listed = await control.ask("GET", KEYS)
    assert [key["key_id"] for key in listed.json["data"]] == [first.json["key_id"]]
    assert secret.encode() not in listed.raw
    assert listed.json["data"][0]["hint"] == secret[:-43] + "…" + secret[-4:]
    assert (listed.json["data"][0]["created_by"], listed.json["data"][0]["last_used_at"]) == ("admin", None)


async def test_a_rotated_key_has_two_secrets_for_a_while(control: Control) -> None:
    made = await make(control, "credits:read")
    rotated = await control.ask("POST", f"{KEYS}/{made['key_id']}/rotate", {"grace_seconds": 3600})
    assert rotated.status == 200
    assert rotated.json["retiring"]["hint"] == made["hint"]
    for secret in (made["secret"], rotated.json["secret"]):
        assert (await control.ask("GET", "/v1/units", key=secret)).status == 200
    last = await control.ask("POST", f"{KEYS}/{made['key_id']}/rotate", {"grace_seconds": 0})
    assert last.json["retiring"] is None
    asked = [(await control.ask("GET", "/v1/units", key=each.json["secret"])).status for each in (rotated, last)]
    assert asked == [401, 200]


async def test_a_revoked_key_is_unknown(control: Control) -> None:
    made = await make(control, "*")
    revoked = await control.ask("POST", f"{KEYS}/{made['key_id']}/revoke", key=made["secret"])
    assert (revoked.status, revoked.json["status"]) == (200, "revoked")
    assert_problem(await control.ask("GET", "/v1/units", key=made["secret"]), 401, "unidentified")
    assert_problem(await control.ask("POST", f"{KEYS}/{made['key_id']}/rotate"), 409, "conflict")
    for action in ("rotate", "revoke"):
        assert_problem(await control.ask("POST", f"{KEYS}/ckey_nothing/{action}"), 404, "not_found")


async def test_no_key_makes_one_that_may_do_more(control: Control) -> None:
    maker = await make(control, "admin:write", "admin:read", "credits:read")
    made = await make(control, "credits:read", key=maker["secret"])
    assert made["created_by"] == maker["key_id"]
    for scopes in (["credits:write"], ["*"], ["credits:read", "keys:write"]):
        refused = await control.ask("POST", KEYS, {"scopes": scopes}, key=maker["secret"])
        assert_problem(refused, 403, "insufficient_scope")
    strong = await make(control, "credits:write")
    refused = await control.ask("POST", f"{KEYS}/{strong['key_id']}/rotate", key=maker["secret"])
    assert_problem(refused, 403, "insufficient_scope")
    assert (await control.ask("POST", f"{KEYS}/{strong['key_id']}/revoke", key=maker["secret"])).status == 200


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"scopes": ["credits:steal"]}, "$.scopes"),
        ({"scopes": "*"}, "$.scopes"),
        ({"environment": "staging"}, "$.environment"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "$.expires_at"),
        ({"expires_at": "2101-01-01T00:00:00Z", "expires_in_seconds": 5}, "$.expires_in_seconds"),
        ({"expires_in_seconds": 0}, "$.expires_in_seconds"),
        ({"tenant": "acme"}, "$.tenant"),
    ],
)
async def test_what_a_key_cannot_be(control: Control, body: dict[str, object], path: str) -> None:
    refused = await control.ask("POST", KEYS, body)
    assert_problem(refused, 400, "invalid_input")
    assert refused.json["errors"][0]["path"] == path


async def test_a_key_says_when_it_ends_and_was_used(control: Control) -> None:
    made = await make(control, "*", expires_in_seconds=60)
    assert made["expires_at"] > made["created_at"]
    assert (await control.ask("GET", KEYS, key=made["secret"])).json["data"][0]["last_used_at"] >= made["created_at"]


async def test_keys_come_in_pages(control: Control) -> None:
    made = {(await make(control))["key_id"] for _ in range(3)}
    page = (await control.ask("GET", f"{KEYS}?limit=2")).json
    rest = (await control.ask("GET", f"{KEYS}?limit=2&cursor={page['pagination']['next_cursor']}")).json
    seen = [key["key_id"] for key in page["data"] + rest["data"]]
    assert (seen, rest["pagination"]["has_more"]) == (sorted(made), False)


async def test_the_ledger_knows_by_which_key_credit_came(control: Control) -> None:
    shop = await make(control, "credits:write", "ledger:read")
    customer_id = await control.customer()
    path = f"/v1/customers/{customer_id}"
    await control.ask("POST", f"{path}/credits/grant", {"credits": 5}, key=shop["secret"], Idempotency_Key="g")
    (entry,) = (await control.ask("GET", f"{path}/ledger", key=shop["secret"])).json["data"]
    assert entry["actor"]["key_id"] == shop["key_id"]
