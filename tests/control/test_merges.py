"""Two customers become one over HTTP, whoever dies on the way."""

import asyncio
from typing import Any

import pytest

from sidecar.domain.errors import StoreTimeout
from sidecar.domain.outcomes import RefusalCode, Refused, Reserved
from tests.support.control import Answer, Control, assert_problem

ALICE = "/v1/customer-by-external-id/alice"
OLD = "/v1/customer-by-external-id/old"


async def merge(control: Control, key: str = "m1", path: str = ALICE, **more: object) -> Answer:
    body = more or {"from_external_customer_id": "old", "reason": "the same person"}
    return await control.ask("POST", f"{path}/merge", body, Idempotency_Key=key)


async def all_of(control: Control, path: str) -> dict[str, int]:
    balances = (await control.ask("GET", f"{path}/credits")).json["balances"]
    return {each["unit"]: each["available"] + each["scheduled"] + each["held"] for each in balances}


async def ids(control: Control) -> tuple[str, str]:
    return await control.customer(), (await control.ask("GET", OLD)).json["customer_id"]


@pytest.fixture
async def two(control: Control) -> Control:
    """Alice has 100; her other self has 30 and 7 that start later, and tokens."""
    await control.customer()
    await control.grant(ALICE, 100, "g1")
    old = (await control.ask("POST", "/v1/customers", {"external_id": "old", "display_name": "A."})).json[
        "customer_id"
    ]
    await control.grant(OLD, 30, "g2", priority=5, expires_at="2100-01-01T00:00:00Z", wallet="main")
    await control.grant(OLD, 7, "g3", starts_at="2099-01-01T00:00:00Z")
    await control.grant(OLD, 900, "g4", unit="tokens")
    await control.hold(old, "r1", 10, external_id="old")
    return control


async def settled(control: Control) -> None:
    _, old = await ids(control)
    record = control.ledger.hold(old, "r1", (("credits", 10),), 60_000, "writing", "chat")
    await control.ledger.release(record, "done")


async def test_all_that_one_had_is_the_others(two: Control) -> None:
    alice, old = await ids(two)
    secret = (await two.ask("POST", f"{OLD}/keys", {"name": "laptop"})).json["secret"]
    assert_problem(await merge(two), 409, "conflict")
    await settled(two)
    done = await merge(two)
    assert (done.status, done.json["merged_customer_id"], done.json["keys_moved"]) == (200, old, 1)
    assert {each["unit"]: each["amount"] for each in done.json["transferred"]} == {"credits": 37, "tokens": 900}
    assert (done.json["customer"]["external_id"], done.json["customer"]["aliases"]) == ("alice", ["old"])
    assert await all_of(two, ALICE) == await all_of(two, OLD) == {"credits": 137, "tokens": 900}
    tombstone = (await two.ask("GET", f"/v1/customers/{old}")).json
    assert (tombstone["status"], tombstone["merged_into"], tombstone["display_name"]) == ("merged", alice, "")
    assert await all_of(two, f"/v1/customers/{old}") == {"credits": 0, "tokens": 0}
    entries = (await two.ask("GET", f"/v1/customers/{old}/ledger")).json["data"]
    assert {each["type"] for each in entries} == {"transfer_out", "release", "grant"}
    blocks = (await two.ask("GET", f"{ALICE}/credits/blocks?unit=credits")).json["data"]
    assert {(each["granted"], each["priority"], each["wallet"], each["state"]) for each in blocks} == {
        (100, 0, None, "active"),
        (30, 5, "main", "active"),
        (7, 0, None, "scheduled"),
    }
    (key,) = (await two.ask("GET", f"{ALICE}/keys")).json["data"]
    assert key["hint"].endswith(secret[-4:])
    record = two.ledger.hold(alice, "r2", (("credits", 130),), 60_000, "writing", "chat")
    assert isinstance(await two.ledger.reserve(record, "external:old"), Reserved)


async def test_who_was_merged_gets_and_spends_nothing_more(two: Control) -> None:
    _, old = await ids(two)
    await settled(two)
    await merge(two)
    assert_problem(await two.grant(f"/v1/customers/{old}", 5, "g9"), 409, "conflict")
    assert_problem(await two.ask("PATCH", f"/v1/customers/{old}", {"status": "active"}), 409, "conflict")
    record = two.ledger.hold(old, "r2", (("credits", 1),), 60_000, "writing", "chat")
    refused = await two.ledger.reserve(record, "external:old")
    assert isinstance(refused, Refused)
    assert refused.code is RefusalCode.UNIDENTIFIED
    # Its name is the other's, and is not given away.
    made = await two.ask("POST", "/v1/customers", {"external_id": "old"})
    assert (made.status, made.json["external_id"]) == (200, "alice")
    assert (await two.grant(OLD, 5, "g10")).status == 201
    assert_problem(await merge(two, "m2"), 400, "invalid_input")
    again = await merge(two, "m3", from_customer_id=old)
    assert (again.status, again.json["transferred"], again.json["keys_moved"]) == (200, [], 0)
    assert_problem(await merge(two, "m4", f"/v1/customers/{old}", from_external_customer_id="alice"), 409, "conflict")


async def test_a_name_of_before_can_be_its_name_or_be_forgotten(two: Control) -> None:
    await settled(two)
    await merge(two)
    renamed = await two.ask("POST", f"{ALICE}/rename", {"external_id": "old"})
    assert (renamed.json["external_id"], renamed.json["aliases"]) == ("old", [])
    assert_problem(await two.ask("GET", ALICE), 404, "not_found")
    await two.customer("third")
    third = await two.ask("POST", f"{OLD}/merge", {"from_external_customer_id": "third"}, Idempotency_Key="m2")
    assert third.json["customer"]["aliases"] == ["third"]
    gone = await two.ask("POST", f"{OLD}/anonymise")
    assert gone.json["aliases"] == []
    for name in ("old", "third"):
        assert_problem(await two.ask("GET", f"/v1/customer-by-external-id/{name}"), 404, "not_found")
        assert (await two.ask("POST", "/v1/customers", {"external_id": name})).status == 201


