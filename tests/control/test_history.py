import csv
import io
import itertools
import json
from typing import Any

import pytest

from tests.support.control import Control, assert_problem
from tests.support.until import until_async

BOTH = pytest.mark.parametrize("family", ["/v1/customers/{id}", "/v1/customer-by-external-id/alice"])


async def busy(control: Control) -> str:
    """A customer with a grant of each unit, three requests by two rules, and one that was given back."""
    customer_id = await control.customer()
    path = f"/v1/customers/{customer_id}"
    await control.grant(path, 10_000_000, "k1", source="topup", reason="Order 17")
    await control.grant(path, 7, "k2", unit="tokens")
    for number, (rule, usage) in enumerate(
        [("chat", "model=small input_tokens=5"), ("chat", "model=large input_tokens=7"), ("image", "pixels=9")]
    ):
        record = await control.hold(customer_id, f"r{number}", 1_000_000, rule=rule)
        await control.ledger.commit(record, 250_000 * (number + 1), usage, "reported")
    given_back = await control.hold(customer_id, "r9", 1_000_000, rule="image")
    await control.ledger.release(given_back, "upstream_broken")
    return customer_id


async def ledger(control: Control, path: str, query: str = "") -> list[dict[str, Any]]:
    answer = await control.ask("GET", f"{path}/ledger{query}")
    assert answer.status == 200, answer.raw
    entries: list[dict[str, Any]] = answer.json["data"]
    return entries


@BOTH
async def test_the_ledger_tells_the_newest_first(control: Control, family: str) -> None:
    path = family.format(id=await busy(control))
    entries = await ledger(control, path)
    assert [each["type"] for each in entries] == ["release", "commit", "commit", "commit", "grant", "grant"]
    release, image, *_, grant = entries
    assert (release["delta"], release["reason"], release["reservation_id"]) == (0, "upstream_broken", "r9")
    assert (image["delta"], image["charged"], image["held"]) == (-750_000, 750_000, 1_000_000)
    assert (image["rule"], image["feature"], image["usage"]) == ("image", "writing", "pixels=9")
    assert image["display"]["delta"] == "-0.75"
    assert image["balance_after"] == 8_500_000
    assert image["moves"] == [{"what": "spent", "block_id": grant["block_id"], "amount": 750_000}]
    assert (grant["source"], grant["reason"], grant["delta"]) == ("topup", "Order 17", 10_000_000)
    assert "reservation_id" not in grant


async def test_an_entry_follows_the_one_before_it(control: Control) -> None:
    path = f"/v1/customers/{await busy(control)}"
    entries = list(reversed(await ledger(control, path, "?unit=credits")))
    assert [each["seq"] for each in entries] == [1, 2, 3, 4, 5]
    for before, after in itertools.pairwise(entries):
        assert after["prev_hash"] == before["hash"]
        assert after["balance_after"] == before["balance_after"] + after["delta"]


async def test_what_was_written_is_read_at_once(control: Control) -> None:
    customer_id = await control.customer()
    path = f"/v1/customers/{customer_id}"
    await control.grant(path, 1_000, "k1")
    for number in range(20):
        record = await control.hold(customer_id, f"r{number}", 10)
        await control.ledger.commit(record, 1, "", "reported")
        assert (await ledger(control, path, "?limit=1"))[0]["reservation_id"] == f"r{number}"


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("type=grant", 2),
        ("type=commit,release", 4),
        ("type=late_commit", 0),
        ("unit=tokens", 1),
        ("unit=credits&type=grant", 1),
        ("reservation_id=r1", 1),
        ("reservation_id=nonesuch", 0),
        ("rule=chat", 2),
        ("feature=writing", 4),
        ("feature=writing&rule=image&type=commit", 1),
        ("from=2020-01-01T00:00:00Z", 6),
        ("to=2020-01-01T00:00:00Z", 0),
        ("from=2020-01-01T00:00:00%2B02:00&to=2199-01-01T00:00:00Z", 6),
    ],
)
async def test_the_ledger_is_filtered(control: Control, query: str, count: int) -> None:
    path = f"/v1/customers/{await busy(control)}"
    assert len(await ledger(control, path, f"?{query}")) == count


