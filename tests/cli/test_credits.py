import re

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from sidecar.domain.problems import kind_of, problem
from tests.cli.conftest import OURS, Command, make_app
from tests.control.test_counters import count
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
    assert (granted.json["granted"], granted.json["withheld"], granted.json["duplicate"]) == (1_500_000, 0, False)
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


async def test_a_grant_that_was_given_for_this_payment_is_not_given_twice(sidecar: Command) -> None:
    await sidecar("grant", "alice", "5", "--payment-id", "pay_1")
    again = await sidecar("grant", "alice", "5", "--payment-id", "pay_1")
    assert again.out.startswith("Granted before with this key, so nothing changed: 5 credits to alice; 5 available")


async def test_what_the_cap_withholds_is_said(sidecar: Command) -> None:
    terms = ("--series", "plan", "--cap", "25")
    await sidecar("grant", "alice", "18", *terms)
    cut = await sidecar("grant", "alice", "10", *terms)
    assert cut.out == "Granted: 7 credits to alice, 3 withheld by the cap; 25 available, 0 held.\n"


async def test_the_blocks_are_shown_in_the_order_they_burn(sidecar: Command) -> None:
    await sidecar("grant", "alice", "3")
    await sidecar("grant", "alice", "2", "--priority", "-1", "--expires", "2100-01-01", "--source", "promotional")
    await sidecar("grant", "alice", "7", "--starts", "2099-01-01")
    lines = (await sidecar("balance", "alice", "--blocks")).out.splitlines()
    assert lines[0].split() == ["unit", "available", "held", "scheduled", "spent", "owed", "granted"]
    assert lines[1].split() == ["credits", "5", "0", "7", "0", "0", "12"]
    assert lines[3].split() == [
        *("burns", "block", "unit", "state", "left", "held", "granted", "priority", "source", "starts", "expires"),
    ]
    rows = [line.split() for line in lines[4:]]
    assert [row[0] for row in rows[:2]] == ["1", "2"]
    assert [row[3:9] for row in rows[:2]] == [
        ["active", "2", "0", "2", "-1", "promotional"],
        ["active", "3", "0", "3", "0", "manual"],
    ]
    assert [row[-1] for row in rows] == ["00:00:00Z", "never", "never"]
    assert rows[2][1:4] == ["credits", "scheduled", "7"]


async def test_a_balance_of_the_past(sidecar: Command) -> None:
    await sidecar("grant", "alice", "5")
    assert (await sidecar("balance", "alice", "--at", "2020-01-01")).out == "alice had no credit then.\n"
    ran = await sidecar("balance", "alice", "--at", "2199-01-01")
    assert (ran.code, ran.out) == (1, "")
    assert "future" in ran.err
    assert (await sidecar("balance", "alice", "--at", "soon")).code == 2


async def test_a_member_of_a_pool_is_shown_its_share(sidecar: Command, control: Control) -> None:
    await sidecar("grant", "boss", "100")
    await sidecar("customers", "create", "alice", "--parent", "boss")
    member_id = (await sidecar("customers", "show", "alice", "--json")).json["customer_id"]
    await control.hold(member_id, "r1", 4_000_000)
    await sidecar("customers", "cap", "alice", "20")
    lines = (await sidecar("balance", "alice")).out.splitlines()
    assert lines[1].split() == ["credits", "96", "4", "0", "0", "100"]
    assert "pool" in lines[3]
    assert [line.split() for line in lines[5:]] == [["unit", "held", "spent", "cap"], ["credits", "4", "0", "20"]]
    ran = await sidecar("grant", "alice", "5")
    assert ran.code == 1
    assert "member of a pool" in ran.err


async def test_counters_stand_below_the_balance(sidecar: Command, control: Control) -> None:
    alice = await control.customer("alice")
    assert (await sidecar("balance", "alice", "--counters")).out.startswith("alice has no credit yet.")
    await control.grant(f"/v1/customers/{alice}", 100, "k1")
    await count(control, alice, "alice", "r1", end=True)
    shown = await sidecar("balance", "alice", "--counters")
    assert [line.split() for line in shown.out.splitlines()[3:]] == [
        ["counter", "period", "position", "held"],
        ["api_calls", "ever", "1", "0"],
        ["ocr/pages", "2126-11", "12", "0"],
    ]
    document = (await sidecar("balance", "alice", "--counters", "--json")).json
    assert [each["position"] for each in document["counters"]] == [1, 12]
    assert "counters" not in (await sidecar("balance", "alice", "--json")).json
