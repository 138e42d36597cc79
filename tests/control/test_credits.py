import asyncio
import time
from datetime import datetime

import pytest

from tests.support.control import Answer, Control, assert_problem
from tests.support.until import until, until_async

BOTH = pytest.mark.parametrize("family", ["/v1/customers/{id}", "/v1/customer-by-external-id/alice"])
MAX = 2**53 - 1


@BOTH
async def test_a_grant_can_be_spent(control: Control, family: str) -> None:
    path = family.format(id=await control.customer())
    given = await control.ask(
        "POST",
        f"{path}/credits/grant",
        {"credits": 100_500_000, "source": "promotional", "reason": "Welcome"},
        Idempotency_Key="k1",
    )
    assert given.status == 201
    assert given.json["block_id"].startswith("blk_")
    members = ("external_id", "unit", "granted", "withheld", "duplicate")
    assert [given.json[name] for name in members] == ["alice", "credits", 100_500_000, 0, False]
    none = dict.fromkeys(("scheduled", "held", "spent", "expired", "voided", "owed"), 0)
    amounts = {"available": 100_500_000, "granted": 100_500_000, **none}
    display = {"available": "100.5", "granted": "100.5", **dict.fromkeys(none, "0")}
    assert given.json["balance"] == {"unit": "credits", **amounts, "display": display}
    shown = await control.ask("GET", f"{path}/credits")
    assert shown.status == 200
    assert shown.json == {
        "customer_id": given.json["customer_id"],
        "external_id": "alice",
        "payer_customer_id": given.json["customer_id"],
        "balances": [given.json["balance"]],
    }


async def test_a_balance_tells_held_spent_and_owed_apart(control: Control) -> None:
    customer_id = await control.customer()
    await control.grant(f"/v1/customers/{customer_id}", 10_000_000, "k1")
    first = await control.hold(customer_id, "r1", 4_000_000)
    await control.hold(customer_id, "r2", 1_000_000)
    await control.ledger.commit(first, 2_500_000, "", "reported")
    balance = (await control.ask("GET", f"/v1/customers/{customer_id}/credits")).json["balances"][0]
    amounts = [balance[name] for name in ("available", "held", "spent", "owed", "granted")]
    assert amounts == [6_500_000, 1_000_000, 2_500_000, 0, 10_000_000]
    assert balance["display"]["spent"] == "2.5"


async def test_a_new_customer_has_no_balance(control: Control) -> None:
    customer_id = await control.customer()
    assert (await control.ask("GET", f"/v1/customers/{customer_id}/credits")).json["balances"] == []


async def test_each_unit_has_its_own_balance_and_scale(control: Control) -> None:
    path = f"/v1/customers/{await control.customer()}"
    await control.grant(path, 1_000_000, "k1")
    await control.ask("POST", f"{path}/credits/grant", {"credits": 7, "unit": "tokens"}, Idempotency_Key="k2")
    balances = (await control.ask("GET", f"{path}/credits")).json["balances"]
    assert [(each["unit"], each["display"]["available"]) for each in balances] == [("credits", "1"), ("tokens", "7")]