async def test_the_ledger_comes_in_pages(control: Control) -> None:
    path = f"/v1/customers/{await busy(control)}"
    whole = await ledger(control, path)
    seen: list[dict[str, Any]] = []
    target, pages = f"{path}/ledger?limit=4", 0
    while target:
        page = (await control.ask("GET", target)).json
        seen += page["data"]
        pages += 1
        more = page["pagination"]["has_more"]
        target = f"{path}/ledger?limit=4&cursor={page['pagination']['next_cursor']}" if more else ""
    assert seen == whole
    assert pages == 2


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("type=gift", "$.type"),
        ("type=", "$.type"),
        ("type=grant,,void", "$.type"),
        ("from=yesterday", "$.from"),
        ("from=2020-01-01T00:00:00", "$.from"),
        ("from=1960-01-01T00:00:00Z", "$.from"),
        ("from=2021-01-01T00:00:00Z&to=2020-01-01T00:00:00Z", "$.to"),
        ("from=2020-01-01T00:00:00Z&to=2020-01-01T00:00:00Z", "$.to"),
        ("rule=%00", "$.rule"),
        ("feature=", "$.feature"),
        ("limit=0", "$.limit"),
        ("limit=501", "$.limit"),
        ("limit=many", "$.limit"),
        ("cursor=nonsense", "$.cursor"),
        ("cursor=", "$.cursor"),
        ("cursor=WzEsMiwzXQ", "$.cursor"),
        ("metric=x", "$.metric"),
        ("since=2020-01-01T00:00:00Z", "$.since"),
    ],
)
async def test_a_question_that_cannot_be_answered(control: Control, query: str, field: str) -> None:
    answer = await control.ask("GET", f"/v1/customers/{await control.customer()}/ledger?{query}")
    assert_problem(answer, 400, "invalid_input")
    assert [each["path"] for each in answer.json["errors"]] == [field]


async def test_a_block_that_lapsed_unnoticed_is_in_the_ledger(control: Control) -> None:
    path = f"/v1/customers/{await control.customer()}"
    await control.grant(path, 100, "k1", expires_in_seconds=1)

    async def lapsed() -> bool:
        return len(await ledger(control, path)) == 2

    await until_async(lapsed, "the block to lapse")
    entries = await ledger(control, path)
    assert (entries[0]["type"], entries[0]["delta"], entries[0]["balance_after"]) == ("expiry", -100, 0)
    assert entries[0]["event_time"] == entries[1]["expires_at"]


async def test_a_member_sees_what_it_was_charged_and_its_parent_sees_all(control: Control) -> None:
    boss = await control.customer("boss")
    await control.grant(f"/v1/customers/{boss}", 100, "k1")
    for external_id in ("alice", "bob"):
        member = await control.member(external_id, boss)
        record = await control.hold(member, f"for-{external_id}", 10, external_id=external_id)
        await control.ledger.commit(record, 10, "", "reported")
    alice = (await control.ask("GET", "/v1/customer-by-external-id/alice")).json["customer_id"]
    (mine,) = await ledger(control, f"/v1/customers/{alice}")
    assert (mine["reservation_id"], mine["asked_by"], mine["customer_id"]) == ("for-alice", alice, boss)
    assert len(await ledger(control, f"/v1/customers/{boss}")) == 3
    usage = await control.ask("GET", f"/v1/usage/summary?group_by=customer&customer_id={boss}")
    assert sorted(row["charged"] for row in usage.json["data"]) == [10, 10]
    own = await control.ask("GET", f"/v1/usage/summary?group_by=customer&customer_id={alice}")
    assert [row["group"] for row in own.json["data"]] == [{"customer": alice}]


@BOTH
async def test_the_ledger_is_exported_with_one_entry_in_each_line(control: Control, family: str) -> None:
    path = family.format(id=await busy(control))
    answer = await control.ask("GET", f"{path}/ledger/export")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/x-ndjson")
    assert answer.headers["x-request-id"].startswith("req_")
    assert [json.loads(line) for line in answer.raw.splitlines()] == list(reversed(await ledger(control, path)))
    some = await control.ask("GET", f"{path}/ledger/export?type=grant&unit=tokens")
    assert [json.loads(line)["delta"] for line in some.raw.splitlines()] == [7]


async def test_the_ledger_is_exported_for_spreadsheets(control: Control) -> None:
    path = f"/v1/customers/{await busy(control)}"
    answer = await control.ask("GET", f"{path}/ledger/export?format=csv")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.raw.decode(), newline="")))
    assert [row["entry_id"] for row in rows] == [each["entry_id"] for each in reversed(await ledger(control, path))]
    assert [(row["delta"], row["scale"]) for row in rows[:3]] == [("10000000", "6"), ("7", "0"), ("-250000", "6")]
    assert rows[-1]["charged"] == "0"


