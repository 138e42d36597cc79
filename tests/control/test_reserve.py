"""The life of a reservation over HTTP, and its races; `examples` has its worked numbers."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import pytest

from sidecar.domain.once import Once
from sidecar.services import reservations
from tests.support.control import Answer, Control, assert_problem
from tests.support.until import until_async


class Reserving:
    """One customer who has credit, and what is done for it."""

    def __init__(self, control: Control, customer_id: str) -> None:
        self.control, self.customer_id, self.keys = control, customer_id, iter(range(1_000_000))

    async def reserve(self, amount: int, key: str = "", **more: Any) -> Answer:
        body = {"customer_id": self.customer_id, "credits": amount, **more}
        key = key or f"reserve-{next(self.keys)}"
        return await self.control.ask("POST", "/v1/reserve", body, Idempotency_Key=key)

    async def held(self, amount: int, **more: Any) -> str:
        answer = await self.reserve(amount, **more)
        assert answer.status == 201, answer.raw
        reservation_id: str = answer.json["reservation_id"]
        return reservation_id

    async def do(self, what: str, reservation_id: str, key: str = "", **body: Any) -> Answer:
        key = key or f"{what}-{next(self.keys)}"
        return await self.control.ask("POST", f"/v1/reserve/{reservation_id}/{what}", body, Idempotency_Key=key)

    async def commit(self, reservation_id: str, amount: int, **more: Any) -> Answer:
        return await self.do("commit", reservation_id, credits=amount, **more)

    async def show(self, reservation_id: str) -> Answer:
        return await self.control.ask("GET", f"/v1/reserve/{reservation_id}")

    async def totals(self) -> tuple[int, int, int, int]:
        """Available, held, spent, owed."""
        balance = (await self.control.accounts.balances(self.customer_id))[0]
        return balance.available, balance.held, balance.spent, balance.owed


@pytest.fixture
async def having(control: Control) -> Callable[[int], Awaitable[Reserving]]:
    async def have(amount: int) -> Reserving:
        customer_id = await control.customer()
        await control.grant(f"/v1/customers/{customer_id}", amount, "credit")
        return Reserving(control, customer_id)

    return have


Having = Callable[[int], Awaitable[Reserving]]


async def test_what_is_reserved_is_held_and_shown(having: Having) -> None:
    alice = await having(10_000)
    answer = await alice.reserve(4_000, feature="chat", ttl_seconds=120, metadata={"job": "7"})
    assert answer.status == 201
    shown = answer.json
    lives_s = (
        datetime.fromisoformat(shown.pop("expires_at")) - datetime.fromisoformat(shown.pop("created_at"))
    ).total_seconds()
    assert lives_s == 120
    reservation_id = shown.pop("reservation_id")
    assert shown == {
        "status": "active",
        "customer_id": alice.customer_id,
        "payer_customer_id": alice.customer_id,
        "unit": "credits",
        "held": 4_000,
        "charged": 0,
        "feature": "chat",
        "rule": "",
        "metadata": {"job": "7"},
        "available": 6_000,
        "display": {"held": "0.004", "charged": "0"},
    }
    assert (await alice.show(reservation_id)).json["held"] == 4_000
    listed = (await alice.control.ask("GET", "/v1/reservations")).json["data"]
    assert [each["reservation_id"] for each in listed] == [reservation_id]


async def test_a_commit_above_its_hold_may_be_rejected(having: Having) -> None:
    alice = await having(10_000)
    reservation_id = await alice.held(4_000)
    assert_problem(await alice.commit(reservation_id, 4_001, on_over="reject"), 409, "above_hold")
    assert (await alice.show(reservation_id)).json["status"] == "active"
    assert (await alice.commit(reservation_id, 4_000, on_over="reject")).status == 200


async def test_what_is_not_there_cannot_be_held(having: Having) -> None:
    alice = await having(1_000)
    refused = await alice.reserve(1_001, "again")
    assert_problem(refused, 402, "insufficient_credits")
    assert [refused.json[name] for name in ("unit", "required", "available", "held")] == ["credits", 1_001, 1_000, 0]
    await alice.control.grant(f"/v1/customers/{alice.customer_id}", 1, "more")
    assert (await alice.reserve(1_001, "again")).status == 201, "a refusal does not use up the key"
    busy = await alice.reserve(1)
    assert_problem(busy, 429, "holds_in_flight")
    assert busy.headers["Retry-After"] == "1"


async def test_a_release_gives_all_back(having: Having) -> None:
    alice = await having(100)
    reservation_id = await alice.held(60, metadata={"job": "7"})
    done = (await alice.do("release", reservation_id, reason="not needed")).json
    assert (done["status"], done["available"]) == ("released", 100)
    (entry,) = (await ledger(alice, reservation_id))["data"]
    assert (entry["type"], entry["reason"], entry["metadata"]) == ("release", "not needed", {"job": "7"})


async def test_what_has_ended_takes_nothing_else(having: Having) -> None:
    alice = await having(100)
    committed, released = await alice.held(10), await alice.held(10)
    await alice.commit(committed, 5)
    await alice.do("release", released)
    for answer in (
        await alice.commit(committed, 6),
        await alice.commit(committed, 7, final=False),
        await alice.do("release", committed),
        await alice.do("extend", committed),
        await alice.do("increase", committed, credits=20),
        await alice.commit(released, 5),
    ):
        assert_problem(answer, 409, "reservation_not_active")
    assert await alice.totals() == (95, 0, 5, 0)
    # Who says the same again has it done.
    assert (await alice.commit(committed, 5)).json["charged"] == 5
    assert (await alice.do("release", released)).status == 200
    assert await alice.totals() == (95, 0, 5, 0)


async def test_steps_charge_what_it_has_come_to(having: Having) -> None:
    alice = await having(100)
    reservation_id = await alice.held(60)
    first = (await alice.commit(reservation_id, 10, final=False)).json
    assert (first["status"], first["consumed"], first["held"], first["released"]) == ("active", 10, 50, 0)
    second = (await alice.commit(reservation_id, 35, final=False)).json
    assert (second["consumed"], second["charged"], second["held"]) == (25, 35, 25)
    # Said again by another key, it is known.
    assert (await alice.commit(reservation_id, 35, final=False)).json["consumed"] == 0
    assert_problem(await alice.commit(reservation_id, 34, final=False), 409, "conflict")
    end = (await alice.commit(reservation_id, 40)).json
    assert (end["status"], end["consumed"], end["charged"], end["released"]) == ("committed", 5, 40, 20)
    assert await alice.totals() == (60, 0, 40, 0)
    assert (await alice.commit(reservation_id, 40)).json["charged"] == 40


async def test_steps_that_race_charge_the_most_that_was_said(having: Having) -> None:
    alice = await having(1_000)
    reservation_id = await alice.held(1_000)
    answers = await asyncio.gather(*(alice.commit(reservation_id, each, final=False) for each in range(10, 200, 10)))
    assert {answer.status for answer in answers} <= {200, 409}
    assert (await alice.totals())[2] == 190
    assert sum(answer.json["consumed"] for answer in answers if answer.status == 200) == 190


async def test_a_reservation_may_live_longer_and_hold_more(having: Having) -> None:
    alice = await having(100)
    reservation_id = await alice.held(40, ttl_seconds=10)
    before = (await alice.show(reservation_id)).json["expires_at"]
    assert (await alice.do("extend", reservation_id, ttl_seconds=600)).json["expires_at"] > before
    more = (await alice.do("increase", reservation_id, credits=70)).json
    assert (more["held"], more["available"]) == (70, 30)
    assert (await alice.do("increase", reservation_id, credits=50)).json["held"] == 70, "never less"
    assert_problem(await alice.do("increase", reservation_id, credits=101), 402, "insufficient_credits")
    await alice.commit(reservation_id, 30, final=False)
    assert (await alice.do("increase", reservation_id, credits=80)).json["held"] == 50, "30 of 80 are charged"


async def test_no_reservation_lives_for_ever(having: Having, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reservations, "LIFE_MAX_S", 500)
    alice = await having(100)
    reservation_id = await alice.held(40, ttl_seconds=300)
    assert (await alice.do("extend", reservation_id, ttl_seconds=200)).status == 200
    assert_problem(await alice.do("extend", reservation_id, ttl_seconds=201), 409, "conflict")


async def test_what_has_expired_is_charged_late_and_only_once(having: Having) -> None:
    alice = await having(100)
    reservation_id = await alice.held(40, ttl_seconds=1)
    partition = alice.control.ledger._keys.partition(alice.customer_id)
    await until_async(lambda: expired(alice, reservation_id, partition), "the sweep")
    assert await alice.totals() == (100, 0, 0, 0)
    done = (await alice.commit(reservation_id, 30)).json
    assert (done["status"], done["consumed"]) == ("committed_late", 30)
    assert await alice.totals() == (70, 0, 30, 0)
    assert_problem(await alice.commit(reservation_id, 31), 409, "reservation_not_active")


async def test_the_archive_knows_those_that_the_store_forgot(having: Having) -> None:
    alice = await having(100)
    reservation_id = await alice.held(40, feature="chat", metadata={"job": "7"})
    await alice.commit(reservation_id, 25)
    keys = alice.control.ledger._keys.of(alice.customer_id)
    await alice.control.lane.execute("HDEL", keys.holds, reservation_id)
    shown = (await alice.show(reservation_id)).json
    assert (shown["status"], shown["charged"], shown["feature"], shown["metadata"]) == (
        "committed", 25, "chat", {"job": "7"},
    )  # fmt: skip
    assert_problem(await alice.commit(reservation_id, 25), 409, "reservation_not_active")


@pytest.mark.parametrize("reservation_id", ["nonesuch", "res_" + "0" * 50, "rsv_1_1", "%00"])
async def test_what_never_was_is_not_found(control: Control, reservation_id: str) -> None:
    assert_problem(await control.ask("GET", f"/v1/reserve/{reservation_id}"), 404, "not_found")
    path = f"/v1/reserve/{reservation_id}/commit"
    assert_problem(await control.ask("POST", path, {"credits": 1}, Idempotency_Key="k"), 404, "not_found")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"credits": 1}, 400, "invalid_input"),
        ({"credits": 1, "customer_id": "x", "external_customer_id": "alice"}, 400, "invalid_input"),
        ({"credits": 1, "external_customer_id": "nobody"}, 404, "not_found"),
        ({"credits": 1, "customer_id": "cus_01arz3ndektsv4rrffq69g5fav"}, 404, "not_found"),
        ({"credits": -1, "external_customer_id": "alice"}, 400, "invalid_input"),
        ({"credits": 1, "external_customer_id": "alice", "unit": "gold"}, 400, "invalid_input"),
        ({"credits": 1, "external_customer_id": "alice", "ttl_seconds": 86_401}, 400, "invalid_input"),
        ({"credits": 1, "external_customer_id": "alice", "ttl_seconds": 0}, 400, "invalid_input"),
        ({"credits": 1, "external_customer_id": "alice", "feature": "a b"}, 400, "invalid_input"),
    ],
)
async def test_what_cannot_be_reserved(control: Control, body: object, status: int, code: str) -> None:
    await control.customer()
    assert_problem(await control.ask("POST", "/v1/reserve", body, Idempotency_Key="k"), status, code)


async def test_metadata_that_is_too_large_is_refused(having: Having) -> None:
    alice = await having(10)
    metadata = {f"name{number}": "x" * 499 for number in range(20)}
    assert_problem(await alice.reserve(1, metadata=metadata), 400, "invalid_input")


async def test_a_key_is_required_and_a_repetition_gets_the_first_answer(having: Having) -> None:
    alice = await having(100)
    body = {"external_customer_id": "alice", "credits": 10}
    assert_problem(await alice.control.ask("POST", "/v1/reserve", body), 400, "idempotency_key_required")
    first = await alice.control.ask("POST", "/v1/reserve", body, Idempotency_Key="k")
    again = await alice.control.ask("POST", "/v1/reserve", body, Idempotency_Key="k")
    assert (first.raw, again.replayed) == (again.raw, True)
    other = await alice.control.ask("POST", "/v1/reserve", body | {"credits": 11}, Idempotency_Key="k")
    assert_problem(other, 422, "idempotency_mismatch")
    assert await alice.totals() == (90, 10, 0, 0)


async def test_fifty_equal_requests_at_once_have_one_effect_and_one_answer(having: Having) -> None:
    alice = await having(100)
    answers = await asyncio.gather(*(alice.reserve(10, "same") for _ in range(50)))
    assert len({answer.raw for answer in answers}) == 1
    assert await alice.totals() == (90, 10, 0, 0)
    reservation_id = answers[0].json["reservation_id"]
    answers = await asyncio.gather(*(alice.do("commit", reservation_id, "same", credits=7) for _ in range(50)))
    assert len({answer.raw for answer in answers}) == 1
    assert await alice.totals() == (93, 0, 7, 0)


async def test_a_request_whose_answer_was_lost_is_not_done_twice(having: Having) -> None:
    """Its process died between the ledger and the record of its answer."""
    alice = await having(100)
    first = await alice.reserve(10, "same")
    await alice.control.parts.once_records.abandon("/v1/reserve", Once("same", "ab"))
    again = await alice.reserve(10, "same")
    assert again.json["reservation_id"] == first.json["reservation_id"]
    assert await alice.totals() == (90, 10, 0, 0)


async def test_as_many_fit_as_fit(having: Having) -> None:
    alice = await having(95)
    answers = await asyncio.gather(*(alice.reserve(10) for _ in range(30)))
    assert sorted(answer.status for answer in answers) == [201] * 9 + [429] * 21
    assert await alice.totals() == (5, 90, 0, 0)


@pytest.mark.parametrize("seed", range(3))
async def test_a_commit_and_a_release_at_once_have_one_winner(having: Having, seed: int) -> None:
    alice = await having(100)
    reservation_id = await alice.held(50)
    racing = [alice.commit(reservation_id, 20 + seed), alice.do("release", reservation_id)]
    answers = await asyncio.gather(*(racing if seed % 2 else reversed(racing)))
    assert sorted(answer.status for answer in answers) == [200, 409]
    available, held, spent, owed = await alice.totals()
    assert (available + spent, held, owed) == (100, 0, 0)
    assert spent in {0, 20 + seed}


async def test_the_members_of_a_pool_reserve_what_their_parent_has(control: Control) -> None:
    boss = await control.customer("boss")
    await control.grant(f"/v1/customers/{boss}", 100, "credit")
    member = Reserving(control, await control.member("alice", boss))
    reservation_id = await member.held(40)
    shown = (await member.show(reservation_id)).json
    assert (shown["customer_id"], shown["payer_customer_id"]) == (member.customer_id, boss)
    assert (await member.commit(reservation_id, 30)).json["available"] == 70
    await control.ask("PUT", f"/v1/customers/{member.customer_id}/pool", {"cap": 40})
    assert_problem(await member.reserve(11), 402, "pool_cap_reached")


async def test_who_is_suspended_reserves_nothing_more(having: Having) -> None:
    alice = await having(100)
    reservation_id = await alice.held(40)
    await alice.control.ask("PATCH", f"/v1/customers/{alice.customer_id}", {"status": "suspended"})
    assert_problem(await alice.reserve(1), 403, "customer_suspended")
    assert (await alice.commit(reservation_id, 40)).status == 200


async def ledger(alice: Reserving, reservation_id: str) -> Any:
    target = f"/v1/customers/{alice.customer_id}/ledger?reservation_id={reservation_id}"
    return (await alice.control.ask("GET", target)).json


async def expired(alice: Reserving, reservation_id: str, partition: int) -> bool:
    await alice.control.ledger.sweep(partition, 10)
    return bool((await alice.show(reservation_id)).json["status"] == "expired")
