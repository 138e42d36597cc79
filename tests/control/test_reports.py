"""What was used, what was most, how much there is, what was refused."""

from collections import Counter

import pytest

from sidecar.domain.denials import Denial
from sidecar.store.denials import DenialCounts
from tests.support.control import OWNER, Control, assert_problem

HOUR_MS = 3_600_000


async def charge(control: Control, external_id: str, amount: int) -> str:
    """A customer that was charged, the id."""
    customer_id = await control.customer(external_id)
    await control.grant(f"/v1/customers/{customer_id}", 1_000, f"g-{external_id}")
    record = await control.hold(customer_id, f"r-{external_id}", 500, external_id=external_id)
    await control.ledger.commit(record, amount, "input_tokens=3", "reported")
    return customer_id


async def test_a_customer_sees_what_it_used(control: Control) -> None:
    await charge(control, "alice", 30)
    await charge(control, "bob", 50)
    (row,) = (await control.ask("GET", "/v1/customer-by-external-id/alice/usage")).json["data"]
    assert (row["group"], row["charged"], row["held"], row["above_hold"]) == ({"feature": "writing"}, 30, 500, 0)
    by_day = (await control.ask("GET", "/v1/customer-by-external-id/alice/usage?group_by=rule,day")).json["data"]
    assert [each["group"]["rule"] for each in by_day] == ["chat"]
    assert_problem(
        await control.ask("GET", "/v1/customer-by-external-id/alice/usage?group_by=x"), 400, "invalid_input"
    )


async def test_who_was_charged_most_comes_first(control: Control) -> None:
    alice, bob = await charge(control, "alice", 30), await charge(control, "bob", 50)
    rows = (await control.ask("GET", "/v1/usage/top")).json["data"]
    assert [(row["group"]["customer"], row["charged"]) for row in rows] == [(bob, 50), (alice, 30)]
    assert len((await control.ask("GET", "/v1/usage/top?by=rule&limit=1")).json["data"]) == 1
    assert (await control.ask("GET", "/v1/usage/top?unit=tokens")).json == {"data": []}
    for query in ("by=x", "limit=101", "by=rule,day"):
        assert_problem(await control.ask("GET", f"/v1/usage/top?{query}"), 400, "invalid_input")


async def test_stats_add_everything_up(control: Control) -> None:
    await charge(control, "alice", 30)
    await control.ask("PATCH", f"/v1/customers/{await control.customer('bob')}", {"status": "suspended"})
    stats = (await control.ask("GET", "/v1/stats")).json
    assert (stats["customers"], stats["entries"]) == ({"active": 1, "suspended": 1}, 2)
    (found,) = stats["units"]
    assert (found["unit"], found["accounts"], found["totals"]["spent"]) == ("credits", 1, 30)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [({"code": "insufficient_credits"}, 5), ({"code": "unidentified"}, 1)]),
        (
            "group_by=rule,customer",
            [
                ({"rule": "chat", "customer": "cus_a"}, 3),
                ({"rule": "chat", "customer": "cus_b"}, 2),
                ({"rule": "", "customer": ""}, 1),
            ],
        ),
        ("customer_id=cus_b", [({"code": "insufficient_credits"}, 2)]),
        ("customer_id=cus_c", []),
        ("to=1990-01-01T00:00:00Z", []),
    ],
)
async def test_refusals_are_counted(control: Control, query: str, found: list[tuple[dict[str, str], int]]) -> None:
    counts, hour = DenialCounts(control.lane, **OWNER), control.parts.now_ms() // HOUR_MS
    empty = [Denial("insufficient_credits", "chat", customer) for customer in ("cus_a", "cus_b")]
    await counts.add(hour, Counter({empty[0]: 2, empty[1]: 2, Denial("unidentified", "", ""): 1}))
    await counts.add(hour - 1, Counter({empty[0]: 1}))
    rows = (await control.ask("GET", f"/v1/usage/denied?{query}")).json["data"]
    assert [(row["group"], row["count"]) for row in rows] == found


async def test_refusals_are_told_apart_by_hour(control: Control) -> None:
    counts, hour = DenialCounts(control.lane, **OWNER), control.parts.now_ms() // HOUR_MS
    for back in (0, 1):
        await counts.add(hour - back, Counter({Denial("rate_limited", "chat", "cus_a"): 1 + back}))
    rows = (await control.ask("GET", "/v1/usage/denied?group_by=hour")).json["data"]
    assert [row["count"] for row in rows] == [2, 1]
    assert rows[0]["group"]["hour"] < rows[1]["group"]["hour"]
    assert all(row["group"]["hour"].endswith(":00:00Z") for row in rows)
    for wrong in ("group_by=colour", "group_by=code,code", "from=yesterday"):
        assert_problem(await control.ask("GET", f"/v1/usage/denied?{wrong}"), 400, "invalid_input")
