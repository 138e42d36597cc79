"""Top-ups over the control API: what was paid for is granted once, with its bonus, whoever says it again."""

import asyncio
from typing import Any

import pytest

from sidecar.domain.outcomes import Reserved
from tests.support.control import Answer, Control, assert_problem

PAID = {"external_customer_id": "alice", "credits": 200_000, "price_paid": 5_000, "currency": "INR"}
SMALL = {"key": "small", "credits": 1_000, "bonus_credits": 100, "price": 900, "currency": "EUR"}


async def topup(control: Control, body: dict[str, Any], key: str = "pay_1") -> Answer:
    return await control.ask("POST", "/v1/topup/grant", body, Idempotency_Key=key)


async def blocks(control: Control, customer_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await control.ask("GET", f"/v1/customers/{customer_id}/credits/blocks")).json[
        "data"
    ]
    return found


async def test_who_is_not_there_is_made(control: Control) -> None:
    first = await topup(control, {**PAID, "external_payment_id": "pay_1"})
    assert (first.status, first.json["granted"], first.json["customer_created"]) == (201, 200_000, True)
    assert (first.json["external_id"], first.json["bonus"], first.json["bonus_block_id"]) == ("alice", 0, None)
    customer_id = first.json["customer_id"]
    (block,) = await blocks(control, customer_id)
    assert (block["source"], block["price_paid"], block["currency"]) == ("topup", 5_000, "INR")
    assert (block["expires_at"], block["external_payment_id"]) == (None, "pay_1")
    again = await topup(control, {**PAID, "external_payment_id": "pay_1"})
    assert again.replayed
    assert again.json == first.json | {"customer_created": False}
    # By another key, and by our own id of the customer.
    body = {"customer_id": customer_id, "credits": 200_000, "external_payment_id": "pay_1"}
    known = await topup(control, body, "later")
    assert (known.status, known.json["duplicate"], known.json["topup_id"]) == (200, True, first.json["topup_id"])
    assert known.json["balance"]["available"] == 200_000
    other = await topup(control, {**body, "credits": 200_001}, "other")
    assert_problem(other, 409, "conflict")
    assert_problem(await topup(control, {**body, "external_customer_id": "bob"}, "both"), 400, "invalid_input")


async def test_a_package_with_its_bonus(control: Control) -> None:
    made = await control.ask("POST", "/v1/topup-packages", {**SMALL, "expires_after_seconds": 86_400})
    assert (made.status, made.json["version"], made.headers["ETag"]) == (201, 1, '"1"')
    bought = await topup(control, {"external_customer_id": "alice", "package_id": "small"})
    assert (bought.json["granted"], bought.json["bonus"], bought.json["package_id"]) == (1_000, 100, "small")
    assert bought.json["balance"]["available"] == 1_100
    customer_id = bought.json["customer_id"]
    bonus, paid = await blocks(control, customer_id)
    assert (bonus["block_id"], paid["block_id"]) == (bought.json["bonus_block_id"], bought.json["block_id"])
    assert (bonus["price_paid"], paid["price_paid"], paid["currency"]) == (None, 900, "EUR")
    assert bonus["expires_at"] == paid["expires_at"] is not None
    # The bonus burns first.
    record = control.ledger.hold(customer_id, "r1", (("credits", 150),), 60_000, "", "a-rule")
    reserved = await control.ledger.reserve(record, "external:alice")
    assert isinstance(reserved, Reserved)
    assert [slice_.amount for slice_ in reserved.drawn] == [100, 50]
    # Other terms than the package's, where somebody says so.
    body = {"external_customer_id": "alice", "package_id": "small", "bonus_credits": 0, "priority": -1}
    plain = await topup(control, {**body, "price_paid": 0, "currency": "EUR", "expires_in_seconds": 60}, "pay_2")
    assert (plain.json["bonus"], plain.json["bonus_block_id"]) == (0, None)
    first = (await blocks(control, customer_id))[0]
    assert (first["block_id"], first["price_paid"], first["priority"]) == (plain.json["block_id"], 0, -1)


async def test_a_payment_of_a_bonus_is_good_for_one(control: Control) -> None:
    body = {"external_customer_id": "alice", "credits": 10, "bonus_credits": 5, "external_payment_id": "pay_1"}
    answers = await asyncio.gather(*(topup(control, body, f"key-{number}") for number in range(10)))
    assert sorted(answer.status for answer in answers) == [200] * 9 + [201]
    assert len({answer.json["topup_id"] for answer in answers}) == 1
    assert {answer.json["bonus"] for answer in answers} == {5}
    assert len(await blocks(control, answers[0].json["customer_id"])) == 2
    assert_problem(await topup(control, {**body, "bonus_credits": 6}, "more"), 409, "conflict")