async def test_all_customers_are_exported_together(control: Control) -> None:
    for external_id in ("alice", "bob"):
        await control.grant(f"/v1/customers/{await control.customer(external_id)}", 5, "k1")
    answer = await control.ask("GET", "/v1/ledger/export?type=grant")
    lines = [json.loads(line) for line in answer.raw.splitlines()]
    assert len({line["customer_id"] for line in lines}) == 2
    assert (await control.ask("GET", "/v1/ledger/export?type=void")).raw == b""


@pytest.mark.parametrize("query", ["format=xml", "format=", "type=gift", "limit=5", "cursor=x"])
@pytest.mark.parametrize("path", ["/v1/ledger/export", "/v1/customers/{id}/ledger/export"])
async def test_an_export_that_cannot_be_made(control: Control, path: str, query: str) -> None:
    answer = await control.ask("GET", f"{path.format(id=await control.customer())}?{query}")
    assert_problem(answer, 400, "invalid_input")


async def test_usage_is_added_up(control: Control) -> None:
    await busy(control)
    by_rule = (await control.ask("GET", "/v1/usage/summary?group_by=rule")).json["data"]
    assert [(row["group"], row["entries"], row["charged"]) for row in by_rule] == [
        ({"rule": "chat"}, 2, 750_000),
        ({"rule": "image"}, 1, 750_000),
    ]
    assert by_rule[0]["display"]["charged"] == "0.75"
    assert by_rule[0]["meters"] == {"input_tokens": 12}
    by_model = (await control.ask("GET", "/v1/usage/summary?group_by=model,day&limit=2")).json
    assert [row["group"]["model"] for row in by_model["data"]] == ["", "large"]
    assert all(row["group"]["day"].endswith("T00:00:00Z") for row in by_model["data"])
    cursor = by_model["pagination"]["next_cursor"]
    rest = (await control.ask("GET", f"/v1/usage/summary?group_by=model,day&limit=2&cursor={cursor}")).json
    assert [row["group"]["model"] for row in rest["data"]] == ["small"]
    assert not rest["pagination"]["has_more"]


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ("", 400, "$.group_by"),
        ("group_by=", 400, "$.group_by"),
        ("group_by=colour", 400, "$.group_by"),
        ("group_by=request.", 400, "$.group_by"),
        ("group_by=cookie.a", 400, "$.group_by"),
        ("group_by=header.a%27b", 400, "$.group_by"),
        ("group_by=rule,rule", 400, "$.group_by"),
        ("group_by=rule,model,day", 400, "$.group_by"),
        ("group_by=rule&from=now", 400, "$.from"),
        ("group_by=rule&cursor=x", 400, "$.cursor"),
        ("group_by=rule&customer_id=alice", 400, "$.customer_id"),
    ],
)
async def test_a_sum_that_cannot_be_made(control: Control, query: str, status: int, field: str) -> None:
    answer = await control.ask("GET", f"/v1/usage/summary?{query}")
    assert_problem(answer, status, "invalid_input")
    assert [each["path"] for each in answer.json["errors"]] == [field]


async def test_usage_of_nobody_is_not_found(control: Control) -> None:
    target = "/v1/usage/summary?group_by=rule&customer_id=cus_01arz3ndektsv4rrffq69g5fav"
    assert_problem(await control.ask("GET", target), 404, "not_found")


@pytest.mark.parametrize(
    "target",
    [
        "/v1/customer-by-external-id/alice/ledger",
        "/v1/customer-by-external-id/alice/ledger/export",
        "/v1/customer-by-external-id/alice/credits?at=2020-01-01T00:00:00Z",
        "/v1/ledger/export?format=csv",
        "/v1/usage/summary?group_by=day",
    ],
)
async def test_without_the_archive_the_past_is_a_503(impatient: Control, target: str) -> None:
    path = f"/v1/customers/{await impatient.customer()}"
    await impatient.archiving.cancel()
    await impatient.grant(path, 5, "k1")
    assert_problem(await impatient.ask("GET", target), 503, "archive_unavailable")


async def test_usage_by_what_prices_were_chosen_by(control: Control) -> None:
    customer_id = await control.customer()
    await control.grant(f"/v1/customers/{customer_id}", 10_000_000, "k1")
    for number, usage in enumerate(['n=1 header.x-tier="gold"', 'header.x-tier="gold"', "header.x-tier=-"]):
        record = await control.hold(customer_id, f"r{number}", 1_000_000)
        await control.ledger.commit(record, 10, usage, "reported")
    found = (await control.ask("GET", "/v1/usage/summary?group_by=header.X-Tier,rule")).json["data"]
    assert [(row["group"], row["charged"]) for row in found] == [
        ({"header.x-tier": "", "rule": "chat"}, 10),
        ({"header.x-tier": "gold", "rule": "chat"}, 20),
    ]
