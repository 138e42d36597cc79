"""Billable metrics and their rules over HTTP, with the vectors of graduated, volume and flat prices."""

from typing import Any

import pytest

from sidecar.control.schema import instant
from sidecar.domain.once import Once
from tests.support.control import Answer, Control, assert_problem

TIERS = [
    {"up_to": 10_000, "unit_cost": 10},
    {"up_to": 100_000, "unit_cost": 5},
    {"up_to": None, "unit_cost": 2},
]
GRADUATED = {"cost_type": "tiered", "tiers": TIERS, "tier_scope": "event"}
VOLUME = GRADUATED | {"mode": "volume"}


async def metric(control: Control, key: str, **rule: Any) -> Answer:
    await control.ask("POST", "/v1/billable-metrics", {"key": key})
    return await control.ask("POST", "/v1/metering-rules", {"billable_metric_key": key, **rule})


async def preview(control: Control, units: object, **more: Any) -> Any:
    answer = await control.ask("POST", "/v1/metering-rules/preview", {"units": units, **more})
    assert answer.status == 200, answer.raw
    return answer.json


async def test_a_metric_is_made_listed_and_shown(control: Control) -> None:
    made = await control.ask("POST", "/v1/billable-metrics", {"key": "look", "name": "A look", "description": "d"})
    assert (made.status, made.json["name"]) == (201, "A look")
    await control.ask("POST", "/v1/billable-metrics", {"key": "api_call"})
    listed = await control.ask("GET", "/v1/billable-metrics")
    assert [each["key"] for each in listed.json["data"]] == ["api_call", "look"]
    assert (await control.ask("GET", "/v1/billable-metrics/look")).json == made.json
    assert_problem(await control.ask("POST", "/v1/billable-metrics", {"key": "look"}), 409, "conflict")
    assert_problem(await control.ask("GET", "/v1/billable-metrics/nonesuch"), 404, "not_found")
    assert_problem(await control.ask("POST", "/v1/billable-metrics", {"key": "A b"}), 400, "invalid_input")


@pytest.mark.parametrize(
    ("terms", "costs"),
    [
        (
            GRADUATED,
            {0: 0, 1: 10, 10_000: 100_000, 10_001: 100_005, 50_000: 300_000, 100_000: 550_000, 100_001: 550_002,
             150_000: 650_000},
        ),
        (
            VOLUME,
            {0: 0, 1: 10, 10_000: 100_000, 10_001: 50_005, 50_000: 250_000, 100_000: 500_000, 100_001: 200_002,
             150_000: 300_000},
        ),
        ({"cost_type": "flat", "amount": 7}, {0: 0, 1: 7, 1_000: 7, "0.5": 7}),
        ({"cost_type": "per_unit", "unit_cost": 3}, {0: 0, 1: 3, 20: 60, "0.5": 2, "1.5": 5}),
        ({"cost_type": "per_unit", "unit_cost": 3_000, "per_units": 1_000_000}, {1_234: 4, 1: 1, 1_000_000: 3_000}),
        ({"cost_type": "per_unit", "unit_cost": 1, "per_units": 2, "rounding": "half_even"}, {1: 0, 3: 2, 5: 2}),
        ({"cost_type": "per_unit", "unit_cost": 1, "per_units": 2, "rounding": "floor"}, {1: 0, 3: 1, 5: 2}),
    ],
    ids=["graduated", "volume", "flat", "per unit", "per million", "half even", "floor"],
)  # fmt: skip
async def test_what_units_come_to(control: Control, terms: Any, costs: dict[object, int]) -> None:
    for units, cost in costs.items():
        assert (await preview(control, units, rule=terms))["cost"] == cost, units


async def test_a_preview_tells_the_lines_and_what_may_surprise(control: Control) -> None:
    shown = await preview(control, 10_001, rule=VOLUME)
    assert (shown["cost"], shown["held_at_most"], shown["unit"]) == (50_005, 100_000, "credits")
    assert shown["lines"] == [{"units": "10001", "rate": "5", "amount": "50005", "note": "up to 100000"}]
    assert len(shown["notes"]) == 2
    # Over a month it goes on from where the count stands.
    month = GRADUATED | {"tier_scope": "period"}
    assert (await preview(control, 20, rule=month, position=9_990))["cost"] == 150
    assert (await preview(control, 20, rule=month | {"mode": "volume"}, position=9_990))["cost"] == 100
    await metric(control, "look", cost_type="flat", amount=9)
    assert (await preview(control, 3, billable_metric_key="look"))["cost"] == 9


