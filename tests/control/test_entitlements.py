"""Entitlement checks over the control API: what they answer is what a reservation would find."""

from typing import Any

import pytest

from sidecar.store.lane import Lane
from tests.support.control import Control, assert_problem, serving


async def metric(control: Control, key: str = "chat", **terms: object) -> None:
    """A metric that costs 1,000 base units each, unless the terms say otherwise."""
    assert (await control.ask("POST", "/v1/billable-metrics", {"key": key})).status == 201
    if terms != {"rule": None}:
        body = {"billable_metric_key": key, "cost_type": "per_unit", "unit_cost": 1_000, **terms}
        made = await control.ask("POST", "/v1/metering-rules", {k: v for k, v in body.items() if v is not None})
        assert made.status == 201, made.json


async def check(control: Control, customer_id: str, feature: str = "chat", units: object = 1) -> Any:
    answer = await control.ask("GET", f"/v1/customers/{customer_id}/entitlements/{feature}?units={units}")
    assert answer.status == 200, answer.raw
    return answer.json


@pytest.mark.parametrize("family", ["/v1/customers/{id}", "/v1/customer-by-external-id/alice"])
async def test_the_worked_numbers(control: Control, family: str) -> None:
    """Balance 150,000, of which 10,000 are reserved; one unit costs 1,000, so that 139,000 are left after it."""
    alice = await control.customer()
    await control.grant(f"/v1/customers/{alice}", 150_000, "k1")
    await control.hold(alice, "r1", 10_000)
    await metric(control)
    answer = await control.ask("GET", f"{family.format(id=alice)}/entitlements/chat")
    assert answer.status == 200
    assert {name: value for name, value in answer.json.items() if name != "rule"} == {
        "allowed": True,
        "reason": None,
        "customer_id": alice,
        "external_customer_id": "alice",
        "billable_metric_key": "chat",
        "units": 1,
        "unit": "credits",
        "balance": 150_000,
        "reserved_balance": 10_000,
        "effective_balance": 140_000,
        "estimated_cost": 1_000,
        "balance_after": 139_000,
        "max_units": 140,
        "spend_cap": None,
        "reset_at": None,
        "subscription_status": None,
        "overage_policy": "block",
    }
    assert answer.json["rule"].startswith("mrl_")


async def test_what_may_be_owed_counts(control: Control) -> None:
    alice = await control.customer()
    await control.grant(f"/v1/customers/{alice}", 10_000, "k1")
    await metric(control)
    policy = {"policy": "notify", "limit": 5_000}
    await control.ask("PUT", f"/v1/customers/{alice}/overage-policy", policy)
    found = await check(control, alice, units=15)
    told = ("allowed", "overage_policy", "max_units", "effective_balance", "balance_after")
    assert [found[name] for name in told] == [True, "notify", 15, 10_000, -5_000]
    assert (await check(control, alice, units=16))["reason"] == "insufficient_credits"
    record = control.ledger.hold(alice, "r1", (("credits", 12_000),), 60_000, "", "r")
    await control.ledger.reserve(record, "external:alice")
    found = await check(control, alice, units=4)
    assert (found["reason"], found["max_units"], found["effective_balance"]) == ("holds_in_flight", 3, 0)
    await control.ledger.commit(record, 12_000, "", "reported")
    found = await check(control, alice, units=3)
    assert (found["allowed"], found["max_units"], found["effective_balance"]) == (True, 3, -2_000)
    assert (await check(control, alice, units=4))["reason"] == "insufficient_credits"
    await control.ask("PUT", f"/v1/customers/{alice}/overage-policy", {"policy": "allow"})
    assert [(await check(control, alice, units=4))[name] for name in ("allowed", "max_units")] == [True, None]


async def test_each_reason_is_that_of_a_reservation(control: Control) -> None:
    alice = await control.customer()
    path = f"/v1/customers/{alice}"
    await metric(control)
    await control.grant(path, 10_000, "k1")

    async def refused(units: int) -> Any:
        found = await check(control, alice, units=units)
        asked = {"customer_id": alice, "billable_metric_key": "chat", "estimated_units": units}
        reserved = await control.ask("POST", "/v1/reserve", asked, Idempotency_Key=f"r-{units}-{found['reason']}")
        assert reserved.json.get("code") == found["reason"], (found, reserved.json)
        assert found["allowed"] is False
        return found

    found = await refused(11)
    assert (found["reason"], found["estimated_cost"], found["balance_after"]) == (
        "insufficient_credits",
        11_000,
        -1_000,
    )
    await control.hold(alice, "r1", 4_000)
    found = await refused(7)
    assert (found["reason"], found["balance"], found["effective_balance"]) == ("holds_in_flight", 10_000, 6_000)
    cap = await control.ask("POST", f"{path}/spend-caps", {"amount": 3_000, "window": "day", "unit": "credits"})
    found = await refused(5)
    assert (found["reason"], found["max_units"], found["spend_cap"]["cap_id"]) == (
        "spend_cap_reached",
        3,
        cap.json["cap_id"],
    )
    assert found["reset_at"] == found["spend_cap"]["reset_at"] == cap.json["reset_at"]
    # A cap that would let it through is shown while it leaves less than there is.
    assert (await check(control, alice, units=3))["spend_cap"]["amount"] == 3_000
    await control.ask("PATCH", path, {"status": "suspended"})
    found = await refused(1)
    assert (found["reason"], found["max_units"], found["effective_balance"]) == ("customer_suspended", 0, 6_000)


