"""What becomes of requests that a customer's credit does not cover."""

import asyncio

import pytest

from sidecar.domain.outcomes import Reserved
from sidecar.domain.overage import Overage, OveragePolicy
from tests.support.control import Control

POLICY = {"policy": "allow", "limit": 1000}


async def balance(control: Control, customer_id: str) -> tuple[int, int, int]:
    (found,) = (await control.ask("GET", f"/v1/customers/{customer_id}/credits")).json["balances"]
    return found["available"], found["spent"], found["owed"]


@pytest.mark.parametrize("family", ["/v1/customers/{id}", "/v1/customer-by-external-id/alice"])
async def test_a_policy_is_set_and_shown(control: Control, family: str) -> None:
    customer_id = await control.customer()
    path = f"{family.format(id=customer_id)}/overage-policy"
    none = await control.ask("GET", path)
    assert (none.json["policy"], none.json["limit"], none.json["unit"]) == ("block", None, "credits")
    changed = await control.ask("PUT", path, POLICY, If_Match='"1"')
    assert (changed.status, changed.json["policy"], changed.json["limit"]) == (200, "allow", 1000)
    assert (await control.ask("GET", path)).json == changed.json
    assert (await control.ask("PUT", path, POLICY, If_Match='"99"')).status == 412


async def test_parallel_requests_stay_within_the_limit(control: Control) -> None:
    customer_id = await control.customer()
    path = f"/v1/customers/{customer_id}"
    await control.grant(path, 100, "k1")
    await control.ask("PUT", f"{path}/overage-policy", POLICY)
    body = {"customer_id": customer_id, "credits": 100}
    asked = [control.ask("POST", "/v1/reserve", body, Idempotency_Key=f"r{n}") for n in range(20)]
    statuses = sorted(answer.status for answer in await asyncio.gather(*asked))
    assert statuses == [201] * 11 + [429] * 9


async def test_a_member_has_the_policy_of_who_pays(control: Control) -> None:
    boss = await control.customer("boss")
    alice = await control.member("alice", boss)
    await control.ask("PUT", f"/v1/customers/{boss}/overage-policy", POLICY)
    shown = (await control.ask("GET", f"/v1/customers/{alice}/overage-policy")).json
    assert (shown["customer_id"], shown["policy"]) == (alice, "allow")
    assert (await control.ask("PUT", f"/v1/customers/{alice}/overage-policy", POLICY)).status == 409
    record = control.ledger.hold(alice, "r1", (("credits", 1000),), 60_000, "", "r")
    await control.ledger.reserve(record, "external:alice")
    record = control.ledger.hold(alice, "r1", (("credits", 1000),), 60_000, "", "r")
    assert isinstance(await control.ledger.reserve(record, "external:alice"), Reserved)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"policy": "block", "limit": 5}, "$.limit"),
        ({"policy": "maybe"}, "$.policy"),
        ({"policy": "allow", "limit": -1}, "$.limit"),
        ({"policy": "allow", "unit": "nonesuch"}, "$.unit"),
    ],
)
async def test_what_is_no_policy_is_refused(control: Control, body: object, path: str) -> None:
    answer = await control.ask("PUT", f"/v1/customers/{await control.customer()}/overage-policy", body)
    assert (answer.status, answer.json["errors"][0]["path"]) == (400, path)


async def test_new_customers_have_the_policy_of_the_setting(control: Control) -> None:
    control.parts.customers.overage_of_new = {"credits": Overage(OveragePolicy.ALLOW, 50)}
    boss = await control.customer("boss")
    shown = (await control.ask("GET", f"/v1/customers/{boss}/overage-policy")).json
    assert (shown["policy"], shown["limit"]) == ("allow", 50)
    record = control.ledger.hold(boss, "r1", (("credits", 50),), 60_000, "", "r")
    assert isinstance(await control.ledger.reserve(record, "external:boss"), Reserved)
    alice = await control.member("alice", boss)
    assert (await control.parts.customers.get(alice)).overage == {}
