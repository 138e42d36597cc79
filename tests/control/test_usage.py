"""Usage over HTTP: once for each event, whatever is repeated."""

import asyncio
from typing import Any

import pytest

from sidecar.control.schema import instant
from tests.support.control import Answer, Control, assert_problem

SCOPE = "usage-event"


async def alice(control: Control, amount: int) -> str:
    customer_id = await control.customer()
    await control.grant(f"/v1/customers/{customer_id}", amount, "credit")
    rules: dict[str, dict[str, Any]] = {
        "look": {"cost_type": "per_unit", "unit_cost": 10},
        "call": {"cost_type": "tiered", "tiers": [{"up_to": 10, "unit_cost": 10}, {"up_to": None, "unit_cost": 1}]},
    }
    for key, rule in rules.items():
        await control.ask("POST", "/v1/billable-metrics", {"key": key})
        made = await control.ask("POST", "/v1/metering-rules", {"billable_metric_key": key, **rule})
        assert made.status == 201
    return customer_id


async def use(control: Control, units: object = 1, key: str = "k", **more: Any) -> Answer:
    body: dict[str, Any] = {"external_customer_id": "alice", "billable_metric_key": "look", "units": units, **more}
    return await control.ask("POST", "/v1/usage", body, Idempotency_Key=key)


def looks(*units: int) -> list[dict[str, Any]]:
    return [
        {"event_id": f"e{number}", "external_customer_id": "alice", "billable_metric_key": "look", "units": each}
        for number, each in enumerate(units)
    ]


async def batch(control: Control, events: list[Any], key: str = "b", **more: Any) -> Answer:
    return await control.ask("POST", "/v1/usage/batch", {"events": events, **more}, Idempotency_Key=key)


async def totals(control: Control, customer_id: str) -> tuple[int, int, int, int]:
    balance = (await control.accounts.balances(customer_id))[0]
    return balance.available, balance.held, balance.spent, balance.owed


async def ledger(control: Control, customer_id: str) -> Any:
    return (await control.ask("GET", f"/v1/customers/{customer_id}/ledger?type=commit")).json["data"]


async def test_what_was_used_is_charged(control: Control) -> None:
    customer_id = await alice(control, 100)
    answer = await use(control, 3, metadata={"page": "home"})
    assert answer.status == 201
    charged = answer.json
    assert charged.pop("rule").startswith("mrl_")
    assert charged == {
        "event_id": "k",
        "customer_id": customer_id,
        "unit": "credits",
        "cost": 30,
        "overage": 0,
        "feature": "look",
        "duplicate": False,
        "available": 70,
        "display": {"charged": "0.00003"},
    }
    (entry,) = await ledger(control, customer_id)
    assert (entry["reservation_id"], entry["usage"], entry["charged"]) == ("evt:k", "units=3", 30)
    assert entry["metadata"] == {"page": "home"}
    assert await totals(control, customer_id) == (70, 0, 30, 0)


async def test_a_refusal_leaves_nothing_and_does_not_use_up_its_key(control: Control) -> None:
    customer_id = await alice(control, 20)
    refused = await use(control, 3)
    assert_problem(refused, 402, "insufficient_credits")
    assert (refused.json["required"], refused.json["available"]) == (30, 20)
    await control.grant(f"/v1/customers/{customer_id}", 10, "more")
    assert (await use(control, 3)).json["cost"] == 30
    assert await totals(control, customer_id) == (0, 0, 30, 0)


async def test_an_event_is_charged_once(control: Control) -> None:
    customer_id = await alice(control, 100)
    first = await use(control, 3, "a", event_id="e")
    assert (await use(control, 3, "a", event_id="e")).raw == first.raw
    again = await use(control, 3, "b", event_id="e")
    assert (again.status, again.json["duplicate"], again.json["cost"]) == (200, True, 30)
    assert_problem(await use(control, 4, "c", event_id="e"), 422, "idempotency_mismatch")
    in_batch = (await batch(control, [looks(3)[0] | {"event_id": "e"}])).json
    assert (in_batch["duplicates"], in_batch["charged"]) == (1, 0)
    assert await totals(control, customer_id) == (70, 0, 30, 0)


