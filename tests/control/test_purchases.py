"""Purchases out of a customer's own credit over HTTP, and wallets by name."""

import asyncio
from typing import Any

import pytest

from tests.support.control import Answer, Control, assert_problem

ALICE = "/v1/customer-by-external-id/alice"
DAY_S = 86_400


async def buy(control: Control, key: str = "k1", purchase_id: str = "p1", **more: Any) -> Answer:
    body = {
        "external_customer_id": "alice",
        "purchase_id": purchase_id,
        "debit": {"credits": 60, "wallet": "main"},
        "grant": {"credits": 100, "wallet": "pack", "expires_in_seconds": 7 * DAY_S},
        **more,
    }
    return await control.ask("POST", "/v1/wallet/purchase", body, Idempotency_Key=key)


async def wallets(control: Control) -> dict[str | None, int]:
    answer = await control.ask("GET", f"{ALICE}/credits?include_wallets=true")
    (balance,) = answer.json["balances"]
    return {each["wallet"]: each["available"] for each in balance["wallets"]}


@pytest.fixture
async def shop(control: Control) -> Control:
    """Alice has 150 in her wallet, which burns last, and 40 elsewhere."""
    await control.customer()
    await control.grant(ALICE, 40, "g1")
    await control.grant(ALICE, 150, "g2", wallet="main", priority=10)
    return control


async def test_a_pack_is_bought_out_of_the_wallet(shop: Control) -> None:
    bought = await buy(shop, reason="a week")
    assert (bought.status, bought.json["debited"], bought.json["granted"]) == (201, 60, 100)
    assert await wallets(shop) == {"main": 90, "pack": 100, None: 40}
    granted, paid = (await shop.ask("GET", f"{ALICE}/ledger?limit=2")).json["data"]
    assert (paid["type"], paid["delta"], paid["purchase_id"], paid["reason"]) == ("purchase", -60, "p1", "a week")
    assert (granted["type"], granted["delta"], granted["purchase_id"]) == ("grant", 100, "p1")
    assert (granted["block_id"], granted["source"]) == (bought.json["block_id"], "purchase")
    assert (await shop.ask("GET", f"{ALICE}/usage")).json["data"] == []
    # The pack expires, so it burns first; the wallet burns last.
    blocks = (await shop.ask("GET", f"{ALICE}/credits/blocks")).json["data"]
    assert [each["wallet"] for each in blocks] == ["pack", None, "main"]


async def test_the_same_purchase_is_one_for_ever(shop: Control) -> None:
    answers = await asyncio.gather(*(buy(shop, f"k{number}") for number in range(6)))
    assert sorted(answer.status for answer in answers) == [200] * 5 + [201]
    assert len({answer.json["block_id"] for answer in answers}) == 1
    first = next(answer for answer in answers if answer.status == 201)
    number = answers.index(first)
    again = await buy(shop, f"k{number}")
    assert (again.raw, again.replayed) == (first.raw, True)
    assert await wallets(shop) == {"main": 90, "pack": 100, None: 40}
    other = await buy(shop, "k9", debit={"credits": 61, "wallet": "main"})
    assert_problem(other, 409, "conflict")
    await shop.customer("bob")
    await shop.grant("/v1/customer-by-external-id/bob", 500, "g3", wallet="main")
    assert_problem(await buy(shop, "k10", external_customer_id="bob"), 409, "conflict")


async def test_what_the_wallet_does_not_have_is_not_taken_elsewhere(shop: Control) -> None:
    refused = await buy(shop, debit={"credits": 151, "wallet": "main"})
    assert_problem(refused, 402, "insufficient_credits")
    assert (refused.json["required"], refused.json["available"]) == (151, 150)
    assert await wallets(shop) == {"main": 150, None: 40}
    anywhere = await buy(shop, debit={"credits": 151})
    assert anywhere.status == 201
    assert await wallets(shop) == {"main": 39, "pack": 100}


async def test_one_unit_buys_another(shop: Control) -> None:
    grant = {"credits": 7000, "unit": "tokens", "eligible_features": ["chat"]}
    assert (await buy(shop, grant=grant)).json["unit"] == "tokens"
    balances = (await shop.ask("GET", f"{ALICE}/credits")).json["balances"]
    assert {each["unit"]: each["available"] for each in balances} == {"credits": 130, "tokens": 7000}


async def test_many_at_once_never_buy_more_than_there_is(shop: Control) -> None:
    answers = await asyncio.gather(*(buy(shop, f"k{number}", f"p{number}") for number in range(5)))
    assert sorted(answer.status for answer in answers) == [201] * 2 + [402] * 3
    assert await wallets(shop) == {"main": 30, "pack": 200, None: 40}


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"customer_id": "cus_1"}, "$.customer_id"),
        ({"debit": {"credits": 0}}, "$.debit.credits"),
        ({"debit": {"credits": 1, "unit": "litres"}}, "$.unit"),
        ({"grant": {"credits": 1, "expires_at": "2001-01-01T00:00:00Z"}}, "$.grant.expires_at"),
        (
            {"grant": {"credits": 1, "expires_at": "2100-01-01T00:00:00Z", "expires_in_seconds": 5}},
            "$.grant.expires_in_seconds",
        ),
    ],
)
async def test_what_cannot_be_bought_is_refused(shop: Control, more: dict[str, Any], path: str) -> None:
    answer = await buy(shop, **more)
    assert_problem(answer, 400, "invalid_input")
    assert answer.json["errors"][0]["path"] == path
    assert await wallets(shop) == {"main": 150, None: 40}


async def test_a_topup_fills_a_wallet_which_is_shown_with_what_it_has(shop: Control) -> None:
    body = {"external_customer_id": "alice", "credits": 50, "wallet": "main", "expires_in_seconds": DAY_S}
    assert (await shop.ask("POST", "/v1/topup/grant", body, Idempotency_Key="t1")).status == 201
    (balance,) = (await shop.ask("GET", f"{ALICE}/credits?include_wallets=true")).json["balances"]
    main = balance["wallets"][0]
    assert (main["wallet"], main["available"], main["next_expiry"]["amount"]) == ("main", 200, 50)
    assert main["display"]["available"] == "0.0002"
    past = await shop.ask("GET", f"{ALICE}/credits?include_wallets=true&at=2020-01-01T00:00:00Z")
    assert_problem(past, 400, "invalid_input")
