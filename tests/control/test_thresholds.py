"""Low-balance thresholds over the control API: set, inherited, told once, taken away."""

from typing import Any

from sidecar.domain.outcomes import Reserved
from tests.support.control import Control, assert_problem


async def spend(control: Control, customer_id: str, amount: int) -> None:
    record = control.ledger.hold(customer_id, f"r{amount}", (("credits", amount),), 60_000, "", "a-rule")
    assert isinstance(await control.ledger.reserve(record, "external:alice"), Reserved)
    await control.ledger.commit(record, amount, "", "reported")


async def thresholds(control: Control, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await control.ask("GET", f"{path}/thresholds")).json["data"]
    return found


async def test_a_balance_that_falls_is_told_once(control: Control) -> None:
    alice = await control.customer()
    path = f"/v1/customers/{alice}"
    await control.grant(path, 1_000, "k1")
    made = await control.ask("PUT", f"{path}/thresholds/credits", {"amounts": [100, 500]})
    assert (made.status, made.json["amounts"], made.json["low"], made.headers["ETag"]) == (200, [500, 100], [], '"1"')
    await spend(control, alice, 600)
    await spend(control, alice, 10)
    assert [each["low"] for each in await thresholds(control, path)] == [[500]]
    await spend(control, alice, 390)
    answer = await control.ask("GET", f"/v1/events?customer_id={alice}&type=credits.low_balance,credits.exhausted")
    events = [(each["type"], each["data"].get("threshold")) for each in answer.json["data"]]
    assert events == [("credits.exhausted", None), ("credits.low_balance", 100), ("credits.low_balance", 500)]
    newest = answer.json["data"][0]
    assert (newest["customer_id"], newest["external_id"], newest["unit"]) == (alice, "alice", "credits")
    assert newest["data"]["balance"] == {"available": 0, "held": 0, "owed": 0}


async def test_those_of_everybody_hold_for_who_has_none(control: Control) -> None:
    alice = await control.customer()
    path = f"/v1/customers/{alice}"
    await control.ask("PUT", "/v1/thresholds/credits", {"amounts": [50]})
    await control.ask("PUT", "/v1/thresholds/tokens", {"amounts": [7]})
    assert [each["amounts"] for each in await thresholds(control, "/v1")] == [[50], [7]]
    assert [(each["unit"], each["inherited"]) for each in await thresholds(control, path)] == [
        ("credits", True), ("tokens", True),
    ]  # fmt: skip
    own = await control.ask("PUT", f"{path}/thresholds/credits", {"amounts": []})
    assert own.json["inherited"] is False
    stale = await control.ask("PUT", f"{path}/thresholds/credits", {"amounts": [5]}, If_Match='"2"')
    assert_problem(stale, 412, "version_conflict")
    assert [(each["amounts"], each["inherited"]) for each in await thresholds(control, path)] == [
        ([], False), ([7], True),
    ]  # fmt: skip
    left = await control.ask("DELETE", f"{path}/thresholds/credits", If_Match='"1"')
    assert [(each["amounts"], each["inherited"]) for each in left.json["data"]] == [([50], True), ([7], True)]
    assert_problem(await control.ask("DELETE", f"{path}/thresholds/credits"), 404, "not_found")
    assert (await control.ask("DELETE", "/v1/thresholds/tokens")).json["data"][0]["unit"] == "credits"


async def test_a_member_of_a_pool_has_those_of_who_pays(control: Control) -> None:
    boss = await control.customer("boss")
    member = await control.member("alice", boss)
    await control.ask("PUT", f"/v1/customers/{boss}/thresholds/credits", {"amounts": [50]})
    assert [each["amounts"] for each in await thresholds(control, f"/v1/customers/{member}")] == [[50]]
    refused = await control.ask("PUT", f"/v1/customers/{member}/thresholds/credits", {"amounts": [5]})
    assert_problem(refused, 409, "conflict")


async def test_what_cannot_be_a_threshold(control: Control) -> None:
    wrong: tuple[tuple[str, list[int], int, str], ...] = (
        ("credits", [0], 400, "invalid_input"),
        ("credits", [5, 5], 400, "invalid_input"),
        ("gold", [5], 404, "not_found"),
    )
    for unit, amounts, status, code in wrong:
        assert_problem(await control.ask("PUT", f"/v1/thresholds/{unit}", {"amounts": amounts}), status, code)