async def test_caps_of_another_feature_do_not_count(control: Control) -> None:
    alice = await control.customer()
    await metric(control)
    await metric(control, "look")
    await control.grant(f"/v1/customers/{alice}", 10_000, "k1")
    body = {"amount": 2_000, "window": "hour", "scope": "feature", "feature": "look"}
    await control.ask("POST", f"/v1/customers/{alice}/spend-caps", body)
    assert [(await check(control, alice, feature))["max_units"] for feature in ("chat", "look")] == [10, 2]


async def test_what_is_for_one_feature_is_no_balance_of_another(control: Control) -> None:
    alice = await control.customer()
    await metric(control)
    await metric(control, "look")
    await control.grant(f"/v1/customers/{alice}", 5_000, "k1")
    await control.grant(f"/v1/customers/{alice}", 3_000, "k2", eligible_features=["look"])
    shown = {feature: await check(control, alice, feature, 6) for feature in ("chat", "look")}
    assert [(each["balance"], each["allowed"], each["max_units"]) for each in shown.values()] == [
        (5_000, False, 5),
        (8_000, True, 8),
    ]
    path = f"/v1/customers/{alice}/entitlements"
    asked = [{"feature": "look", "units": 6}, {"feature": "chat"}, {"feature": "look", "units": "0.5"}]
    several = await control.ask("POST", path, {"features": asked})
    assert several.status == 200
    assert [(each["units"], each["estimated_cost"], each["balance"]) for each in several.json["data"]] == [
        (6, 6_000, 8_000),
        (1, 1_000, 5_000),
        ("0.5", 500, 8_000),
    ]
    assert several.json["data"][0] == shown["look"]
    assert_problem(await control.ask("POST", path, {"features": []}), 400, "invalid_input")


async def test_a_member_has_its_share_of_the_pool(control: Control) -> None:
    boss = await control.customer("boss")
    alice = await control.member("alice", boss)
    await metric(control)
    await control.grant(f"/v1/customers/{boss}", 9_000, "k1")
    assert (await check(control, alice))["max_units"] == 9
    await control.ask("PUT", f"/v1/customers/{alice}/pool", {"unit": "credits", "cap": 2_000})
    found = await check(control, alice, units=3)
    assert (found["reason"], found["max_units"], found["customer_id"]) == ("pool_cap_reached", 2, alice)
    assert (found["balance"], found["external_customer_id"]) == (9_000, "alice")
    await control.ask("PATCH", f"/v1/customers/{boss}", {"status": "suspended"})
    assert (await check(control, alice))["reason"] == "customer_suspended"


async def test_debt_is_told_and_lets_nothing_through(control: Control) -> None:
    """600 there, 1,000 charged: nothing is left, and 400 are owed."""
    alice = await control.customer()
    await metric(control)
    await control.grant(f"/v1/customers/{alice}", 600, "k1")
    record = await control.hold(alice, "r1", 600)
    await control.ledger.commit(record, 1_000, "", "reported")
    found = await check(control, alice)
    assert (found["balance"], found["effective_balance"], found["balance_after"]) == (0, -400, -1_400)
    assert (found["reason"], found["max_units"]) == ("insufficient_credits", 0)
    assert (await check(control, alice, units=0))["allowed"] is False


async def test_tiers_go_on_where_the_month_stands(control: Control) -> None:
    alice = await control.customer()
    tiers = [{"up_to": 10, "unit_cost": 100}, {"up_to": None, "unit_cost": 10}]
    await metric(control, cost_type="tiered", tiers=tiers, unit_cost=None)
    await control.grant(f"/v1/customers/{alice}", 2_000, "k1")
    assert [(await check(control, alice, units=each))["estimated_cost"] for each in (0, 10, 12)] == [0, 1_000, 1_020]
    assert (await check(control, alice))["max_units"] == 110
    used = {"customer_id": alice, "billable_metric_key": "chat", "units": 9, "event_id": "e1"}
    assert (await control.ask("POST", "/v1/usage", used, Idempotency_Key="u1")).status == 201
    found = await check(control, alice, units=3)
    assert (found["effective_balance"], found["estimated_cost"], found["max_units"]) == (1_100, 120, 101)


