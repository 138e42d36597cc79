"""What of it a customer has used in a period, as the control API shows it."""

import pytest

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.counters import Advance, Counter
from sidecar.domain.outcomes import Settled
from sidecar.store.ledger import PaidBy
from tests.support.control import Control, assert_problem

PAGES = Counter("ocr/pages@2126-11", 4_953_139_200_000)
CALLS = Counter("api_calls@ever", MAX_AMOUNT)
BOTH = (Advance(PAGES, 12), Advance(CALLS, 1))


async def count(control: Control, customer_id: str, external_id: str, reservation_id: str, *, end: bool) -> None:
    for _ in range(2):
        record = control.ledger.hold(customer_id, reservation_id, (("credits", 0),), 60_000, "", "ocr", claims=BOTH)
        if not isinstance(await control.ledger.reserve_and_claim(record, f"external:{external_id}"), PaidBy):
            break
    if end:
        assert isinstance(await control.ledger.commit_and_count(record, 0, "", "reported", BOTH), Settled)


@pytest.mark.parametrize("family", ["/v1/customers/{id}", "/v1/customer-by-external-id/alice"])
async def test_where_counters_stand(control: Control, family: str) -> None:
    alice = await control.customer()
    path = f"{family.format(id=alice)}/counters"
    none = await control.ask("GET", path)
    assert (none.status, none.json["counters"]) == (200, [])
    await control.grant(f"/v1/customers/{alice}", 100, "k1")
    await count(control, alice, "alice", "r1", end=True)
    await count(control, alice, "alice", "r2", end=False)
    shown = (await control.ask("GET", path)).json
    assert (shown["customer_id"], shown["external_id"], shown["payer_customer_id"]) == (alice, "alice", alice)
    assert shown["counters"] == [
        {"counter": "api_calls", "period": "ever", "position": 1, "held": 1, "kept_until": None},
        {
            "counter": "ocr/pages",
            "period": "2126-11",
            "position": 12,
            "held": 12,
            "kept_until": "2126-12-17T00:00:00Z",
        },
    ]


async def test_a_member_counts_with_its_pool(control: Control) -> None:
    boss = await control.customer("boss")
    alice = await control.member("alice", boss)
    await control.grant(f"/v1/customers/{boss}", 100, "k1")
    await count(control, alice, "alice", "r1", end=True)
    shown = [(await control.ask("GET", f"/v1/customers/{each}/counters")).json for each in (alice, boss)]
    assert [each["payer_customer_id"] for each in shown] == [boss, boss]
    assert shown[0]["counters"] == shown[1]["counters"]
    assert [each["position"] for each in shown[0]["counters"]] == [1, 12]


async def test_the_ledger_says_what_was_counted(control: Control) -> None:
    alice = await control.customer()
    await control.grant(f"/v1/customers/{alice}", 100, "k1")
    await count(control, alice, "alice", "r1", end=True)
    newest = (await control.ask("GET", f"/v1/customers/{alice}/ledger")).json["data"][0]
    assert newest["counted"] == [
        {"counter": "ocr/pages", "period": "2126-11", "units": 12, "position": 12},
        {"counter": "api_calls", "period": "ever", "units": 1, "position": 1},
    ]


async def test_nobody_has_none(control: Control) -> None:
    assert_problem(await control.ask("GET", "/v1/customer-by-external-id/nobody/counters"), 404, "not_found")