async def test_a_balance_in_a_unit_that_is_gone_has_no_decimals(control: Control) -> None:
    customer_id = await control.customer()
    await control.grant(f"/v1/customers/{customer_id}", 1, "k1")
    await control.grant_unit(customer_id, "old", 5)
    balances = (await control.ask("GET", f"/v1/customers/{customer_id}/credits")).json["balances"]
    assert balances[1]["unit"] == "old"
    assert balances[1]["available"] == 5
    assert "display" not in balances[1]


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b'{"credits": 1.0}', "$.credits"),
        (b'{"credits": 1e3}', "$.credits"),
        (b'{"credits": 1.5}', "$.credits"),
        (b'{"credits": "100"}', "$.credits"),
        (b'{"credits": true}', "$.credits"),
        (b'{"credits": null}', "$.credits"),
        (b'{"credits": 0}', "$.credits"),
        (b'{"credits": -0}', "$.credits"),
        (b'{"credits": -1}', "$.credits"),
        (b'{"credits": 9007199254740992}', "$.credits"),
        (b'{"credits": 99999999999999999999999999}', "$.credits"),
        (b'{"credits": NaN}', "$"),
        (b"{}", "$.credits"),
        (b"", "$.credits"),
        (b"[]", "$"),
        (b"{", "$"),
        (b'{"credits": 1} {}', "$"),
        (b'{"credits": 1, "credits": 2}', "$.credits"),
        (b'{"credits": 1, "\\u0063redits": 2}', "$.credits"),
        (b'{"credits": 1, "amount": 2}', "$.amount"),
        (b'{"credits": 1, "unit": "\xff"}', "$"),
        (b'{"credits": 1, "unit": "\\ud800"}', "$"),
        (b'{"credits": 1, "unit": "euros"}', "$.unit"),
        (b'{"credits": 1, "unit": ""}', "$.unit"),
        (b'{"credits": 1, "source": "A b"}', "$.source"),
        (b'{"credits": 1, "source": "a\\n"}', "$.source"),
        (b'{"credits": 1, "reason": 5}', "$.reason"),
        (b'{"credits": 1, "priority": 1.5}', "$.priority"),
        (b'{"credits": 1, "priority": 2147483648}', "$.priority"),
        (b'{"credits": 1, "expires_at": "2020-01-01T00:00:00Z"}', "$.expires_at"),
        (b'{"credits": 1, "expires_at": "1960-01-01T00:00:00Z"}', "$.expires_at"),
        (b'{"credits": 1, "expires_at": "2100-01-01T00:00:00"}', "$.expires_at"),
        (b'{"credits": 1, "expires_at": "2100-01-01"}', "$.expires_at"),
        (b'{"credits": 1, "expires_at": 4102444800}', "$.expires_at"),
        (b'{"credits": 1, "expires_in_seconds": 0}', "$.expires_in_seconds"),
        (b'{"credits": 1, "expires_in_seconds": -5}', "$.expires_in_seconds"),
        (b'{"credits": 1, "expires_in_seconds": 0.5}', "$.expires_in_seconds"),
        (b'{"credits": 1, "expires_in_seconds": 9007199254740991}', "$.expires_in_seconds"),
        (b'{"credits": 1, "starts_at": "1960-01-01T00:00:00Z"}', "$.starts_at"),
        (
            b'{"credits": 1, "starts_at": "2100-01-01T00:00:00Z", "expires_at": "2099-01-01T00:00:00Z"}',
            "$.expires_at",
        ),
        (b'{"credits": 1, "expires_at": "2100-01-01T00:00:00Z", "duration_seconds": 5}', "$.duration_seconds"),
        (b'{"credits": 1, "starts_at": "2100-01-01T00:00:00Z", "expires_in_seconds": 5}', "$.expires_in_seconds"),
        (b'{"credits": 1, "starts_after_block_id": "b", "expires_in_seconds": 5}', "$.expires_in_seconds"),
        (
            b'{"credits": 1, "starts_after_block_id": "b", "starts_at": "2100-01-01T00:00:00Z"}',
            "$.starts_after_block_id",
        ),
        (b'{"credits": 1, "starts_after_block_id": ""}', "$.starts_after_block_id"),
        (b'{"credits": 1, "price_paid": 500}', "$.currency"),
        (b'{"credits": 1, "price_paid": -1, "currency": "EUR"}', "$.price_paid"),
        (b'{"credits": 1, "price_paid": 4.99, "currency": "EUR"}', "$.price_paid"),
        (b'{"credits": 1, "price_paid": 5, "currency": "euro"}', "$.currency"),
        (b'{"credits": 1, "cap": 10}', "$.series"),
        (b'{"credits": 1, "cap": -1, "series": "s"}', "$.cap"),
        (b'{"credits": 1, "cap": 9007199254740992, "series": "s"}', "$.cap"),
        (b'{"credits": 1, "eligible_features": [""]}', "$.eligible_features[0]"),
        (b'{"credits": 1, "eligible_features": ["a\\nb"]}', "$.eligible_features[0]"),
        (b'{"credits": 1, "eligible_rules": "chat"}', "$.eligible_rules"),
        (b'{"credits": 1, "metadata": {"a": 5}}', "$.metadata[...]"),
        (b'{"credits": 1, "metadata": {"a": "\\u0000"}}', "$.metadata[...]"),
        (b'{"credits": 1, "dedup_key": ""}', "$.dedup_key"),
        (b'{"credits": 1, "dedup_key": "a\\u0000"}', "$.dedup_key"),
        (b'{"credits": 1, "external_payment_id": 17}', "$.external_payment_id"),
    ],
)
async def test_a_bad_grant_says_where_and_gives_nothing(control: Control, raw: bytes, path: str) -> None:
    customer = f"/v1/customers/{await control.customer()}"
    answer = await control.ask("POST", f"{customer}/credits/grant", raw, Idempotency_Key="k1")
    assert answer.status == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["code"] == "invalid_input"
    assert [each["path"] for each in answer.json["errors"]] == [path]
    assert (await control.ask("GET", f"{customer}/credits")).json["balances"] == []