async def test_who_cannot_be_merged(two: Control) -> None:
    alice, old = await ids(two)
    await settled(two)
    assert_problem(await merge(two, from_customer_id=alice), 400, "invalid_input")
    assert_problem(await merge(two, from_external_customer_id="nobody"), 404, "not_found")
    assert_problem(await merge(two, from_customer_id=old, from_external_customer_id="old"), 400, "invalid_input")
    boss = await two.customer("boss")
    member = await two.member("ben", boss)
    assert_problem(await merge(two, from_customer_id=boss), 409, "conflict")
    assert_problem(await merge(two, from_customer_id=member), 409, "conflict")
    assert (await two.ask("GET", OLD)).json["status"] == "active"


async def test_whoever_dies_on_the_way_a_repetition_finishes_it(
    two: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, old = await ids(two)
    await settled(two)
    await two.ask("POST", f"{OLD}/keys", {"name": "laptop"})
    ours, theirs = await two.customers.get(alice), await two.customers.get(old)
    merging: Any = two.parts.merging
    dead = 0
    for step in ("merge", "move_keys", "revoke_key", "hand_over", "_write"):
        work = getattr(two.customers.__class__, step)
        count = 0

        async def dying(self: object, *asked: object, work: Any = work) -> object:
            nonlocal count
            count += 1
            if count == 1:
                raise StoreTimeout("The process dies.")
            return await work(self, *asked)

        with monkeypatch.context() as patched:
            patched.setattr(two.customers.__class__, step, dying)
            try:
                await merging.merge(theirs, ours, {})
            except StoreTimeout:
                dead += 1
        theirs = await two.customers.get(old)
    done = await merge(two, "m9", from_customer_id=old)
    assert (done.status, dead) == (200, 5)
    assert await all_of(two, ALICE) == {"credits": 137, "tokens": 900}
    assert (await two.ask("GET", OLD)).json["customer_id"] == alice
    assert len((await two.ask("GET", f"{ALICE}/keys")).json["data"]) == 1


async def owed(control: Control, path: str) -> int:
    balances = (await control.ask("GET", f"{path}/credits")).json["balances"]
    return sum(each["owed"] for each in balances)


async def test_what_one_owes_the_other_pays(two: Control) -> None:
    _, old = await ids(two)
    await settled(two)
    body = {"delta": -180, "reason": "x", "allow_negative": True}
    await two.ask("POST", f"{OLD}/credits/adjust", body, Idempotency_Key="a1")
    assert await owed(two, OLD) == 150
    assert (await merge(two)).status == 200
    # 100 were there; the rest is the other's debt now, which what was to come later repays when it comes.
    assert (await owed(two, ALICE), await owed(two, f"/v1/customers/{old}")) == (50, 0)
    assert await all_of(two, ALICE) == {"credits": 7, "tokens": 900}
    assert_problem(
        await two.ask("POST", f"/v1/customers/{old}/credits/adjust", body, Idempotency_Key="a2"), 409, "conflict"
    )


async def test_what_comes_to_one_later_is_the_others_too(two: Control) -> None:
    _, old = await ids(two)
    await settled(two)
    paid = {"external_customer_id": "old", "credits": 60, "external_payment_id": "pay_1"}
    topup_id = (await two.ask("POST", "/v1/topup/grant", paid, Idempotency_Key="t1")).json["topup_id"]
    entry_id = await two.charged_entry(old, 30, external_id="old")
    await merge(two)
    assert await all_of(two, ALICE) == {"credits": 167, "tokens": 900}
    back = {"entry_id": entry_id, "reason": "bad"}
    path = f"/v1/customers/{old}"
    assert (await two.ask("POST", f"{path}/credits/refund", back, Idempotency_Key="r1")).status == 201
    assert await all_of(two, ALICE) == {"credits": 197, "tokens": 900}
    # The money went back: what was bought is taken from who it is now.
    taken = await two.ask("POST", f"/v1/topup/{topup_id}/refund", {}, Idempotency_Key="r2")
    assert (taken.status, taken.json["owed"]) == (200, 60)
    assert await all_of(two, ALICE) == {"credits": 137, "tokens": 900}
    assert await owed(two, path) == await owed(two, ALICE) == 0
    usage = {"customer_id": old, "credits": 1, "event_id": "e1"}
    assert_problem(await two.ask("POST", "/v1/usage", usage, Idempotency_Key="u1"), 409, "conflict")


async def test_two_merges_at_once_are_one(two: Control) -> None:
    await settled(two)
    _, old = await ids(two)
    answers = await asyncio.gather(*(merge(two, f"m{number}", from_customer_id=old) for number in range(4)))
    assert {answer.status for answer in answers} == {200}
    assert await all_of(two, ALICE) == {"credits": 137, "tokens": 900}


async def test_two_who_would_each_be_the_other_are_one(two: Control) -> None:
    alice, old = await ids(two)
    await settled(two)
    answers = await asyncio.gather(
        merge(two, "m1", from_customer_id=old), merge(two, "m2", f"/v1/customers/{old}", from_customer_id=alice)
    )
    assert sorted(answer.status for answer in answers) == [200, 409]
    assert await all_of(two, ALICE) == {"credits": 137, "tokens": 900}
    assert sorted([(await two.ask("GET", f"/v1/customers/{each}")).json["status"] for each in (alice, old)]) == [
        "active",
        "merged",
    ]
