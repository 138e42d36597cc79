"""Deposit, spend, look."""

import asyncio
from typing import Any

import pytest

from tests.support.control import Answer, Control, assert_problem


async def move(control: Control, what: str, amount: int, key: str, **more: object) -> Answer:
    body = {"account_id": "a/b", "resource_type": "gpu_seconds", "amount": amount, **more}
    return await control.ask("POST", f"/v1/{what}", body, Idempotency_Key=key)


async def balance(control: Control, account: str = "a%2Fb", resource: str = "gpu_seconds") -> Any:
    return (await control.ask("GET", f"/v1/balance/{account}/{resource}")).json


async def test_what_is_deposited_is_spent(control: Control) -> None:
    made = await move(control, "deposit", 1_000, "d1", metadata={"order": "7"})
    assert made.status == 201
    expected = {
        "account_id": "a/b",
        "resource_type": "gpu_seconds",
        "balance": 1_000,
        "reserved": 0,
        "available": 1_000,
    }
    assert {name: made.json[name] for name in expected} == expected
    spent = await move(control, "spend", 300, "s1")
    assert (spent.status, spent.json["available"], spent.json["amount"]) == (200, 700, 300)
    again = await move(control, "spend", 300, "s1")
    assert (again.raw, again.replayed) == (spent.raw, True)
    assert await balance(control) == {**expected, "balance": 700, "available": 700}


async def test_a_balance_is_never_below_zero(control: Control) -> None:
    await move(control, "deposit", 10, "d1")
    refused = await move(control, "spend", 11, "s1")
    assert_problem(refused, 402, "insufficient_credits")
    assert (await balance(control))["available"] == 10
    await move(control, "deposit", 1, "d2")
    assert (await move(control, "spend", 11, "s1")).status == 200


async def test_many_spends_at_once_take_what_there_is(control: Control) -> None:
    await move(control, "deposit", 1_000, "d1")
    answers = await asyncio.gather(*(move(control, "spend", 1, f"s{number}") for number in range(1_000)))
    assert {answer.status for answer in answers} == {200}
    assert_problem(await move(control, "spend", 1, "more"), 402, "insufficient_credits")
    assert (await balance(control))["available"] == 0


async def test_who_never_had_anything_has_nothing(control: Control) -> None:
    assert await balance(control, "nobody") == {
        "account_id": "nobody",
        "resource_type": "gpu_seconds",
        "balance": 0,
        "reserved": 0,
        "available": 0,
    }
    refused = await move(control, "spend", 1, "s1", account_id="nobody")
    assert_problem(refused, 402, "insufficient_credits")
    assert refused.json["available"] == 0


async def test_the_other_name_of_the_key_will_do(control: Control) -> None:
    body = {"account_id": "a", "resource_type": "litres", "amount": 5}
    first = await control.ask("POST", "/v1/deposit", body, X_Idempotency_Key="k1")
    again = await control.ask("POST", "/v1/deposit", body, Idempotency_Key="k1")
    assert (first.status, again.replayed, (await balance(control, "a", "litres"))["balance"]) == (201, True, 5)
    both = await control.ask("POST", "/v1/deposit", body, X_Idempotency_Key="k1", Idempotency_Key="k2")
    assert_problem(both, 400, "idempotency_key_invalid")
    same = await control.ask("POST", "/v1/deposit", body, X_Idempotency_Key="k3", Idempotency_Key="k3")
    assert same.status == 201


@pytest.mark.parametrize(
    "more",
    [
        {"amount": 0},
        {"amount": -1},
        {"amount": 1.5},
        {"resource_type": "a b"},
        {"resource_type": ""},
        {"account_id": ""},
    ],
)
@pytest.mark.parametrize("what", ["deposit", "spend"])
async def test_what_cannot_be_moved_is_refused(control: Control, what: str, more: dict[str, object]) -> None:
    body = {"account_id": "a", "resource_type": "litres", "amount": 1, **more}
    assert_problem(await control.ask("POST", f"/v1/{what}", body, Idempotency_Key="k"), 400, "invalid_input")
