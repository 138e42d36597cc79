import pytest

from sidecar.domain.outcomes import RefusalCode, Refused
from tests.support.control import Control, assert_problem


async def team(control: Control) -> tuple[str, str]:
    """Who pays, with 100 base units, and a member of its pool."""
    boss = await control.customer("boss")
    await control.grant(f"/v1/customers/{boss}", 100, "k1")
    return boss, await control.member("alice", boss)


async def test_a_member_is_shown_what_its_parent_has_and_its_own_share(control: Control) -> None:
    boss, alice = await team(control)
    bob = await control.member("bob", boss)
    record = await control.hold(alice, "r1", 30)
    await control.hold(bob, "r2", 5, external_id="bob")
    await control.ledger.commit(record, 20, "", "reported")
    shown = (await control.ask("GET", f"/v1/customers/{alice}/credits")).json
    assert (shown["customer_id"], shown["payer_customer_id"]) == (alice, boss)
    (balance,) = shown["balances"]
    assert (balance["available"], balance["held"], balance["spent"]) == (75, 5, 20)
    (share,) = shown["shares"]
    assert (share["unit"], share["held"], share["spent"], share["cap"]) == ("credits", 0, 20, None)
    paying = (await control.ask("GET", f"/v1/customers/{boss}/credits")).json
    assert paying["balances"] == shown["balances"]
    assert "shares" not in paying


@pytest.mark.parametrize("family", ["/v1/customers/{id}", "/v1/customer-by-external-id/alice"])
async def test_a_cap_holds_a_member_back(control: Control, family: str) -> None:
    boss, alice = await team(control)
    path = family.format(id=alice)
    capped = await control.ask("PUT", f"{path}/pool", {"cap": 10})
    assert (capped.status, capped.json["cap"], capped.json["display"]["cap"]) == (200, 10, "0.00001")
    await control.hold(alice, "r0", 1)
    record = control.ledger.hold(alice, "r1", (("credits", 11),), 60_000, "", "r")
    refused = await control.ledger.reserve(record, "external:alice")
    assert isinstance(refused, Refused)
    assert refused.code is RefusalCode.POOL_CAP_REACHED
    shown = (await control.ask("GET", f"{path}/pool")).json
    assert (shown["customer_id"], shown["parent_customer_id"]) == (alice, boss)
    assert [(each["unit"], each["cap"]) for each in shown["shares"]] == [("credits", 10), ("tokens", None)]
    freed = await control.ask("PUT", f"{path}/pool", {"cap": None})
    assert freed.json["cap"] is None
    await control.hold(alice, "r2", 11)


async def test_a_cap_is_set_once_for_a_key(control: Control) -> None:
    _, alice = await team(control)
    path = f"/v1/customers/{alice}/pool"
    first = await control.ask("PUT", path, {"cap": 10}, Idempotency_Key="k1")
    await control.ask("PUT", path, {"cap": 20})
    again = await control.ask("PUT", path, {"cap": 10}, Idempotency_Key="k1")
    assert (again.replayed, again.raw) == (True, first.raw)
    assert (await control.ask("GET", path)).json["shares"][0]["cap"] == 20


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "$.cap"),
        ({"cap": -1}, "$.cap"),
        ({"cap": 1.5}, "$.cap"),
        ({"cap": 2**53}, "$.cap"),
        ({"cap": "10"}, "$.cap"),
        ({"cap": 10, "unit": "euros"}, "$.unit"),
        ({"cap": 10, "parent": "x"}, "$.parent"),
    ],
)
async def test_a_bad_cap_says_where_and_sets_nothing(control: Control, body: object, field: str) -> None:
    _, alice = await team(control)
    answer = await control.ask("PUT", f"/v1/customers/{alice}/pool", body)
    assert_problem(answer, 400, "invalid_input")
    assert [each["path"] for each in answer.json["errors"]] == [field]
    assert (await control.ask("GET", f"/v1/customers/{alice}/pool")).json["shares"][0]["cap"] is None


async def test_who_is_in_no_pool_has_no_share(control: Control) -> None:
    boss, _ = await team(control)
    for method, body in (("GET", None), ("PUT", {"cap": 5})):
        answer = await control.ask(method, f"/v1/customers/{boss}/pool", body)
        assert_problem(answer, 409, "conflict")
        assert "pool" in answer.json["detail"]


@pytest.mark.parametrize(
    ("target", "body"),
    [("grant", {"credits": 5}), ("blocks/blk_1/void", {}), ("blocks/blk_1/extend", {"expires_at": None})],
)
async def test_what_belongs_to_the_parent_is_refused_to_a_member(control: Control, target: str, body: object) -> None:
    boss, alice = await team(control)
    answer = await control.ask("POST", f"/v1/customers/{alice}/credits/{target}", body, Idempotency_Key="k9")
    assert_problem(answer, 409, "conflict")
    assert boss in answer.json["detail"]
    assert (await control.ask("GET", f"/v1/customers/{boss}/credits")).json["balances"][0]["granted"] == 100


async def test_a_member_has_the_blocks_of_its_parent(control: Control) -> None:
    boss, alice = await team(control)
    found = [(await control.ask("GET", f"/v1/customers/{each}/credits/blocks")).json for each in (boss, alice)]
    assert found[0] == found[1]
    assert len(found[0]["data"]) == 1
