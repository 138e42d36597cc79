import pytest

from tests.support.control import Control, assert_problem


async def hold(control: Control, external_id: str, count: int) -> str:
    customer_id = await control.customer(external_id)
    await control.grant(f"/v1/customers/{customer_id}", 100_000_000, "k1")
    for number in range(count):
        await control.hold(customer_id, f"r{number}", 250_000, external_id=external_id)
    return customer_id


async def test_an_open_hold_is_listed_until_it_ends(control: Control) -> None:
    customer_id = await control.customer()
    await control.grant(f"/v1/customers/{customer_id}", 1_000_000, "k1")
    record = await control.hold(customer_id, "r0", 250_000)
    listed = await control.ask("GET", "/v1/reservations")
    assert listed.status == 200
    (shown,) = listed.json["data"]
    assert shown.pop("created_at") < shown.pop("expires_at")
    assert shown == {
        "reservation_id": "r0",
        "customer_id": customer_id,
        "payer_customer_id": customer_id,
        "unit": "credits",
        "held": 250_000,
        "charged": 0,
        "feature": "writing",
        "rule": "chat",
        "rules_version": "",
        "display": {"held": "0.25"},
    }
    await control.ledger.release(record, "test")
    assert (await control.ask("GET", "/v1/reservations")).json["data"] == []


async def test_the_holds_of_one_customer(control: Control) -> None:
    alice, bob = await hold(control, "alice", 2), await hold(control, "bob", 3)
    everybody = (await control.ask("GET", "/v1/reservations")).json["data"]
    assert sorted(each["customer_id"] for each in everybody) == sorted([alice] * 2 + [bob] * 3)
    bobs = (await control.ask("GET", f"/v1/reservations?customer_id={bob}")).json["data"]
    assert {each["customer_id"] for each in bobs} == {bob}
    assert len(bobs) == 3


async def test_holds_come_in_pages(control: Control) -> None:
    for external_id in ("alice", "bob"):
        await hold(control, external_id, 3)
    seen: set[tuple[str, str]] = set()
    target, pages = "/v1/reservations?limit=4", 0
    while target:
        page = (await control.ask("GET", target)).json
        seen |= {(each["customer_id"], each["reservation_id"]) for each in page["data"]}
        pages += 1
        more = page["pagination"]["has_more"]
        target = f"/v1/reservations?limit=4&cursor={page['pagination']['next_cursor']}" if more else ""
    assert (len(seen), pages) == (6, 2)


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("customer_id=cus_01arz3ndektsv4rrffq69g5fav", 404, "not_found"),
        ("customer_id=alice", 400, "invalid_input"),
        ("customer_id=", 400, "invalid_input"),
        ("cursor=nonsense", 400, "invalid_input"),
        ("cursor=", 400, "invalid_input"),
        ("limit=251", 400, "invalid_input"),
        ("customer=x", 400, "invalid_input"),
    ],
)
async def test_a_question_that_cannot_be_answered(control: Control, query: str, status: int, code: str) -> None:
    answer = await control.ask("GET", f"/v1/reservations?{query}")
    assert (answer.status, answer.json["code"]) == (status, code)


@pytest.mark.parametrize("family", ["/v1/customers/{id}", "/v1/customer-by-external-id/alice"])
async def test_one_hold_is_shown_with_its_blocks(control: Control, family: str) -> None:
    customer_id = await control.customer()
    path = family.format(id=customer_id)
    first = (await control.grant(path, 100, "k1")).json["block_id"]
    second = (await control.grant(path, 100, "k2", priority=1)).json["block_id"]
    await control.hold(customer_id, "r1", 130)
    shown = await control.ask("GET", f"{path}/reservations/r1")
    assert shown.status == 200
    assert (shown.json["held"], shown.json["display"]) == (130, {"held": "0.00013"})
    assert [(each["block_id"], each["amount"]) for each in shown.json["slices"]] == [(first, 100), (second, 30)]


async def test_a_hold_in_several_units_is_one_reservation(control: Control) -> None:
    customer_id = await control.customer()
    path = f"/v1/customers/{customer_id}"
    await control.grant(path, 5, "k1")
    await control.grant(path, 7, "k2", unit="tokens")
    record = control.ledger.hold(customer_id, "r1", (("credits", 2), ("tokens", 3)), 60_000, "", "r")
    await control.ledger.reserve(record, "external:alice")
    shown = (await control.ask("GET", f"{path}/reservations/r1")).json
    assert (shown["unit"], shown["held"]) == ("credits", 2)
    assert shown["others"] == [{"unit": "tokens", "held": 3, "display": {"held": "3"}}]
    assert [(each["unit"], each["amount"]) for each in shown["slices"]] == [("credits", 2), ("tokens", 3)]


@pytest.mark.parametrize("reservation_id", ["r0", "nonesuch", "%00", "a b", "x" * 500])
async def test_a_reservation_of_somebody_else_or_of_nobody_is_not_found(
    control: Control, reservation_id: str
) -> None:
    await hold(control, "alice", 1)
    bob = await control.customer("bob")
    answer = await control.ask("GET", f"/v1/customers/{bob}/reservations/{reservation_id.replace(' ', '%20')}")
    assert_problem(answer, 404, "not_found")


async def test_a_hold_that_has_ended_is_not_found(control: Control) -> None:
    customer_id = await control.customer()
    await control.grant(f"/v1/customers/{customer_id}", 100, "k1")
    record = await control.hold(customer_id, "r1", 10)
    await control.ledger.commit(record, 10, "", "reported")
    assert_problem(await control.ask("GET", f"/v1/customers/{customer_id}/reservations/r1"), 404, "not_found")


async def test_a_pool_lists_what_its_members_hold(control: Control) -> None:
    boss = await control.customer("boss")
    await control.grant(f"/v1/customers/{boss}", 100, "k1")
    alice = await control.member("alice", boss)
    await control.hold(alice, "r1", 10)
    for customer_id in (boss, alice):
        (found,) = (await control.ask("GET", f"/v1/reservations?customer_id={customer_id}")).json["data"]
        assert (found["customer_id"], found["payer_customer_id"]) == (alice, boss)
        assert (await control.ask("GET", f"/v1/customers/{customer_id}/reservations/r1")).status == 200
