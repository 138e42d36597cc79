import time
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.control import Answer, Control, assert_problem

BOTH = pytest.mark.parametrize("family", ["/v1/customers/{id}", "/v1/customer-by-external-id/alice"])
IN_AN_HOUR = datetime.fromtimestamp(time.time() + 3_600, UTC).isoformat()
NEVER_THERE = "blk_01arz3ndektsv4rrffq69g5fav"


async def blocks(control: Control, path: str, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await control.ask("GET", f"{path}/credits/blocks{query}")).json["data"]
    return found


async def change(control: Control, path: str, block_id: str, what: str, body: object, key: str = "c1") -> Answer:
    return await control.ask("POST", f"{path}/credits/blocks/{block_id}/{what}", body, Idempotency_Key=key)


@BOTH
async def test_blocks_are_listed_in_the_order_in_which_they_burn(control: Control, family: str) -> None:
    path = family.format(id=await control.customer())
    later = await control.grant(path, 10, "k1", priority=5)
    soon = await control.grant(path, 20, "k2", expires_in_seconds=60)
    first = await control.grant(path, 30, "k3", priority=-1)
    waits = await control.grant(path, 40, "k4", starts_at=IN_AN_HOUR)
    tokens = await control.grant(path, 50, "k5", unit="tokens")
    found = await blocks(control, path)
    assert [(each["block_id"], each["burn_position"]) for each in found] == [
        *((each.json["block_id"], number) for number, each in enumerate((first, soon, later), 1)),
        (waits.json["block_id"], None),
        (tokens.json["block_id"], 1),
    ]
    assert [each["state"] for each in found] == ["active", "active", "active", "scheduled", "active"]
    assert [(each["available"], each["scheduled"]) for each in found[2:4]] == [(10, 0), (0, 40)]
    assert [each["available"] for each in await blocks(control, path, "?unit=tokens")] == [50]
    assert_problem(await control.ask("GET", f"{path}/credits/blocks?unit=euros"), 400, "invalid_input")


async def test_the_balance_can_have_its_blocks_and_what_expires_next(control: Control) -> None:
    path = f"/v1/customers/{await control.customer()}"
    await control.grant(path, 3_000_000, "k1")
    await control.grant(path, 1_500_000, "k2", expires_at=IN_AN_HOUR)
    (balance,) = (await control.ask("GET", f"{path}/credits?include_blocks=true")).json["balances"]
    assert [each["display"]["available"] for each in balance["blocks"]] == ["1.5", "3"]
    assert balance["next_expiry"]["amount"] == 1_500_000
    assert datetime.fromisoformat(balance["next_expiry"]["at"]).timestamp() == pytest.approx(
        datetime.fromisoformat(IN_AN_HOUR).timestamp(), abs=0.001
    )
    (plain,) = (await control.ask("GET", f"{path}/credits")).json["balances"]
    assert plain.keys() == balance.keys() - {"blocks", "next_expiry"}


@BOTH
async def test_a_voided_block_cannot_be_spent(control: Control, family: str) -> None:
    customer_id = await control.customer()
    path = family.format(id=customer_id)
    block_id = (await control.grant(path, 100, "k1")).json["block_id"]
    record = await control.hold(customer_id, "r1", 30)
    voided = await change(control, path, block_id, "void", {})
    assert (voided.status, voided.json["voided"]) == (200, 70)
    assert (voided.json["block_id"], voided.json["unit"]) == (block_id, "credits")
    (balance,) = (await control.ask("GET", f"{path}/credits")).json["balances"]
    assert (balance["available"], balance["held"], balance["voided"]) == (0, 30, 70)
    await control.ledger.release(record, "test")
    again = await change(control, path, block_id, "void", {})
    assert again.replayed
    assert again.raw == voided.raw
    assert_problem(await change(control, path, block_id, "void", {}, "c2"), 404, "not_found")
    assert await blocks(control, path) == []


async def test_the_expiry_of_a_block_moves(control: Control) -> None:
    path = f"/v1/customers/{await control.customer()}"
    block_id = (await control.grant(path, 100, "k1", expires_in_seconds=60)).json["block_id"]
    moved = await change(control, path, block_id, "extend", {"expires_at": "2100-01-01T02:00:00+02:00"})
    assert (moved.status, moved.json["voided"], moved.json["balance"]["available"]) == (200, 0, 100)
    assert (await blocks(control, path))[0]["expires_at"] == "2100-01-01T00:00:00Z"
    await change(control, path, block_id, "extend", {"expires_at": None}, "c2")
    assert (await blocks(control, path))[0]["expires_at"] is None
    again = await change(control, path, block_id, "extend", {"expires_at": "2100-01-01T02:00:00+02:00"})
    assert again.replayed
    assert (await blocks(control, path))[0]["expires_at"] is None


async def test_a_block_of_another_unit_is_named_with_it(control: Control) -> None:
    path = f"/v1/customers/{await control.customer()}"
    block_id = (await control.grant(path, 100, "k1", unit="tokens")).json["block_id"]
    assert_problem(await change(control, path, block_id, "void", {}), 404, "not_found")
    voided = await change(control, path, block_id, "void", {"unit": "tokens"})
    assert (voided.json["unit"], voided.json["balance"]["voided"]) == ("tokens", 100)


