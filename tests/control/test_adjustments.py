"""Corrections over HTTP: adjusted credit, and charges that go back."""

import asyncio
from typing import Any

import pytest

from tests.support.control import Control, assert_problem

ALICE = "/v1/customer-by-external-id/alice"


async def balance(control: Control, path: str = ALICE) -> dict[str, Any]:
    found: dict[str, Any] = (await control.ask("GET", f"{path}/credits")).json["balances"][0]
    return found


async def adjust(control: Control, delta: int, key: str = "a1", **more: object) -> Any:
    body = {"delta": delta, "reason": "a mistake", **more}
    return await control.ask("POST", f"{ALICE}/credits/adjust", body, Idempotency_Key=key)


async def refund(control: Control, entry_id: str, key: str = "r1", path: str = ALICE, **more: object) -> Any:
    body = {"entry_id": entry_id, "reason": "it was bad", **more}
    return await control.ask("POST", f"{path}/credits/refund", body, Idempotency_Key=key)


async def charged(control: Control, amount: int, *, who: str = "", external_id: str = "alice") -> str:
    """The entry of a new charge of `amount`."""
    customer_id = who or await control.customer(external_id)
    return await control.charged_entry(customer_id, amount, external_id=external_id)


async def test_credit_is_given_and_taken(control: Control) -> None:
    await control.customer()
    given = await adjust(control, 500, expires_at="2100-01-01T00:00:00Z")
    assert (given.status, given.json["delta"], given.json["balance"]["available"]) == (201, 500, 500)
    taken = await adjust(control, -200, "a2")
    assert (taken.json["delta"], taken.json["owed"], taken.json["block_id"]) == (-200, 0, None)
    again = await adjust(control, -200, "a2")
    assert (again.raw, again.replayed) == (taken.raw, True)
    assert (await balance(control))["available"] == 300
    entries = (await control.ask("GET", f"{ALICE}/ledger")).json["data"]
    assert [(each["type"], each["delta"], each["reason"]) for each in entries] == [
        ("adjustment", -200, "a mistake"),
        ("grant", 500, "a mistake"),
    ]
    assert entries[1]["source"] == "adjustment"
    assert (await control.ask("GET", f"{ALICE}/usage")).json["data"] == []


async def test_more_than_there_is_is_taken_only_where_that_is_said(control: Control) -> None:
    customer_id = await control.customer()
    await control.grant(ALICE, 100, "g1")
    await control.hold(customer_id, "r1", 30)
    refused = await adjust(control, -71)
    assert_problem(refused, 402, "insufficient_credits")
    assert (refused.json["required"], refused.json["available"]) == (71, 70)
    assert (await adjust(control, -70, "a2")).status == 201
    owed = await adjust(control, -25, allow_negative=True)
    assert (owed.status, owed.json["delta"], owed.json["owed"]) == (201, -25, 25)
    found = await balance(control)
    assert (found["available"], found["held"], found["owed"]) == (0, 30, 25)


async def test_a_reference_is_an_entry_of_the_same_customer(control: Control) -> None:
    await control.grant(f"/v1/customers/{await control.customer('bob')}", 100, "g0")
    theirs = await charged(control, 5, external_id="bob")
    await control.grant(f"/v1/customers/{await control.customer()}", 100, "g1")
    ours = await charged(control, 5)
    assert_problem(await adjust(control, 5, reference_entry_id=theirs), 404, "not_found")
    assert (await adjust(control, 5, reference_entry_id=ours)).status == 201
    newest = (await control.ask("GET", f"{ALICE}/ledger?limit=1")).json["data"][0]
    assert newest["reference_entry_id"] == ours


@pytest.mark.parametrize(
    "body",
    [
        {"delta": 0, "reason": "x"},
        {"delta": 1},
        {"delta": 1, "reason": ""},
        {"delta": 1.5, "reason": "x"},
        {"delta": 1, "reason": "x", "unit": "litres"},
        {"delta": -1, "reason": "x", "expires_at": "2100-01-01T00:00:00Z"},
        {"delta": 1, "reason": "x", "expires_at": "2001-01-01T00:00:00Z"},
    ],
)
async def test_what_cannot_be_adjusted_is_refused(control: Control, body: dict[str, object]) -> None:
    await control.customer()
    answer = await control.ask("POST", f"{ALICE}/credits/adjust", body, Idempotency_Key="k")
    assert_problem(answer, 400, "invalid_input")


async def test_a_charge_goes_back_to_the_blocks_that_paid(control: Control) -> None:
    await control.customer()
    first = (await control.grant(ALICE, 30, "g1", priority=1)).json["block_id"]
    second = (await control.grant(ALICE, 100, "g2", priority=2)).json["block_id"]
    entry_id = await charged(control, 60)
    part = (await refund(control, entry_id, credits=20)).json
    assert (part["refunded"], part["restored"], part["granted"], part["block_id"]) == (20, 20, 0, None)
    rest = (await refund(control, entry_id, "r2")).json
    # The first block was used up, and is no more.
    assert (rest["refunded"], rest["restored"], rest["granted"]) == (40, 10, 30)
    assert rest["refunded_in_all"] == 60
    blocks = (await control.ask("GET", f"{ALICE}/credits/blocks")).json["data"]
    assert {each["block_id"]: each["available"] for each in blocks} == {second: 100, rest["block_id"]: 30}
    assert first not in {each["block_id"] for each in blocks}
    found = await balance(control)
    assert (found["available"], found["spent"]) == (130, 30)
    assert_problem(await refund(control, entry_id, "r3", credits=1), 409, "conflict")