async def test_the_unit_error_names_the_units_there_are(control: Control) -> None:
    path = f"/v1/customers/{await control.customer()}"
    answer = await control.ask("POST", f"{path}/credits/grant", {"credits": 1, "unit": "x"}, Idempotency_Key="k1")
    assert "credits, tokens" in answer.json["detail"]


async def test_a_grant_that_would_overflow_changes_nothing(control: Control) -> None:
    path = f"/v1/customers/{await control.customer()}"
    assert (await control.grant(path, MAX, "k1")).json["balance"]["available"] == MAX
    refused = await control.grant(path, 1, "k2")
    assert refused.status == 409
    assert refused.json["code"] == "amount_overflow"
    assert (await control.ask("GET", f"{path}/credits")).json["balances"][0]["available"] == MAX


async def test_a_grant_to_nobody_by_your_id_makes_a_customer(control: Control) -> None:
    path = "/v1/customer-by-external-id/a%2Fb"
    answers = await asyncio.gather(*(control.grant(path, 5, f"k{number}") for number in range(5)))
    assert {answer.status for answer in answers} == {201}
    assert {(answer.json["external_id"], answer.json["customer_id"]) for answer in answers} == {
        ("a/b", answers[0].json["customer_id"])
    }
    assert (await control.ask("GET", f"{path}/credits")).json["balances"][0]["available"] == 25
    again = await control.grant(path, 5, "k1")
    assert again.replayed
    unknown = await control.grant("/v1/customers/cus_" + "0" * 26, 5, "k9")
    assert_problem(unknown, 404, "not_found")
    nobody = await control.ask("GET", "/v1/customer-by-external-id/nobody/credits")
    assert "POST /v1/customers" in nobody.json["detail"]


@BOTH
async def test_a_grant_without_its_key_says_which_header(control: Control, family: str) -> None:
    path = family.format(id=await control.customer())
    answer = await control.ask("POST", f"{path}/credits/grant", {"credits": 5})
    assert answer.status == 400
    assert answer.json["code"] == "idempotency_key_required"
    assert "Idempotency-Key: " in answer.json["detail"]


async def test_a_grant_is_given_once_for_a_key(control: Control) -> None:
    path = f"/v1/customers/{await control.customer()}"
    first = await control.grant(path, 5_000, "k1")
    await control.grant(path, 1_000, "k2")
    again = await control.grant(path, 5_000, "k1")
    assert (first.replayed, again.replayed) == (False, True)
    assert (again.status, again.raw) == (first.status, first.raw)
    other = await control.grant(path, 6_000, "k1")
    assert (other.status, other.json["code"]) == (422, "idempotency_mismatch")
    assert (await control.ask("GET", f"{path}/credits")).json["balances"][0]["available"] == 6_000


async def test_a_grant_is_the_same_by_either_id_and_however_it_is_written(control: Control) -> None:
    customer_id = await control.customer("a/b")
    first = await control.ask(
        "POST",
        f"/v1/customers/{customer_id}/credits/grant",
        b'{"credits": 5, "unit": "credits"}',
        Idempotency_Key="k1",
    )
    again = await control.ask(
        "POST",
        "/v1/customer-by-external-id/a%2Fb/credits/grant",
        b'{ "reason":"", "credits":5 }',
        Idempotency_Key="k1",
    )
    assert again.replayed
    assert again.json == first.json


async def test_fifty_grants_at_once_with_one_key_are_one(control: Control) -> None:
    path = f"/v1/customers/{await control.customer()}"
    answers = await asyncio.gather(*(control.grant(path, 7, "k1") for _ in range(50)))
    assert {(each.status, each.raw) for each in answers} == {(201, answers[0].raw)}
    assert sum(not each.replayed for each in answers) == 1
    assert (await control.ask("GET", f"{path}/credits")).json["balances"][0]["available"] == 7


async def test_the_units_and_their_scales_are_listed(control: Control) -> None:
    units = await control.ask("GET", "/v1/units")
    assert units.status == 200
    assert units.json == {
        "data": [{"unit": "credits", "scale": 6}, {"unit": "tokens", "scale": 0}],
        "pagination": {"has_more": False, "next_cursor": None},
    }