@pytest.mark.parametrize(
    "body",
    [
        {"units": 1},
        {"units": 1, "rule": {"cost_type": "flat", "amount": 1}, "billable_metric_key": "look"},
        {"units": -1, "rule": {"cost_type": "flat", "amount": 1}},
        {"units": 1.5, "rule": {"cost_type": "flat", "amount": 1}},
        {"units": 1, "rule": {"cost_type": "flat"}},
        {"units": 1, "rule": {"cost_type": "flat", "amount": 1, "unit_cost": 1}},
        {"units": 1, "rule": {"cost_type": "per_unit", "amount": 1}},
        {"units": 1, "rule": {"cost_type": "tiered", "tiers": []}},
        {"units": 1, "rule": {"cost_type": "tiered", "tiers": [{"up_to": 5, "unit_cost": 1}]}},
        {"units": 1, "rule": {"cost_type": "tiered", "tiers": [TIERS[1], TIERS[0], TIERS[2]]}},
        {"units": 1, "rule": {"cost_type": "tiered", "tiers": [TIERS[2], TIERS[2]]}},
        {"units": 1, "rule": {"cost_type": "flat", "amount": 1, "unit": "gold"}},
    ],
)
async def test_what_cannot_be_tried(control: Control, body: object) -> None:
    assert_problem(await control.ask("POST", "/v1/metering-rules/preview", body), 400, "invalid_input")


async def test_a_new_rule_takes_the_place_of_the_one_before(control: Control) -> None:
    first = await metric(control, "look", cost_type="flat", amount=1)
    assert (first.status, first.json["active"], first.json["supersedes"]) == (201, True, None)
    later = instant(control.parts.now_ms() + 3_600_000).isoformat()
    planned = await metric(control, "look", cost_type="flat", amount=3, effective_at=later)
    second = await metric(control, "look", cost_type="flat", amount=2)
    assert (planned.json["active"], planned.json["supersedes"]) == (False, first.json["rule_id"])
    assert (second.json["active"], second.json["supersedes"]) == (True, first.json["rule_id"])
    await metric(control, "other", cost_type="flat", amount=9)
    listed = (await control.ask("GET", "/v1/metering-rules?billable_metric_key=look")).json["data"]
    assert [(each["amount"], each["active"]) for each in listed] == [(1, False), (2, True), (3, False)]
    assert len((await control.ask("GET", "/v1/metering-rules")).json["data"]) == 4
    again = await metric(control, "look", cost_type="flat", amount=4, effective_at=later)
    assert_problem(again, 409, "conflict")
    past = await metric(control, "look", cost_type="flat", amount=4, effective_at="2020-01-01T00:00:00Z")
    assert_problem(past, 400, "invalid_input")
    assert_problem(
        await control.ask(
            "POST", "/v1/metering-rules", {"billable_metric_key": "none", "cost_type": "flat", "amount": 1}
        ),
        404,
        "not_found",
    )


async def reserve(control: Control, units: object, key: str = "look", once: str = "r") -> Answer:
    body = {"external_customer_id": "alice", "billable_metric_key": key, "estimated_units": units}
    return await control.ask("POST", "/v1/reserve", body, Idempotency_Key=once)


async def commit(control: Control, reserved: Answer, once: str = "c", **body: Any) -> Answer:
    path = f"/v1/reserve/{reserved.json['reservation_id']}/commit"
    return await control.ask("POST", path, body, Idempotency_Key=once)


async def test_a_metric_without_a_rule_cannot_be_charged(control: Control) -> None:
    await control.customer()
    assert_problem(await reserve(control, 1), 404, "not_found")
    await control.ask("POST", "/v1/billable-metrics", {"key": "look"})
    assert_problem(await reserve(control, 1), 422, "no_active_metering_rule")


