"""Auto-top-ups over the control API: from the rule to the credit, once."""

import asyncio
from typing import Any

from sidecar.domain.outcomes import Reserved
from tests.support.control import Answer, Control, assert_problem

SMALL = {"key": "small", "credits": 1_000, "bonus_credits": 100, "price": 900, "currency": "EUR"}
RULE = {"threshold": 200, "package_id": "small", "cool_down_seconds": 0}


async def low(control: Control) -> tuple[str, dict[str, Any]]:
    """A customer who has 100 left of 1,000, and what is asked for."""
    alice = await control.customer()
    await control.grant(f"/v1/customers/{alice}", 1_000, "k1")
    await control.ask("POST", "/v1/topup-packages", SMALL)
    made = await control.ask("PUT", f"/v1/customers/{alice}/auto-topup/credits", RULE)
    assert (made.status, made.headers["ETag"], made.json["max_per_day"]) == (200, '"1"', 5)
    record = control.ledger.hold(alice, "r1", (("credits", 900),), 60_000, "", "a-rule")
    assert isinstance(await control.ledger.reserve(record, "external:alice"), Reserved)
    await control.ledger.commit(record, 900, "", "reported")
    answer = await control.ask("GET", f"/v1/topup-requests?state=outstanding&customer_id={alice}")
    (request,) = answer.json["data"]
    assert (request["balance"], request["threshold"], request["package_id"]) == (100, 200, "small")
    return alice, request


async def fulfil(control: Control, request_id: str, key: str, **more: object) -> Answer:
    body = {"external_customer_id": "alice", "auto_topup_request_id": request_id, **more}
    return await control.ask("POST", "/v1/topup/grant", body, Idempotency_Key=key)


async def test_a_request_is_fulfilled_once_however_many_say_so(control: Control) -> None:
    alice, request = await low(control)
    told = await control.ask("GET", f"/v1/events?type=topup.requested&customer_id={alice}")
    assert told.json["data"][0]["data"]["request_id"] == request["request_id"]
    answers = await asyncio.gather(*(fulfil(control, request["request_id"], f"key-{each}") for each in range(5)))
    assert sorted(answer.status for answer in answers) == [200] * 4 + [201]
    assert {(each.json["granted"], each.json["bonus"], each.json["package_id"]) for each in answers} == {
        (1_000, 100, "small")
    }
    shown = (await control.ask("GET", f"/v1/topup-requests/{request['request_id']}")).json
    assert (shown["state"], shown["topup_id"]) == ("fulfilled", answers[0].json["topup_id"])
    balance = (await control.ask("GET", f"/v1/customers/{alice}/credits")).json["balances"][0]
    assert balance["available"] == 1_200
    late = await control.ask("POST", f"/v1/topup-requests/{request['request_id']}/decline", {"reason": "no"})
    assert_problem(late, 409, "conflict")


async def test_one_that_cannot_be_paid_is_declined(control: Control) -> None:
    _, request = await low(control)
    path = f"/v1/topup-requests/{request['request_id']}/decline"
    declined = await control.ask("POST", path, {"reason": "The card has expired"})
    assert (declined.json["state"], declined.json["reason"]) == ("failed", "The card has expired")
    assert declined.json["ended_at"] is not None
    assert (await control.ask("POST", path)).json == declined.json
    # The money came after all; it was more than was asked for.
    late = await fulfil(control, request["request_id"], "late", credits=5_000)
    assert (late.status, late.json["granted"], late.json["package_id"]) == (201, 5_000, None)
    assert (await control.ask("GET", f"/v1/topup-requests/{request['request_id']}")).json["state"] == "fulfilled"


async def test_a_request_is_for_one_customer_and_unit(control: Control) -> None:
    _, request = await low(control)
    await control.customer("bob")
    other = await fulfil(control, request["request_id"], "k2", external_customer_id="bob")
    assert_problem(other, 409, "conflict")
    wrong = await fulfil(control, request["request_id"], "k3", unit="tokens", credits=5)
    assert_problem(wrong, 400, "invalid_input")
    assert_problem(await fulfil(control, "atr_1", "k4"), 404, "not_found")


async def test_one_that_is_set_while_the_balance_is_low_asks_at_once(control: Control) -> None:
    alice = await control.customer()
    await control.grant(f"/v1/customers/{alice}", 200, "k1")
    await control.ask("POST", "/v1/topup-packages", SMALL)
    await control.ask("PUT", f"/v1/customers/{alice}/auto-topup/credits", {**RULE, "active": False})
    assert (await control.ask("GET", "/v1/topup-requests")).json["data"] == []
    await control.ask("PUT", f"/v1/customers/{alice}/auto-topup/credits", RULE)
    (request,) = (await control.ask("GET", "/v1/topup-requests")).json["data"]
    assert (request["state"], request["balance"]) == ("outstanding", 200)


async def test_a_rule_is_shown_and_taken_away(control: Control) -> None:
    alice, request = await low(control)
    path = f"/v1/customers/{alice}/auto-topup"
    (shown,) = (await control.ask("GET", path)).json["data"]
    assert (shown["unit"], shown["threshold"], shown["cool_down_seconds"], shown["active"]) == (
        "credits",
        200,
        0,
        True,
    )
    stale = await control.ask("PUT", f"{path}/credits", RULE, If_Match='"2"')
    assert_problem(stale, 412, "version_conflict")
    assert (await control.ask("DELETE", f"{path}/credits", If_Match='"1"')).json["data"] == []
    assert (await control.ask("GET", f"/v1/topup-requests/{request['request_id']}")).json["state"] == "canceled"
    assert_problem(await control.ask("DELETE", f"{path}/credits"), 404, "not_found")


async def test_what_is_no_rule(control: Control) -> None:
    await control.ask("POST", "/v1/topup-packages", SMALL)
    alice = await control.customer()
    wrong: tuple[tuple[str, dict[str, Any], int], ...] = (
        ("gold", {}, 404),
        ("credits", {"package_id": "none"}, 404),
        ("tokens", {}, 400),
        ("credits", {"max_per_day": 0}, 400),
    )
    for unit, changes, status in wrong:
        refused = await control.ask("PUT", f"/v1/customers/{alice}/auto-topup/{unit}", {**RULE, **changes})
        assert refused.status == status, (unit, changes)
    member = await control.member("bob", alice)
    assert_problem(await control.ask("PUT", f"/v1/customers/{member}/auto-topup/credits", RULE), 409, "conflict")
