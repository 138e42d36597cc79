import pytest

from tests.support.control import Control


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