@pytest.mark.parametrize(
    ("what", "body", "field"),
    [
        ("extend", {"expires_at": "2020-01-01T00:00:00Z"}, "$.expires_at"),
        ("extend", {"expires_at": "1970-01-01T00:00:00Z"}, "$.expires_at"),
        ("extend", {"expires_at": "0001-01-01T00:00:00Z"}, "$.expires_at"),
        ("extend", {"expires_at": "2100-01-01T00:00:00"}, "$.expires_at"),
        ("extend", {"expires_at": 4_102_444_800}, "$.expires_at"),
        ("extend", {"expires_at": "tomorrow"}, "$.expires_at"),
        ("extend", {}, "$.expires_at"),
        ("extend", {"expires_at": None, "unit": "euros"}, "$.unit"),
        ("extend", {"expires_at": None, "credits": 5}, "$.credits"),
        ("void", {"unit": "euros"}, "$.unit"),
        ("void", {"amount": 5}, "$.amount"),
    ],
)
async def test_a_bad_change_says_where_and_changes_nothing(
    control: Control, what: str, body: object, field: str
) -> None:
    path = f"/v1/customers/{await control.customer()}"
    block_id = (await control.grant(path, 100, "k1", expires_at=IN_AN_HOUR)).json["block_id"]
    before = await blocks(control, path)
    answer = await change(control, path, block_id, what, body)
    assert_problem(answer, 400, "invalid_input")
    assert [each["path"] for each in answer.json["errors"]] == [field]
    assert await blocks(control, path) == before


@pytest.mark.parametrize("what", ["void", "extend"])
@pytest.mark.parametrize("block_id", [NEVER_THERE, "x", "%00", "a%2Fb", "blk_%FF", "*"])
async def test_an_unknown_block_is_not_found(control: Control, what: str, block_id: str) -> None:
    path = f"/v1/customers/{await control.customer()}"
    await control.grant(path, 100, "k1")
    body = {"expires_at": None} if what == "extend" else {}
    answer = await change(control, path, block_id, what, body)
    assert_problem(answer, 404, "not_found")
    assert (await blocks(control, path))[0]["available"] == 100


async def test_a_block_of_somebody_else_is_not_found(control: Control) -> None:
    alice, bob = [f"/v1/customers/{await control.customer(name)}" for name in ("alice", "bob")]
    block_id = (await control.grant(alice, 100, "k1")).json["block_id"]
    await control.grant(bob, 100, "k1")
    assert_problem(await change(control, bob, block_id, "void", {}), 404, "not_found")
    assert (await blocks(control, alice))[0]["available"] == 100


async def test_a_block_that_waits_for_another_has_no_expiry_to_move(control: Control) -> None:
    path = f"/v1/customers/{await control.customer()}"
    first = (await control.grant(path, 100, "k1", expires_at=IN_AN_HOUR)).json["block_id"]
    second = (await control.grant(path, 50, "k2", starts_after_block_id=first, duration_seconds=3_600)).json
    queued = (await blocks(control, path))[1]
    assert (queued["state"], queued["starts_at"], queued["expires_at"]) == ("queued", None, None)
    assert (queued["starts_after_block_id"], queued["duration_seconds"]) == (first, 3_600)
    answer = await change(control, path, second["block_id"], "extend", {"expires_at": IN_AN_HOUR})
    assert_problem(answer, 409, "conflict")
    await change(control, path, first, "void", {}, "c2")
    started = (await blocks(control, path))[0]
    assert (started["block_id"], started["state"]) == (second["block_id"], "active")
    assert started["expires_at"] is not None


@pytest.mark.parametrize("what", ["void", "extend"])
async def test_a_change_without_its_key_says_which_header(control: Control, what: str) -> None:
    path = f"/v1/customers/{await control.customer()}/credits/blocks/{NEVER_THERE}/{what}"
    assert_problem(await control.ask("POST", path, {"expires_at": None}), 400, "idempotency_key_required")


async def test_a_simulation_says_what_the_next_charge_takes(control: Control) -> None:
    path = f"/v1/customers/{await control.customer()}"
    late = (await control.grant(path, 50, "g1", priority=2)).json["block_id"]
    first = (await control.grant(path, 30, "g2", priority=1, eligible_features=["chat"])).json["block_id"]
    before = (await control.ask("GET", f"{path}/credits?include_blocks=true")).json
    would = await control.ask("POST", f"{path}/credits/simulate", {"credits": 40, "feature": "chat"})
    assert would.status == 200
    assert would.json["slices"] == [
        {"block_id": first, "amount": 30, "left": 0},
        {"block_id": late, "amount": 10, "left": 40},
    ]
    other = (await control.ask("POST", f"{path}/credits/simulate", {"credits": 60})).json
    assert ([each["block_id"] for each in other["slices"]], other["missing"]) == ([late], 10)
    assert (await control.ask("GET", f"{path}/credits?include_blocks=true")).json == before