async def test_a_reservation_keeps_the_price_that_it_was_made_by(control: Control) -> None:
    customer_id = await control.customer()
    await control.grant(f"/v1/customers/{customer_id}", 1_000, "k")
    rule = await metric(control, "look", cost_type="per_unit", unit_cost=10)
    reserved = await reserve(control, 50)
    assert (reserved.json["held"], reserved.json["feature"]) == (500, "look")
    assert reserved.json["rule"] == rule.json["rule_id"]
    await metric(control, "look", cost_type="per_unit", unit_cost=99)
    done = await commit(control, reserved, actual_units="20.5")
    assert (done.json["consumed"], done.json["released"]) == (205, 295)
    (entry,) = (
        await control.ask("GET", f"/v1/customers/{customer_id}/ledger?reservation_id={done.json['reservation_id']}")
    ).json["data"]
    assert (entry["usage"], entry["feature"], entry["rule"]) == ("units=20.5", "look", rule.json["rule_id"])


async def test_what_is_said_in_units_must_have_been_reserved_in_units(control: Control) -> None:
    customer_id = await control.customer()
    await control.grant(f"/v1/customers/{customer_id}", 1_000, "k")
    await metric(control, "look", cost_type="per_unit", unit_cost=10)
    body = {"customer_id": customer_id, "credits": 5}
    by_amount = await control.ask("POST", "/v1/reserve", body, Idempotency_Key="a")
    assert_problem(await commit(control, by_amount, actual_units=1), 400, "invalid_input")
    assert_problem(await commit(control, by_amount), 400, "invalid_input")
    by_units = await reserve(control, 50)
    assert_problem(await commit(control, by_units, actual_units=1, credits=1), 400, "invalid_input")
    assert (await commit(control, by_units, credits=33)).json["consumed"] == 33
    for wrong in ({"billable_metric_key": "look"}, {"credits": 1, "billable_metric_key": "look"}, {}):
        answer = await control.ask("POST", "/v1/reserve", {"customer_id": customer_id, **wrong}, Idempotency_Key="w")
        assert_problem(answer, 400, "invalid_input")


async def test_tiers_over_a_month_go_on_from_reservation_to_reservation(control: Control) -> None:
    customer_id = await control.customer()
    await control.grant(f"/v1/customers/{customer_id}", 10_000_000, "k")
    await metric(control, "look", **(GRADUATED | {"tier_scope": "period"}))
    first = await reserve(control, 9_990, once="1")
    # Both are open, so the second is held as if the first were counted already, and might not be.
    second = await reserve(control, 20, once="2")
    assert (first.json["held"], second.json["held"]) == (99_900, 200)
    await commit(control, first, "c1", actual_units=9_990)
    steps = await commit(control, second, "s", actual_units=10, final=False)
    assert steps.json["consumed"] == 100
    done = await commit(control, second, "c2", actual_units=20)
    assert (done.json["consumed"], done.json["charged"]) == (50, 150)
    counters = (await control.ask("GET", f"/v1/customers/{customer_id}/counters")).json["counters"]
    assert [(each["position"], each["held"]) for each in counters] == [(10_010, 0)]


async def test_a_price_for_more_units_is_held_from_where_the_month_stands(control: Control) -> None:
    customer_id = await control.customer()
    await control.grant(f"/v1/customers/{customer_id}", 10_000_000, "k")
    await metric(control, "look", **(GRADUATED | {"tier_scope": "period"}))
    await commit(control, await reserve(control, 10_000, once="1"), "c1", actual_units=10_000)
    reserved = await reserve(control, 10, once="2")
    assert reserved.json["held"] == 50
    path = f"/v1/reserve/{reserved.json['reservation_id']}/increase"
    more = await control.ask("POST", path, {"estimated_units": 30}, Idempotency_Key="m")
    assert more.json["held"] == 150


async def test_a_commit_that_was_done_is_known_after_its_record_is_lost(control: Control) -> None:
    customer_id = await control.customer()
    await control.grant(f"/v1/customers/{customer_id}", 1_000, "k")
    await metric(control, "look", cost_type="per_unit", unit_cost=10)
    reserved = await reserve(control, 50)
    first = await commit(control, reserved, actual_units=20)
    await control.parts.once_records.abandon("/v1/reserve/{reservation_id}/commit", Once("c", "ab"))
    again = await commit(control, reserved, actual_units=20)
    assert (again.status, again.json["consumed"]) == (200, first.json["consumed"])
    assert (await control.accounts.balances(customer_id))[0].spent == 200