async def test_reports_have_what_was_given_back_beside_what_was_charged(control: Control) -> None:
    await control.customer()
    await control.grant(ALICE, 100, "g1")
    await refund(control, await charged(control, 60), credits=15)
    (row,) = (await control.ask("GET", "/v1/usage/summary?group_by=model")).json["data"]
    assert (row["group"], row["entries"], row["charged"], row["refunded"]) == ({"model": "large"}, 1, 60, 15)
    assert row["meters"] == {"input_tokens": 3}
    (top,) = (await control.ask("GET", "/v1/usage/top")).json["data"]
    assert (top["charged"], top["refunded"]) == (60, 15)
    newest = (await control.ask("GET", f"{ALICE}/ledger?type=refund")).json["data"][0]
    assert (newest["delta"], newest["charged"], newest["feature"]) == (15, 15, "writing")
    assert newest["moves"][0]["what"] == "restored"


async def test_all_refunds_together_are_no_more_than_the_charge(control: Control) -> None:
    await control.customer()
    await control.grant(ALICE, 100, "g1")
    entry_id = await charged(control, 60)
    answers = await asyncio.gather(*(refund(control, entry_id, f"k{number}", credits=7) for number in range(12)))
    assert sorted(answer.status for answer in answers) == [201] * 8 + [409] * 4
    assert (await balance(control))["available"] == 96


async def test_the_same_refund_twice_is_one(control: Control) -> None:
    await control.customer()
    await control.grant(ALICE, 100, "g1")
    entry_id = await charged(control, 60)
    answers = await asyncio.gather(*(refund(control, entry_id, credits=10) for _ in range(8)))
    assert len({answer.raw for answer in answers}) == 1
    assert (await balance(control))["available"] == 50


async def test_a_refund_makes_room_in_the_spend_caps_that_counted_the_charge(control: Control) -> None:
    await control.customer()
    await control.grant(ALICE, 100, "g1")
    await control.ask("POST", f"{ALICE}/spend-caps", {"amount": 70, "window": "month"})
    entry_id = await charged(control, 60)
    await control.ask("POST", f"{ALICE}/spend-caps", {"amount": 500, "window": "month"})
    await refund(control, entry_id, credits=40)
    old, new = (await control.ask("GET", f"{ALICE}/spend-caps")).json["data"]
    assert (old["spent"], old["left"], new["spent"]) == (20, 50, 0)
    await refund(control, entry_id, "r2")
    old, _ = (await control.ask("GET", f"{ALICE}/spend-caps")).json["data"]
    assert (old["spent"], old["left"]) == (0, 70)


async def test_a_member_of_a_pool_gives_its_share_back(control: Control) -> None:
    boss = await control.customer("boss")
    member = await control.member("ben", boss)
    await control.grant(f"/v1/customers/{boss}", 100, "g1")
    entry_id = await charged(control, 60, who=member, external_id="ben")
    assert (await refund(control, entry_id, path="/v1/customers/" + member, credits=25)).status == 201
    (share,) = [
        each
        for each in (await control.ask("GET", f"/v1/customers/{member}/pool")).json["shares"]
        if each["unit"] == "credits"
    ]
    assert share["spent"] == 35


async def test_what_charged_nothing_is_not_given_back(control: Control) -> None:
    await control.customer()
    await control.grant(ALICE, 100, "g1")
    grant = (await control.ask("GET", f"{ALICE}/ledger")).json["data"][0]
    assert_problem(await refund(control, grant["entry_id"]), 409, "conflict")
    assert_problem(await refund(control, "ent_nobody"), 404, "not_found")


async def test_a_usage_event_is_taken_back_once(control: Control) -> None:
    await control.customer()
    await control.grant(ALICE, 100, "g1")
    event = {"external_customer_id": "alice", "credits": 30, "event_id": "e1"}
    assert (await control.ask("POST", "/v1/usage", event, Idempotency_Key="u1")).status == 201
    voided = await control.ask("POST", "/v1/usage/e1/void", {"reason": "twice"}, Idempotency_Key="v1")
    assert (voided.status, voided.json["refunded"], voided.json["balance"]["available"]) == (201, 30, 100)
    again = await control.ask("POST", "/v1/usage/e1/void", {"reason": "twice"}, Idempotency_Key="v1")
    assert (again.raw, again.replayed) == (voided.raw, True)
    other = await control.ask("POST", "/v1/usage/e1/void", {"reason": "twice"}, Idempotency_Key="v2")
    assert_problem(other, 409, "conflict")
    nobody = await control.ask("POST", "/v1/usage/e2/void", {"reason": "twice"}, Idempotency_Key="v3")
    assert_problem(nobody, 404, "not_found")
