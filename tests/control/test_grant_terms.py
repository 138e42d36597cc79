"""What a grant may say of its block, beside an amount and a reason."""

from datetime import datetime

import pytest

from tests.support.control import Control, assert_problem


async def test_a_block_has_the_terms_that_it_was_granted_with(control: Control) -> None:
    path = f"/v1/customers/{await control.customer()}"
    terms: dict[str, object] = {
        "source": "topup",
        "reason": "Café",
        "priority": -3,
        "starts_at": "2099-01-01T00:00:00Z",
        "expires_at": "2100-01-01T00:00:00Z",
        "price_paid": 500,
        "currency": "EUR",
        "eligible_features": ["chat", "image"],
        "eligible_rules": ["a-rule"],
        "series": "plan",
        "cap": 1_000,
        "metadata": {"order": "17"},
        "dedup_key": "d-1",
        "external_payment_id": "pay-1",
    }
    given = await control.grant(path, 100, "k1", **terms)
    assert (given.status, given.json["granted"], given.json["balance"]["scheduled"]) == (201, 100, 100)
    (block,) = (await control.ask("GET", f"{path}/credits/blocks")).json["data"]
    assert {name: block[name] for name in terms} == terms
    assert (block["block_id"], block["state"]) == (given.json["block_id"], "scheduled")


@pytest.mark.parametrize("key", ["dedup_key", "external_payment_id"])
async def test_a_business_key_is_good_for_one_grant_for_ever(control: Control, key: str) -> None:
    path = f"/v1/customers/{await control.customer()}"
    first = await control.grant(path, 5_000, "k1", **{key: "pay-1"})
    again = await control.grant(path, 5_000, "k2", **{key: "pay-1"})
    assert (first.status, first.json["duplicate"]) == (201, False)
    assert (again.status, again.json["duplicate"], again.replayed) == (200, True, False)
    assert again.json["block_id"] == first.json["block_id"]
    other = await control.grant(path, 6_000, "k3", **{key: "pay-1"})
    assert_problem(other, 409, "conflict")
    assert (await control.ask("GET", f"{path}/credits")).json["balances"][0]["granted"] == 5_000


async def test_a_cap_withholds_what_would_pass_it(control: Control) -> None:
    path = f"/v1/customers/{await control.customer()}"
    terms: dict[str, object] = {"series": "plan", "cap": 25_000_000}
    await control.grant(path, 18_000_000, "k1", **terms)
    cut = await control.grant(path, 10_000_000, "k2", **terms)
    assert (cut.status, cut.json["granted"], cut.json["withheld"]) == (201, 7_000_000, 3_000_000)
    assert cut.json["display"] == {"granted": "7", "withheld": "3"}
    full = await control.grant(path, 10_000_000, "k3", **terms)
    assert (full.status, full.json["granted"], full.json["withheld"]) == (200, 0, 10_000_000)
    assert full.json["block_id"] is None
    assert full.json["balance"]["available"] == 25_000_000


async def test_a_block_to_start_after_must_be_there(control: Control) -> None:
    path = f"/v1/customers/{await control.customer()}"
    refused = await control.grant(path, 5, "k1", starts_after_block_id="blk_1", duration_seconds=60)
    assert_problem(refused, 404, "not_found")
    assert (await control.ask("GET", f"{path}/credits")).json["balances"] == []


async def test_a_grant_that_lasts_is_the_same_when_it_is_repeated(control: Control) -> None:
    path = f"/v1/customers/{await control.customer()}"
    first = await control.grant(path, 5, "k1", expires_in_seconds=3_600)
    again = await control.grant(path, 5, "k1", expires_in_seconds=3_600)
    assert (again.replayed, again.raw) == (True, first.raw)
    (block,) = (await control.ask("GET", f"{path}/credits/blocks")).json["data"]
    start, end = (datetime.fromisoformat(block[name]) for name in ("created_at", "expires_at"))
    assert (end - start).total_seconds() == 3_600


async def test_debt_is_repaid_by_the_next_grant(control: Control) -> None:
    customer_id = await control.customer()
    path = f"/v1/customers/{customer_id}"
    await control.grant(path, 100, "k1")
    record = await control.hold(customer_id, "r1", 100)
    await control.ledger.commit(record, 130, "", "reported")
    (owing,) = (await control.ask("GET", f"{path}/credits")).json["balances"]
    assert (owing["available"], owing["spent"], owing["owed"]) == (0, 100, 30)
    repaid = (await control.grant(path, 50, "k2")).json["balance"]
    assert (repaid["available"], repaid["spent"], repaid["owed"], repaid["granted"]) == (20, 130, 0, 150)
