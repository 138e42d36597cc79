import json
from datetime import datetime

import pytest

from sidecar.control.endpoint import wall_clock_ms
from sidecar.domain.outcomes import RefusalCode, Refused, Reserved
from sidecar.domain.proxy_keys import credential
from tests.support.control import Control

BOTH = pytest.mark.parametrize("family", ["/v1/customers/{id}", "/v1/customer-by-external-id/alice"])


async def reserve(control: Control, customer_id: str, secret: str, reservation_id: str) -> object:
    record = control.ledger.hold(customer_id, reservation_id, (("credits", 1),), 60_000, "", "r")
    return await control.ledger.reserve(record, credential(secret))


@BOTH
async def test_a_key_works_from_its_making_to_its_revocation(control: Control, family: str) -> None:
    customer_id = await control.customer()
    path = family.format(id=customer_id)
    await control.grant(path, 100, "k1")
    made = await control.ask("POST", f"{path}/keys", {"name": "laptop"})
    assert made.status == 201
    key = made.json
    assert (key["name"], key["customer_id"]) == ("laptop", customer_id)
    assert key["secret"].startswith("sk_live_")
    assert key["hint"].endswith(key["secret"][-4:])
    assert isinstance(await reserve(control, customer_id, key["secret"], "r1"), Reserved)
    revoked = await control.ask("DELETE", f"{path}/keys/{key['key_id']}")
    assert revoked.status == 200
    assert revoked.json == {name: value for name, value in key.items() if name != "secret"}
    refused = await reserve(control, customer_id, key["secret"], "r2")
    assert isinstance(refused, Refused)
    assert refused.code is RefusalCode.UNIDENTIFIED


async def test_a_key_needs_no_body(control: Control) -> None:
    path = f"/v1/customers/{await control.customer()}/keys"
    assert [(await control.ask("POST", path, raw)).status for raw in (None, b"", b"{}")] == [201, 201, 201]


async def test_a_key_is_listed_without_its_secret(control: Control) -> None:
    path = f"/v1/customers/{await control.customer()}/keys"
    before = wall_clock_ms()
    secret = (await control.ask("POST", path, {"name": "laptop"})).json["secret"]
    listed = await control.ask("GET", path)
    assert listed.status == 200
    assert listed.json["pagination"] == {"has_more": False, "next_cursor": None}
    (key,) = listed.json["data"]
    assert "secret" not in key
    assert secret.encode() not in listed.raw
    assert before <= datetime.fromisoformat(key["created_at"]).timestamp() * 1000 <= wall_clock_ms()


async def test_keys_come_in_pages(control: Control) -> None:
    path = f"/v1/customers/{await control.customer()}/keys"
    made = {(await control.ask("POST", path)).json["key_id"] for _ in range(5)}
    seen: list[str] = []
    cursor = ""
    for expected in (2, 2, 1):
        page = (await control.ask("GET", f"{path}?limit=2{cursor}")).json
        assert len(page["data"]) == expected
        seen += [key["key_id"] for key in page["data"]]
        assert page["pagination"]["has_more"] == (len(seen) < 5)
        cursor = f"&cursor={page['pagination']['next_cursor']}"
    assert seen == sorted(made)


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("limit=0", "$.limit"),
        ("limit=251", "$.limit"),
        ("limit=-1", "$.limit"),
        ("limit=ten", "$.limit"),
        ("limit=", "$.limit"),
        ("limit=1&limit=2", "$.limit"),
        ("size=5", "$.size"),
        (f"cursor={'x' * 4097}", "$.cursor"),
    ],
)
async def test_a_bad_query_says_where(control: Control, query: str, path: str) -> None:
    answer = await control.ask("GET", f"/v1/customers/{await control.customer()}/keys?{query}")
    assert answer.status == 400
    assert [each["path"] for each in answer.json["errors"]] == [path]


async def test_the_longest_page_is_250(control: Control) -> None:
    assert (await control.ask("GET", f"/v1/customers/{await control.customer()}/keys?limit=250")).status == 200


async def test_a_key_that_is_not_there_cannot_be_revoked(control: Control) -> None:
    alice, bob = await control.customer("alice"), await control.customer("bob")
    key_id = (await control.ask("POST", f"/v1/customers/{bob}/keys")).json["key_id"]
    for other in (key_id, "key_nonesuch", "a%2Fb"):
        answer = await control.ask("DELETE", f"/v1/customers/{alice}/keys/{other}")
        assert (answer.status, answer.json["code"]) == (404, "not_found")
    assert len((await control.ask("GET", f"/v1/customers/{bob}/keys")).json["data"]) == 1


@pytest.mark.parametrize("body", [{"name": "x" * 256}, {"name": 5}, {"name": " a"}, {"name": None}])
async def test_a_bad_name_makes_no_key(control: Control, body: object) -> None:
    path = f"/v1/customers/{await control.customer()}/keys"
    answer = await control.ask("POST", path, body)
    assert (answer.status, answer.json["errors"][0]["path"]) == (400, "$.name")
    assert (await control.ask("GET", path)).json["data"] == []


async def test_a_replayed_key_keeps_its_secret(control: Control) -> None:
    path = f"/v1/customers/{await control.customer()}/keys"
    first = await control.ask("POST", path, {"name": "a"}, Idempotency_Key="k1")
    again = await control.ask("POST", path, {"name": "a"}, Idempotency_Key="k1")
    assert (first.replayed, again.replayed, again.status) == (False, True, 201)
    assert first.json["secret"].encode() not in again.raw
    assert "shown once" in again.json["notice"]
    same = json.loads(first.raw)
    del same["secret"]
    assert {name: value for name, value in again.json.items() if name != "notice"} == same
    assert len((await control.ask("GET", path)).json["data"]) == 1


