"""Spend caps over the control API: set, shown, taken away, and what they let through."""

from typing import Any

import pytest

from sidecar.domain.outcomes import RefusalCode, Refused, Reserved, Settled
from tests.support.control import Control, assert_problem

DAY = {"amount": 10_000, "window": "day"}


async def hold(control: Control, customer_id: str, reservation_id: str, amount: int, **terms: str) -> Any:
    record = control.ledger.hold(
        customer_id, reservation_id, (("credits", amount),), 60_000, terms.get("feature", ""), "a-rule"
    )
    return record, await control.ledger.reserve(record, "external:alice")


async def spend(control: Control, customer_id: str, reservation_id: str, amount: int, cost: int) -> None:
    record, outcome = await hold(control, customer_id, reservation_id, amount)
    assert isinstance(outcome, Reserved)
    assert isinstance(await control.ledger.commit(record, cost, "", "reported"), Settled)


@pytest.mark.parametrize("family", ["/v1/customers/{id}", "/v1/customer-by-external-id/alice"])
async def test_the_vector(control: Control, family: str) -> None:
    """Cap 10,000 a day, committed 8,000, held 1,500, 600 asked for: refused; after a commit of 900 it passes."""
    alice = await control.customer()
    path = f"{family.format(id=alice)}/spend-caps"
    await control.grant(f"/v1/customers/{alice}", 100_000, "k1")
    made = await control.ask("POST", path, {**DAY, "warn_at": [50, 95, 100]})
    assert (made.status, made.json["left"], made.json["action"]) == (201, 10_000, "block")
    await spend(control, alice, "r1", 8_000, 8_000)
    held, _ = await hold(control, alice, "r2", 1_500)
    _, refused = await hold(control, alice, "r3", 600)
    assert isinstance(refused, Refused)
    assert (refused.code, refused.available) == (RefusalCode.SPEND_CAP_REACHED, 500)
    await control.ledger.commit(held, 900, "", "reported")
    assert isinstance((await hold(control, alice, "r3", 600))[1], Reserved)
    (shown,) = (await control.ask("GET", path)).json["data"]
    assert (shown["spent"], shown["held"], shown["left"]) == (8_900, 600, 500)
    assert shown["display"] == {"amount": "0.01", "spent": "0.0089", "held": "0.0006", "left": "0.0005"}
    assert (shown["cap_id"], shown["reached"]) == (made.json["cap_id"], [50, 95])
    assert made.json["reached"] == []
    assert (shown["window"], shown["rolling_seconds"], shown["tz"], shown["scope"]) == ("day", None, "UTC", "total")
    assert shown["reset_at"].endswith("T00:00:00Z")
    events = (await control.ask("GET", f"/v1/events?type=spend_cap.warning&customer_id={alice}")).json["data"]
    assert [(each["data"]["percent"], each["data"]["spent"]) for each in events] == [(50, 8_000)]
    # The ledger says what counted in it; the counters of prices do not show it.
    (entry,) = (await control.ask("GET", f"/v1/customers/{alice}/ledger?reservation_id=r2")).json["data"]
    assert [(each["units"], each["position"]) for each in entry["counted"]] == [(900, 8_900)]
    assert (await control.ask("GET", f"/v1/customers/{alice}/counters")).json["counters"] == []


async def test_one_that_is_taken_away_holds_no_more(control: Control) -> None:
    alice = await control.customer()
    await control.grant(f"/v1/customers/{alice}", 100, "k1")
    cap = await control.ask("POST", f"/v1/customers/{alice}/spend-caps", {"amount": 5, "rolling_seconds": 3600})
    assert (cap.json["rolling_seconds"], cap.json["window"]) == (3600, None)
    assert isinstance((await hold(control, alice, "r1", 6))[1], Refused)
    path = f"/v1/customers/{alice}/spend-caps/{cap.json['cap_id']}"
    removed = await control.ask("DELETE", path, Idempotency_Key="d1")
    assert (removed.status, removed.json["cap_id"]) == (200, cap.json["cap_id"])
    assert (await control.ask("DELETE", path, Idempotency_Key="d1")).replayed
    assert isinstance((await hold(control, alice, "r1", 6))[1], Reserved)
    assert (await control.ask("GET", f"/v1/customers/{alice}/spend-caps")).json["data"] == []
    assert_problem(await control.ask("DELETE", path), 404, "not_found")


async def test_a_member_has_caps_of_its_own(control: Control) -> None:
    boss = await control.customer("boss")
    alice = await control.member("alice", boss)
    body = {"amount": 5, "window": "month", "scope": "feature", "feature": "chat", "tz": "Europe/Berlin"}
    assert (await control.ask("POST", f"/v1/customers/{alice}/spend-caps", body)).status == 201
    (shown,) = (await control.ask("GET", f"/v1/customers/{alice}/spend-caps?unit=credits")).json["data"]
    assert (shown["customer_id"], shown["feature"], shown["key_id"]) == (alice, "chat", None)
    assert (await control.ask("GET", f"/v1/customers/{boss}/spend-caps")).json["data"] == []


async def test_one_of_a_key_is_for_a_key_that_there_is(control: Control) -> None:
    alice = await control.customer()
    key = (await control.ask("POST", f"/v1/customers/{alice}/keys", {})).json["key_id"]
    path = f"/v1/customers/{alice}/spend-caps"
    made = await control.ask("POST", path, {**DAY, "scope": "key", "key_id": key, "warn_at": [80, 50, 80]})
    assert (made.status, made.json["key_id"], made.json["warn_at"]) == (201, key, [50, 80])
    assert_problem(await control.ask("POST", path, {**DAY, "scope": "key", "key_id": "key_1"}), 400, "invalid_input")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"amount": 1}, "window"),
        ({"amount": 1, "window": "day", "rolling_seconds": 3600}, "window"),
        ({"amount": 1, "window": "year"}, "$.window"),
        ({"amount": 1, "rolling_seconds": 59}, "$.rolling_seconds"),
        ({"amount": 1, "rolling_seconds": 60, "tz": "Europe/Berlin"}, "tz"),
        ({"amount": -1, "window": "day"}, "$.amount"),
        ({"amount": 1, "window": "day", "tz": "Mars/Olympus"}, "tz"),
        ({"amount": 1, "window": "day", "scope": "feature"}, "feature"),
        ({"amount": 1, "window": "day", "feature": "chat"}, "feature"),
        ({"amount": 1, "window": "day", "scope": "rule", "rule": "two words"}, "$.rule"),
        ({"amount": 1, "window": "day", "unit": "pears"}, "unit"),
        ({"amount": 1, "window": "day", "warn_at": [101]}, "$.warn_at[0]"),
    ],
)
async def test_what_makes_no_cap_is_said(control: Control, body: dict[str, object], field: str) -> None:
    alice = await control.customer()
    refused = await control.ask("POST", f"/v1/customers/{alice}/spend-caps", body)
    assert_problem(refused, 400, "invalid_input")
    assert [error["path"].removeprefix("$.") for error in refused.json["errors"]] == [field.removeprefix("$.")]
