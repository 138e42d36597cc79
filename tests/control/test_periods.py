"""Periods over HTTP, with the vectors of the systems whose calls these are."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from tests.support.control import Answer, Control, assert_problem

ALICE = "/v1/customer-by-external-id/alice"
PERIODS = f"{ALICE}/periods"
JANUARY, FEBRUARY, MARCH = (f"2026-0{month}-01T00:00:00Z" for month in (1, 2, 3))


class Months:
    """Alice, who gets credit in periods; each write has a key of its own."""

    def __init__(self, control: Control) -> None:
        self.control = control
        self._writes = 0

    async def terms(self, **terms: Any) -> Answer:
        return await self.control.ask("PUT", f"{PERIODS}/config", terms)

    async def open(self, start: str, key: str = "", **more: Any) -> Answer:
        return await self._write("open", {"period_start": start, **more}, key)

    async def close(self, end: str, key: str = "", **more: Any) -> Answer:
        return await self._write("close", {"period_end": end, **more}, key)

    async def roll(self, end: str, key: str = "", **more: Any) -> Answer:
        return await self._write("roll", {"period_end": end, **more}, key)

    async def spend(self, amount: int) -> None:
        body = {"account_id": "alice", "resource_type": "credits", "amount": amount}
        self._writes += 1
        answer = await self.control.ask("POST", "/v1/spend", body, Idempotency_Key=f"s{self._writes}")
        assert answer.status == 200

    async def balance(self) -> dict[str, int]:
        (balance,) = (await self.control.ask("GET", f"{ALICE}/credits")).json["balances"]
        return {name: balance[name] for name in ("available", "held", "spent", "expired", "owed")}

    async def _write(self, what: str, body: dict[str, Any], key: str) -> Answer:
        self._writes += 1
        return await self.control.ask("POST", f"{PERIODS}/{what}", body, Idempotency_Key=key or f"k{self._writes}")


@pytest.fixture
async def months(control: Control) -> Months:
    await control.customer()
    return Months(control)


def became(answer: Answer) -> tuple[int, int, int, int]:
    closed = answer.json["closed"]
    return closed["available"], closed["expired"], closed["carried"], closed["balance"]


def refused(answer: Answer, field: str) -> None:
    assert_problem(answer, 400, "invalid_input")
    assert [each["path"].rpartition(".")[2] for each in answer.json["errors"]] == [field]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (None, (1_000, 0, 1_000, 1_000)),
        (200, (1_000, 800, 200, 200)),
        (0, (1_000, 1_000, 0, 0)),
    ],
)
async def test_a_balance_of_1000(months: Months, limit: int | None, expected: Sequence[int]) -> None:
    """features.md 14, the vectors."""
    await months.terms(allocation=1_000, carry_limit=limit)
    assert (await months.open(JANUARY)).json["opened"]["balance"] == 1_000
    assert became(await months.close(FEBRUARY)) == expected


async def test_what_is_held_is_left_alone(months: Months) -> None:
    """Balance 1,000, reserved 400, limit 300: 600 available, 300 carried, 300 expired, new balance 700."""
    await months.terms(allocation=1_000, carry_limit=300)
    await months.open(JANUARY)
    body = {"external_customer_id": "alice", "credits": 400}
    held = await months.control.ask("POST", "/v1/reserve", body, Idempotency_Key="r")
    assert held.status == 201
    assert became(await months.close(FEBRUARY)) == (600, 300, 300, 700)
    released = f"/v1/reserve/{held.json['reservation_id']}/release"
    assert (await months.control.ask("POST", released, {}, Idempotency_Key="x")).status == 200
    assert await months.balance() == {"available": 700, "held": 0, "spent": 0, "expired": 300, "owed": 0}


async def test_a_cycle(months: Months) -> None:
    """10,000 less 7,000 used, limit 2,000: 1,000 expire, 2,000 are carried; the next one has 12,000."""
    await months.terms(allocation=10_000, carry_limit=2_000, period_start=JANUARY)
    await months.open(JANUARY)
    await months.spend(7_000)
    assert became(await months.close(FEBRUARY)) == (3_000, 1_000, 2_000, 2_000)
    assert (await months.open(FEBRUARY)).json["opened"]["balance"] == 12_000


async def test_the_cycle_of_the_readme(months: Months) -> None:
    """50,000, of which 35,000 are used, limit 10,000: 5,000 expire, 10,000 are carried, the next one has 60,000."""
    await months.terms(allocation=50_000, carry_limit=10_000)
    await months.open(JANUARY)
    await months.spend(35_000)
    rolled = await months.roll(FEBRUARY)
    assert became(rolled) == (15_000, 5_000, 10_000, 10_000)
    assert rolled.json["opened"]["balance"] == 60_000


async def test_three_cycles(months: Months) -> None:
    """Of 1,000 with limit 500, using 200 and then 1,000: 500, 1,500, 500, 1,500."""
    await months.terms(allocation=1_000, carry_limit=500)
    await months.open(JANUARY)
    await months.spend(200)
    first = await months.roll(FEBRUARY)
    await months.spend(1_000)
    second = await months.roll(MARCH)
    assert [(each.json["closed"]["carried"], each.json["opened"]["balance"]) for each in (first, second)] == [
        (500, 1_500), (500, 1_500),
    ]  # fmt: skip


async def test_debt_is_carried(months: Months) -> None:
    await months.terms(allocation=100, carry_limit=0)
    await months.control.ask("PUT", f"{ALICE}/overage-policy", {"policy": "allow"})
    await months.open(JANUARY)
    await months.spend(130)
    assert became(await months.close(FEBRUARY)) == (0, 0, 0, -30)
    assert (await months.open(FEBRUARY)).json["opened"]["balance"] == 70


async def test_a_period_is_opened_once_whatever_its_allocation(months: Months) -> None:
    await months.terms(allocation=100)
    first = (await months.open(JANUARY)).json["opened"]
    await months.spend(40)
    again = await months.open(JANUARY, allocation=999)
    assert (again.status, again.json["opened"]) == (200, {**first, "duplicate": True})
    assert (await months.balance())["available"] == 60
    together = await asyncio.gather(*(months.open(FEBRUARY) for _ in range(8)))
    assert sorted(each.json["opened"]["duplicate"] for each in together) == [False] + [True] * 7
    assert (await months.balance())["available"] == 160


async def test_a_period_is_closed_once(months: Months) -> None:
    await months.terms(allocation=100, carry_limit=50)
    await months.open(JANUARY)
    assert became(await months.close(FEBRUARY)) == (100, 50, 50, 50)
    await months.control.grant(ALICE, 10, "g")
    again = await months.close(FEBRUARY)
    assert (became(again), again.json["closed"]["duplicate"]) == ((100, 50, 50, 50), True)
    half = await months.roll(FEBRUARY)
    assert (half.json["closed"]["duplicate"], half.json["opened"]["duplicate"]) == (True, False)
    assert half.json["opened"]["balance"] == 160


async def test_the_same_key_gets_the_same_bytes(months: Months) -> None:
    await months.terms(allocation=100, carry_limit=50)
    await months.open(JANUARY)
    one, other = await months.roll(FEBRUARY, "k"), await months.roll(FEBRUARY, "k")
    assert (one.raw, other.replayed) == (other.raw, True)
    assert_problem(await months.roll(MARCH, "k"), 422, "idempotency_mismatch")


async def test_other_credit_is_left_alone(months: Months) -> None:
    await months.control.grant(ALICE, 70, "paid", price_paid=900, currency="EUR")
    await months.control.grant(ALICE, 5, "free")
    await months.terms(allocation=100, carry_limit=0, priority=-1)
    await months.open(JANUARY)
    await months.spend(60)
    assert became(await months.close(FEBRUARY)) == (40, 40, 0, 75)
    assert (await months.balance())["available"] == 75
    granted = await months.control.ask(
        "POST", f"{ALICE}/credits/grant", {"credits": 1, "series": "period"}, Idempotency_Key="s"
    )
    refused(granted, "series")


async def test_what_is_carried_can_end(months: Months) -> None:
    await months.terms(allocation=100, carry_percent=50, carry_expires_in_seconds=86_400)
    await months.open(JANUARY)
    assert became(await months.roll(FEBRUARY)) == (100, 50, 50, 50)
    carried, fresh = (await months.control.ask("GET", f"{ALICE}/credits/blocks")).json["data"]
    assert (carried["available"], carried["expired"], carried["expires_at"] is None) == (50, 50, False)
    assert (fresh["available"], fresh["source"], fresh["expires_at"]) == (100, "period", None)
    # It burns first, so that it does not expire while the rest is spent.
    await months.spend(60)
    assert became(await months.close(MARCH)) == (90, 45, 45, 45)


async def test_the_ledger_and_the_events_tell_of_it(months: Months) -> None:
    await months.terms(allocation=100, carry_limit=30)
    await months.open(JANUARY, reason="new year")
    await months.close(FEBRUARY, reason="over")
    closed, opened = (await months.control.ask("GET", f"{ALICE}/ledger")).json["data"]
    assert (opened["type"], opened["source"], opened["reason"], opened["delta"]) == (
        "grant",
        "period",
        "new year",
        100,
    )
    assert (closed["type"], closed["reason"], closed["delta"]) == ("period_close", "over", -70)
    told = {"available": 100, "expired": 70, "carried": 30, "balance": 30}
    assert closed["period"] == {"period_end": "2026-02-01T00:00:00Z", **told}
    assert [move["what"] for move in closed["moves"]] == ["expired"]
    (event,) = (await months.control.ask("GET", "/v1/events?type=period.closed")).json["data"]
    assert (event["data"]["amount"], event["data"]["carried"]) == (70, 30)


async def test_terms_are_shown_as_they_are_changed(months: Months) -> None:
    missing = await months.control.ask("GET", f"{PERIODS}/config")
    assert_problem(missing, 404, "not_found")
    assert_problem(await months.open(JANUARY), 404, "not_found")
    assert became(await months.close(JANUARY)) == (0, 0, 0, 0)
    refused(await months.terms(allocation=1, carry_limit=-1), "carry_limit")
    refused(await months.terms(carry_percent=101), "carry_percent")
    await months.terms(period_start=JANUARY)
    refused(await months.open(JANUARY), "allocation")
    shown = await months.control.ask("GET", f"{PERIODS}/config")
    assert (shown.json["period_start"], shown.json["allocation"]) == (JANUARY, None)
    assert (shown.json["carry_limit"], shown.json["carry_percent"]) == (None, 100)
    await months.open(FEBRUARY, allocation=7)
    again = await months.terms(allocation=5, carry_limit=3, carry_expires_in_seconds=60, priority=4)
    after = await months.control.ask("GET", f"{PERIODS}/config")
    assert after.json == again.json
    assert (after.json["period_start"], after.json["carry_expires_in_seconds"]) == (FEBRUARY, 60)
    stale = {"If-Match": shown.headers["ETag"]}
    assert (await months.control.ask("PUT", f"{PERIODS}/config", {}, **stale)).status == 412