async def test_the_secret_is_not_stored(control: Control) -> None:
    customer_id = await control.customer()
    secret = (await control.ask("POST", f"/v1/customers/{customer_id}/keys", Idempotency_Key="k1")).json["secret"]
    stored = b""
    for name in await control.lane.execute("KEYS", f"*{customer_id}*"):
        stored += await control.lane.execute("DUMP", name)
    assert customer_id.encode() in stored or b"active" in stored
    assert secret[-20:].encode() not in stored


LIMITS = {
    "expires_at": "2100-01-01T00:00:00Z",
    "features": ["chat"],
    "rate": {"requests": 60, "period_seconds": 60, "burst": 5},
    "spend_cap": {"amount": 40, "window": "day"},
}


@BOTH
async def test_a_key_may_do_less_than_its_customer(control: Control, family: str) -> None:
    customer_id = await control.customer()
    path = family.format(id=customer_id) + "/keys"
    await control.grant(f"/v1/customers/{customer_id}", 100, "k1")
    key = (await control.ask("POST", path, LIMITS)).json
    assert (key["expires_at"], key["features"], key["rate"]) == tuple(LIMITS.values())[:3]
    (cap,) = key["spend_caps"]
    assert (cap["scope"], cap["key_id"], cap["amount"], cap["window"]) == ("key", key["key_id"], 40, "day")
    refused = await reserve(control, customer_id, key["secret"], "r1")
    assert isinstance(refused, Refused)
    assert refused.code is RefusalCode.FEATURE_NOT_ALLOWED
    wider = (await control.ask("PATCH", f"{path}/{key['key_id']}", {"features": None, "name": "wide"})).json
    assert (wider["name"], wider["features"], wider["rate"]) == ("wide", None, LIMITS["rate"])
    assert isinstance(await reserve(control, customer_id, key["secret"], "r1"), Reserved)
    assert (await control.ask("GET", path)).json["data"][0]["spend_caps"][0]["held"] == 1


async def test_the_spend_cap_of_a_key_is_replaced_or_taken_away(control: Control) -> None:
    path = f"/v1/customers/{await control.customer()}"
    key = (await control.ask("POST", f"{path}/keys", LIMITS)).json
    first = key["spend_caps"][0]["cap_id"]
    at = f"{path}/keys/{key['key_id']}"
    total = (await control.ask("POST", f"{path}/spend-caps", {"amount": 9, "window": "day"})).json["cap_id"]
    changed = (await control.ask("PATCH", at, {"spend_cap": {"amount": 7, "rolling_seconds": 3600}})).json
    (cap,) = changed["spend_caps"]
    assert (cap["amount"], cap["rolling_seconds"], cap["cap_id"] != first) == (7, 3600, True)
    wrong = await control.ask("PATCH", at, {"spend_cap": {"amount": 7}})
    assert (wrong.status, wrong.json["errors"][0]["path"]) == (400, "$.spend_cap.window")
    assert (await control.ask("PATCH", at, {"spend_cap": None})).json["spend_caps"] == []
    await control.ask("PATCH", at, {"spend_cap": {"amount": 7, "window": "month"}})
    assert (await control.ask("DELETE", at)).json["spend_caps"][0]["amount"] == 7
    left = (await control.ask("GET", f"{path}/spend-caps")).json["data"]
    assert [cap["cap_id"] for cap in left] == [total]


async def test_a_rotated_key_has_two_secrets_for_a_while(control: Control) -> None:
    customer_id = await control.customer()
    path = f"/v1/customers/{customer_id}"
    await control.grant(path, 100, "k1")
    key = (await control.ask("POST", f"{path}/keys")).json
    asked = "POST", f"{path}/keys/{key['key_id']}/rotate", {"grace_seconds": 60}
    rotated = await control.ask(*asked, Idempotency_Key="rotate")
    again = await control.ask(*asked, Idempotency_Key="rotate")
    assert (rotated.status, rotated.json["key_id"]) == (200, key["key_id"])
    assert (again.replayed, "secret" in again.json, "notice" in again.json) == (True, False, True)
    assert rotated.json["retiring_until"] > rotated.json["rotated_at"] > key["created_at"]
    for name, secret in (("r1", key["secret"]), ("r2", rotated.json["secret"])):
        assert isinstance(await reserve(control, customer_id, secret, name), Reserved)
    missing = await control.ask("POST", f"{path}/keys/key_1/rotate")
    assert missing.status == 404


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"features": []}, "$.features"),
        ({"features": ["a b"]}, "$.features[0]"),
        ({"rate": {"requests": 0, "period_seconds": 1}}, "$.rate.requests"),
        ({"rate": {"requests": 1, "period_seconds": 86_401}}, "$.rate.period_seconds"),
        ({"rate": {"requests": 1, "period_seconds": 1, "burst": 2}}, "$.rate.burst"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "$.expires_at"),
        ({"spend_cap": {"amount": 1, "window": "day", "unit": "nonesuch"}}, "$.unit"),
    ],
)
async def test_a_bad_limit_makes_no_key(control: Control, body: object, path: str) -> None:
    keys = f"/v1/customers/{await control.customer()}/keys"
    answer = await control.ask("POST", keys, body)
    assert (answer.status, answer.json["errors"][0]["path"]) == (400, path)
    assert (await control.ask("GET", keys)).json["data"] == []
