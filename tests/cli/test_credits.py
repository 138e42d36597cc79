import re

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from sidecar.domain.problems import kind_of, problem
from tests.cli.conftest import OURS, Command, make_app
from tests.support.control import Control


async def test_a_grant_makes_the_customer_and_gives_credit(sidecar: Command) -> None:
    first = await sidecar("grant", "alice", "100")
    assert first.code == 0
    assert first.out == "Made customer alice.\nGranted: 100 credits to alice; 100 available, 0 held.\n"
    second = await sidecar("grant", "alice", "0.25", "--reason", "Sorry", "--source", "promotional")
    assert second.out == "Granted: 0.25 credits to alice; 100.25 available, 0 held.\n"
    balance = await sidecar("balance", "alice")
    assert [line.split() for line in balance.out.splitlines()] == [
        ["unit", "available", "held", "spent", "owed", "granted"],
        ["credits", "100.25", "0", "0", "0", "100.25"],
    ]


async def test_scripts_get_the_documents(sidecar: Command) -> None:
    granted = await sidecar("grant", "alice", "1.5", "--reason", "x", "--json")
    assert (granted.json["credits"], granted.json["reason"], granted.json["source"]) == (1_500_000, "x", "manual")
    balance = await sidecar("balance", "alice", "--json")
    assert balance.json["balances"] == [granted.json["balance"]]


async def test_a_grant_with_the_same_key_is_one(sidecar: Command) -> None:
    for _ in range(2):
        ran = await sidecar("grant", "alice", "5", "--idempotency-key", "pay-1")
    assert ran.out == "Granted before with this key, so nothing changed: 5 credits to alice; 5 available, 0 held.\n"
    other = await sidecar("grant", "alice", "6", "--idempotency-key", "pay-1")
    assert other.code == 1
    assert "idempotency key" in other.err


async def test_without_a_key_each_grant_is_new(sidecar: Command) -> None:
    await sidecar("grant", "alice", "5")
    assert "10 available" in (await sidecar("grant", "alice", "5")).out


async def test_a_customer_is_also_named_by_our_id(sidecar: Command, control: Control) -> None:
    customer_id = await control.customer("alice")
    assert "5 available" in (await sidecar("grant", customer_id, "5")).out
    assert "5" in (await sidecar("balance", customer_id)).out
    assert (await sidecar("grant", "cus_01arz3ndektsv4rrffq69g5fav", "5")).code == 1


async def test_a_unit_has_its_own_scale(sidecar: Command) -> None:
    assert "7 tokens to alice; 7 available" in (await sidecar("grant", "alice", "7", "--unit", "tokens")).out
    ran = await sidecar("grant", "alice", "0.5", "--unit", "tokens")
    assert ran.code == 1
    assert "decimal places" in ran.err
    ran = await sidecar("grant", "alice", "1", "--unit", "euros")
    assert (ran.code, ran.err) == (1, "sidecar: There is no unit 'euros'; there are: credits, tokens.\n")


@pytest.mark.parametrize("amount", ["0.0000001", "9007199254.740992"])
async def test_an_amount_that_is_not_one_makes_no_customer(sidecar: Command, amount: str) -> None:
    assert (await sidecar("grant", "alice", amount)).code == 1
    assert (await sidecar("customers", "show", "alice")).code == 1


@pytest.mark.parametrize(
    "arguments",
    [
        *(["alice", amount] for amount in ("-5", "0", "0.0", "1e3", "ten", "", "1,5", "NaN", "+1", "1.")),
        ["alice"],
        ["", "5"],
        ["alice", "5", "--idempotency-key", "a b"],
        ["alice", "5", "--idempotency-key", ""],
    ],
)
async def test_wrong_usage(sidecar: Command, arguments: list[str]) -> None:
    ran = await sidecar("grant", *arguments)
    assert ran.code == 2
    assert "sidecar grant: error: " in ran.err


async def test_no_credit_yet(sidecar: Command, control: Control) -> None:
    await control.customer("alice")
    assert (await sidecar("balance", "alice")).out.startswith("alice has no credit yet.")


async def test_a_grant_without_an_answer_says_how_to_repeat_it(sidecar: Command, breaking_off: str) -> None:
    ran = await sidecar("grant", "cus_01arz3ndektsv4rrffq69g5fav", "5", "--control-url", breaking_off)
    assert ran.code == 1
    assert "may have been carried out or not" in ran.err
    assert re.search(r"--idempotency-key cli-[0-9a-f]{32}`", ran.err)


@pytest.mark.parametrize(
    ("code", "unclear"), [("store_timeout", True), ("internal", True), ("store_unavailable", False)]
)
async def test_a_grant_that_may_have_been_done_says_how_to_repeat_it(
    sidecar: Command, code: str, unclear: bool
) -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.method == "POST":
            body = problem(code, "The store is slow.", "req_1")
            return web.Response(status=kind_of(code).status, body=body, headers=OURS)
        return web.json_response({"data": [{"unit": "credits", "scale": 6}]}, headers=OURS)

    async with TestServer(make_app(answer)) as server:
        url = f"http://127.0.0.1:{server.port}"
        ran = await sidecar("grant", "cus_01arz3ndektsv4rrffq69g5fav", "5", "--control-url", url)
    assert ran.code == 1
    assert ("--idempotency-key cli-" in ran.err) == unclear