async def test_the_archive_knows_an_event_for_ever(control: Control) -> None:
    customer_id = await alice(control, 100)
    await use(control, 3, "a", event_id="e")
    assert len(await ledger(control, customer_id)) == 1
    await forget(control, customer_id, "e")
    again = await use(control, 3, "b", event_id="e")
    assert (again.status, again.json["duplicate"], again.json["cost"]) == (200, True, 30)
    bob = await control.customer("bob")
    await control.grant(f"/v1/customers/{bob}", 100, "credit")
    assert_problem(await use(control, 3, "c", event_id="e", external_customer_id="bob"), 409, "conflict")
    assert await totals(control, customer_id) == (70, 0, 30, 0)
    assert await totals(control, bob) == (100, 0, 0, 0)


async def test_who_died_after_the_charge_is_told_of_it(control: Control) -> None:
    customer_id = await alice(control, 100)
    await use(control, 3, "a", event_id="e")
    key = control.parts.once_records._keys.once(SCOPE, "e")
    await control.lane.execute("DEL", key)
    again = await use(control, 3, "b", event_id="e")
    assert (again.json["cost"], again.json["duplicate"]) == (30, True)
    assert await totals(control, customer_id) == (70, 0, 30, 0)


async def test_fifty_reports_of_an_event_at_once_charge_it_once(control: Control) -> None:
    customer_id = await alice(control, 1_000)
    answers = await asyncio.gather(*(use(control, 1, "same") for _ in range(50)))
    assert len({answer.raw for answer in answers}) == 1
    await asyncio.gather(*(use(control, 1, f"k{number}", event_id="e") for number in range(20)))
    assert await totals(control, customer_id) == (980, 0, 20, 0)


async def test_what_is_not_enforced_is_owed(control: Control) -> None:
    customer_id = await alice(control, 600)
    charged = (await use(control, 100, enforce=False)).json
    assert (charged["cost"], charged["overage"], charged["available"]) == (1_000, 400, 0)
    assert await totals(control, customer_id) == (0, 0, 600, 400)
    await control.grant(f"/v1/customers/{customer_id}", 5_000, "more")
    assert (await totals(control, customer_id))[0] == 4_600
    over = await use(control, 1, "c", billable_metric_key="call", enforce=False)
    assert_problem(over, 400, "invalid_input")


async def test_a_dry_run_changes_nothing(control: Control) -> None:
    customer_id = await alice(control, 25)
    first = (await control.grant(f"/v1/customers/{customer_id}", 10, "b", priority=-1)).json["block_id"]
    would = await use(control, 3, dry_run=True)
    assert (would.status, would.json["cost"], would.json["available"]) == (200, 30, 5)
    assert [each["amount"] for each in would.json["slices"]] == [10, 20]
    assert would.json["slices"][0]["block_id"] == first
    assert (await use(control, 4, "d", dry_run=True)).json["overage"] == 5
    assert await totals(control, customer_id) == (35, 0, 0, 0)


async def test_tiers_over_a_month_go_on_from_event_to_event(control: Control) -> None:
    customer_id = await alice(control, 1_000)
    costs = [(await use(control, 4, f"k{n}", billable_metric_key="call")).json["cost"] for n in range(4)]
    assert costs == [40, 40, 22, 4]
    assert (await use(control, 4, "try", billable_metric_key="call", dry_run=True)).json["cost"] == 4
    assert await totals(control, customer_id) == (894, 0, 106, 0)


async def test_usage_may_be_dated_back(control: Control) -> None:
    customer_id = await alice(control, 100)
    now_ms, day_ms = control.parts.now_ms(), 86_400_000
    for wrong in (now_ms + 6 * 60_000, now_ms - 36 * day_ms):
        answer = await use(control, 1, event_time=instant(wrong).isoformat())
        assert_problem(answer, 422, "event_time_out_of_range")
    # There was no price two days ago.
    answer = await use(control, 1, event_time=instant(now_ms - 2 * day_ms).isoformat())
    assert_problem(answer, 422, "no_active_metering_rule")
    body = {"customer_id": customer_id, "credits": 7, "event_time": instant(now_ms - 2 * day_ms).isoformat()}
    assert (await control.ask("POST", "/v1/usage", body, Idempotency_Key="back")).status == 201
    (entry,) = await ledger(control, customer_id)
    assert entry["event_time"][:10] == instant(now_ms - 2 * day_ms).isoformat()[:10]
    # What it had then, it had: this is charged now.
    at = instant(now_ms - day_ms).isoformat().replace("+00:00", "Z")
    before = (await control.ask("GET", f"/v1/customers/{customer_id}/credits?at={at}")).json["balances"]
    assert before == []


async def test_nothing_used_is_recorded(control: Control) -> None:
    customer_id = await alice(control, 100)
    assert (await use(control, 0)).json["cost"] == 0
    (entry,) = await ledger(control, customer_id)
    assert (entry["delta"], entry["feature"], "charged" in entry) == (0, "look", False)


