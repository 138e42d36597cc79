import csv
import io

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.cli.conftest import OURS, Command, make_app
from tests.support.control import Control


async def busy(control: Control) -> str:
    """alice had 10 credits, was charged 0.25, 0.5 and 10 of them, and owes the last 0.75."""
    customer_id = await control.customer()
    path = f"/v1/customers/{customer_id}"
    await control.grant(path, 10_000_000, "k1", source="topup", reason="Order 17", expires_at="2100-01-01T00:00:00Z")
    for number, charge in enumerate((250_000, 500_000, 10_000_000)):
        record = await control.hold(customer_id, f"r{number}", 1_000_000)
        usage, source = ("model=small input_tokens=5", "reported") if number < 2 else ("", "estimated")
        await control.ledger.commit(record, charge, usage, source)
    return customer_id


async def test_a_table_of_what_happened(sidecar: Command, control: Control) -> None:
    await busy(control)
    ran = await sidecar("ledger", "alice")
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[0].split() == ["time", "type", "unit", "amount", "balance", "what", "for"]
    assert [line.split()[2:] for line in lines[1:-1]] == [
        ["commit", "credits", "-10", "-0.75", "chat", "estimated", "r2"],
        ["commit", "credits", "-0.5", "9.25", "chat", "small", "r1"],
        ["commit", "credits", "-0.25", "9.75", "chat", "small", "r0"],
    ]
    grant = lines[-1].split()
    assert grant[2:-1] == ["grant", "credits", "10", "10", "topup", "Order", "17", "until", "2100-01-01", "00:00:00Z"]
    assert grant[-1].startswith("blk_")
    assert len({line.index(" chat") for line in lines[1:-1]}) == 1


async def test_the_table_is_filtered_and_cut(sidecar: Command, control: Control) -> None:
    await busy(control)

    async def count(*options: str) -> int:
        return len((await sidecar("ledger", "alice", "--json", *options)).json["data"])

    assert await count() == 4
    assert await count("--limit", "2") == 2
    assert await count("--type", "grant,void") == 1
    assert await count("--reservation", "r1", "--feature", "writing", "--rule", "chat") == 1
    assert await count("--unit", "tokens") == 0
    assert await count("--from", "1h") == 4
    assert await count("--to", "2020-01-01") == 0
    ran = await sidecar("ledger", "alice", "--type", "void")
    assert (ran.code, ran.out) == (0, "Nothing like that happened to alice.\n")


async def test_more_than_one_page(sidecar: Command, control: Control) -> None:
    customer_id = await control.customer()
    await control.grant(f"/v1/customers/{customer_id}", 10_000_000, "k1")
    for number in range(505):
        record = await control.hold(customer_id, f"r{number}", 1)
        await control.ledger.release(record, "test")
    entries = (await sidecar("ledger", "alice", "--limit", "503", "--json")).json["data"]
    assert len({each["entry_id"] for each in entries}) == 503
    assert entries[0]["reservation_id"] == "r504"


async def test_a_unit_that_is_gone_has_no_decimals(sidecar: Command, control: Control) -> None:
    await control.grant_unit(await control.customer(), "old", 5)
    assert (await sidecar("ledger", "alice")).out.splitlines()[1].split()[2:6] == ["grant", "old", "5", "5"]


async def test_a_file_for_spreadsheets(sidecar: Command, control: Control) -> None:
    await busy(control)
    ran = await sidecar("ledger", "alice", "--csv", "--type", "commit")
    rows = list(csv.DictReader(io.StringIO(ran.out, newline="")))
    assert [row["charged"] for row in rows] == ["250000", "500000", "10000000"]


@pytest.mark.parametrize(
    "arguments",
    [["alice", "--limit", "0"], ["alice", "--limit", "all"], ["alice", "--from", "soon"], [], [""]],
)
async def test_wrong_usage(sidecar: Command, arguments: list[str]) -> None:
    assert (await sidecar("ledger", *arguments)).code == 2


@pytest.mark.parametrize("options", [["--csv"], ["--json"], []])
async def test_what_cannot_be_asked_is_one_sentence(sidecar: Command, control: Control, options: list[str]) -> None:
    ran = await sidecar("ledger", "nobody", *options)
    assert (ran.code, ran.out) == (1, "")
    assert "no customer" in ran.err
    await control.customer()
    ran = await sidecar("ledger", "alice", "--type", "gift", *options)
    assert (ran.code, ran.out) == (1, "")
    assert "late_commit" in ran.err


async def test_a_file_that_breaks_off_is_a_failure(sidecar: Command) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=OURS)
        await response.prepare(request)
        await response.write(b"entry_id\r\n")
        assert request.transport is not None
        request.transport.abort()
        return response

    async with TestServer(make_app(answer)) as server:
        ran = await sidecar("ledger", "alice", "--csv", "--control-url", f"http://127.0.0.1:{server.port}")
    assert ran.code == 1
    assert "not all of it" in ran.err


async def test_usage_is_added_up_in_a_table(sidecar: Command, control: Control) -> None:
    customer_id = await busy(control)
    ran = await sidecar("usage", "--by", "rule,model")
    assert [line.split() for line in ran.out.splitlines()] == [
        ["rule", "model", "unit", "requests", "charged", "estimated", "uncollected", "meters"],
        ["chat", "credits", "1", "10", "10", "0"],
        ["chat", "small", "credits", "2", "0.75", "0", "0", "input_tokens=10"],
    ]
    by_day = (await sidecar("usage", "alice", "--by", "day")).out.splitlines()
    assert len(by_day[1].split()[0]) == len("2027-01-31")
    own = (await sidecar("usage", customer_id, "--unit", "credits", "--json")).json["data"]
    assert [(row["group"], row["charged"]) for row in own] == [({"feature": "writing"}, 10_750_000)]
    assert (await sidecar("usage", "--to", "2020-01-01")).out == "Nothing was charged.\n"


async def test_usage_by_what_there_is_not(sidecar: Command) -> None:
    ran = await sidecar("usage", "--by", "colour")
    assert ran.code == 1
    assert "group_by must be some of feature, rule" in ran.err
