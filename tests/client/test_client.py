"""The typed client on the real API."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from sidecar.client import ApiError, NotTheApi, SidecarClient
from sidecar.control.credit_schema import CreditsQuery, GrantCredits
from sidecar.control.customer_schema import CreateCustomer, CustomersQuery, RenameCustomer, UpdateCustomer
from sidecar.control.history_schema import ExportQuery, LedgerQuery
from tests.client.conftest import answering
from tests.support.control import ADMIN_KEY, Control

NAME = "team a/ä?#%2F+"


async def test_records_go_in_and_come_out(client: SidecarClient) -> None:
    made = await client.create_customer(CreateCustomer(external_id=NAME, metadata={"tier": "gold"}))
    assert (made.external_id, made.metadata, made.version) == (NAME, {"tier": "gold"}, 1)
    for name in (NAME, made.customer_id):
        assert await client.show_customer(name) == made
    granted = await client.grant_credits(NAME, GrantCredits(credits=5_000_000, source="topup"))
    assert granted.balance.available == 5_000_000
    credit = await client.show_credits(NAME, CreditsQuery(include_blocks=True))
    assert [block.block_id for block in credit.balances[0].blocks or ()] == [granted.block_id]
    assert [unit.unit for unit in (await client.list_units()).data] == ["credits", "tokens"]


async def test_what_happened_before_is_not_done_again(client: SidecarClient) -> None:
    await client.create_customer(CreateCustomer(external_id="alice"))
    grants = (client.grant_credits("alice", GrantCredits(credits=7), idempotency_key="topup:pay_1") for _ in range(8))
    assert len({granted.block_id for granted in await asyncio.gather(*grants)}) == 1
    assert (await client.show_credits("alice")).balances[0].available == 7


async def test_a_version_is_asked_for(client: SidecarClient) -> None:
    await client.create_customer(CreateCustomer(external_id="alice"))
    changed = await client.update_customer("alice", UpdateCustomer(display_name="A"), if_match=1)
    assert changed.version == 2
    with pytest.raises(ApiError, match="has version 2 now, not 1") as refused:
        await client.update_customer("alice", UpdateCustomer(display_name="B"), if_match=1)
    assert (refused.value.status, refused.value.problem_code) == (412, "version_conflict")
    renamed = await client.rename_customer("alice", RenameCustomer(external_id="bob"))
    assert renamed.external_id == "bob"


async def test_a_list_is_read_to_its_end(client: SidecarClient) -> None:
    for number in range(5):
        await client.create_customer(CreateCustomer(external_id=f"c{number}"))
    found = [each.external_id async for each in client.every(client.list_customers, CustomersQuery(limit=2))]
    assert found == ["c4", "c3", "c2", "c1", "c0"]


async def test_a_server_of_a_later_version_is_understood(client: SidecarClient, control: Control) -> None:
    """It has fields that are not known here, in all that it answers."""
    await client.create_customer(CreateCustomer(external_id="alice"))
    await client.grant_credits("alice", GrantCredits(credits=7))

    async def later(request: web.Request) -> web.Response:
        answer = await control.ask("GET", request.raw_path)
        text = re.sub(r"{(?!})", '{"novelty": [1], ', answer.raw.decode())
        return web.json_response(text=text, headers={"x-request-id": "req_1"})

    async with answering(later) as url, SidecarClient(url, ADMIN_KEY) as other:
        query = CreditsQuery(include_blocks=True)
        assert await other.show_credits("alice", query) == await client.show_credits("alice", query)
        assert (await other.list_events()).data[-1].type == "customer.created"


async def test_a_server_of_an_earlier_version_is_asked_what_was_said_and_no_more() -> None:
    async def earlier(request: web.Request) -> web.Response:
        assert (await request.json(), request.query_string) == ({"external_id": "alice"}, "")
        return web.json_response({"code": "said"}, status=409, headers={"x-request-id": "req_1"})

    async with answering(earlier) as url, SidecarClient(url, ADMIN_KEY) as other:
        with pytest.raises(ApiError):
            await other.create_customer(CreateCustomer(external_id="alice"))


async def test_a_file_comes_in_pieces(client: SidecarClient) -> None:
    made = await client.create_customer(CreateCustomer(external_id="alice"))
    await client.grant_credits("alice", GrantCredits(credits=7))
    file = b"".join([piece async for piece in client.export_ledger(ExportQuery(format="csv"))])
    assert made.customer_id.encode() in file
    page = await client.show_ledger("alice", LedgerQuery(type="grant", limit=1))
    assert [entry.delta for entry in page.data] == [7]


async def test_a_refusal_says_what_and_where(client: SidecarClient) -> None:
    with pytest.raises(ApiError) as missing:
        await client.show_customer("nobody")
    assert (missing.value.status, missing.value.problem_code) == (404, "not_found")
    with pytest.raises(ApiError) as wrong:
        await client.create_customer(CreateCustomer(external_id=" a"))
    assert wrong.value.problem["errors"][0]["path"] == "$.external_id"
    with pytest.raises(ApiError):
        [piece async for piece in client.export_customer_ledger("nobody")]


async def test_the_key_is_never_shown(client: SidecarClient) -> None:
    assert ADMIN_KEY not in repr(client) + repr(client.transport)
    async with SidecarClient(client.transport.url, "ck_live_wrong") as stranger:
        with pytest.raises(ApiError) as refused:
            await stranger.list_units()
    assert refused.value.status == 401
    assert "ck_live_wrong" not in repr(refused.value) + str(refused.value.problem)


async def test_an_answer_that_this_version_does_not_know() -> None:
    async def odd(_: web.Request) -> web.Response:
        return web.json_response({"data": 7}, headers={"x-request-id": "req_1"})

    async with answering(odd) as url, SidecarClient(url, "k") as client:
        with pytest.raises(NotTheApi, match="does not know"):
            await client.list_units()


async def test_the_example_of_the_docs_works(control: Control) -> None:
    page = Path(__file__).parents[2].joinpath("docs", "api.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(example, names)
    assert await names["welcome"](control.url, ADMIN_KEY) == 5_000_000