async def test_a_balance_of_the_past(control: Control) -> None:
    customer_id = await control.customer()
    path = f"/v1/customers/{customer_id}"
    await control.grant(path, 10_000_000, "k1")
    (grant,) = (await control.ask("GET", f"{path}/ledger")).json["data"]
    granted_at = datetime.fromisoformat(grant["event_time"])
    await until(lambda: time.time() > granted_at.timestamp() + 0.002, "the next millisecond")
    record = await control.hold(customer_id, "r1", 4_000_000)
    await control.ledger.commit(record, 4_000_000, "", "reported")
    past = await control.ask("GET", f"{path}/credits?at=2020-01-01T00:00:00Z")
    assert (past.json["balances"], past.json["at"]) == ([], "2020-01-01T00:00:00Z")
    (then,) = (await control.ask("GET", f"{path}/credits?at={grant['event_time']}")).json["balances"]
    (now,) = (await control.ask("GET", f"{path}/credits")).json["balances"]
    assert (then["available"], then["spent"], then["display"]["available"]) == (10_000_000, 0, "10")
    assert (now["available"], now["spent"]) == (6_000_000, 4_000_000)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("at=2199-01-01T00:00:00Z", "$.at"),
        ("at=1960-01-01T00:00:00Z", "$.at"),
        ("at=2020-01-01T00:00:00", "$.at"),
        ("at=yesterday", "$.at"),
        ("at=2020-01-01T00:00:00Z&include_blocks=true", "$.include_blocks"),
        ("include_blocks=perhaps", "$.include_blocks"),
        ("blocks=true", "$.blocks"),
    ],
)
async def test_a_balance_that_cannot_be_told(control: Control, query: str, field: str) -> None:
    answer = await control.ask("GET", f"/v1/customers/{await control.customer()}/credits?{query}")
    assert_problem(answer, 400, "invalid_input")
    assert [each["path"] for each in answer.json["errors"]] == [field]


async def test_a_grant_tells_the_ledger_who_asked(control: Control) -> None:
    path = f"/v1/customers/{await control.customer()}"
    who = {"X_Actor_Id": "shop", "X_On_Behalf_Of": "Ada", "X_Actor_Reason": "Order 17"}
    given = await control.ask("POST", f"{path}/credits/grant", {"credits": 5}, Idempotency_Key="k1", **who)
    (entry,) = (await control.ask("GET", f"{path}/ledger")).json["data"]
    assert entry["actor"] == {
        "actor_id": "shop",
        "on_behalf_of": "Ada",
        "reason": "Order 17",
        "request_id": given.headers["x-request-id"],
        "key_id": "admin",
    }


@pytest.mark.parametrize("value", ["", "x" * 256, "a\tb"])
async def test_a_bad_actor_grants_nothing(control: Control, value: str) -> None:
    path = f"/v1/customers/{await control.customer()}"
    body = {"credits": 5}
    answer = await control.ask("POST", f"{path}/credits/grant", body, Idempotency_Key="k1", X_Actor_Id=value)
    assert_problem(answer, 400, "invalid_input")
    assert "X-Actor-Id" in answer.json["detail"]
    assert (await control.ask("GET", f"{path}/credits")).json["balances"] == []


async def test_a_question_is_answered_whoever_asks(control: Control) -> None:
    answer = await control.ask("GET", f"/v1/customers/{await control.customer()}/credits", X_Actor_Id="a\tb")
    assert answer.status == 200


async def test_a_grant_is_there_though_the_archive_is_not(impatient: Control) -> None:
    path = f"/v1/customers/{await impatient.customer()}"
    await impatient.archiving.cancel()
    answer = await impatient.grant(path, 5, "k1")
    assert_problem(answer, 503, "archive_unavailable")
    assert answer.headers["Retry-After"] == "1"
    assert "in effect" in answer.json["detail"]
    assert "Idempotency-Key" in answer.json["detail"]
    assert (await impatient.ask("GET", f"{path}/credits")).json["balances"][0]["available"] == 5
    impatient.archive()
    again: list[Answer] = []

    async def granted() -> bool:
        again.append(await impatient.grant(path, 5, "k1"))
        return again[-1].status != 503

    await until_async(granted, "the archive to have the grant")
    assert (again[-1].status, again[-1].replayed, again[-1].json["granted"]) == (201, True, 5)
    assert (await impatient.ask("GET", f"{path}/credits")).json["balances"][0]["available"] == 5