async def test_who_or_what_is_not_there_is_said(control: Control) -> None:
    alice = await control.customer()
    path = f"/v1/customers/{alice}/entitlements"
    await metric(control, "unpriced", rule=None)
    assert_problem(await control.ask("GET", f"{path}/nonesuch"), 404, "not_found")
    assert_problem(await control.ask("GET", f"{path}/unpriced"), 422, "no_active_metering_rule")
    await metric(control)
    nobody = f"cus_{'0' * 26}"
    for target in (f"/v1/customers/{nobody}", "/v1/customers/alice", "/v1/customer-by-external-id/bob"):
        assert_problem(await control.ask("GET", f"{target}/entitlements/chat"), 404, "not_found")
    for units in ("-1", "x", "1e3", "", str(2**53)):
        assert_problem(await control.ask("GET", f"{path}/chat?units={units}"), 400, "invalid_input")
    assert_problem(await control.ask("GET", f"{path}/chat?unit=1"), 400, "invalid_input")
    found = await check(control, alice, units=0)
    assert (found["allowed"], found["estimated_cost"], found["max_units"]) == (True, 0, 0)
    assert (await check(control, alice, units=2**53 - 1))["reason"] == "insufficient_credits"


async def test_the_short_address_knows_other_names(control: Control) -> None:
    alice = await control.customer()
    await metric(control)
    await control.grant(f"/v1/customers/{alice}", 5_000, "k1")
    plain = await check(control, alice, units=2)
    short = "/v1/entitlements/check"
    for query in (
        "end_user_id=alice&feature_key=chat",
        "external_customer_id=alice&billable_metric_key=chat",
        f"customer_id={alice}&feature=chat",
    ):
        got = await control.ask("GET", f"{short}?{query}&units=2")
        assert (got.status, got.json) == (200, plain)
    got = await control.ask("POST", short, {"customer_id": alice, "feature": "chat", "units": 2})
    assert (got.status, got.json) == (200, plain)
    for query in ("feature=chat", "end_user_id=alice", f"customer_id={alice}&end_user_id=alice&feature=chat"):
        assert_problem(await control.ask("GET", f"{short}?{query}"), 400, "invalid_input")


async def test_who_asks_again_is_told_when_nothing_has_changed(control: Control) -> None:
    alice = await control.customer()
    await metric(control)
    await control.grant(f"/v1/customers/{alice}", 5_000, "k1")
    path = f"/v1/customers/{alice}/entitlements/chat"
    etag = (await control.ask("GET", path)).headers["ETag"]
    again = await control.ask("GET", path, If_None_Match=etag)
    assert (again.status, again.raw, again.headers["ETag"]) == (304, b"", etag)
    await control.hold(alice, "r1", 1)
    changed = await control.ask("GET", path, If_None_Match=etag)
    assert (changed.status, changed.json["reserved_balance"]) == (200, 1)
    assert changed.headers["ETag"] != etag


async def test_an_external_id_is_whose_it_is_now(control: Control) -> None:
    alice = await control.customer()
    await metric(control)
    path = "/v1/customer-by-external-id/{}/entitlements/chat"
    assert (await control.ask("GET", path.format("alice"))).json["customer_id"] == alice
    await control.ask("POST", f"/v1/customers/{alice}/rename", {"external_id": "a/b"})
    assert_problem(await control.ask("GET", path.format("alice")), 404, "not_found")
    assert (await control.ask("GET", path.format("a%2Fb"))).json["external_customer_id"] == "a/b"
    other = await control.customer("alice")
    assert (await control.ask("GET", path.format("alice"))).json["customer_id"] == other


async def test_it_needs_no_more_than_its_own_scope(control: Control) -> None:
    alice = await control.customer()
    await metric(control)
    made = await control.ask("POST", "/v1/admin/api-keys", {"name": "ui", "scopes": ["entitlements:read"]})
    path = f"/v1/customers/{alice}"
    answer = await control.ask("GET", f"{path}/entitlements/chat", key=made.json["secret"])
    assert answer.status == 200
    assert "RateLimit" not in answer.headers
    assert_problem(await control.ask("GET", path, key=made.json["secret"]), 403, "insufficient_scope")


async def test_who_was_merged_is_who_it_is_now(control: Control) -> None:
    alice = await control.customer()
    await control.customer("bob")
    await metric(control)
    await control.grant(f"/v1/customers/{alice}", 5_000, "k1")
    path = "/v1/customer-by-external-id/bob/entitlements/chat"
    assert (await control.ask("GET", path)).json["balance"] == 0
    body = {"from_external_customer_id": "bob"}
    assert (await control.ask("POST", f"/v1/customers/{alice}/merge", body, Idempotency_Key="m1")).status == 200
    for _ in range(2):
        found = (await control.ask("GET", path)).json
        assert (found["customer_id"], found["balance"]) == (alice, 5_000)


async def test_who_asks_first_is_made_a_customer_where_that_is_set(lane: Lane) -> None:
    async with serving(lane, auto_create_customers=True) as control:
        await metric(control)
        path = "/v1/customer-by-external-id/carol/entitlements"
        assert_problem(await control.ask("GET", f"{path}/nonesuch"), 404, "not_found")
        assert (await control.ask("GET", "/v1/customer-by-external-id/carol")).status == 404
        found = await control.ask("GET", f"{path}/chat")
        assert (found.status, found.json["reason"]) == (200, "insufficient_credits")
        assert found.json["customer_id"] == await control.customer("carol")
