"""Transfers over HTTP: who gives, who gets, who may not."""

import asyncio
from typing import Any

import pytest

from tests.support.control import Answer, Control, assert_problem

ALICE = "/v1/customer-by-external-id/alice"
BOB = "/v1/customer-by-external-id/bob"


async def give(control: Control, amount: int, key: str = "t1", path: str = ALICE, **more: object) -> Answer:
    to = {} if "to_customer_id" in more else {"to_external_customer_id": "bob"}
    return await control.ask(
        "POST", f"{path}/credits/transfer", {"credits": amount, **to, **more}, Idempotency_Key=key
    )


async def available(control: Control, path: str) -> int:
    balances = (await control.ask("GET", f"{path}/credits")).json["balances"]
    return sum(each["available"] for each in balances)


async def newest(control: Control, path: str) -> dict[str, Any]:
    entry: dict[str, Any] = (await control.ask("GET", f"{path}/ledger?limit=1")).json["data"][0]
    return entry


@pytest.fixture
async def two(control: Control) -> Control:
    """Alice has 100, bob nothing."""
    await control.customer()
    await control.customer("bob")
    await control.grant(ALICE, 100, "g1", priority=7)
    return control


async def test_credit_goes_from_one_to_the_other(two: Control) -> None:
    given = await give(two, 40, reason="a gift")
    assert (given.status, given.json["transferred"], given.json["state"]) == (201, 40, "arrived")
    assert given.json["balance"]["available"] == 60
    assert (await available(two, ALICE), await available(two, BOB)) == (60, 40)
    ours, theirs = await newest(two, ALICE), await newest(two, BOB)
    assert (ours["type"], ours["delta"], ours["reason"]) == ("transfer_out", -40, "a gift")
    assert (theirs["type"], theirs["delta"], theirs["reason"]) == ("transfer_in", 40, "a gift")
    assert ours["reservation_id"] == theirs["reservation_id"] == given.json["transfer_id"]
    assert ours["counterparty_customer_id"] == theirs["customer_id"]
    assert theirs["counterparty_customer_id"] == ours["customer_id"]
    (block,) = (await two.ask("GET", f"{BOB}/credits/blocks")).json["data"]
    assert (block["block_id"], block["priority"]) == (given.json["blocks"][0]["block_id"], 7)
    assert (await two.ask("GET", f"{ALICE}/usage")).json["data"] == []


async def test_the_same_transfer_many_times_is_one(two: Control) -> None:
    answers = await asyncio.gather(*(give(two, 10) for _ in range(8)))
    assert len({answer.raw for answer in answers}) == 1
    assert (await available(two, ALICE), await available(two, BOB)) == (90, 10)
    assert_problem(await give(two, 11), 422, "idempotency_mismatch")


async def test_all_give_at_once_and_nothing_is_lost(two: Control) -> None:
    answers = await asyncio.gather(*(give(two, 15, f"k{number}") for number in range(9)))
    assert sorted(answer.status for answer in answers) == [201] * 6 + [402] * 3
    assert (await available(two, ALICE), await available(two, BOB)) == (10, 90)


async def test_what_is_not_there_or_is_held_is_not_given(two: Control) -> None:
    customer_id = await two.customer()
    await two.hold(customer_id, "r1", 70)
    refused = await give(two, 31)
    assert_problem(refused, 402, "insufficient_credits")
    assert (refused.json["required"], refused.json["available"]) == (31, 30)
    assert (await give(two, 30, "t2")).status == 201


async def test_who_is_suspended_can_be_given_credit(two: Control) -> None:
    await two.ask("PATCH", BOB, {"status": "suspended"})
    assert (await give(two, 10)).status == 201
    assert await available(two, BOB) == 10


async def test_members_of_pools_have_nothing_to_give_or_to_keep(two: Control) -> None:
    member = await two.member("ben", await two.customer("boss"))
    assert_problem(await give(two, 1, to_customer_id=member), 409, "conflict")
    assert_problem(await give(two, 1, path=f"/v1/customers/{member}"), 409, "conflict")


async def test_there_must_be_somebody_else_who_gets_it(two: Control) -> None:
    alice = await two.customer()
    assert_problem(await give(two, 1, to_customer_id=alice), 400, "invalid_input")
    stranger = "cus_01" + "0" * 24
    assert_problem(await give(two, 1, to_customer_id=stranger), 404, "not_found")
    assert_problem(await give(two, 1, to_external_customer_id="nobody"), 404, "not_found")
    body = {"credits": 1}
    answer = await two.ask("POST", f"{ALICE}/credits/transfer", body, Idempotency_Key="k")
    assert_problem(answer, 400, "invalid_input")
    assert answer.json["errors"][0]["path"] == "$.to_customer_id"
    assert await available(two, ALICE) == 100