async def test_packages_are_changed_and_taken_out_of_sale(control: Control) -> None:
    await control.ask("POST", "/v1/topup-packages", SMALL)
    assert_problem(await control.ask("POST", "/v1/topup-packages", SMALL), 409, "conflict")
    path = "/v1/topup-packages/small"
    changed = await control.ask("PATCH", path, {"active": False, "expires_after_seconds": 60})
    assert (changed.json["active"], changed.json["expires_after_seconds"], changed.json["price"]) == (False, 60, 900)
    assert_problem(await control.ask("PATCH", path, {"price": 1}, If_Match='"1"'), 412, "version_conflict")
    assert (await control.ask("GET", path)).json == changed.json
    listed = [
        [each["key"] for each in (await control.ask("GET", f"/v1/topup-packages{query}")).json["data"]]
        for query in ("", "?active=true", "?active=false")
    ]
    assert listed == [["small"], [], ["small"]]
    refused = await topup(control, {"external_customer_id": "alice", "package_id": "small"})
    assert_problem(refused, 409, "conflict")
    for method in ("GET", "PATCH"):
        assert_problem(await control.ask(method, "/v1/topup-packages/none", {}), 404, "not_found")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "credits"),
        ({"credits": 0}, "$.credits"),
        ({"credits": 1, "price_paid": 5}, "currency"),
        ({"credits": 1, "package_id": "small"}, "credits"),
        ({"package_id": "small", "unit": "tokens"}, "unit"),
        ({"credits": 1, "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"credits": 1, "expires_at": "2126-01-01T00:00:00Z", "expires_in_seconds": 5}, "expires_in_seconds"),
    ],
)
async def test_what_is_no_topup_is_said(control: Control, body: dict[str, Any], field: str) -> None:
    await control.ask("POST", "/v1/topup-packages", SMALL)
    refused = await topup(control, {"external_customer_id": "alice", **body})
    assert_problem(refused, 400, "invalid_input")
    assert [error["path"].removeprefix("$.") for error in refused.json["errors"]] == [field.removeprefix("$.")]


async def test_members_of_pools_and_strangers_buy_nothing(control: Control) -> None:
    boss = await control.customer("boss")
    await control.member("alice", boss)
    assert_problem(await topup(control, PAID), 409, "conflict")
    stranger = {"customer_id": "cus_" + "0" * 26, "credits": 1}
    assert_problem(await topup(control, stranger, "k2"), 404, "not_found")
    unknown = {"customer_id": boss, "package_id": "none"}
    assert_problem(await topup(control, unknown, "k3"), 404, "not_found")
    wrong = await control.ask("POST", "/v1/topup/grant", PAID)
    assert_problem(wrong, 400, "idempotency_key_required")


async def spend(control: Control, customer_id: str, amount: int) -> None:
    record = control.ledger.hold(customer_id, f"r{amount}", (("credits", amount),), 60_000, "", "a-rule")
    assert isinstance(await control.ledger.reserve(record, "external:alice"), Reserved)
    await control.ledger.commit(record, amount, "", "reported")


async def refund(control: Control, topup_id: str, body: dict[str, Any], key: str) -> Answer:
    return await control.ask("POST", f"/v1/topup/{topup_id}/refund", body, Idempotency_Key=key)


async def amounts(control: Control, customer_id: str) -> tuple[int, int, int, int]:
    (balance,) = (await control.ask("GET", f"/v1/customers/{customer_id}/credits")).json["balances"]
    return balance["available"], balance["spent"], balance["voided"], balance["owed"]


