"""The audit log as it is asked for."""

import pytest

from tests.support.control import Control, assert_problem


async def test_every_change_is_in_it_with_who_asked(control: Control) -> None:
    customer_id = await control.customer("Ada Lovelace")
    who = {"X_Actor_Id": "shop", "X_On_Behalf_Of": "Ada", "X_Actor_Reason": "Order 17"}
    path = "/v1/customer-by-external-id/Ada%20Lovelace"
    given = await control.ask("POST", f"{path}/keys", {"name": "laptop"}, **who)
    answer = await control.ask("GET", "/v1/admin/audit")
    last, first = answer.json["data"]
    assert {name: last[name] for name in last if name not in {"audit_id", "at"}} == {
        "key_id": "admin",
        "actor_id": "shop",
        "on_behalf_of": "Ada",
        "reason": "Order 17",
        "request_id": given.headers["x-request-id"],
        "operation": "create_key",
        "method": "POST",
        "route": "/v1/customers/{customer_id}/keys",
        "target": f"/v1/customers/{customer_id}/keys",
        "customer_id": customer_id,
        "status": 201,
    }
    assert (first["operation"], first["actor_id"], first["status"]) == ("create_customer", "", 201)
    assert b"Lovelace" not in answer.raw


async def test_what_was_refused_is_in_it_too(control: Control) -> None:
    key = (await control.ask("POST", "/v1/admin/api-keys")).json
    await control.ask("POST", "/v1/customers", {"external_id": "alice"}, key=key["secret"])
    await control.ask("POST", "/v1/customers", {"external_id": ""})
    await control.ask("POST", "/v1/customers", {"external_id": "bob"}, X_Actor_Id="")
    await control.ask("POST", "/v1/customer-by-external-id/nobody/keys")
    log = (await control.ask("GET", "/v1/admin/audit")).json["data"]
    assert [(each["key_id"], each["status"]) for each in log] == [
        ("admin", 404),
        ("admin", 400),
        ("admin", 400),
        (key["key_id"], 403),
        ("admin", 201),
    ]
    assert log[0]["target"] == "/v1/customers/{customer_id}/keys"


async def test_reading_leaves_no_trace(control: Control) -> None:
    await control.ask("GET", "/v1/admin/api-keys")
    await control.ask("POST", "/v1/settlements", {"token": "x"}, key=None)
    assert (await control.ask("GET", "/v1/admin/audit")).json["data"] == []


async def test_it_comes_in_pages_and_filtered(control: Control) -> None:
    alice = await control.customer("alice")
    await control.customer("bob")
    await control.ask("POST", f"/v1/customers/{alice}/keys")
    page = (await control.ask("GET", "/v1/admin/audit?limit=2")).json
    rest = (await control.ask("GET", f"/v1/admin/audit?limit=2&cursor={page['pagination']['next_cursor']}")).json
    operations = [each["operation"] for each in page["data"] + rest["data"]]
    assert operations == ["create_key", "create_customer", "create_customer"]
    for query, found in (
        (f"customer_id={alice}", 1),
        ("operation=create_customer", 2),
        ("key_id=admin&actor_id=shop", 0),
        ("from=2001-01-01T00:00:00Z&to=2101-01-01T00:00:00Z", 3),
        ("to=2001-01-01T00:00:00Z", 0),
    ):
        assert len((await control.ask("GET", f"/v1/admin/audit?{query}")).json["data"]) == found, query


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("cursor=x", "$.cursor"),
        ("from=2101-01-01T00:00:00Z&to=2001-01-01T00:00:00Z", "$.to"),
        ("who=me", "$.who"),
    ],
)
async def test_a_question_that_cannot_be_answered(control: Control, query: str, path: str) -> None:
    refused = await control.ask("GET", f"/v1/admin/audit?{query}")
    assert_problem(refused, 400, "invalid_input")
    assert refused.json["errors"][0]["path"] == path