async def test_each_event_of_a_batch_has_its_outcome(control: Control) -> None:
    customer_id = await alice(control, 60)
    events = [*looks(2, 9, 1), {"event_id": "x", "external_customer_id": "nobody", "credits": 1}]
    done = (await batch(control, events)).json
    assert (done["charged"], done["duplicates"], done["failed"]) == (2, 0, 2)
    first, second, third, fourth = done["outcomes"]
    assert (first["charge"]["cost"], third["charge"]["cost"]) == (20, 10)
    assert (second["problem"]["code"], second["problem"]["required"]) in {
        ("insufficient_credits", 90), ("holds_in_flight", 90),
    }  # fmt: skip
    assert fourth["problem"]["code"] == "not_found"
    assert await totals(control, customer_id) == (30, 0, 30, 0)
    again = (await batch(control, looks(2, 3, 1), "again")).json
    assert (again["charged"], again["duplicates"]) == (1, 2)


async def test_an_atomic_batch_is_charged_as_a_whole_or_not_at_all(control: Control) -> None:
    customer_id = await alice(control, 60)
    assert_problem(await batch(control, looks(2, 9, 1), atomic=True), 402, "insufficient_credits")
    assert await totals(control, customer_id) == (60, 0, 0, 0)
    done = (await batch(control, looks(2, 3, 1), "c", atomic=True)).json
    assert (done["charged"], [each["charge"]["cost"] for each in done["outcomes"]]) == (3, [20, 30, 10])
    assert await totals(control, customer_id) == (0, 0, 60, 0)
    again = (await batch(control, looks(2, 3, 1), "d", atomic=True)).json
    assert (again["duplicates"], again["charged"]) == (3, 0)
    over = [looks(1)[0] | {"billable_metric_key": "call"}]
    assert_problem(await batch(control, over, "e", atomic=True), 400, "invalid_input")


async def test_an_atomic_batch_of_several_customers_leaves_none_of_them_charged(control: Control) -> None:
    customer_id = await alice(control, 60)
    bob = await control.customer("bob")
    await control.grant(f"/v1/customers/{bob}", 5, "credit")
    events = [looks(2)[0], looks(1)[0] | {"event_id": "x", "external_customer_id": "bob"}]
    assert_problem(await batch(control, events, atomic=True), 402, "insufficient_credits")
    assert await totals(control, customer_id) == (60, 0, 0, 0)
    await control.grant(f"/v1/customers/{bob}", 5, "more")
    assert (await batch(control, events, atomic=True)).json["charged"] == 2


async def test_members_of_a_pool_are_charged_to_their_parent(control: Control) -> None:
    boss = await control.customer("boss")
    await control.grant(f"/v1/customers/{boss}", 100, "credit")
    await control.member("alice", boss)
    for number, more in enumerate(({}, {"enforce": False})):
        body = {"external_customer_id": "alice", "credits": 10, **more}
        assert (await control.ask("POST", "/v1/usage", body, Idempotency_Key=f"k{number}")).json["cost"] == 10
    assert await totals(control, boss) == (80, 0, 20, 0)


@pytest.mark.parametrize(
    "body",
    [
        {"external_customer_id": "alice"},
        {"external_customer_id": "alice", "billable_metric_key": "look"},
        {"external_customer_id": "alice", "units": 1},
        {"external_customer_id": "alice", "billable_metric_key": "look", "units": 1, "credits": 1},
        {"external_customer_id": "alice", "billable_metric_key": "look", "units": 1, "feature": "x"},
        {"external_customer_id": "alice", "billable_metric_key": "look", "units": -1},
        {"external_customer_id": "alice", "credits": 1, "event_id": "a b"},
    ],
)
async def test_what_is_no_usage(control: Control, body: object) -> None:
    await alice(control, 1)
    assert_problem(await control.ask("POST", "/v1/usage", body, Idempotency_Key="k"), 400, "invalid_input")


async def test_a_batch_has_each_event_once(control: Control) -> None:
    await alice(control, 1)
    assert_problem(await batch(control, [*looks(1), *looks(1)]), 400, "invalid_input")


async def forget(control: Control, customer_id: str, event_id: str) -> None:
    """What a day does."""
    keys = control.ledger._keys
    await control.lane.execute("DEL", control.parts.once_records._keys.once(SCOPE, event_id))
    await control.lane.execute("HDEL", keys.of(customer_id).holds, f"evt:{event_id}")