async def test_what_is_left_is_voided_and_what_was_spent_is_owed(control: Control) -> None:
    body = {**PAID, "credits": 100, "bonus_credits": 10}
    bought = (await topup(control, body)).json
    alice = bought["customer_id"]
    await spend(control, alice, 50)
    back = await refund(control, bought["topup_id"], {}, "cb_1")
    assert (back.status, back.json["voided"], back.json["charged"], back.json["owed"]) == (200, 60, 40, 40)
    assert (back.json["unrecoverable"], back.json["balance"]["owed"]) == (0, 40)
    assert await amounts(control, alice) == (0, 50, 60, 40)
    again = await refund(control, bought["topup_id"], {}, "cb_1")
    assert (again.replayed, again.json) == (True, back.json)
    assert_problem(await refund(control, bought["topup_id"], {}, "cb_2"), 409, "conflict")
    # The next top-up pays the debt.
    await topup(control, {"external_customer_id": "alice", "credits": 100}, "pay_2")
    assert await amounts(control, alice) == (60, 90, 60, 0)
    entries = (await control.ask("GET", f"/v1/customers/{alice}/ledger?type=chargeback")).json["data"]
    assert [(each["charged"], each["reservation_id"]) for each in entries] == [(40, bought["block_id"])]


async def test_of_one_that_is_used_up_other_credit_pays(control: Control) -> None:
    bought = (await topup(control, {"external_customer_id": "alice", "credits": 100})).json
    alice = bought["customer_id"]
    await spend(control, alice, 100)
    await topup(control, {"external_customer_id": "alice", "credits": 70}, "pay_2")
    part = await refund(control, bought["topup_id"], {"credits": 30}, "cb_1")
    assert (part.json["voided"], part.json["charged"], part.json["owed"]) == (0, 30, 0)
    rest = await refund(control, bought["topup_id"], {"spent": "unrecoverable"}, "cb_2")
    assert (rest.json["charged"], rest.json["unrecoverable"]) == (0, 70)
    assert await amounts(control, alice) == (40, 130, 0, 0)
    assert_problem(await refund(control, bought["topup_id"], {"credits": 1}, "cb_3"), 409, "conflict")


async def test_a_part_comes_out_of_its_block_first(control: Control) -> None:
    bought = (await topup(control, {"external_customer_id": "alice", "credits": 100})).json
    await spend(control, bought["customer_id"], 20)
    part = await refund(control, bought["topup_id"], {"credits": 90}, "cb_1")
    assert (part.json["voided"], part.json["charged"], part.json["owed"]) == (0, 90, 10)
    assert_problem(await refund(control, bought["topup_id"], {"credits": 11}, "cb_2"), 409, "conflict")


async def test_only_topups_are_refunded(control: Control) -> None:
    alice = await control.customer()
    granted = (await control.grant(f"/v1/customers/{alice}", 100, "k1")).json
    for topup_id in (f"top_{alice[4:]}{granted['block_id'][4:]}", "top_" + "0" * 52, "blk_1"):
        assert_problem(await refund(control, topup_id, {}, f"cb_{topup_id[:9]}"), 404, "not_found")


async def test_topups_are_found_again_with_what_became_of_them(control: Control) -> None:
    await control.ask("POST", "/v1/topup-packages", SMALL)
    bodies: tuple[dict[str, Any], ...] = ({"package_id": "small"}, {"credits": 500, "wallet": "main"})
    ids = [
        (await topup(control, {"external_customer_id": "alice", **bought}, f"k{number}")).json
        for number, bought in enumerate(bodies)
    ]
    customer_id = ids[0]["customer_id"]
    await control.grant(f"/v1/customers/{customer_id}", 7, "no top-up", metadata={"source": "topup"})
    await control.charged_entry(customer_id, 300)
    taken = await control.ask("POST", f"/v1/topup/{ids[0]['topup_id']}/refund", {"credits": 50}, Idempotency_Key="r")
    assert taken.status == 200
    shown = (await control.ask("GET", f"/v1/topup/{ids[0]['topup_id']}")).json
    assert (shown["granted"], shown["bonus"], shown["price_paid"], shown["package_id"]) == (1_000, 100, 900, "small")
    assert (shown["remaining"], shown["spent"], shown["ended"], shown["taken_back"]) == (950, 50, 0, 50)
    page = (await control.ask("GET", f"/v1/customers/{customer_id}/topups?limit=1")).json
    assert [each["wallet"] for each in page["data"]] == ["main"]
    rest = await control.ask(
        "GET", f"/v1/customers/{customer_id}/topups?limit=1&cursor={page['pagination']['next_cursor']}"
    )
    assert rest.json["data"] == [shown]
    assert rest.json["pagination"]["has_more"] is False
    known: str = ids[0]["topup_id"]
    for nobody in ("top_nobody", known[:-1] + ("z" if known[-1] == "y" else "y")):
        assert_problem(await control.ask("GET", f"/v1/topup/{nobody}"), 404, "not_found")
